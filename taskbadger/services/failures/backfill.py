"""The kinds of tasks that failed before kinds were counted, found by the worker.

The newest tasks come first, in small transactions. A task with a failure is done, so none is
counted twice, whoever counts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, select, update

from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.status import ERROR, STALE
from taskbadger.extensions import change_rows, db
from taskbadger.models import Failure, FailureBackfill
from taskbadger.models.task_rows import EVENTS, STATE_COLUMNS, TASKS, TaskState
from taskbadger.models.types import Condition
from taskbadger.services.failures import recording
from taskbadger.services.failures.recording import Failed

_task = TASKS.c
_event = EVENTS.c


@dataclass(frozen=True, slots=True)
class Part:
    """Failed tasks of one project and status that may have no kind yet."""

    project_id: int
    status: str
    before: str | None
    """Where it begins: the tasks from here on are done."""
    task_ids: Sequence[str]
    """The newest first."""
    is_last: bool
    """Whether the project has no more tasks of this status."""


def find_next(*, limit: int) -> Part | None:
    """Return the next part of up to *limit* tasks; None when all is done. Only reads."""
    row = db.session.scalar(
        select(FailureBackfill)
        .order_by(FailureBackfill.project_id, FailureBackfill.status)
        .limit(1)
    )
    if row is None:
        return None
    query = select(_task.id).where(_task.project_id == row.project_id, _task.status == row.status)
    if row.before is not None:
        query = query.where(_task.id < row.before)
    found = db.session.scalars(query.order_by(_task.id.desc()).limit(limit)).all()
    return Part(row.project_id, row.status, row.before, found, len(found) < limit)


def record(part: Part, task_ids: Sequence[str]) -> int:
    """Count those of these tasks that still have no kind; return how many."""
    locked = (
        select(*STATE_COLUMNS)
        .where(_task.id.in_(task_ids), _task.status == part.status)
        .order_by(_task.id)
        .with_for_update(key_share=True)
    )
    tasks = [TaskState._make(row) for row in db.session.execute(locked)]
    # Not in the statement above: it may have waited for a change, and would not see its failure.
    known = set(db.session.scalars(select(Failure.task_id).where(Failure.task_id.in_(task_ids))))
    causes = _causes(part, task_ids)
    failures = [
        Failed(task, causes.get(task.id, part.status)) for task in tasks if task.id not in known
    ]
    recording.record(part.project_id, failures, is_news=False)
    return len(failures)


def _causes(part: Part, task_ids: Sequence[str]) -> Mapping[str, str]:
    """Return the tasks that the server has ended because of their max_runtime."""
    if part.status != ERROR:
        return {}
    ended = (
        select(_event.task_id, _event.actor_type)
        .where(_event.task_id.in_(task_ids), _event.type == "status", _event.status == ERROR)
        .order_by(_event.id)
    )
    by = {row.task_id: row.actor_type for row in db.session.execute(ended)}
    return {task_id: OVERDUE for task_id, actor in by.items() if actor == "server"}


def advance(part: Part, before: str) -> Part | None:
    """Note that tasks are done down to *before*; None if another worker was faster."""
    moved = change_rows(
        update(FailureBackfill)
        .where(*_is_at(part))
        .values(before=before)
        .execution_options(synchronize_session=False)
    )
    return replace(part, before=before) if moved else None


def finish(part: Part) -> None:
    """Note that nothing is left of a project's tasks in this status."""
    change_rows(
        delete(FailureBackfill).where(*_is_at(part)).execution_options(synchronize_session=False)
    )


def _is_at(part: Part) -> tuple[Condition, ...]:
    return (
        FailureBackfill.project_id == part.project_id,
        FailureBackfill.status == part.status,
        FailureBackfill.before.is_(None)
        if part.before is None
        else FailureBackfill.before == part.before,
    )


def start(project_id: int) -> None:
    """Let the worker look at all failed tasks of a project, which were added without kinds."""
    for status in (ERROR, STALE):
        db.session.merge(FailureBackfill(project_id=project_id, status=status, before=None))
