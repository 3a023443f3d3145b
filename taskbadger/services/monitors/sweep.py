"""Slots over time: deadlines that pass, outages of ours, and a clock that is set back."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, func, or_, select, update

from taskbadger.domain.monitors import CRON, INTERVAL, PAUSED
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
from taskbadger.models import Monitor, Slot, SlotRun
from taskbadger.services.monitors import incidents, slots
from taskbadger.services.monitors.incidents import Finished

log = logging.getLogger(__name__)


def is_due(*, now: datetime) -> bool:
    """Say whether a slot's deadline has passed or a deferred notice can be sent. Read-only."""
    slots_due = exists().where(Slot.deadline_at <= now)
    deferred = incidents.monitors_with_deferred_notices(now=now).exists()
    return bool(db.session.scalar(select(or_(slots_due, deferred))))


def close_due_slots(*, now: datetime, limit: int = 100, base_url: str = "") -> int:
    """Close the slots whose deadlines have passed; return how many monitors have any.

    Takes at most *limit* monitors, the longest overdue first. Monitors whose rows are locked, by
    another worker or by a run, are left for the next sweep; returns 0 if all of them are.
    """
    due = (
        select(Slot.monitor_id)
        .where(Slot.deadline_at <= now)
        .group_by(Slot.monitor_id)
        .order_by(func.min(Slot.deadline_at))
        .limit(limit)
    )
    found = db.session.scalars(due).all()
    locked = _lock_free(found)
    try:
        with db.session.begin_nested():
            _close(locked, now, base_url)
    except ScheduleError:
        for monitor in locked:
            _run_safely(monitor, lambda monitor: _close([monitor], now, base_url))
    return len(found) if locked else 0


def send_deferred_notices(*, now: datetime, limit: int = 100, base_url: str = "") -> int:
    """Send the notices of monitors whose mutes have ended; return how many monitors have any.

    Takes at most *limit*, and leaves those whose rows are locked for the next sweep; returns 0 if
    all of them are.
    """
    deferred = incidents.monitors_with_deferred_notices(now=now).order_by(Monitor.id).limit(limit)
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
        log.error(
            "schedule not readable",
            extra={"monitor": str(monitor_id), "error": str(error)},
        )
        db.session.execute(
            update(Slot).where(Slot.monitor_id == monitor_id).values(deadline_at=None)
        )


def _due(monitor: Monitor, outage: Outage) -> Sequence[Slot]:
    is_inside = Slot.deadline_at.between(outage.start, outage.end)
    query = select(Slot).where(Slot.monitor_id == monitor.id, is_inside)
    return db.session.scalars(query.order_by(Slot.expected_at)).all()


def _close(monitors: Sequence[Monitor], now: datetime, base_url: str) -> None:
    """Close the slots that are due, of all monitors together; then open and close incidents."""
    due = _due_of(monitors, now)
    results = []
    for monitor in monitors:
        if monitor.seen:
            results.append(_close_slots(monitor, due[monitor.id], now))
        else:
            # A new monitor is silent: it keeps waiting for its first run.
            times = next_slot(slots.schedule_of(monitor), now, **slots.tolerances(monitor))
            slots.replace_current(monitor, times)
    db.session.flush()
    incidents.update_incidents(results, now=now, base_url=base_url)


def _due_of(monitors: Sequence[Monitor], now: datetime) -> dict[UUID, list[Slot]]:
    query = select(Slot).where(
        Slot.monitor_id.in_([monitor.id for monitor in monitors]), Slot.deadline_at <= now
    )
    found: dict[UUID, list[Slot]] = {monitor.id: [] for monitor in monitors}
    for slot in db.session.scalars(query.order_by(Slot.expected_at)):
        found[slot.monitor_id].append(slot)
    return found


def _close_slots(monitor: Monitor, due: Sequence[Slot], now: datetime) -> Finished:
    newly_bad = 0
    newest: list[Slot] = []
    for slot in due:
        bad_before, was_current = slots.count_bad(slot), slots.is_current(monitor, slot)
        rows = _close_slot(monitor, slot, now)
        newly_bad += slots.count_bad(slot) - bad_before + sum(map(slots.count_bad, rows))
        # No finished slot is newer than the current one and those that followed it.
        newest = [slot, *rows] if was_current else []
    return Finished(monitor, newly_bad, newest)


def _close_slot(monitor: Monitor, slot: Slot, now: datetime) -> Sequence[Slot]:
    """Close a slot; return those that follow it and are due too."""
    base = slots.due_at(monitor, slot)
    timed_out = slot.state == SlotState.RUNNING
    if timed_out:
        _end_run(slot)
        slots.apply_event(slot, SlotEvent.RUNTIME_EXCEEDED)
    else:
        paused = monitor.status == PAUSED
        slots.apply_event(slot, SlotEvent.PAUSED if paused else SlotEvent.DEADLINE_PASSED)
    slot.deadline_at = None
    if slots.is_current(monitor, slot):
        return _fill_missed(monitor, base, now)
    if timed_out and monitor.type == INTERVAL:
        slots.expect_after_run(monitor, now=now)
    return ()


def _end_run(slot: Slot) -> None:
    """Mark the run as ended at its deadline, so that the next one is expected."""
    slot.ended_at = slot.deadline_at
    db.session.execute(
        update(SlotRun)
        .where(SlotRun.slot_id == slot.id, ~SlotRun.is_extra, SlotRun.ended_at.is_(None))
        .values(ended_at=slot.deadline_at)
    )


def _fill_missed(monitor: Monitor, base: datetime, now: datetime) -> Sequence[Slot]:
    """Add the slots after a missed one whose deadlines have passed too, then the current slot."""
    state = SlotState.SKIPPED if monitor.status == PAUSED else SlotState.MISSED
    rows = slots.fill_gap(
        monitor, base, now - slots.grace_of(monitor), lambda _passed: (state, None)
    )
    slots.expect_after(monitor, slots.last_expected_at(rows, base))
    return rows


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
