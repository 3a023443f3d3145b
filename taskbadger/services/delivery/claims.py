"""Claiming: which deliveries may be sent now, each with a lease for the worker that sends it.

Receivers take turns, so that a long queue for one does not delay the others. Receivers that hang or
fail get one delivery at a time; those that keep failing get one from time to time, as a test.
Deliveries whose worker died go before what was queued meanwhile. The index ``ix_delivery_open``
finds the receivers that wait with one look-up for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Table,
    bindparam,
    case,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.domain import retries
from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination
from taskbadger.models.delivery import HELD, QUIET, SENDING
from taskbadger.models.task_rows import columns_of
from taskbadger.models.types import UTCDateTime

LEASE = timedelta(seconds=60)
"""Longer than any attempt. The deliveries of a dead worker become due again after this time."""

_PROVEN_TURNS = 3
"""How many turns in a row prefer receivers that work; the next goes by waiting time alone."""

_delivery = cast(Table, Delivery.__table__).c

# A loose index scan, from one destination to the next, which SQL expresses as a recursion.
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
    """A delivery that only this worker may send until its lease ends."""

    id: str
    token: str
    organization_id: int
    kind: str
    integration: str
    config: str
    destination: str
    message: str
    attempts: int
    """Including this one."""
    crashes: int
    firing_id: int | None
    waits_for_retry: bool
    held_by: str | None
    key: str | None

    @property
    def is_first_attempt(self) -> bool:
        """Whether nothing was tried before, which may have reached some of its recipients."""
        return self.attempts == 1

    @property
    def was_held_by_window(self) -> bool:
        """Whether a window has held it back, and nobody has decided about it since."""
        return self.held_by is not None and self.held_by.startswith(HELD)

    @property
    def was_quiet(self) -> bool:
        """Whether it has waited for the end of a quiet period."""
        return self.key is not None and self.key.startswith(QUIET)

    @property
    def was_held(self) -> bool:
        """Whether anything has held it back."""
        return self.waits_for_retry or self.was_held_by_window or self.was_quiet


_CLAIMED = (
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
    _delivery.firing_id,
    _delivery.waits_for_retry,
    _delivery.held_by,
    _delivery.key,
)
"""The fields of Claimed."""


class _Sending(NamedTuple):
    """How many deliveries of a destination are in the state *sending*."""

    busy: int
    """Those that a worker holds."""
    orphaned: int
    """Those whose worker has died: their lease has ended."""


_NONE = _Sending(0, 0)


class _DestinationRow(NamedTuple):
    key: str
    proven: bool
    failures: int
    hold_until: datetime | None


@dataclass(slots=True)
class Receiver:
    """A destination with deliveries that are due."""

    key: str
    due: datetime
    proven: bool
    failures: int
    sending: _Sending

    @property
    def rooms(self) -> tuple[int, int]:
        """How many orphans it may get now, and how many deliveries in all."""
        return _rooms(self.proven, self.failures, self.sending)

    @property
    def room(self) -> int:
        """How many it may get now, of one kind or the other."""
        return max(self.rooms)

    @property
    def rank(self) -> int:
        """0 when it works, 1 when it is new, 2 when it fails."""
        return 2 if self.failures else 0 if self.proven else 1


def list_receivers(*, now: datetime) -> list[Receiver]:
    """Return the receivers that may get a delivery now. Read-only."""
    heads = db.session.execute(_WAITING, {"now": now}).all()
    if not heads:
        return []
    counts = _count_sending(now)
    found = [
        Receiver(row.key, row.due, bool(row.proven), row.failures or 0, counts.get(row.key, _NONE))
        for row in heads
    ]
    return [receiver for receiver in found if receiver.room > 0]


def _rooms(proven: bool, failures: int, sending: _Sending) -> tuple[int, int]:
    """Return how many orphans a receiver may get now, and how many deliveries in all.

    Orphans need no room of their own: as long as their leases last, the deliveries of dead
    workers count as busy, and could keep the others out for a minute.
    """
    at_once = retries.max_at_once(proven=proven, failures=failures)
    return min(sending.orphaned, at_once), at_once - sending.busy


def _count_sending(now: datetime, keys: Sequence[str] | None = None) -> dict[str, _Sending]:
    is_held = _delivery.next_attempt_at > now
    query = (
        select(_delivery.destination, func.count().filter(is_held), func.count().filter(~is_held))
        .where(_delivery.state == SENDING)
        .group_by(_delivery.destination)
    )
    if keys is not None:
        query = query.where(_delivery.destination.in_(keys))
    return {key: _Sending(busy, left) for key, busy, left in db.session.execute(query).all()}


def share_out(receivers: Sequence[Receiver], limit: int) -> dict[str, int]:
    """Return how many of *limit* turns each receiver gets, by its key.

    Receivers with orphans come first: those have waited for a lease already, and the receiver may
    seem busy with what other dead workers were sending. Then come receivers with the fewest
    deliveries in progress; among those, the ones that work, then the longest wait. Every fourth
    turn ignores whether they work, so that new receivers are not kept out forever.
    """
    turns: dict[str, int] = {}
    able = list(receivers)
    for number in range(limit):
        if not able:
            break
        by_wait_alone = number % (_PROVEN_TURNS + 1) == _PROVEN_TURNS
        chosen = min(
            able,
            key=lambda receiver: (
                turns.get(receiver.key, 0) >= receiver.rooms[0],
                receiver.sending.busy + turns.get(receiver.key, 0),
                0 if by_wait_alone else receiver.rank,
                receiver.due,
            ),
        )
        turns[chosen.key] = turns.get(chosen.key, 0) + 1
        if turns[chosen.key] >= chosen.room:
            able.remove(chosen)
    return turns


def claim(
    receivers: Sequence[Receiver], limit: int, *, now: datetime, lease: timedelta = LEASE
) -> list[Claimed]:
    """Claim up to *limit* deliveries for *receivers*; the caller commits, then sends them.

    Destinations that another worker has locked, and deliveries that it has claimed, are skipped.
    """
    turns = share_out(receivers, limit)
    claimed: list[Claimed] = []
    for row in _lock_destinations(list(turns), now):
        if row.hold_until is not None and row.hold_until > now:
            continue
        sending = _count_sending(now, [row.key]).get(row.key, _NONE)
        orphans, room = _rooms(row.proven, row.failures, sending)
        # Orphans have waited for a lease; what was queued meanwhile would make it longer.
        found = _take(row.key, min(orphans, turns[row.key]), now, lease, _delivery.state == SENDING)
        found += _take(row.key, min(room, turns[row.key]) - len(found), now, lease)
        claimed += found
    return claimed


def claim_one(delivery_id: str, *, now: datetime, lease: timedelta = LEASE) -> list[Claimed]:
    """Claim a delivery if it is due and its receiver may get it; return a list of one or none."""
    destination = db.session.scalar(
        select(_delivery.destination).where(
            _delivery.id == delivery_id, _delivery.next_attempt_at <= now
        )
    )
    if destination is None:
        return []
    for row in _lock_destinations([destination], now):
        if row.hold_until is not None and row.hold_until > now:
            continue
        sending = _count_sending(now, [row.key]).get(row.key, _NONE)
        orphans, room = _rooms(row.proven, row.failures, sending)
        wanted = [_delivery.id == delivery_id]
        if room < 1:
            wanted.append(_delivery.state == SENDING)
        return _take(row.key, min(max(orphans, room), 1), now, lease, *wanted)
    return []


def _lock_destinations(keys: list[str], now: datetime) -> Sequence[_DestinationRow]:
    """Lock and return those destinations that no other worker has locked."""
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
    rows = db.session.execute(
        select(*columns_of(_DestinationRow, cast(Table, Destination.__table__)))
        .where(Destination.key.in_(keys))
        .with_for_update(skip_locked=True)
    ).all()
    return cast(Sequence[_DestinationRow], rows)


def _take(
    key: str, count: int, now: datetime, lease: timedelta, *where: ColumnElement[bool]
) -> list[Claimed]:
    if count < 1:
        return []
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
        .returning(*_CLAIMED)
    )
    return [Claimed(*row) for row in rows]


def refresh(claimed: Claimed) -> Claimed | None:
    """Return a claimed delivery as it is now; None if the lease was lost."""
    row = db.session.execute(
        select(*_CLAIMED).where(_delivery.id == claimed.id, _delivery.token == claimed.token)
    ).first()
    return Claimed(*tuple(row)) if row else None
