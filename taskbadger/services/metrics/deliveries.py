"""Messages that are still to be delivered, and attempts to, by the kind of message."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import Table, func, select

from taskbadger.channels import MESSAGE_KINDS
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.metrics.scope import Scope
from taskbadger.services.stats.delivery_counts import OUTCOMES, TOTALS

_delivery = cast(Table, Delivery.__table__).c


class OpenDeliveries(NamedTuple):
    """The messages of a kind that wait, or are being sent."""

    number: int
    oldest: float
    """Seconds since the oldest was queued; 0 if there is none."""


def read_open(scope: Scope, *, now: datetime) -> Mapping[str, OpenDeliveries]:
    """Return the open deliveries of each kind."""
    found = dict.fromkeys(MESSAGE_KINDS, OpenDeliveries(0, 0.0))
    query = (
        select(_delivery.kind, func.count(), func.min(_delivery.created))
        .where(_delivery.next_attempt_at.is_not(None))
        .group_by(_delivery.kind)
    )
    if not scope.is_server:
        query = query.where(_delivery.organization_id == scope.organization_id)
    for kind, number, first in db.session.execute(query):
        found[kind] = OpenDeliveries(number, max((now - first).total_seconds(), 0.0))
    return found


def read_attempts(scope: Scope) -> Mapping[tuple[str, str], int]:
    """Return how many attempts there were of each kind and outcome since they were counted."""
    found = dict.fromkeys(((kind, outcome) for kind in MESSAGE_KINDS for outcome in OUTCOMES), 0)
    query = select(TOTALS.c.kind, TOTALS.c.outcome, TOTALS.c.attempts).where(
        TOTALS.c.organization_id == scope.organization_id
    )
    return found | {(kind, outcome): number for kind, outcome, number in db.session.execute(query)}
