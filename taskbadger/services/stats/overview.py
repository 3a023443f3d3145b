"""The parts of the overview that are not about single tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.delivery import dead_letters
from taskbadger.services.monitors import lists
from taskbadger.services.monitors.lists import ExpectedMonitor
from taskbadger.services.stats import failing
from taskbadger.services.stats.failing import FailingMonitor, FailingName

ROWS = 5
COUNT_CAP = 1000


class DeadLetter(NamedTuple):
    """A message that was given up."""

    id: str
    integration: str
    error: str | None
    finished: datetime | None
    created: datetime


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The first few of each kind, as rows that can be used after their session."""

    monitors: Sequence[FailingMonitor]
    names: Sequence[FailingName]
    next_runs: Sequence[ExpectedMonitor]
    dead: Sequence[DeadLetter]
    """Messages that were given up, the latest first."""
    dead_count: int
    """The number of all of them, up to COUNT_CAP."""


def read_surroundings(organization_id: int, *, now: datetime) -> Surroundings:
    """Return the surroundings of an organization's tasks."""
    query = (
        select(
            Delivery.id, Delivery.integration, Delivery.error, Delivery.finished, Delivery.created
        )
        .where(*dead_letters.dead_conditions(organization_id))
        .order_by(Delivery.id.desc())
        .limit(ROWS)
    )
    return Surroundings(
        monitors=failing.list_failing_monitors(organization_id, ROWS),
        names=failing.list_failing_names(organization_id, ROWS, now=now),
        next_runs=lists.list_next_expected(organization_id, ROWS),
        dead=cast(Sequence[DeadLetter], db.session.execute(query).all()),
        dead_count=count_dead(organization_id),
    )


def count_dead(organization_id: int, integration: str = "") -> int:
    """Return how many messages were given up, of one channel or of all, up to COUNT_CAP."""
    some = (
        select(Delivery.id)
        .where(*dead_letters.dead_conditions(organization_id, integration))
        .limit(COUNT_CAP)
        .subquery()
    )
    return db.session.scalar(select(func.count()).select_from(some)) or 0
