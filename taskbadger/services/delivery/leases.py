"""Leases and times of next attempts, after the clock has jumped."""

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, select, update

from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination
from taskbadger.models.delivery import SENDING, WAITING

_delivery = cast(Table, Delivery.__table__).c


def extend_leases(by: timedelta, *, since: datetime) -> None:
    """Extend the leases that had not ended at *since*, because the clock jumped ahead *by* that.

    The others are those of dead workers, as before.
    """
    rows = db.session.execute(
        select(_delivery.id, _delivery.token, _delivery.next_attempt_at)
        .where(_delivery.next_attempt_at > since, _delivery.state == SENDING)
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        db.session.execute(
            update(_delivery.id.table)
            .where(_delivery.id == row.id, _delivery.token == row.token)
            .values(next_attempt_at=row.next_attempt_at + by)
        )


def step_back(by: timedelta, *, now: datetime) -> None:
    """Move future attempts earlier, because the clock was set back *by* that much."""
    rows = db.session.execute(
        select(_delivery.id, _delivery.next_attempt_at, _delivery.state)
        .where(_delivery.next_attempt_at > now, _delivery.state.in_((WAITING, SENDING)))
        .with_for_update(skip_locked=True)
    ).all()
    for row in rows:
        db.session.execute(
            update(_delivery.id.table)
            .where(_delivery.id == row.id, _delivery.next_attempt_at == row.next_attempt_at)
            .values(next_attempt_at=row.next_attempt_at - by)
        )
    for held in db.session.scalars(select(Destination).where(Destination.hold_until > now)):
        if held.hold_until is not None:
            held.hold_until -= by
    db.session.flush()
