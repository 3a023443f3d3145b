"""The latest run of a name or of a monitor, for its public page."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, bindparam, select

from taskbadger.domain import monitors
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Organization, Project
from taskbadger.models.task_rows import TASKS

_task = TASKS.c


@dataclass(frozen=True, slots=True)
class Latest:
    """What a public page shows, besides the run itself."""

    name: str
    """The name of the tasks, or that of the monitor."""
    organization: str
    project: str
    task_id: str | None
    """The latest run; None for a monitor that has none."""
    status: str | None
    """Its status."""
    version: str
    """Changes whenever the page would."""
    health: str | None = None
    """The health of a monitor; None for a name."""
    failing_since: datetime | None = None


_COLUMNS = (
    Organization.name.label("organization"),
    Project.name.label("project"),
    Project.public_data,
    Project.public_tags,
    _task.id.label("task_id"),
    _task.version.label("task_version"),
    _task.status,
)
_NEWEST = select(_task.id).order_by(_task.id.desc()).limit(1)
_OF_NAME = (
    _NEWEST.where(_task.project_id == Project.id, _task.name == bindparam("name"))
    .correlate(Project)
    .scalar_subquery()
)
_OF_MONITOR = _NEWEST.where(_task.monitor_id == Monitor.id).correlate(Monitor).scalar_subquery()
_FIND_OF_NAME = (
    select(*_COLUMNS)
    .select_from(Project)
    .join(Organization, Organization.id == Project.organization_id)
    .join(TASKS, _task.id == _OF_NAME)
    .where(
        Organization.slug == bindparam("organization_slug"),
        Project.slug == bindparam("project_slug"),
        Project.public_pages,
    )
)
_FIND_OF_MONITOR = (
    select(
        *_COLUMNS,
        Monitor.name,
        Monitor.status.label("monitor_status"),
        Monitor.seen,
        Incident.opened_at,
    )
    .select_from(Monitor)
    .join(Project, Project.id == Monitor.project_id)
    .join(Organization, Organization.id == Project.organization_id)
    .join(TASKS, _task.id == _OF_MONITOR, isouter=True)
    .join(
        Incident,
        and_(Incident.monitor_id == Monitor.id, Incident.closed_at.is_(None)),
        isouter=True,
    )
    .where(Monitor.id == bindparam("monitor"), Project.public_pages)
)


def find_of_name(organization: str, project: str, name: str) -> Latest:
    """Return the latest run of a name in a project with public pages; raises NotFound."""
    slugs = {"organization_slug": organization, "project_slug": project}
    row = db.session.execute(_FIND_OF_NAME, {**slugs, "name": name}).first()
    if row is None:
        raise NotFound()
    return Latest(
        name=name,
        organization=row.organization,
        project=row.project,
        task_id=row.task_id,
        status=row.status,
        version="|".join(map(str, row)),
    )


def find_of_monitor(text: str) -> Latest:
    """Return the latest run of a monitor whose project has public pages; raises NotFound."""
    try:
        monitor = UUID(text)
    except ValueError as error:
        raise NotFound() from error
    row = db.session.execute(_FIND_OF_MONITOR, {"monitor": monitor}).first()
    if row is None:
        raise NotFound()
    is_failing = row.opened_at is not None
    return Latest(
        name=row.name,
        organization=row.organization,
        project=row.project,
        task_id=row.task_id,
        status=row.status,
        version="|".join(map(str, row)),
        health=monitors.health(row.monitor_status, seen=row.seen, failing=is_failing),
        failing_since=row.opened_at,
    )
