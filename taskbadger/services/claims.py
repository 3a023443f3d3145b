"""Claiming: which deliveries may be sent now, and a lease on each for whoever sends it.

Receivers take turns, so that one with a long queue delays no other; those that hang or fail get
one delivery at a time, and those that fail again and again none but a probe. ``ix_delivery_open``
carries all of it: finding the receivers that wait costs one look-up for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.domain import retries
from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination
from taskbadger.models.delivery import SENDING, WAITING
from taskbadger.models.types import UTCDateTime

LEASE = timedelta(seconds=60)
"""Longer than any attempt takes; a worker that dies delays its deliveries by so much."""

REPUBLISH_AFTER = timedelta(seconds=30)
"""When an id that the broker was given, and nobody came for, is given to it again."""

_MOST_PROVEN = 3
"""Of four turns, this many go to receivers that work, when there are such."""

_delivery = cast(Table, Delivery.__table__).c

# A walk from one destination to the next: the recursion is how SQL spells a loose index scan.
_WAITING = (
    text(
        """
    WITH RECURSIVE open_key(key) AS (
        SELECT (SELECT destination FROM delivery
                WHERE next_attempt_at IS NOT NULL ORDER BY destination LIMIT 1)
        UNION ALL
        SELECT (SELECT destination FROM delivery
                WHERE next_attempt_at IS NOT NULL AND destination > open_key.key
                ORDER BY destination LIMIT 1)
        FROM open_key WHERE open_key.key IS NOT NULL
    ), head AS (
        SELECT key, (SELECT next_attempt_at FROM delivery
                     WHERE destination = open_key.key AND next_attempt_at IS NOT NULL
                     ORDER BY next_attempt_at LIMIT 1) AS due
        FROM open_key WHERE key IS NOT NULL
    )
    SELECT head.key, head.due, destination.proven, destination.failures
    FROM head LEFT JOIN destination ON destination.key = head.key
    WHERE head.due <= :now AND (destination.hold_until IS NULL OR destination.hold_until <= :now)
    """
    )
    .bindparams(bindparam("now", type_=UTCDateTime))
    .columns(due=UTCDateTime)
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker alone may send until its lease ends."""

    id: str
    token: str
    organization_id: int
    kind: str
    integration: str
    config: str
    destination: str
    message: str
    attempts: int
    """This attempt counted."""
    crashes: int


@dataclass(slots=True)
class Receiver:
    """A destination that something waits for."""

    key: str
    due: datetime
    proven: bool
    failures: int
    busy: int
    """How many deliveries it gets at the moment."""

    @property
    def room(self) -> int:
        """How many more it may get."""
        return retries.most_at_once(proven=self.proven, failures=self.failures) - self.busy

    @property
    def rank(self) -> int:
        """0 for one that works, 1 for one that nobody knows, 2 for one that fails."""
        return 2 if self.failures else 0 if self.proven else 1


def list_receivers(*, now: datetime) -> list[Receiver]:
    """Return the receivers that could get something now. Only reads."""
    heads = db.session.execute(_WAITING, {"now": now}).all()
    if not heads:
        return []
    busy = _count_busy(now)
    found = [
        Receiver(row.key, row.due, bool(row.proven), row.failures or 0, busy.get(row.key, 0))
        for row in heads
    ]
    return [receiver for receiver in found if receiver.room > 0]


def _count_busy(now: datetime, keys: Sequence[str] | None = None) -> dict[str, int]:
    query = (
        select(_delivery.destination, func.count())
        .where(_delivery.state == SENDING, _delivery.next_attempt_at > now)
        .group_by(_delivery.destination)
    )
    if keys is not None:
        query = query.where(_delivery.destination.in_(keys))
    return {key: count for key, count in db.session.execute(query).all()}  # noqa: C416


def share_out(receivers: Sequence[Receiver], limit: int) -> dict[str, int]:
    """Return which receivers get how many of *limit* turns.

    Whoever has least in hand comes first; among those the ones that work, then the longest wait.
    Every fourth turn goes by the wait alone, so that new receivers are not kept out for ever.
    """
    turns: dict[str, int] = {}
    able = list(receivers)
    for number in range(limit):
        if not able:
            break
        fair = number % (_MOST_PROVEN + 1) == _MOST_PROVEN
        chosen = min(
            able,
            key=lambda one: (
                one.busy + turns.get(one.key, 0),
                0 if fair else one.rank,
                one.due,
            ),
        )
        turns[chosen.key] = turns.get(chosen.key, 0) + 1
        if turns[chosen.key] >= chosen.room:
            able.remove(chosen)
    return turns


def claim(
    receivers: Sequence[Receiver], limit: int, *, now: datetime, lease: timedelta = LEASE
) -> list[Claimed]:
    """Take up to *limit* deliveries for *receivers*; the caller commits, and then sends them.

    Other workers may have been there first: what they hold, or have in hand, is left to them.
    """
    turns = share_out(receivers, limit)
    claimed: list[Claimed] = []
    for row in _lock_destinations(list(turns), now):
        busy = _count_busy(now, [row.key]).get(row.key, 0)
        room = retries.most_at_once(proven=row.proven, failures=row.failures) - busy
        if row.hold_until is not None and row.hold_until > now:
            continue
        if room > 0:
            claimed += _take(row.key, min(room, turns[row.key]), now, lease)
    return claimed


def claim_one(delivery_id: str, *, now: datetime, lease: timedelta = LEASE) -> list[Claimed]:
    """Take this delivery, if it is due and its receiver may get it now; a list of one, or none."""
    destination = db.session.scalar(
        select(_delivery.destination).where(
            _delivery.id == delivery_id, _delivery.next_attempt_at <= now
        )
    )
    if destination is None:
        return []
    for row in _lock_destinations([destination], now):
        busy = _count_busy(now, [row.key]).get(row.key, 0)
        held = row.hold_until is not None and row.hold_until > now
        if not held and retries.most_at_once(proven=row.proven, failures=row.failures) > busy:
            return _take(row.key, 1, now, lease, _delivery.id == delivery_id)
    return []


def _lock_destinations(keys: list[str], now: datetime) -> Sequence[Row[Any]]:
    """Return the rows of those destinations that no other worker is looking at, locked."""
    if not keys:
        return []
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    known = set(db.session.scalars(select(Destination.key).where(Destination.key.in_(keys))))
    missing = sorted(set(keys) - known)
    if missing:
        db.session.execute(
            dialect.insert(Destination)
            .values([{"key": key, "proven": False, "failures": 0, "seen": now} for key in missing])
            .on_conflict_do_nothing()
        )
    return db.session.execute(
        select(Destination.__table__)
        .where(Destination.key.in_(keys))
        .with_for_update(skip_locked=True)
    ).all()


def _take(
    key: str, count: int, now: datetime, lease: timedelta, *where: ColumnElement[bool]
) -> list[Claimed]:
    due = (
        select(_delivery.id)
        .where(_delivery.destination == key, _delivery.next_attempt_at <= now, *where)
        .order_by(_delivery.next_attempt_at)
        .limit(count)
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    token = uuid4().hex
    rows = db.session.execute(
        update(_delivery.id.table)
        .where(_delivery.id.in_(select(due.c.id)))
        .values(
            state=SENDING,
            next_attempt_at=now + lease,
            token=token,
            crashes=_delivery.crashes + case((_delivery.state == SENDING, 1), else_=0),
            published_at=None,
        )
        .returning(
            _delivery.id,
            _delivery.token,
            _delivery.organization_id,
            _delivery.kind,
            _delivery.integration,
            _delivery.config,
            _delivery.destination,
            _delivery.message,
            _delivery.attempts + 1,
            _delivery.crashes,
        )
    )
    return [Claimed(*row) for row in rows]


def take_for_publishing(receivers: Sequence[Receiver], limit: int, *, now: datetime) -> list[str]:
    """Return up to *limit* ids of deliveries that a worker should claim now.

    They are noted as being on their way, and come again after REPUBLISH_AFTER if nobody did.
    """
    turns = share_out(receivers, limit)
    published: list[str] = []
    for key, count in turns.items():
        due = (
            select(_delivery.id)
            .where(
                _delivery.destination == key,
                _delivery.next_attempt_at <= now,
                or_(
                    _delivery.published_at.is_(None),
                    _delivery.published_at <= now - REPUBLISH_AFTER,
                ),
            )
            .order_by(_delivery.next_attempt_at)
            .limit(count)
            .with_for_update(skip_locked=True)
            .cte("due")
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        published += db.session.scalars(
            update(_delivery.id.table)
            .where(_delivery.id.in_(select(due.c.id)))
            .values(published_at=now)
            .returning(_delivery.id)
        )
    return published


def step_back(by: timedelta, *, now: datetime) -> None:
    """Move what is still to come earlier: the clock was set back *by* so much."""
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
