"""The clock's part in slots: deadlines that pass, outages of ours, and a clock that is set back."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update

from taskbadger.domain.monitors import CRON, INTERVAL, PAUSED
from taskbadger.domain.schedule import ScheduleError
from taskbadger.domain.slots import (
    Outage,
    SlotEvent,
    SlotState,
    SlotTimes,
    next_slot,
    timeout_at,
)
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, SlotRun
from taskbadger.services import incidents, slots

log = logging.getLogger(__name__)


def has_due_slots(*, now: datetime) -> bool:
    """Say whether there is something to close. Only reads."""
    return bool(db.session.scalar(select(exists().where(Slot.deadline_at <= now))))


def close_due_slots(*, now: datetime, limit: int = 100) -> int:
    """Give the slots whose deadlines have passed their outcomes; return of how many monitors.

    At most *limit* monitors are seen to, the longest overdue first. Those that another worker, or
    a run, is busy with are left for the next time.
    """
    due = (
        select(Slot.monitor_id)
        .where(Slot.deadline_at <= now)
        .group_by(Slot.monitor_id)
        .order_by(func.min(Slot.deadline_at))
        .limit(limit)
    )
    locked = db.session.scalars(
        select(Monitor)
        .where(Monitor.id.in_(db.session.scalars(due).all()))
        .order_by(Monitor.id)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
    for monitor in locked:
        _safely(monitor, lambda monitor: _close(monitor, now))
    return len(locked)


def extend_deadlines(gap_from: datetime, gap_to: datetime) -> None:
    """Raise no alarm for an outage of ours, from the last tick to now.

    Deadlines inside it are put off by its length; slots wholly inside become ``unknown``. To be
    called once per outage, before anything is swept.
    """
    outage = Outage(gap_from, gap_to)
    inside = select(Slot.monitor_id).where(Slot.deadline_at.between(gap_from, gap_to)).distinct()
    for monitor in _lock_each(db.session.scalars(inside).all()):
        if monitor.seen and monitor.status != PAUSED:
            _safely(monitor, lambda monitor: _sit_out(monitor, outage))
    db.session.flush()


def rewind(*, now: datetime) -> None:
    """Expect runs from *now* again, after the clock was set back.

    To be called when the last tick lies in the future: what was expected, or called unknown, in
    a time that is yet to come is forgotten, or monitors would be silent until then.
    """
    ahead = select(Monitor.id).where(Monitor.expected_at > now)
    for monitor in _lock_each(db.session.scalars(ahead).all()):
        _safely(monitor, lambda monitor: _rewind(monitor, now))
    db.session.flush()


def _lock_each(ids: Sequence[UUID]) -> Sequence[Monitor]:
    """Return monitors with their rows held, in one order for all who take several."""
    locked = [slots.lock_monitor(monitor_id) for monitor_id in sorted(ids)]
    return [monitor for monitor in locked if monitor is not None]


def _safely(monitor: Monitor, deed: Callable[[Monitor], None]) -> None:
    """Do something to a monitor; where its schedule cannot be read, that stops no other one."""
    monitor_id = monitor.id
    try:
        with db.session.begin_nested():
            deed(monitor)
    except ScheduleError as error:
        log.error("monitor not readable", extra={"monitor": str(monitor_id), "error": str(error)})
        db.session.execute(
            update(Slot).where(Slot.monitor_id == monitor_id).values(deadline_at=None)
        )


def _due(monitor: Monitor, since: datetime | None, until: datetime) -> Sequence[Slot]:
    query = select(Slot).where(Slot.monitor_id == monitor.id, Slot.deadline_at <= until)
    if since is not None:
        query = query.where(Slot.deadline_at >= since)
    return db.session.scalars(query.order_by(Slot.expected_at)).all()


def _close(monitor: Monitor, now: datetime) -> None:
    if not monitor.seen:
        # New, so silent: it waits on for a first run.
        times = next_slot(slots.schedule_of(monitor), now, **slots.tolerances(monitor))
        slots.move_current(monitor, times)
        return
    turned_bad = sum(_end_wait(monitor, slot, now) for slot in _due(monitor, None, now))
    db.session.flush()
    incidents.judge(monitor, turned_bad=turned_bad, now=now)


def _end_wait(monitor: Monitor, slot: Slot, now: datetime) -> int:
    """Give one slot its outcome; return how many slots have turned bad."""
    bad_before = slots.count_bad(slot)
    base = slots.successor_base(monitor, slot)
    timed_out = slot.state == SlotState.RUNNING
    if timed_out:
        _end_run(slot)
        slots.turn(slot, SlotEvent.RUNTIME_EXCEEDED)
    else:
        paused = monitor.status == PAUSED
        slots.turn(slot, SlotEvent.PAUSED if paused else SlotEvent.DEADLINE_PASSED)
    slot.deadline_at = None
    db.session.flush()
    turned_bad = slots.count_bad(slot) - bad_before
    if slots.is_current(monitor, slot):
        turned_bad += _pass_missed(monitor, base, now)
    elif timed_out and monitor.type == INTERVAL:
        slots.expect_after_run(monitor, now=now)
    return turned_bad


def _end_run(slot: Slot) -> None:
    """Count a run that takes too long as over, so that the next one is expected."""
    slot.ended_at = slot.deadline_at
    db.session.execute(
        update(SlotRun)
        .where(SlotRun.slot_id == slot.id, ~SlotRun.is_extra, SlotRun.ended_at.is_(None))
        .values(ended_at=slot.deadline_at)
    )


def _pass_missed(monitor: Monitor, base: datetime, now: datetime) -> int:
    """Go on from a current slot that was missed, past all whose deadlines have passed too."""
    state = SlotState.SKIPPED if monitor.status == PAUSED else SlotState.MISSED
    rows = slots.pass_over(
        monitor, base, now - slots.grace_of(monitor), lambda _passed: (state, None)
    )
    slots.expect_after(monitor, slots.last_expected_at(rows, base))
    return sum(slots.count_bad(row) for row in rows)


def _sit_out(monitor: Monitor, outage: Outage) -> None:
    for slot in _due(monitor, outage.start, outage.end):
        base = slots.successor_base(monitor, slot)
        _put_off(slot, outage)
        db.session.flush()
        # A late interval goes on waiting for one run; a cron's times pass all the same.
        if slots.is_current(monitor, slot) and (
            monitor.type == CRON or slot.state == SlotState.UNKNOWN
        ):
            _pass_outage(monitor, base, outage)


def _put_off(slot: Slot, outage: Outage) -> None:
    last = slot.last_expected_at or slot.expected_at
    times = SlotTimes(slot.expected_at, slot.deadline_at, slot.expected_at, last)
    if slot.state == SlotState.EXPECTED and outage.contains(times):
        slots.turn(slot, SlotEvent.OUTAGE)
        return
    assert slot.deadline_at is not None  # noqa: S101 - for the type checker: it is due
    slot.deadline_at = outage.extend(slot.deadline_at)


def _pass_outage(monitor: Monitor, base: datetime, outage: Outage) -> None:
    def fate(times: SlotTimes) -> tuple[SlotState, datetime | None]:
        if outage.contains(times) or times.deadline_at is None:
            return SlotState.UNKNOWN, None
        return SlotState.EXPECTED, outage.extend(times.deadline_at)

    rows = slots.pass_over(monitor, base, outage.end - slots.grace_of(monitor), fate)
    slots.expect_after(monitor, slots.last_expected_at(rows, base))


def _rewind(monitor: Monitor, now: datetime) -> None:
    schedule = slots.schedule_of(monitor)
    expected_at = monitor.expected_at
    first = next_slot(schedule, now, **slots.tolerances(monitor))
    if expected_at is None or expected_at <= first.expected_at:
        return
    doomed = (SlotState.EXPECTED.value, SlotState.UNKNOWN.value)
    db.session.execute(
        delete(Slot).where(
            Slot.monitor_id == monitor.id,
            Slot.expected_at > now,
            Slot.state.in_(doomed),
            Slot.started_at.is_(None),
        )
    )
    monitor.expected_at = None
    for slot in slots.open_slots(monitor):
        _bring_forward(monitor, slot, now)
    written = select(func.max(Slot.expected_at)).where(
        Slot.monitor_id == monitor.id, Slot.expected_at > now
    )
    if monitor.type == CRON:
        slots.expect_after(monitor, max(now, db.session.scalar(written) or now))
    else:
        slots.begin_interval(monitor, now=now)


def _bring_forward(monitor: Monitor, slot: Slot, now: datetime) -> None:
    """Take back what an outage that was none has put off."""
    if slot.deadline_at is None:
        return
    if slot.started_at is None:
        due = slot.expected_at + slots.grace_of(monitor)
    else:
        due = timeout_at(slot.started_at, monitor.max_runtime) or slot.deadline_at
    slot.deadline_at = min(slot.deadline_at, max(due, now))
