"""Bindings: which monitor has the tasks of a name as its runs.

Found by the statements that insert and lock tasks anyway, so a change of a binding holds for the
next change of a task, and other tasks cost no statement more.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import bindparam, exists, select

from taskbadger.extensions import db
from taskbadger.models.monitor_rows import MONITORS
from taskbadger.models.task_rows import TASKS

_monitor = MONITORS.c

BOUND_TO_TASK = (
    select(_monitor.id)
    .where(_monitor.project_id == TASKS.c.project_id, _monitor.task_name == TASKS.c.name)
    .correlate(TASKS)
    .scalar_subquery()
    .label("bound")
)
"""Part of a statement about tasks: the monitor that is bound to the name of each."""

BOUND_TO_NAME = (
    select(_monitor.id)
    .where(
        _monitor.project_id == bindparam("bound_project"),
        _monitor.task_name == bindparam("bound_name"),
    )
    .scalar_subquery()
)
"""Part of the statement that inserts a task: the monitor that is bound to its name."""

HAS_BOUND = exists().where(
    _monitor.project_id == bindparam("project"),
    _monitor.task_name.in_(bindparam("names", expanding=True)),
)
"""Part of a statement: whether a monitor of the project is bound to any of the names."""


def list_bound(project_id: int, names: Collection[str]) -> dict[str, UUID]:
    """Return the monitors that are bound to these names, by name."""
    query = select(_monitor.task_name, _monitor.id).where(
        _monitor.project_id == project_id, _monitor.task_name.in_(names)
    )
    return {row.task_name: row.id for row in db.session.execute(query)}


def find_bound(project_id: int, name: str) -> UUID | None:
    """Return the monitor that is bound to a name, if there is one."""
    return list_bound(project_id, (name,)).get(name)
