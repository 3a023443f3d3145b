"""The parts of the overview that are not about single tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import func, select

from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.delivery import dead_letters
from taskbadger.services.incidents import lists as incidents
from taskbadger.services.incidents.lists import OpenIncident
from taskbadger.services.monitors import lists
from taskbadger.services.monitors.lists import ExpectedMonitor

ROWS = 5
COUNT_CAP = 1000


class DeadCause(NamedTuple):
    """Messages to one channel that were given up with the same error."""

    id: str
    """The latest of them."""
    integration: str
    error: str | None
    finished: datetime | None
    created: datetime
    number: int
    """How many there are among the latest COUNT_CAP that were given up."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The first few of each kind, as rows that can be used after their session."""

    incidents: Sequence[OpenIncident]
    """The open incidents, the latest first."""
    next_runs: Sequence[ExpectedMonitor]
    dead: Sequence[DeadCause]
    """Why messages were given up, the latest first."""
    dead_count: int
    """The number of all of them, up to COUNT_CAP."""


def read_surroundings(organization_id: int, *, now: datetime) -> Surroundings:
    """Return the surroundings of an organization's tasks."""
    return Surroundings(
        incidents=incidents.list_open(organization_id, ROWS, now=now),
        next_runs=lists.list_next_expected(organization_id, ROWS),
        dead=list_dead_causes(organization_id),
        dead_count=count_dead(organization_id),
    )


def list_dead_causes(organization_id: int) -> Sequence[DeadCause]:
    """Return why messages were given up, the latest cause first, up to ROWS."""
    latest = (
        select(
            Delivery.id, Delivery.integration, Delivery.error, Delivery.finished, Delivery.created
        )
        .where(*dead_letters.dead_conditions(organization_id))
        .order_by(Delivery.id.desc())
        .limit(COUNT_CAP)
        .subquery()
    )
    cause = (latest.c.integration, latest.c.error)
    counted = select(
        latest,
        func.count().over(partition_by=cause).label("number"),
        func.row_number().over(partition_by=cause, order_by=latest.c.id.desc()).label("place"),
    ).subquery()
    query = (
        select(*(counted.c[name] for name in DeadCause._fields))
        .where(counted.c.place == 1)
        .order_by(counted.c.id.desc())
        .limit(ROWS)
    )
    return cast(Sequence[DeadCause], db.session.execute(query).all())


def count_dead(organization_id: int, integration: str = "", error: str = "") -> int:
    """Return how many messages were given up, of one channel or of all, up to COUNT_CAP.

    With *error*, only those that were given up because of that.
    """
    some = (
        select(Delivery.id)
        .where(*dead_letters.dead_conditions(organization_id, integration, error))
        .limit(COUNT_CAP)
        .subquery()
    )
    return db.session.scalar(select(func.count()).select_from(some)) or 0
