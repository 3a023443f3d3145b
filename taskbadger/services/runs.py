"""Runs: how the tasks of a monitor fill its slots. Each change of a task's status comes here."""

import logging
from datetime import datetime, timedelta
from typing import Any

from taskbadger.domain.monitors import INTERVAL, PAUSED
from taskbadger.domain.schedule import MAX_INTERVAL, Cron, Interval, Schedule, ScheduleError
from taskbadger.domain.slots import (
    OUTCOMES,
    SlotEvent,
    SlotState,
    SlotTimes,
    cron_slot_of,
    early_margin,
    event_of,
    interval_slot_of,
    slot_expected_at,
    timeout_at,
)
from taskbadger.domain.status import PENDING, RUNNING
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, SlotRun
from taskbadger.services import incidents, slots

log = logging.getLogger(__name__)

_REACH = timedelta(seconds=MAX_INTERVAL)
"""How long before its creation a task may say that it started."""


def follow_task(before: Any, after: Any, *, now: datetime) -> None:
    """Carry a change of a monitored task's status into its slot.

    *before* and *after* are rows of the task table, *before* None for a creation. The task's row is
    locked, or new. A monitor that is gone, or whose schedule can no longer be read, is passed by:
    a run is never refused for its monitor.
    """
    monitor = slots.lock_monitor(after.monitor_id)
    if monitor is None:
        return
    try:
        schedule = slots.schedule_of(monitor)
    except ScheduleError as error:
        log.error("monitor not readable", extra={"monitor": str(monitor.id), "error": str(error)})
        return
    run = db.session.get(SlotRun, after.id)
    began = run is None
    if run is None:
        run = _begin(monitor, schedule, after, now)
    if run is not None:
        turned = began or (before.status in RUNNING) != (after.status in RUNNING)
        _carry(monitor, run, after, now=now, goes_or_ends=turned)
    db.session.flush()


def _begin(monitor: Monitor, schedule: Schedule, task: Any, now: datetime) -> SlotRun | None:
    """Find the slot of a run that has just started; None for one that counts nowhere."""
    if task.status == PENDING:
        return None
    is_new, monitor.seen = not monitor.seen, True
    if monitor.status == PAUSED:
        return None
    started_at = min(max(task.start_time or task.created, task.created - _REACH), now)
    if isinstance(schedule, Cron):
        slot = _cron_slot(monitor, schedule, started_at, is_new=is_new)
    else:
        slot = _interval_slot(monitor, schedule, started_at)
    is_extra = slot.started_at is not None or slot.count > 1 or slot.state == SlotState.SKIPPED
    if is_extra:
        slot.extra_runs += 1
    else:
        # One that was never seen running may have waited: nobody knows how long it took.
        limit = monitor.max_runtime if task.start_time else None
        _start(slot, started_at, max_runtime=limit)
    run = SlotRun(
        task_id=task.id, slot_id=slot.id, monitor_id=monitor.id, is_extra=is_extra, ended_at=None
    )
    db.session.add(run)
    return run


def _start(slot: Slot, started_at: datetime, *, max_runtime: int | None) -> None:
    deadline_at = slot.deadline_at
    slot.started_at = started_at
    if deadline_at is not None and started_at > deadline_at:
        slots.turn(slot, SlotEvent.DEADLINE_PASSED)
        # Whether that is an alarm is for the sweep to say: it knows of outages.
        slot.deadline_at = deadline_at
    if slots.turn(slot, SlotEvent.STARTED):
        slot.deadline_at = timeout_at(started_at, max_runtime)


def _carry(monitor: Monitor, run: SlotRun, task: Any, *, now: datetime, goes_or_ends: bool) -> None:
    slot = db.session.get_one(Slot, run.slot_id)
    bad_before = slots.count_bad(slot)
    ended_at = None if task.status in RUNNING else min(task.end_time or now, now)
    run.ended_at = ended_at
    turned = False
    if monitor.status != PAUSED:
        turned = _end(slot, run, task.status, ended_at)
    _expect_next(monitor, slot, now=now, goes_or_ends=goes_or_ends)
    if turned and slot.state in OUTCOMES:
        turned_bad = max(slots.count_bad(slot) - bad_before, 0)
        incidents.judge(monitor, turned_bad=turned_bad, now=now)


def _end(slot: Slot, run: SlotRun, status: str, ended_at: datetime | None) -> bool:
    """Let the slot know the run's *status*; say whether that changed the slot's state."""
    overran = ended_at is not None and slot.deadline_at is not None and slot.deadline_at < ended_at
    if overran and not run.is_extra and slot.state == SlotState.RUNNING:
        slots.turn(slot, SlotEvent.RUNTIME_EXCEEDED)
    if ended_at is not None and not run.is_extra:
        slot.ended_at = ended_at
    event = event_of(status, extra=run.is_extra)
    return event is not None and slots.turn(slot, event)


def _expect_next(monitor: Monitor, slot: Slot, *, now: datetime, goes_or_ends: bool) -> None:
    """Go on from a current slot that was filled; an interval goes on from each start and end."""
    filled = slots.is_current(monitor, slot) and slot.state != SlotState.EXPECTED
    if filled:
        monitor.expected_at = None
    db.session.flush()
    if monitor.type == INTERVAL:
        if goes_or_ends and monitor.status != PAUSED:
            slots.expect_after_run(monitor, now=now)
    elif filled:
        slots.expect_after(monitor, slot.expected_at)


def _cron_slot(monitor: Monitor, cron: Cron, started_at: datetime, *, is_new: bool) -> Slot:
    times = cron_slot_of(cron, started_at, **slots.tolerances(monitor))
    found = slots.find_slot(monitor, times.expected_at)
    if found is not None:
        return found
    current = slots.current_slot(monitor)
    if current is None or times.expected_at < current.expected_at:
        # Of a time before the monitor was made, or began anew: there is no deadline to miss.
        return slots.add_slot(monitor, times)
    return _go_on_to(monitor, current, times, is_new=is_new)


def _interval_slot(monitor: Monitor, interval: Interval, started_at: datetime) -> Slot:
    current = slots.current_slot(monitor)
    margin = early_margin(interval.gap, monitor.early_margin)
    if current is None or started_at < current.expected_at - margin:
        return _earlier_interval_slot(monitor, interval, started_at)
    if current.deadline_at is None or started_at <= current.deadline_at:
        return current
    times = interval_slot_of(
        interval,
        started_at,
        expected_at=slots.successor_base(monitor, current),
        **slots.tolerances(monitor),
    )
    if times.expected_at <= slots.successor_base(monitor, current):
        return current
    return _go_on_to(monitor, current, times, is_new=False)


def _earlier_interval_slot(monitor: Monitor, interval: Interval, started_at: datetime) -> Slot:
    last = slots.newest_past_slot(monitor)
    if last is not None and last.epoch == monitor.epoch:
        return last
    # The first run, ever or since the schedule began anew: it begins a row of its own.
    times = slot_expected_at(interval, started_at, **slots.tolerances(monitor))
    return slots.find_slot(monitor, started_at) or slots.add_slot(monitor, times)


def _go_on_to(monitor: Monitor, current: Slot, times: SlotTimes, *, is_new: bool) -> Slot:
    """Make a later slot the current one. Those in between go on waiting for their deadlines."""
    if is_new:
        slots.move_current(monitor, times)
        return current
    slots.pass_over(
        monitor,
        slots.successor_base(monitor, current),
        times.expected_at - timedelta(microseconds=1),
        lambda passed: (SlotState.EXPECTED, passed.deadline_at),
    )
    return slots.expect(monitor, times)
