"""The runs of a monitor beside the slots that they filled: what its page shows."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.models import SlotRun, Task
from taskbadger.models.types import Query

MAX_EXTRA = 50
"""How many extra runs are listed beside a page of slots."""


class ListedRun(NamedTuple):
    """A task that ran for a monitor."""

    id: str
    name: str
    status: str
    created: datetime
    start_time: datetime | None
    end_time: datetime | None
    slot_id: int | None
    """The slot that it filled or came in addition to; None for one that counts for no slot."""


_COLUMNS = (
    Task.id,
    Task.name,
    Task.status,
    Task.created,
    Task.start_time,
    Task.end_time,
    SlotRun.slot_id,
)


def list_runs_of_slots(slot_ids: Sequence[int]) -> dict[int, list[ListedRun]]:
    """Return the run that each slot expected, and then its latest extra ones."""
    query = select(*_COLUMNS).join(Task, Task.id == SlotRun.task_id)
    of_slots = query.where(SlotRun.slot_id.in_(slot_ids))
    extra = of_slots.where(SlotRun.is_extra).order_by(Task.id.desc()).limit(MAX_EXTRA)
    found: defaultdict[int, list[ListedRun]] = defaultdict(list)
    for run in [*_fetch(of_slots.where(~SlotRun.is_extra)), *_fetch(extra)]:
        found[run.slot_id or 0].append(run)
    return found


def list_runs_without_slot(monitor_id: UUID, count: int) -> list[ListedRun]:
    """Return those of the last *count* runs of a monitor that count for no slot, newest first."""
    newest = (
        select(*_COLUMNS)
        .outerjoin_from(Task, SlotRun, SlotRun.task_id == Task.id)
        .where(Task.monitor_id == monitor_id)
        .order_by(Task.id.desc())
        .limit(count)
    )
    return [run for run in _fetch(newest) if run.slot_id is None]


def _fetch(query: Query) -> list[ListedRun]:
    return [ListedRun._make(row) for row in db.session.execute(query)]
