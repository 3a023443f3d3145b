"""What failed and recovered in the period of a digest, and the new kinds of failures."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import func, or_, select

from taskbadger.channels.text import counted
from taskbadger.domain.digests import Entry, Section
from taskbadger.domain.time_words import duration
from taskbadger.extensions import db
from taskbadger.models import FailureKind, Incident, Monitor
from taskbadger.models.failure import IGNORED
from taskbadger.models.types import Query
from taskbadger.schemas.incidents import incident_url
from taskbadger.services.digests.sections import COUNT_CAP, Scope, section, shown

FAILING = "Failing"
RECOVERED = "Recovered"
NEW_KINDS = "New kinds of failures"

_COLUMNS: tuple[Any, ...] = (
    Incident.id,
    Incident.project_id,
    Incident.monitor_id,
    func.coalesce(Incident.name, Monitor.name).label("name"),
    Incident.opened_at,
    Incident.closed_at,
    Incident.bad_slots,
    Incident.runs,
    Incident.acknowledged_by,
)


class IncidentRow(NamedTuple):
    """An incident, with the name of the tasks or of the monitor."""

    id: int
    project_id: int
    monitor_id: object | None
    name: str
    opened_at: datetime
    closed_at: datetime | None
    bad_slots: int
    runs: int
    acknowledged_by: str | None


class KindRow(NamedTuple):
    """A kind of failures."""

    id: int
    project_id: int
    name: str
    title: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    first_seen: datetime
    back_since: datetime | None


def read_failing(scope: Scope) -> Section:
    """Return the incidents that are open, the latest first."""
    query = _incidents(scope).where(Incident.closed_at.is_(None)).order_by(Incident.id.desc())

    def show(row: IncidentRow) -> Entry:
        lasts = duration((scope.period.end - row.opened_at).total_seconds())
        on_it = f"{row.acknowledged_by} is on it" if row.acknowledged_by else "nobody is on it"
        since = f"failing since {scope.moment(row.opened_at)}, for {lasts}"
        return _entry(scope, row, f"{since}, {_runs(row)}; {on_it}")

    return section(FAILING, _fetch(query), show)


def read_recovered(scope: Scope) -> Section:
    """Return the incidents that closed in the period, the latest first."""
    start, end = scope.period
    query = (
        _incidents(scope)
        .where(Incident.closed_at >= start, Incident.closed_at < end)
        .order_by(Incident.closed_at.desc(), Incident.id.desc())
    )

    def show(row: IncidentRow) -> Entry:
        closed = row.closed_at or end
        lasted = duration((closed - row.opened_at).total_seconds())
        on_it = f"; {row.acknowledged_by} was on it" if row.acknowledged_by else ""
        detail = f"recovered {scope.moment(closed)}, after {lasted} and {_runs(row)}{on_it}"
        return _entry(scope, row, detail)

    return section(RECOVERED, _fetch(query), show)


def _incidents(scope: Scope) -> Query:
    return (
        select(*_COLUMNS)
        .join(Monitor, Monitor.id == Incident.monitor_id, isouter=True)
        .where(Incident.organization_id == scope.organization_id)
        .where(Incident.project_id.in_(scope.project_ids))
        .limit(COUNT_CAP)
    )


def _fetch(query: Query) -> Sequence[IncidentRow]:
    return cast(Sequence[IncidentRow], db.session.execute(query).all())


def _runs(row: IncidentRow) -> str:
    if row.monitor_id is not None:
        return counted(row.bad_slots, "missed or failed run")
    return counted(row.runs, "failed run")


def _entry(scope: Scope, row: IncidentRow, detail: str) -> Entry:
    url = incident_url(scope.base_url, scope.organization, row.id)
    return Entry(scope.label(row.project_id, row.name), shown(detail), url)


def read_new_kinds(scope: Scope) -> Section:
    """Return the kinds of failures that were first seen in the period, or are back since.

    Those that someone ignores are left out. Kinds not seen in the period are not looked at.
    """
    start, end = scope.period
    query = (
        select(
            FailureKind.id,
            FailureKind.project_id,
            FailureKind.name,
            FailureKind.title,
            FailureKind.count,
            FailureKind.first_seen,
            FailureKind.back_since,
        )
        .where(
            FailureKind.project_id.in_(scope.project_ids),
            FailureKind.last_seen >= start,
            FailureKind.first_seen < end,
            or_(FailureKind.first_seen >= start, FailureKind.back_since >= start),
            or_(FailureKind.state != IGNORED, FailureKind.ignored_until <= end),
        )
        .order_by(FailureKind.last_seen.desc(), FailureKind.id.desc())
        .limit(COUNT_CAP)
    )
    rows = cast(Sequence[KindRow], db.session.execute(query).all())
    return section(NEW_KINDS, rows, lambda row: _kind_entry(scope, row))


def _kind_entry(scope: Scope, row: KindRow) -> Entry:
    name = scope.label(row.project_id, row.name)
    if row.first_seen >= scope.period.start:
        what = f"{counted(row.count, 'time')} since {scope.moment(row.first_seen)}"
    else:
        what = f"back since {scope.moment(row.back_since or row.first_seen)}"
    return Entry(shown(row.title), f"{name}: {what}", scope.url(f"failures/{row.id}/"))
