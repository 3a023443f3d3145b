"""Failed runs: what a part of the history says of tasks that had failed before.

A task that goes stale and then ends in error is one failed run, of which the last failure counts. A
failure counts under the name that the task had then, and not at all once it was superseded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, pairwise
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, select

from taskbadger.domain.status import FAILED
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.models.incident_rows import FAILURES, KINDS, HistoryEntry
from taskbadger.models.task_rows import EVENTS

_AT_ONCE = 500
_INCIDENTS = cast(Table, Incident.__table__)
_event = EVENTS.c
_KNOWN = (
    select(
        FAILURES.c.task_id,
        KINDS.c.name,
        FAILURES.c.superseded_by,
        _INCIDENTS.c.name.label("incident_name"),
    )
    .join_from(FAILURES, KINDS, KINDS.c.id == FAILURES.c.kind_id)
    .join(_INCIDENTS, _INCIDENTS.c.id == FAILURES.c.incident_id, isouter=True)
    .where(FAILURES.c.task_id.in_(bindparam("tasks", expanding=True)))
)
_CHANGES = (
    select(_event.task_id, _event.id, _event.status, _event.created)
    .where(
        _event.task_id.in_(bindparam("tasks", expanding=True)),
        _event.type.in_(("created", "status")),
        _event.id <= bindparam("upto"),
    )
    .order_by(_event.task_id, _event.id)
)


class Counted(NamedTuple):
    """A failure that was counted."""

    project_id: int
    name: str
    status: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FailedRuns:
    """What is to be counted of a part of the history."""

    entries: Sequence[HistoryEntry]
    """Those that count, failures with the names that the tasks had then."""
    taken_back: Sequence[Counted] = ()
    """Failures that were counted, and that later ones of the same runs replace."""
    repeated: set[str] = field(default_factory=set)
    """The tasks of these runs."""


class _Known(NamedTuple):
    """What is known of a task that failed."""

    name: str
    superseded_by: str | None
    incident_name: str | None
    """The name under which an earlier failure was counted."""


class _Change(NamedTuple):
    task_id: str
    id: int
    status: str
    created: datetime


def read(entries: Sequence[HistoryEntry], *, after: int) -> FailedRuns:
    """Say what is to be counted of *entries*; those up to *after* were counted already."""
    failed = [entry for entry in entries if entry.project_id is not None and entry.status in FAILED]
    if not failed:
        return FailedRuns(entries)
    known = _read_known([entry.task_id for entry in failed])
    replaced = _read_replaced([entry for entry in failed if entry.type == "status"])
    is_replaced = {earlier.id for earlier in replaced.values()}
    kept, taken_back, repeated = [], [], set()
    for entry in map(HistoryEntry._make, entries):
        found = known.get(entry.task_id) if entry.status in FAILED else None
        if entry.id in is_replaced or (found is not None and found.superseded_by is not None):
            continue
        kept.append(entry if found is None else entry._replace(name=found.name))
        earlier = replaced.get(entry.id)
        if earlier is not None and earlier.id <= after:
            name = (found and found.incident_name) or kept[-1].name
            taken_back.append(Counted(entry.project_id or 0, name, earlier.status, earlier.created))
            repeated.add(entry.task_id)
    return FailedRuns(kept, taken_back, repeated)


def _read_known(task_ids: Sequence[str]) -> dict[str, _Known]:
    found: dict[str, _Known] = {}
    for start in range(0, len(task_ids), _AT_ONCE):
        rows = db.session.execute(_KNOWN, {"tasks": task_ids[start : start + _AT_ONCE]})
        found |= {task_id: _Known(*columns) for task_id, *columns in rows}
    return found


def _read_replaced(failed: Sequence[HistoryEntry]) -> Mapping[int, _Change]:
    """Return the failures just before these, by the ids of the entries."""
    found: dict[int, _Change] = {}
    for start in range(0, len(failed), _AT_ONCE):
        some = failed[start : start + _AT_ONCE]
        values = {"tasks": [entry.task_id for entry in some], "upto": some[-1].id}
        changes = map(_Change._make, db.session.execute(_CHANGES, values))
        for _, of_task in groupby(changes, lambda change: change.task_id):
            found |= {
                later.id: earlier
                for earlier, later in pairwise(of_task)
                if earlier.status in FAILED and later.status in FAILED
            }
    return found
