"""Versions of what pages show of tasks: a page that has the same version need not change.

Each is made from look-ups in indexes, since every open page asks for one every two seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, bindparam, case, func, select

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db, read_outside_session
from taskbadger.models import (
    Delivery,
    Failure,
    FailureKind,
    Firing,
    Incident,
    IncidentNotice,
    Project,
)
from taskbadger.models.delivery import STATES
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Query
from taskbadger.services.delivery.retried import IS_LATER, LATER
from taskbadger.services.each_project import PROJECT_ID, each_project

_INCIDENT = cast(Table, Incident.__table__)
_task = TASKS.c


def last_change(projects: Sequence[ProjectRef]) -> str:
    """Return the version of all tasks of these projects, from one look-up for each project."""
    if not projects:
        return ""
    each = each_project([project.id for project in projects])
    rows = read_outside_session(select(_NEWEST_OF_EACH).select_from(each).order_by(each.c.id), {})
    return "|".join("" if moment is None else to_wire(moment) for (moment,) in rows)


_NEWEST_OF_EACH = (
    select(func.max(_task.updated)).where(_task.project_id == PROJECT_ID).scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class PageVersion:
    """The version of a task's page, and the project of the task."""

    project_id: int
    version: str


def find_page_version(project_ids: Sequence[int], task_id: str) -> PageVersion:
    """Return the version of the page of a task in one of these projects; raises NotFound."""
    if ids.to_bytes(task_id) is None:
        raise NotFound()
    rows = read_outside_session(_PAGE_VERSION, {"task": task_id})
    if not rows or rows[0].project_id not in project_ids:
        raise NotFound()
    row = rows[0]
    version = "|".join(map(str, row))
    if row.has_children:
        [[moment]] = read_outside_session(_NEWEST_CHANGE, {"project": row.project_id})
        version += f"|{to_wire(moment) if moment else ''}"
    return PageVersion(row.project_id, version)


def _page_version() -> Query:
    """Return what changes with a task, its failure, what its actions did, and deliveries."""
    fired = select(func.max(Firing.id)).where(Firing.task_id == bindparam("task"))
    number = case({state: at for at, state in enumerate(STATES)}, value=Delivery.state, else_=9)
    held = func.coalesce(func.length(Delivery.held_by), 0)
    waits = case((Delivery.waits_for_retry, 100_000), else_=0)
    sent = _of_deliveries(func.sum(Delivery.attempts * 10 + number + held * 1000 + waits))
    due = _of_deliveries(func.max(Delivery.next_attempt_at))
    columns = (_task.project_id, _task.version, _task.has_children)
    alerts = (fired.scalar_subquery().label("fired"), sent.label("sent"), due.label("due"))
    kind = (
        FailureKind.count.label("failed"),
        FailureKind.state,
        FailureKind.ignored_until.label("until"),
    )
    return (
        select(*columns, *alerts, *kind, *_incident())
        .join(Failure, Failure.task_id == _task.id, isouter=True)
        .join(_INCIDENT, _INCIDENT.c.id == Failure.incident_id, isouter=True)
        .join(FailureKind, FailureKind.id == Failure.kind_id, isouter=True)
        .where(_task.id == bindparam("task"))
    )


def _of_deliveries(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return an aggregate of the deliveries of a task."""
    query = select(column).join_from(Delivery, Firing, Firing.id == Delivery.firing_id)
    return query.where(Firing.task_id == bindparam("task")).scalar_subquery()


def _incident() -> Iterator[ColumnElement[Any]]:
    """Yield what changes with the incident of a task, what was told of it, and later attempts."""
    for column in ("id", "closed_at", "snoozed_at", "snoozed_until"):
        yield _INCIDENT.c[column]
    told = func.count(IncidentNotice.told_at) + 1000 * func.count(case((IncidentNotice.held, 1)))
    for some in (told, func.max(IncidentNotice.next_at)):
        notices = select(some).where(IncidentNotice.incident_id == Failure.incident_id)
        yield notices.correlate(Failure).scalar_subquery()
    later = select(func.sum(LATER.c.version)).where(IS_LATER)
    # Most tasks have no external id, so this is only looked up where there is another attempt.
    yield case((Failure.superseded_by.is_not(None), later.correlate(TASKS).scalar_subquery()))


_PAGE_VERSION = _page_version()
# A change of a child is a change in the project; no index is nearer.
_NEWEST_CHANGE = select(func.max(_task.updated)).where(_task.project_id == bindparam("project"))


def find_public_version(task_id: str) -> str:
    """Return the version of a task's public page; raises NotFound when it has none."""
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
