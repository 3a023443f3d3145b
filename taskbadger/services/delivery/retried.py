"""Runs that were tried again: messages about their failures are dropped.

Tasks of one project with the same name and the same external id are attempts of one run.
"""

from collections.abc import Collection
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Table, and_, select

from taskbadger.domain.status import CANCELLED, ERROR, SUCCESS
from taskbadger.extensions import db
from taskbadger.models import Firing
from taskbadger.models.task_rows import TASKS
from taskbadger.services.delivery.claims import Claimed

_FATES = {SUCCESS: "succeeded", ERROR: "failed", CANCELLED: "was cancelled"}
"""What became of the later attempt, by its status; others are going on."""

_FIRING = cast(Table, Firing.__table__)
LATER = TASKS.alias("later")
"""Another attempt of a task."""
_task, _later = TASKS.c, LATER.c

IS_LATER = and_(
    _later.project_id == _task.project_id,
    _later.external_id == _task.external_id,
    _task.external_id != "",
    _later.name == _task.name,
    _later.id > _task.id,
)
"""Whether LATER is another attempt of the task, after it."""


class Retry(NamedTuple):
    """A later attempt of a run."""

    task_id: str
    outcome: str
    """What became of it, in words."""


def find_retry(claimed: Claimed) -> str | None:
    """Return what became of the run if it was tried again, in words."""
    task_id = select(_FIRING.c.task_id).where(_FIRING.c.id == claimed.firing_id)
    retry = _newest(_task.id == task_id.scalar_subquery())
    return None if retry is None else _words(retry)


def words_of(task_ids: Collection[str | None]) -> dict[str | None, str]:
    """Return what became of runs, in words, by their last attempts."""
    if not task_ids:
        return {}
    rows = db.session.execute(select(_task.id, _task.status).where(_task.id.in_(task_ids)))
    return {row.id: _words(_retry(row.id, row.status)) for row in rows}


def _words(retry: Retry) -> str:
    return f"retried by {retry.task_id}, which {retry.outcome}"


def find_last_attempt(task_id: str) -> Retry | None:
    """Return the last attempt of a task's run; None if that is the task itself."""
    return _newest(_task.id == task_id)


def _newest(is_task: ColumnElement[bool]) -> Retry | None:
    newest = db.session.execute(
        select(_later.id, _later.status)
        .select_from(TASKS)
        .join(LATER, IS_LATER)
        .where(is_task)
        .order_by(_later.id.desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    return _retry(newest.id, newest.status)


def _retry(task_id: str, status: str) -> Retry:
    return Retry(task_id, _FATES.get(status, f"is {status}"))
