"""Cancels tasks that were selected in a list."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.status import TERMINAL
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.services.tasks import write

_task = TASKS.c


def cancel_selected(
    projects: Sequence[ProjectRef],
    task_ids: Sequence[str],
    *,
    now: datetime,
    actor: Actor,
    base_url: str = "",
) -> int:
    """Cancel those of the tasks that are in *projects*; return how many were still open.

    The caller records them: ``auditing.record_cancelled``.
    """
    by_id = {project.id: project for project in projects}
    known = [task_id for task_id in dict.fromkeys(task_ids) if ids.to_bytes(task_id) is not None]
    query = select(_task.id, _task.project_id, _task.status).where(
        _task.id.in_(known), _task.project_id.in_(list(by_id))
    )
    # In the order of their ids, so that two such changes never wait for each other.
    rows = sorted(db.session.execute(query), key=lambda row: str(row.id))
    cancelled = 0
    for row in rows:
        if row.status in TERMINAL:
            continue
        try:
            done = write.cancel_task(
                by_id[row.project_id],
                row.id,
                now=now,
                actor=actor,
                audited=False,
                base_url=base_url,
            )
        except NotFound:
            continue
        cancelled += done is not None
    return cancelled
