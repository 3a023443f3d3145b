"""A task for a page: found in any project of an organization, or by its public link."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Executable, Table, bindparam, case, func, select

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.errors import NotFound
from taskbadger.extensions import db, fetch_all
from taskbadger.models import Delivery, Firing, Organization, Project, Task
from taskbadger.models.delivery import STATES
from taskbadger.services.accounts import ProjectRef

_task = cast(Table, Task.__table__).c

PAGE_COLUMNS = (
    _task.id,
    _task.project_id,
    _task.parent,
    _task.has_children,
    _task.monitor_id,
    _task.name,
    _task.queue,
    _task.external_id,
    _task.status,
    _task.stale_from,
    _task.value,
    _task.value_max,
    _task.data,
    _task.tags,
    _task.created,
    _task.updated,
    _task.start_time,
    _task.end_time,
    _task.time_to_start,
    _task.max_runtime,
    _task.stale_timeout,
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether a task's page is still up to date."""

    project_id: int
    version: str


def find_stamp(project_ids: Sequence[int], task_id: str) -> Stamp:
    """Return the stamp of a task in one of these projects, in two look-ups; raises NotFound."""
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    rows = fetch_all(_STAMP, {"task": task_id})
    if not rows or rows[0].project_id not in project_ids:
        raise NotFound()
    row = rows[0]
    version = f"{row.version}|{row.fired}|{row.sent}"
    if row.has_children:
        [[moment]] = fetch_all(_NEWEST_CHANGE, {"project": row.project_id})
        version += f"|{to_wire(moment) if moment else ''}"
    return Stamp(row.project_id, version)


def _stamp_statement() -> Executable:
    """Return what changes with a task, with what its actions did, and with its deliveries."""
    fired = select(func.max(Firing.id)).where(Firing.task_id == bindparam("task"))
    number = case({state: at for at, state in enumerate(STATES)}, value=Delivery.state, else_=9)
    sent = (
        select(func.sum(Delivery.attempts * 10 + number))
        .join(Firing, Firing.id == Delivery.firing_id)
        .where(Firing.task_id == bindparam("task"))
    )
    columns = (_task.project_id, _task.version, _task.has_children)
    told = (fired.scalar_subquery().label("fired"), sent.scalar_subquery().label("sent"))
    return select(*columns, *told).where(_task.id == bindparam("task"))


_STAMP = _stamp_statement()
# A change of a child is a change in the project; there is no nearer index.
_NEWEST_CHANGE = select(func.max(_task.updated)).where(_task.project_id == bindparam("project"))


def get_task(project: ProjectRef, task_id: str) -> Any:
    """Return the row of a task: PAGE_COLUMNS and ``public_pages``; raises NotFound."""
    query = (
        select(*PAGE_COLUMNS, Project.public_pages)
        .join(Project, Project.id == _task.project_id)
        .where(_task.id == task_id, _task.project_id == project.id)
    )
    row = db.session.execute(query).first()
    if row is None:
        raise NotFound()
    return row


@dataclass(frozen=True, slots=True)
class PublicTask:
    """What the public page of a task may use."""

    row: Any
    organization: str
    project: str
    shows_data: bool
    shows_tags: bool


def find_public_version(task_id: str) -> str:
    """Return what changes whenever the public page does; raises NotFound where there is none."""
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    query = (
        select(_task.version, Project.public_pages, Project.public_data, Project.public_tags)
        .join(Project, Project.id == _task.project_id)
        .where(_task.id == task_id)
    )
    row = db.session.execute(query).first()
    if row is None or not row.public_pages:
        raise NotFound()
    return "|".join(map(str, row))


def find_public_task(task_id: str) -> PublicTask:
    """Return a task whose project has public pages; raises NotFound for any other."""
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    query = (
        select(
            *PAGE_COLUMNS,
            Organization.name.label("organization_name"),
            Project.name.label("project_name"),
            Project.public_data,
            Project.public_tags,
        )
        .join(Project, Project.id == _task.project_id)
        .join(Organization, Organization.id == Project.organization_id)
        .where(_task.id == task_id, Project.public_pages)
    )
    row = db.session.execute(query).first()
    if row is None:
        raise NotFound()
    return PublicTask(
        row, row.organization_name, row.project_name, row.public_data, row.public_tags
    )
