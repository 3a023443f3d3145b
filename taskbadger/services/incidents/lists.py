"""Reading incidents: lists, one with its timeline, and the failure kinds of each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, or_, select

from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import (
    Failure,
    FailureKind,
    Incident,
    IncidentEvent,
    Monitor,
    Organization,
    Project,
)
from taskbadger.models.types import Query
from taskbadger.schemas.fields import printable
from taskbadger.services.incidents import jobs
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    read_big_number,
    read_uuid,
    walk_rows,
)

OPEN = "open"
CLOSED = "closed"
STATES = (OPEN, CLOSED)
MAX_EVENTS = 1000
COUNT_CAP = 1000


class ListedIncident(NamedTuple):
    """An incident, and what to call it."""

    incident: Incident
    project: str
    """The project's slug."""
    subject: str
    """The name of the tasks or of the monitor."""


class OpenIncident(NamedTuple):
    """An open incident, as a row that can be used after its session."""

    id: int
    subject: str
    project: str
    is_monitor: bool
    opened_at: datetime
    runs: int
    acknowledged_by: str | None
    is_snoozed: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list; empty or None for all."""

    state: str = ""
    """One of STATES."""
    project: str = ""
    """A project's slug."""
    name: str = ""
    """The name of tasks."""
    monitor: UUID | None = None
    one_for_each_job: bool = False
    """Whether to leave out names whose monitors have open incidents, too."""
    search: str = ""
    """A part of the name of the tasks or of the monitor, in any case."""


def read_filters(parameters: Mapping[str, str]) -> Filters:
    """Read the query *parameters* of a list; raises ValidationFailed naming each wrong one."""
    state, monitor = parameters.get("state", ""), parameters.get("monitor", "")
    monitor_id = read_uuid(monitor) if monitor else None
    errors = [
        FieldError("invalid", "Null characters are not allowed.", name)
        for name in ("project", "name")
        if "\x00" in parameters.get(name, "")
    ]
    if state and state not in STATES:
        detail = f'"{printable(state)}" is not a valid choice.'
        errors.append(FieldError("invalid_choice", detail, "state"))
    if monitor and monitor_id is None:
        detail = f"“{printable(monitor)}” is not a valid UUID."
        errors.append(FieldError("invalid", detail, "monitor"))
    if errors:
        raise ValidationFailed(errors)
    name, project = parameters.get("name", ""), parameters.get("project", "")
    return Filters(state, project, name, monitor_id)


_SUBJECT = func.coalesce(Incident.name, Monitor.name, "")
_NEWEST_FIRST: Keyset[ListedIncident] = Keyset(
    (Incident.id.expression,),
    Order.DESCENDING,
    lambda key: None if (number := read_big_number(key[0])) is None else (number,),
    lambda row: (str(row.incident.id),),
)


def list_incidents(
    organization_id: int, filters: Filters, cursor: Cursor | None, size: int
) -> Page[ListedIncident]:
    """Return a page of an organization's incidents, newest first."""
    return walk_rows(_narrowed(organization_id, filters), _NEWEST_FIRST, cursor, size, _fetch)


_ROWS = (
    select(Incident, Project.slug, _SUBJECT)
    .join(Project, Project.id == Incident.project_id)
    .join(Monitor, Monitor.id == Incident.monitor_id, isouter=True)
)


def _narrowed(organization_id: int, filters: Filters) -> Query:
    # Of two indexes, a planner without statistics takes the one of the organization.
    has_own_index = filters.monitor is not None or bool(filters.project and filters.name)
    if has_own_index:
        query = _ROWS.where(Project.organization_id == organization_id)
    else:
        # Not by the project's organization, too: planners would expect few, and sort them.
        deleted = _deleted_projects(organization_id)
        query = _ROWS.where(
            Incident.organization_id == organization_id, Incident.project_id.not_in(deleted)
        )
    if filters.state:
        is_open = Incident.closed_at.is_(None)
        query = query.where(is_open if filters.state == OPEN else ~is_open)
    if filters.project:
        slug = Project.slug == filters.project
        project = select(Project.id).where(Project.organization_id == organization_id, slug)
        query = query.where(Incident.project_id == project.scalar_subquery())
    if filters.name:
        query = query.where(Incident.name == filters.name)
    if filters.monitor is not None:
        query = query.where(Incident.monitor_id == filters.monitor)
    if filters.one_for_each_job:
        query = query.where(jobs.is_only_one(organization_id))
    if filters.search:
        # SQLite's lower() only converts the letters a to z.
        folded = func.lower(_SUBJECT).contains(filters.search.lower(), autoescape=True)
        query = query.where(or_(folded, _SUBJECT.contains(filters.search, autoescape=True)))
    return query


def _deleted_projects(organization_id: int) -> Query:
    """Select the projects that an organization had, and whose rows are not all gone."""
    return (
        select(Project.id)
        .join(Organization, Organization.id == Project.organization_id)
        .where(Organization.deleted_at.is_not(None), Organization.deleted_from == organization_id)
    )


def _fetch(query: Query) -> list[ListedIncident]:
    return [ListedIncident(*row) for row in db.session.execute(query)]


def get_incident(organization_id: int, incident_id: int) -> ListedIncident:
    """Return an incident of an organization; raises NotFound."""
    # A project that was deleted is no longer one of the organization.
    query = _ROWS.where(Incident.id == incident_id, Project.organization_id == organization_id)
    row = db.session.execute(query).first()
    if row is None:
        raise NotFound()
    return ListedIncident(*row)


def read_id(text: str) -> int:
    """Read the id of an incident in a URL; raises NotFound for any other text."""
    number = read_big_number(text)
    if number is None:
        raise NotFound()
    return number


def find_open(project_id: int, name: str) -> Incident | None:
    """Return the open incident of a name, if any."""
    return db.session.scalar(
        select(Incident).where(
            Incident.project_id == project_id, Incident.name == name, Incident.closed_at.is_(None)
        )
    )


def list_events(incident_id: int) -> Sequence[IncidentEvent]:
    """Return the timeline of an incident: its latest MAX_EVENTS events, oldest first."""
    latest = (
        select(IncidentEvent)
        .where(IncidentEvent.incident_id == incident_id)
        .order_by(IncidentEvent.id.desc())
        .limit(MAX_EVENTS)
    )
    return db.session.scalars(latest).all()[::-1]


def failures_of(incident_ids: Iterable[int]) -> dict[int, list[int]]:
    """Return the ids of the failure kinds of incidents, by the incident's id."""
    found: dict[int, list[int]] = {number: [] for number in incident_ids}
    if found:
        query = _kinds_of(list(found)).with_only_columns(Incident.id, FailureKind.id)
        for incident_id, kind_id in db.session.execute(query.order_by(FailureKind.id)):
            found[incident_id].append(kind_id)
    return found


def list_kinds(incident_id: int) -> Sequence[FailureKind]:
    """Return the failure kinds of an incident, the one seen last first."""
    query = _kinds_of([incident_id]).with_only_columns(FailureKind)
    query = query.order_by(FailureKind.last_seen.desc(), FailureKind.id.desc())
    return db.session.scalars(query).all()


def _kinds_of(incident_ids: Sequence[int]) -> Query:
    # One look-up for each kind of the name: an incident may have many thousands of failures.
    has_failure = exists().where(
        Failure.incident_id == Incident.id, Failure.kind_id == FailureKind.id
    )
    return (
        select(FailureKind)
        .join(
            Incident,
            (Incident.project_id == FailureKind.project_id) & (Incident.name == FailureKind.name),
        )
        .where(Incident.id.in_(incident_ids), has_failure)
    )


def list_open(organization_id: int, limit: int, *, now: datetime) -> list[OpenIncident]:
    """Return the open incidents of an organization, newest first, and one for each job."""
    filters = Filters(OPEN, one_for_each_job=True)
    rows = list_incidents(organization_id, filters, None, limit).rows
    unknown = [each.incident for each in rows if each.incident.acknowledged_by is None]
    others = jobs.acknowledged_names([each.monitor_id for each in unknown if each.monitor_id])
    return [_open(row, others, now) for row in rows]


def _open(row: ListedIncident, others: Mapping[UUID | None, str], now: datetime) -> OpenIncident:
    incident = row.incident
    return OpenIncident(
        id=incident.id,
        subject=row.subject,
        project=row.project,
        is_monitor=incident.monitor_id is not None,
        opened_at=incident.opened_at,
        runs=incident.runs or incident.bad_slots,
        acknowledged_by=incident.acknowledged_by or others.get(incident.monitor_id),
        is_snoozed=is_snoozed(incident.snoozed_at, incident.snoozed_until, now),
    )


def count_open(organization_id: int) -> int:
    """Return how many incidents are open, up to COUNT_CAP."""
    some = select(Incident.id).where(
        Incident.organization_id == organization_id, Incident.closed_at.is_(None)
    )
    query = select(func.count()).select_from(some.limit(COUNT_CAP).subquery())
    return db.session.scalar(query) or 0


def find_version(organization_id: int, incident_id: int, *, now: datetime) -> tuple[object, ...]:
    """Return a value that changes whenever the page of an incident would; raises NotFound."""
    last_event = (
        select(func.max(IncidentEvent.id))
        .where(IncidentEvent.incident_id == incident_id)
        .scalar_subquery()
    )
    row = db.session.execute(
        select(
            Incident.closed_at,
            Incident.bad_slots,
            Incident.runs,
            Incident.last_failed_at,
            Incident.acknowledged_at,
            Incident.acknowledged_by,
            Incident.snoozed_at,
            Incident.snoozed_until,
            last_event,
        )
        .join(Project, Project.id == Incident.project_id)
        .where(Incident.id == incident_id, Project.organization_id == organization_id)
    ).first()
    if row is None:
        raise NotFound()
    kinds = _kinds_of([incident_id]).with_only_columns(
        FailureKind.id, FailureKind.count, FailureKind.state, FailureKind.last_seen
    )
    shown = [tuple(kind) for kind in db.session.execute(kinds.order_by(FailureKind.id))]
    # The end of a snooze is no change of the row.
    return (*row, is_snoozed(row.snoozed_at, row.snoozed_until, now), shown)


def is_snoozed(snoozed_at: datetime | None, until: datetime | None, now: datetime) -> bool:
    """Say whether a snooze lasts."""
    return snoozed_at is not None and (until is None or until > now)
