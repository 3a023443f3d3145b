"""The maintenance windows that cover monitors: what is expected inside them is skipped."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from taskbadger.domain.windows import Span, Timing
from taskbadger.models.monitor_rows import AnyMonitor
from taskbadger.services.delivery import windows


@dataclass(frozen=True, slots=True)
class Cover:
    """When a monitor has been covered until now."""

    windows: Sequence[tuple[Timing, Span]] = ()
    """Each with the span that has started last."""

    def contains(self, moment: datetime) -> bool:
        """Say whether a window is active at *moment*, which is not later than now."""
        return any(
            last.contains(moment) or (moment < last.start and timing.active_span(moment))
            for timing, last in self.windows
        )

    def last_span(self, since: datetime, now: datetime) -> Span | None:
        """Return when a window was active that ended after *since* and is over; the last one."""
        ended = [last for _, last in self.windows if since < last.end <= now]
        return max(ended, key=lambda span: span.end, default=None)


def covers_of(monitors: Iterable[AnyMonitor], *, now: datetime) -> dict[UUID, Cover]:
    """Return when these monitors have been covered, by their ids: one statement for all of them.

    A schedule is computed once, however many monitors it is about.
    """
    found = list(monitors)
    own: dict[tuple[int, UUID | None], list[tuple[Timing, Span]]] = defaultdict(list)
    for window, project_id in windows.list_past_of_monitors(found, now=now):
        timing = windows.timing_of(window)
        last = windows.active_span(window, now) or timing.last_span(now)
        if last is not None:
            own[project_id, window.monitor_id].append((timing, last))
    return {
        monitor.id: Cover([*own[monitor.project_id, None], *own[monitor.project_id, monitor.id]])
        for monitor in found
    }


def covered(monitors: Iterable[AnyMonitor], *, now: datetime) -> set[UUID]:
    """Return the ids of those monitors that are covered now."""
    found = list(monitors)
    active = windows.list_active_of_monitors(found, now=now)
    places = {(project_id, window.monitor_id) for window, project_id in active}
    return {
        one.id
        for one in found
        if not places.isdisjoint([(one.project_id, None), (one.project_id, one.id)])
    }
