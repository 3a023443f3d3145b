"""Counts attempts to deliver for good, for metrics, after their workers have recorded them.

Whoever sends adds to no shared row, so senders do not wait for each other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Table, func, insert, select, update

from taskbadger.extensions import change_rows, db
from taskbadger.models import Delivery, DeliveryAttempt, DeliveryCursor, DeliveryTotal
from taskbadger.services.stats.cursors import Cursor, settled

BATCH = 1000
DELIVERED, FAILED = "delivered", "failed"
OUTCOMES = (DELIVERED, FAILED)
"""How attempts end; one that failed may be followed by another."""

TOTALS = cast(Table, DeliveryTotal.__table__)
_total = TOTALS.c
_attempt = cast(Table, DeliveryAttempt.__table__).c
_delivery = cast(Table, Delivery.__table__).c
_cursor = Cursor(cast(Table, DeliveryCursor.__table__), "attempt_id")


class _Attempt(NamedTuple):
    id: int
    started: datetime
    duration_ms: int
    error_class: str | None
    organization_id: int
    kind: str

    @property
    def created(self) -> datetime:
        return self.started + timedelta(milliseconds=self.duration_ms)

    @property
    def outcome(self) -> str:
        return DELIVERED if self.error_class is None else FAILED


@dataclass(frozen=True, slots=True)
class Batch:
    """Attempts that were read but are not counted yet."""

    after: int
    upto: int
    attempts: Sequence[_Attempt]
    is_full: bool


def read_batch(*, now: datetime) -> Batch | None:
    """Return the attempts to count next; None when there are none. Only reads."""
    after = _cursor.read()
    query = (
        select(
            _attempt.id,
            _attempt.started,
            _attempt.duration_ms,
            _attempt.error_class,
            _delivery.organization_id,
            _delivery.kind,
        )
        .join_from(_attempt.id.table, _delivery.id.table, _delivery.id == _attempt.delivery_id)
        .where(_attempt.id > after)
        .order_by(_attempt.id)
        .limit(BATCH)
    )
    rows = [_Attempt._make(row) for row in db.session.execute(query)]
    if not rows:
        newest = db.session.scalar(select(func.max(_attempt.id))) or 0
        # SQLite reuses the ids of deleted attempts.
        return Batch(after, newest, [], False) if newest < after else None
    attempts = settled(rows, after, now)
    if not attempts:
        return None
    return Batch(after, attempts[-1].id, attempts, len(rows) == BATCH)


def count_batch(batch: Batch, *, now: datetime) -> bool:
    """Add a batch to the counts; False when another worker has."""
    if not _cursor.move(batch.after, batch.upto, now=now):
        return False
    numbers = Counter(
        (organization_id, attempt.kind, attempt.outcome)
        for attempt in batch.attempts
        for organization_id in (attempt.organization_id, None)
    )
    for (organization_id, kind, outcome), number in numbers.items():
        _add(organization_id, kind, outcome, number)
    return True


def _add(organization_id: int | None, kind: str, outcome: str, number: int) -> None:
    key = {"organization_id": organization_id, "kind": kind, "outcome": outcome}
    is_row = (_total[name] == value for name, value in key.items())
    if not change_rows(update(TOTALS).where(*is_row).values(attempts=_total.attempts + number)):
        db.session.execute(insert(TOTALS).values({**key, "attempts": number}))


def counted_until() -> datetime | None:
    """Return the time of the oldest attempt that is not counted yet; None when all are."""
    query = select(_attempt.started).where(_attempt.id > _cursor.read())
    return db.session.scalar(query.order_by(_attempt.id).limit(1))
