"""What a digest says: the sections about a period, in a fixed number of queries."""

from datetime import datetime

from sqlalchemy import select

from taskbadger.domain.digests import Entry, Section
from taskbadger.domain.monitors import PAUSED
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.digests.deliveries import read_dead, read_held
from taskbadger.services.digests.growth import read_slower
from taskbadger.services.digests.incidents import read_failing, read_new_kinds, read_recovered
from taskbadger.services.digests.sections import COUNT_CAP, Scope, section
from taskbadger.services.monitors import slots


def read_sections(scope: Scope) -> list[Section]:
    """Return the sections that have something to say; an empty list if nothing happened."""
    found = (
        read_failing(scope),
        read_recovered(scope),
        read_new_kinds(scope),
        read_slower(scope),
        read_silent(scope),
        read_dead(scope),
        read_held(scope),
    )
    return [section for section in found if section.entries]


def read_silent(scope: Scope) -> Section:
    """Return the monitors that have never had a run though one was expected, oldest first."""
    query = (
        select(Monitor)
        .where(
            Monitor.project_id.in_(scope.project_ids),
            Monitor.seen.is_(False),
            Monitor.status != PAUSED,
        )
        .order_by(Monitor.id)
        .limit(COUNT_CAP)
    )
    rows = [each for each in db.session.scalars(query) if _was_expected(each, scope.period.end)]

    def show(row: Monitor) -> Entry:
        detail = f"no run since it was created on {row.created.astimezone(scope.zone):%d %b %Y}"
        label = scope.label(row.project_id, row.name)
        return Entry(label, detail, scope.url(f"monitors/{row.id}/"))

    return section("Monitors that never ran", rows, show)


def _was_expected(monitor: Monitor, now: datetime) -> bool:
    """Say whether the first run is late. Monitors without a run have no slots that were missed."""
    try:
        first = slots.schedule_of(monitor).next_after(monitor.created)
    except ScheduleError:
        return False
    return first + slots.grace_of(monitor) <= now
