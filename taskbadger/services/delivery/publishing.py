"""Publishing: which deliveries a broker is told of, so that a worker claims them by their ids."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Table, or_, select, update

from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import SENDING
from taskbadger.services.delivery.claims import Receiver, share_out

REPUBLISH_AFTER = timedelta(seconds=30)
"""When an id is published again because no worker claimed it."""

_delivery = cast(Table, Delivery.__table__).c


def take_for_publishing(receivers: Sequence[Receiver], limit: int, *, now: datetime) -> list[str]:
    """Return up to *limit* ids of deliveries for a broker, and mark them as published.

    They are published again after REPUBLISH_AFTER if no worker has claimed them.
    """
    turns = share_out(receivers, limit)
    published: list[str] = []
    for receiver in receivers:
        count = turns.get(receiver.key, 0)
        orphans, room = receiver.rooms
        found = _publish(receiver.key, min(orphans, count), now, _delivery.state == SENDING)
        found += _publish(receiver.key, min(room, count) - len(found), now)
        published += found
    return published


def _publish(key: str, count: int, now: datetime, *where: ColumnElement[bool]) -> list[str]:
    if count < 1:
        return []
    due = (
        select(_delivery.id)
        .where(
            _delivery.destination == key,
            _delivery.next_attempt_at <= now,
            or_(
                _delivery.published_at.is_(None),
                _delivery.published_at <= now - REPUBLISH_AFTER,
            ),
            *where,
        )
        .order_by(_delivery.next_attempt_at)
        .limit(count)
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    statement = (
        update(_delivery.id.table)
        .where(_delivery.id.in_(select(due.c.id)))
        .values(published_at=now)
        .returning(_delivery.id)
    )
    return list(db.session.scalars(statement))
