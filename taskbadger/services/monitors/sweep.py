"""Slots over time: what is due, outages of ours, and a clock that is set back."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select

from taskbadger.domain.monitors import CRON, PAUSED
from taskbadger.domain.slots import (
    Outage,
    SlotEvent,
    SlotState,
    SlotTimes,
    next_slot,
    timeout_at,
)
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot
from taskbadger.services.monitors import incidents, slots


def is_due(*, now: datetime) -> bool:
    """Say whether a slot's deadline has passed or a deferred notice can be sent. Read-only."""
    slots_due = exists().where(Slot.deadline_at <= now)
    deferred = incidents.monitors_with_deferred_notices(now=now).exists()
    return bool(db.session.scalar(select(or_(slots_due, deferred))))


def send_deferred_notices(*, now: datetime, limit: int = 100, base_url: str = "") -> int:
    """Send the notices of monitors whose mutes and windows are over; return how many have any.

    Takes at most *limit*, and leaves those whose rows are locked for the next sweep; returns 0 if
    all of them are.
    """
    deferred = incidents.monitors_with_deferred_notices(now=now)
    deferred = deferred.where(~incidents.is_covered(now)).order_by(Monitor.id).limit(limit)
    found = db.session.scalars(deferred).all()
    locked = _lock_free(found)
    for monitor in locked:
        incidents.send_deferred(monitor, now=now, base_url=base_url)
    db.session.flush()
    return len(found) if locked else 0


def _lock_free(ids: Sequence[UUID]) -> Sequence[Monitor]:
    """Lock and return those monitors that nobody else has locked."""
    if not ids:
        return ()
    return db.session.scalars(
        select(Monitor)
        .where(Monitor.id.in_(ids))
        .order_by(Monitor.id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()


def extend_deadlines(gap_from: datetime, gap_to: datetime) -> None:
    """Extend deadlines after an outage of ours, so that none raises an alarm.

    It lasted from the last tick until now. Deadlines inside it move by its length; slots wholly
    inside become ``unknown``. To be called once per outage, before any sweep.
    """
    outage = Outage(gap_from, gap_to)
    inside = select(Slot.monitor_id).where(Slot.deadline_at.between(gap_from, gap_to)).distinct()
    for monitor in _lock_each(db.session.scalars(inside).all()):
        if monitor.seen and monitor.status != PAUSED:
            _run_safely(monitor, lambda monitor: _apply_outage(monitor, outage))
    db.session.flush()


def rewind(*, now: datetime) -> None:
    """Expect runs from *now* again, after the clock was set back.

    To be called when the last tick lies in the future. Deletes the expected and unknown slots after
    *now*. Otherwise monitors would be silent until the clock reaches them.
    """
    ahead = select(Monitor.id).where(Monitor.expected_at > now)
    for monitor in _lock_each(db.session.scalars(ahead).all()):
        _run_safely(monitor, lambda monitor: _rewind(monitor, now))
    db.session.flush()


def _lock_each(ids: Sequence[UUID]) -> Sequence[Monitor]:
    """Lock monitors in the order of their ids, so that two callers cannot deadlock."""
    locked = [slots.lock_monitor(monitor_id) for monitor_id in sorted(ids)]
    return [monitor for monitor in locked if monitor is not None]


def _run_safely(monitor: Monitor, operation: Callable[[Monitor], None]) -> None:
    """Run *operation*; if the schedule is not readable, log that and drop the deadlines."""
    monitor_id = monitor.id
    try:
        with db.session.begin_nested():
            operation(monitor)
    except ScheduleError as error:
        slots.drop_deadlines(monitor_id, error)


def _due(monitor: Monitor, outage: Outage) -> Sequence[Slot]:
    is_inside = Slot.deadline_at.between(outage.start, outage.end)
    query = select(Slot).where(Slot.monitor_id == monitor.id, is_inside)
    return db.session.scalars(query.order_by(Slot.expected_at)).all()


def _apply_outage(monitor: Monitor, outage: Outage) -> None:
    for slot in _due(monitor, outage):
        base = slots.due_at(monitor, slot)
        _extend_or_mark_unknown(slot, outage)
        db.session.flush()
        # An interval monitor keeps waiting for one run. A cron schedule goes on during an outage.
        if slots.is_current(monitor, slot) and (
            monitor.type == CRON or slot.state == SlotState.UNKNOWN
        ):
            _fill_outage(monitor, base, outage)


def _extend_or_mark_unknown(slot: Slot, outage: Outage) -> None:
    last = slot.last_expected_at or slot.expected_at
    times = SlotTimes(slot.expected_at, slot.deadline_at, slot.expected_at, last)
    if slot.state == SlotState.EXPECTED and outage.contains(times):
        slots.apply_event(slot, SlotEvent.OUTAGE)
        return
    assert slot.deadline_at is not None  # noqa: S101 - due slots have a deadline
    slot.deadline_at = outage.extend(slot.deadline_at)


def _fill_outage(monitor: Monitor, base: datetime, outage: Outage) -> None:
    def outcome_of(times: SlotTimes) -> tuple[SlotState, datetime | None]:
        if outage.contains(times) or times.deadline_at is None:
            return SlotState.UNKNOWN, None
        return SlotState.EXPECTED, outage.extend(times.deadline_at)

    rows = slots.fill_gap(monitor, base, outage.end - slots.grace_of(monitor), outcome_of)
    slots.expect_after(monitor, slots.last_expected_at(rows, base))


def _rewind(monitor: Monitor, now: datetime) -> None:
    schedule = slots.schedule_of(monitor)
    expected_at = monitor.expected_at
    first = next_slot(schedule, now, **slots.tolerances(monitor))
    if expected_at is None or expected_at <= first.expected_at:
        return
    to_delete = (SlotState.EXPECTED.value, SlotState.UNKNOWN.value)
    db.session.execute(
        delete(Slot).where(
            Slot.monitor_id == monitor.id,
            Slot.expected_at > now,
            Slot.state.in_(to_delete),
            Slot.started_at.is_(None),
        )
    )
    monitor.expected_at = None
    for slot in slots.open_slots(monitor):
        _shorten_deadline(monitor, slot, now)
    newest = select(func.max(Slot.expected_at)).where(
        Slot.monitor_id == monitor.id, Slot.expected_at > now
    )
    if monitor.type == CRON:
        slots.expect_after(monitor, max(now, db.session.scalar(newest) or now))
    else:
        slots.restart_interval(monitor, now=now)


def _shorten_deadline(monitor: Monitor, slot: Slot, now: datetime) -> None:
    """Undo an extension by an apparent outage, which was only the clock being wrong."""
    if slot.deadline_at is None:
        return
    if slot.started_at is None:
        due = slot.expected_at + slots.grace_of(monitor)
    else:
        due = timeout_at(slot.started_at, monitor.max_runtime) or slot.deadline_at
    slot.deadline_at = min(slot.deadline_at, max(due, now))
