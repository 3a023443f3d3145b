"""What an overview says beside the tasks: what is failing, the next runs, lost messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services import deliveries, failing, monitor_overview

ROWS = 5
COUNT_CAP = 1000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The first few of each kind, as rows that outlive their session."""

    monitors: Sequence[Any]
    """Monitors that fail, as ``failing.list_failing_monitors`` gives them."""
    names: Sequence[Any]
    """Names that fail, as ``failing.list_failing_names`` gives them."""
    next_runs: Sequence[Any]
    """Monitors: ``id``, ``name``, ``project`` and ``expected_at``."""
    dead: Sequence[Any]
    """Messages that were given up, the latest first."""
    dead_count: int
    """How many of those there are, up to COUNT_CAP."""


def read_surroundings(organization_id: int, *, now: datetime) -> Surroundings:
    """Return what surrounds the tasks of an organization."""
    query = (
        select(
            Delivery.id, Delivery.integration, Delivery.error, Delivery.finished, Delivery.created
        )
        .where(*deliveries.given_up(organization_id))
        .order_by(Delivery.id.desc())
        .limit(ROWS)
    )
    return Surroundings(
        monitors=failing.list_failing_monitors(organization_id, ROWS),
        names=failing.list_failing_names(organization_id, ROWS, now=now),
        next_runs=monitor_overview.list_next_expected(organization_id, ROWS),
        dead=db.session.execute(query).all(),
        dead_count=count_dead(organization_id),
    )


def count_dead(organization_id: int, integration: str = "") -> int:
    """Return how many messages were given up, of one channel or of all, up to COUNT_CAP."""
    some = (
        select(Delivery.id)
        .where(*deliveries.given_up(organization_id, integration))
        .limit(COUNT_CAP)
        .subquery()
    )
    return db.session.scalar(select(func.count()).select_from(some)) or 0
