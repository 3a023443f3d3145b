"""Parents of tasks. Tasks nest one level deep, and a parent never changes once it is set."""

from sqlalchemy import select, update

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import current_connection, db
from taskbadger.models.task_rows import TASKS, TaskState
from taskbadger.schemas.fields import no_such_task

_task = TASKS.c


def check_new_parent(project: ProjectRef, task: TaskState, parent: str | None) -> str:
    """Return the *parent* that *task* gets, marked as one; raises ValidationFailed."""
    if task.parent is not None or parent is None:
        raise _invalid("A task's parent can not be changed once set.")
    if parent == task.id:
        raise _invalid("A task can not be its own parent.")
    if task.has_children:
        raise _invalid("A task that has children can not have a parent.")
    mark_parent(project, parent)
    return parent


def mark_parent(project: ProjectRef, parent: str) -> None:
    """Mark *parent* as a task with children, so that it never gets a parent itself.

    Raises ValidationFailed when it does not exist or has a parent.
    """
    where = (_task.id == parent, _task.project_id == project.id)
    row = db.session.execute(select(_task.parent, _task.has_children).where(*where)).first()
    if row is None:
        raise ValidationFailed.one("parent", no_such_task(parent), "does_not_exist")
    if row.has_children:
        return
    marked = current_connection().execute(
        update(TASKS).where(*where, _task.parent.is_(None)).values(has_children=True)
    )
    if not marked.rowcount:
        raise _invalid("Tasks can only be nested one level deep.")


def _invalid(detail: str) -> ValidationFailed:
    return ValidationFailed.one("parent", detail)
