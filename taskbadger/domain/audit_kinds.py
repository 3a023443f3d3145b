"""Kinds of entries of the audit log, and the folding of the many that keys make."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

INGESTION = "ingestion"
"""The kind of changes of tasks that keys make: there may be thousands between two others."""
OTHER = "other"
"""The kind of a verb that begins with nothing."""
MAX_LENGTH = 20

KINDS = (
    (INGESTION, "task changes by keys"),
    ("task", "tasks"),
    ("action", "alerts of tasks"),
    ("global-action", "alert rules"),
    ("channel", "channels"),
    ("window", "maintenance windows"),
    ("delivery", "deliveries"),
    ("incident", "incidents"),
    ("failure", "failures"),
    ("monitor", "monitors"),
    ("project", "projects"),
    ("key", "keys"),
    ("member", "members"),
    ("user", "accounts"),
    ("view", "saved views"),
    ("organization", "organization"),
    ("server", "set-up"),
)
"""What people choose from, with words; plug-ins may record others."""


def kind_of(actor_type: str, verb: str) -> str:
    """Return the kind of an entry: the first part of a verb such as ``key.revoke``."""
    kind = verb.partition(".")[0][:MAX_LENGTH] or OTHER
    return INGESTION if actor_type == "key" and kind in ("task", "action") else kind


class Change(Protocol):
    """What folding needs to know of a change of a task."""

    @property
    def id(self) -> int:
        """Sorts by time."""

    @property
    def created(self) -> datetime: ...

    @property
    def actor_name(self) -> str: ...


AnyEntry = TypeVar("AnyEntry")


@dataclass(frozen=True, slots=True)
class Fold:
    """Changes of tasks by keys with nothing between them, newest first."""

    newest_id: int
    newest: datetime
    oldest: datetime
    names: tuple[str, ...]
    count: int
    is_more: bool
    """Whether there are more than were counted."""


@dataclass(frozen=True, slots=True)
class Folded(Generic[AnyEntry]):
    """A page of the log."""

    rows: list[AnyEntry | Fold]
    before: int | None
    """Where the next page begins; None if this is the last."""


def fold(
    others: Sequence[tuple[int, AnyEntry]], changes: Sequence[Change], *, size: int, limit: int
) -> Folded[AnyEntry]:
    """Put *others* and the folded *changes* in order, newest first.

    *others* are up to *size* + 1 entries, each with its id. *changes* are those between them, down
    to the last one that is shown, at most *limit* + 1; if there are more, the page ends with them.
    """
    rows: list[AnyEntry | Fold] = []
    is_cut, at, above = len(changes) > limit, 0, 0
    for number, other in others[:size]:
        start = at
        while at < len(changes) and changes[at].id > number:
            at += 1
        if is_cut and at == len(changes):
            return _cut(rows, changes[start:limit], below=number + 1, above=above)
        rows += [_fold(changes[start:at])] if at > start else []
        rows.append(other)
        above = number
    if len(others) > size or (is_cut and at == limit):
        return Folded(rows, above)
    rows += [_fold(changes[at:limit], is_more=is_cut)] if at < len(changes) else []
    return Folded(rows, None)


def _cut(
    rows: list[AnyEntry | Fold], changes: Sequence[Change], *, below: int, above: int
) -> Folded[AnyEntry]:
    """End a page with the first of many *changes*; without them if none has room."""
    if not changes:
        return Folded(rows, above)
    return Folded([*rows, _fold(changes, is_more=True)], below)


def _fold(changes: Sequence[Change], *, is_more: bool = False) -> Fold:
    names = tuple(sorted({change.actor_name for change in changes}))
    newest, oldest = changes[0], changes[-1]
    return Fold(newest.id, newest.created, oldest.created, names, len(changes), is_more)
