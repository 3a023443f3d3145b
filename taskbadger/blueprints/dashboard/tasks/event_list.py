"""The events of a task, with progress that follows progress folded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from taskbadger.models.task_rows import EventRow

PROGRESS = "progress"
MAX_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Fold:
    """Progress between the first and the last that follow each other."""

    events: Sequence[EventRow]
    """The latest first."""


Entry = EventRow | Fold


@dataclass(frozen=True, slots=True)
class EventList:
    """The latest events of a task."""

    entries: Sequence[Entry]
    """The latest first."""
    hidden: int
    """How many of the events are not among them."""


def list_events(events: Sequence[EventRow]) -> EventList:
    """Return at most MAX_SHOWN entries for *events*, which are oldest first."""
    entries = [*_entries(events[::-1])]
    return EventList(entries[:MAX_SHOWN], sum(map(_count, entries[MAX_SHOWN:])))


def _entries(events: Sequence[EventRow]) -> Iterator[Entry]:
    for kind, group in groupby(events, key=lambda event: event.type):
        found = list(group)
        if kind == PROGRESS and len(found) > 3:
            yield found[0]
            yield Fold(found[1:-1])
            yield found[-1]
        else:
            yield from found


def _count(entry: Entry) -> int:
    return len(entry.events) if isinstance(entry, Fold) else 1
