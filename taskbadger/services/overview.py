"""What an overview says beside the tasks: failing monitors, the next runs, lost messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import defer

from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, Monitor
from taskbadger.models.delivery import DEAD
from taskbadger.services import monitor_overview, run_stats

ROWS = 5
COUNT_CAP = 1000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The first few of each kind."""

    failing: list[tuple[Monitor, str, Incident]]
    """Monitors with their project's slug and their incident."""
    next_runs: list[tuple[Monitor, str]]
    dead: Sequence[Delivery]
    """Messages that were given up, the latest first."""
    dead_count: int
    """How many of those there are, up to COUNT_CAP."""


def read_surroundings(organization_id: int) -> Surroundings:
    """Return what surrounds the tasks of an organization."""
    query = (
        select(Delivery)
        .where(Delivery.organization_id == organization_id, Delivery.state == DEAD)
        .order_by(Delivery.id.desc())
        .limit(ROWS)
        .options(defer(Delivery.message), defer(Delivery.config))
    )
    return Surroundings(
        failing=monitor_overview.list_failing(organization_id, ROWS),
        next_runs=monitor_overview.list_next_expected(organization_id, ROWS),
        dead=db.session.scalars(query).all(),
        dead_count=count_dead(organization_id),
    )


def count_dead(organization_id: int) -> int:
    """Return how many messages were given up, up to COUNT_CAP."""
    some = (
        select(Delivery.id)
        .where(Delivery.organization_id == organization_id, Delivery.state == DEAD)
        .limit(COUNT_CAP)
        .subquery()
    )
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def surroundings_version(organization_id: int) -> tuple[Any, ...]:
    """Return what changes whenever the surroundings or the counts of runs do."""
    newest = (
        select(Delivery.id)
        .where(Delivery.organization_id == organization_id, Delivery.state == DEAD)
        .order_by(Delivery.id.desc())
        .limit(1)
    )
    soonest: list[datetime | None] = [
        monitor.expected_at
        for monitor, _ in monitor_overview.list_next_expected(organization_id, ROWS)
    ]
    return (
        run_stats.last_counted(),
        db.session.scalar(newest),
        count_dead(organization_id),
        soonest,
    )
