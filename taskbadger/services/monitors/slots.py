"""The slots of a monitor as rows, and its current slot: the one that is expected next.

The current slot is the newest row, in state ``expected``; ``monitor.expected_at`` points to it.
Every earlier slot since the first run has a row, except that one row may sum up the rest of a long
gap. An interval monitor has no current slot before its first run and, if it counts from the end of
a run, during a run.

The caller must hold the lock on the monitor's row (`lock_monitor`), which also guards its slots and
incidents. Lock order: the task's row, then the monitor's. A sweep locks no task and skips monitors
that are locked, so there are no deadlocks.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from sqlalchemy import delete, exists, func, select, update

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.schedule import Interval, Schedule, parse_cron, parse_interval
from taskbadger.domain.slots import (
    BAD,
    MAX_ROWS,
    OUTCOMES,
    SlotEvent,
    SlotState,
    SlotTimes,
    default_start_grace,
    next_slot,
    next_state,
    slot_after_run,
    slot_expected_at,
    slots_in_gap,
)
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, SlotRun
from taskbadger.models.monitor_rows import AnyMonitor, AnySlot, NewSlot, SlotRow

log = logging.getLogger(__name__)

OPEN_STATES = (SlotState.EXPECTED.value, SlotState.RUNNING.value)

OutcomeOf = Callable[[SlotTimes], tuple[SlotState, datetime | None]]
"""Returns the state and the deadline of a slot in a gap."""


class Tolerances(TypedDict):
    """The start grace and early margin of a monitor, as keyword arguments of `domain.slots`."""

    start_grace: int | None
    margin: int | None


def lock_monitor(monitor_id: UUID) -> Monitor | None:
    """Lock a monitor's row until the transaction ends and reload it; None if it was deleted."""
    return db.session.get(Monitor, monitor_id, with_for_update=True, populate_existing=True)


def schedule_of(monitor: AnyMonitor) -> Schedule:
    """Return the schedule of a monitor; raises ScheduleError if its zone is no longer known."""
    if monitor.type == CRON:
        return parse_cron(monitor.schedule or "", monitor.timezone)
    return _interval_of(monitor)


def _interval_of(monitor: AnyMonitor) -> Interval:
    return parse_interval(monitor.interval or 0, monitor.anchor or "start")


def tolerances(monitor: AnyMonitor) -> Tolerances:
    """Return the monitor's own start grace and early margin."""
    return {"start_grace": monitor.start_grace, "margin": monitor.early_margin}


def grace_of(monitor: AnyMonitor) -> timedelta:
    """Return how late a run may start."""
    if monitor.start_grace is not None:
        return timedelta(seconds=monitor.start_grace)
    return timedelta(seconds=default_start_grace(schedule_of(monitor)))


def is_current(monitor: AnyMonitor, slot: Slot | SlotRow) -> bool:
    """Say whether *slot* is the monitor's current slot."""
    return slot.expected_at == monitor.expected_at


def find_slot(monitor: Monitor, expected_at: datetime) -> Slot | None:
    """Return the monitor's slot that is expected at exactly *expected_at*."""
    return db.session.scalar(
        select(Slot).where(Slot.monitor_id == monitor.id, Slot.expected_at == expected_at)
    )


def current_slot(monitor: Monitor) -> Slot | None:
    """Return the slot that is expected next; None if nothing is expected."""
    return None if monitor.expected_at is None else find_slot(monitor, monitor.expected_at)


def newest_past_slot(monitor: Monitor) -> Slot | None:
    """Return the newest slot before the current one."""
    query = select(Slot).where(Slot.monitor_id == monitor.id)
    if monitor.expected_at is not None:
        query = query.where(Slot.expected_at < monitor.expected_at)
    return db.session.scalar(query.order_by(Slot.expected_at.desc()).limit(1))


def new_slot(
    monitor: AnyMonitor,
    times: SlotTimes,
    *,
    state: SlotState = SlotState.EXPECTED,
    deadline_at: datetime | None = None,
) -> NewSlot:
    """Return a slot to insert."""
    return NewSlot(monitor.id, monitor.epoch, times.expected_at, deadline_at, state.value)


def add_slot(
    monitor: Monitor,
    times: SlotTimes,
    *,
    state: SlotState = SlotState.EXPECTED,
    deadline_at: datetime | None = None,
) -> Slot:
    """Insert a slot with the next flush. Without a deadline the sweep ignores it."""
    slot = Slot(**new_slot(monitor, times, state=state, deadline_at=deadline_at)._asdict())
    db.session.add(slot)
    return slot


def add_current(monitor: Monitor, times: SlotTimes) -> Slot:
    """Insert a slot and make it the current one; the previous one stays unchanged."""
    slot = add_slot(monitor, times, deadline_at=times.deadline_at)
    monitor.expected_at = times.expected_at
    return slot


def expect_after(monitor: Monitor, moment: datetime) -> None:
    """Insert the schedule's next slot after *moment* and make it the current one."""
    add_current(monitor, next_slot(schedule_of(monitor), moment, **tolerances(monitor)))


def replace_current(monitor: Monitor, times: SlotTimes | None) -> None:
    """Move the current slot to *times*, or insert it there; with None, delete it."""
    current = current_slot(monitor)
    if current is None and times is not None:
        add_current(monitor, times)
    elif current is not None and times is not None:
        current.expected_at, current.deadline_at = times.expected_at, times.deadline_at
        monitor.expected_at = times.expected_at
    elif current is not None:
        db.session.delete(current)
        monitor.expected_at = None
    db.session.flush()


def apply_event(slot: Slot, event: SlotEvent) -> bool:
    """Change the state of *slot* as *event* requires; say whether it changed.

    A slot with an outcome loses its deadline.
    """
    before = SlotState(slot.state)
    after = next_state(before, event)
    if after is before:
        return False
    slot.state = after.value
    if after in OUTCOMES:
        slot.deadline_at = None
    return True


def count_bad(slot: AnySlot) -> int:
    """Return the number of bad slots in this row, which may sum up several."""
    return slot.count if slot.state in BAD else 0


def due_at(monitor: AnyMonitor, slot: Slot | SlotRow) -> datetime:
    """Return when the run of *slot* was due: the slots after it are counted from there.

    For an interval this is later than ``expected_at`` after a long run or an outage of ours, and
    is derived from the deadline: call this before the slot loses it.
    """
    if monitor.type == CRON or slot.deadline_at is None:
        return slot.expected_at
    return slot.deadline_at - grace_of(monitor)


def fill_gap(
    monitor: Monitor, after: datetime, until: datetime, outcome_of: OutcomeOf
) -> Sequence[Slot]:
    """Insert the slots of ``gap_slots``; return their rows."""
    rows = [Slot(**slot._asdict()) for slot in gap_slots(monitor, after, until, outcome_of)]
    db.session.add_all(rows)
    return rows


def gap_slots(
    monitor: AnyMonitor, after: datetime, until: datetime, outcome_of: OutcomeOf
) -> list[NewSlot]:
    """Return the slots expected later than *after* and not later than *until*.

    Together with the slot at *after* there are at most MAX_ROWS; one more row sums up the rest.
    """
    schedule = schedule_of(monitor)
    gap = slots_in_gap(schedule, after, until, cap=MAX_ROWS - 1, **tolerances(monitor))
    rows = []
    for times in gap.slots:
        state, deadline_at = outcome_of(times)
        rows.append(new_slot(monitor, times, state=state, deadline_at=deadline_at))
    if gap.rest is not None:
        last = slot_expected_at(schedule, gap.rest.last_expected_at, **tolerances(monitor))
        state, deadline_at = outcome_of(last)
        first = replace(last, expected_at=gap.rest.first_expected_at)
        row = new_slot(monitor, first, state=state, deadline_at=deadline_at)
        rows.append(row._replace(count=gap.rest.count, last_expected_at=last.expected_at))
    return rows


def last_expected_at(rows: Sequence[Slot | NewSlot], otherwise: datetime) -> datetime:
    """Return when the last slot of *rows*, oldest first, was expected."""
    if not rows:
        return otherwise
    return rows[-1].last_expected_at or rows[-1].expected_at


def drop_deadlines(monitor_id: UUID, error: ScheduleError) -> None:
    """Log that a schedule is not readable, and let the sweeps ignore its slots from now on."""
    log.error("schedule not readable", extra={"monitor": str(monitor_id), "error": str(error)})
    with_deadline = update(Slot).where(Slot.monitor_id == monitor_id, Slot.deadline_at.is_not(None))
    db.session.execute(with_deadline.values(deadline_at=None))


def is_running(monitor: Monitor) -> bool:
    """Say whether a run of the monitor is in progress."""
    unfinished = exists().where(SlotRun.monitor_id == monitor.id, SlotRun.ended_at.is_(None))
    return bool(db.session.scalar(select(unfinished)))


def expect_after_run(monitor: Monitor, *, now: datetime) -> None:
    """Make the slot that follows an interval's last run the current one.

    To be called when a run starts or ends at *now*. During a run the slot has no deadline; when
    the last run in progress ends, the next one gets the whole grace from then.
    """
    last = newest_past_slot(monitor)
    if last is not None and last.started_at is not None:
        times = _after_run(monitor, last.started_at, last.ended_at or now)
        times = _after_slot(monitor, times, last)
        replace_current(monitor, _with_whole_grace(monitor, times, now))
    elif monitor.expected_at is None and not is_running(monitor):
        expect_after(monitor, now)
    # Otherwise the last slot was missed, and the current slot stays.


def restart_schedule(monitor: Monitor, *, now: datetime) -> None:
    """Expect runs by the schedule from *now* on, after the monitor was created, edited or resumed.

    Slots that are due are skipped, so that nothing is missed in the past. A run in progress counts.
    """
    monitor.epoch += 1
    for slot in open_slots(monitor):
        if slot.state == SlotState.RUNNING:
            slot.epoch = monitor.epoch
        elif slot.expected_at <= now:
            apply_event(slot, SlotEvent.PAUSED)
    db.session.flush()
    _delete_expected(monitor)
    if monitor.type == INTERVAL:
        restart_interval(monitor, now=now)
        return
    newest = select(func.max(Slot.expected_at)).where(Slot.monitor_id == monitor.id)
    expect_after(monitor, max(now, db.session.scalar(newest) or now))


def open_slots(monitor: Monitor) -> Sequence[Slot]:
    """Return the slots of a monitor without an outcome, oldest first."""
    return db.session.scalars(
        select(Slot)
        .where(Slot.monitor_id == monitor.id, Slot.state.in_(OPEN_STATES))
        .order_by(Slot.expected_at)
    ).all()


def _delete_expected(monitor: Monitor) -> None:
    db.session.execute(
        delete(Slot).where(Slot.monitor_id == monitor.id, Slot.state == SlotState.EXPECTED.value)
    )
    monitor.expected_at = None


def restart_interval(monitor: Monitor, *, now: datetime) -> None:
    """Expect an interval's next run after the last one, or after *now* if that is in the past."""
    if not monitor.seen:
        return
    last = newest_past_slot(monitor)
    running = is_running(monitor)
    times = None
    if last is not None and last.started_at is not None:
        times = _after_run(monitor, last.started_at, last.ended_at or now)
    if not running and (times is None or times.expected_at <= now):
        times = next_slot(schedule_of(monitor), now, **tolerances(monitor))
    replace_current(monitor, times)


def _after_slot(monitor: Monitor, times: SlotTimes | None, newest: Slot) -> SlotTimes | None:
    """Return *times*, but after the newest past slot: a run that is reported late began before it.

    The slots that were missed meanwhile stay, and so does the current one.
    """
    passed = last_expected_at([newest], newest.expected_at)
    if times is None or times.expected_at > passed:
        return times
    expected_at = monitor.expected_at or passed + _interval_of(monitor).gap
    deadline_at = times.deadline_at and max(times.deadline_at, expected_at + grace_of(monitor))
    return replace(times, expected_at=expected_at, deadline_at=deadline_at)


def _with_whole_grace(monitor: Monitor, times: SlotTimes | None, now: datetime) -> SlotTimes | None:
    if times is None or times.deadline_at is None:
        return times
    return replace(times, deadline_at=max(times.deadline_at, now + grace_of(monitor)))


def _after_run(monitor: Monitor, started_at: datetime, ended_at: datetime) -> SlotTimes | None:
    return slot_after_run(
        _interval_of(monitor),
        started_at=started_at,
        ended_at=None if is_running(monitor) else ended_at,
        **tolerances(monitor),
    )
