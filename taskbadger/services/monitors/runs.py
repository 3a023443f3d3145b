"""Runs: how the tasks of a monitor fill its slots. Every change of their status comes here."""

import logging
from datetime import datetime, timedelta

from taskbadger.domain.monitors import INTERVAL, PAUSED
from taskbadger.domain.schedule import MAX_INTERVAL, Cron, Interval, Schedule
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
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, SlotRun
from taskbadger.models.task_rows import TaskState
from taskbadger.services.failures.lines import line_of
from taskbadger.services.monitors import incidents, slots

log = logging.getLogger(__name__)

_MAX_BACKDATING = timedelta(seconds=MAX_INTERVAL)
"""How long before its creation a task may claim to have started."""


def follow_task(
    before: TaskState | None,
    after: TaskState,
    *,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> None:
    """Record a change of a monitored task's status in its slot.

    *before* is None for a creation, *overrun* marks the server's own changes for max_runtime. The
    task's row is locked, or new. A monitor that was deleted, or whose schedule is not readable, is
    ignored: a run is never refused because of its monitor.
    """
    monitor = None if after.monitor_id is None else slots.lock_monitor(after.monitor_id)
    schedule = None if monitor is None else _readable_schedule(monitor)
    if monitor is None or schedule is None:
        return
    run = db.session.get(SlotRun, after.id)
    is_new = run is None
    if run is None:
        run = _start_run(monitor, schedule, after, now)
    if run is not None:
        was_running = before is not None and before.status in RUNNING
        changed = is_new or was_running != (after.status in RUNNING)
        newly_bad = _record_status(monitor, run, after, now=now, starts_or_ends=changed)
        if newly_bad is not None:
            incidents.update_incident(
                monitor,
                newly_bad=newly_bad,
                now=now,
                base_url=base_url,
                why=line_of(after, overrun=overrun) if newly_bad else None,
            )
    db.session.flush()


def _readable_schedule(monitor: Monitor) -> Schedule | None:
    try:
        return slots.schedule_of(monitor)
    except ScheduleError as error:
        found = {"monitor": str(monitor.id), "error": str(error)}
        log.error("schedule not readable", extra=found)
        return None


def _start_run(
    monitor: Monitor, schedule: Schedule, task: TaskState, now: datetime
) -> SlotRun | None:
    """Assign a new run to its slot; return None if it counts for no slot."""
    if task.status == PENDING:
        return None
    is_first, monitor.seen = not monitor.seen, True
    if monitor.status == PAUSED:
        return None
    started_at = min(max(task.start_time or task.created, task.created - _MAX_BACKDATING), now)
    if isinstance(schedule, Cron):
        slot = _cron_slot(monitor, schedule, started_at, is_first=is_first)
    else:
        slot = _interval_slot(monitor, schedule, started_at)
    is_extra = slot.started_at is not None or slot.count > 1 or slot.state == SlotState.SKIPPED
    if is_extra:
        slot.extra_runs += 1
    else:
        # A task that was never reported as running may have waited: its duration is unknown.
        limit = monitor.max_runtime if task.start_time else None
        _fill_slot(slot, started_at, max_runtime=limit)
    db.session.flush()  # A new slot gets its id.
    run = SlotRun(
        task_id=task.id, slot_id=slot.id, monitor_id=monitor.id, is_extra=is_extra, ended_at=None
    )
    db.session.add(run)
    return run


def _fill_slot(slot: Slot, started_at: datetime, *, max_runtime: int | None) -> None:
    deadline_at = slot.deadline_at
    slot.started_at = started_at
    if deadline_at is not None and started_at > deadline_at:
        slots.apply_event(slot, SlotEvent.DEADLINE_PASSED)
        # Keep the deadline: the sweep decides about an incident, because it knows of outages.
        slot.deadline_at = deadline_at
    if slots.apply_event(slot, SlotEvent.STARTED):
        slot.deadline_at = timeout_at(started_at, max_runtime)


def _record_status(
    monitor: Monitor, run: SlotRun, task: TaskState, *, now: datetime, starts_or_ends: bool
) -> int | None:
    """Record a run's status; return how many slots turned bad, None when no outcome changed."""
    slot = db.session.get_one(Slot, run.slot_id)
    bad_before = slots.count_bad(slot)
    ended_at = None if task.status in RUNNING else min(task.end_time or now, now)
    run.ended_at = ended_at
    changed = False
    if monitor.status != PAUSED:
        changed = _end(slot, run, task.status, ended_at)
    _expect_next(monitor, slot, now=now, starts_or_ends=starts_or_ends)
    if changed and slot.state in OUTCOMES:
        return max(slots.count_bad(slot) - bad_before, 0)
    return None


def _end(slot: Slot, run: SlotRun, status: str, ended_at: datetime | None) -> bool:
    """Apply the run's *status* to the slot; say whether that changed the slot's state."""
    overran = ended_at is not None and slot.deadline_at is not None and slot.deadline_at < ended_at
    if overran and not run.is_extra and slot.state == SlotState.RUNNING:
        slots.apply_event(slot, SlotEvent.RUNTIME_EXCEEDED)
    if ended_at is not None and not run.is_extra:
        slot.ended_at = ended_at
    event = event_of(status, extra=run.is_extra)
    return event is not None and slots.apply_event(slot, event)


def _expect_next(monitor: Monitor, slot: Slot, *, now: datetime, starts_or_ends: bool) -> None:
    """Add the next slot once the current one is filled; for an interval, at each start and end."""
    filled = slots.is_current(monitor, slot) and slot.state != SlotState.EXPECTED
    if filled:
        monitor.expected_at = None
    db.session.flush()
    if monitor.type == INTERVAL:
        if starts_or_ends and monitor.status != PAUSED:
            slots.expect_after_run(monitor, now=now)
    elif filled:
        slots.expect_after(monitor, slot.expected_at)


def _cron_slot(monitor: Monitor, cron: Cron, started_at: datetime, *, is_first: bool) -> Slot:
    times = cron_slot_of(cron, started_at, **slots.tolerances(monitor))
    found = slots.find_slot(monitor, times.expected_at)
    if found is not None:
        return found
    current = slots.current_slot(monitor)
    if current is None or times.expected_at < current.expected_at:
        # From before the monitor was created or restarted: there is no deadline to miss.
        return slots.add_slot(monitor, times)
    return _advance_to(monitor, current, times, is_first=is_first)


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
        expected_at=slots.due_at(monitor, current),
        **slots.tolerances(monitor),
    )
    if times.expected_at <= slots.due_at(monitor, current):
        return current
    return _advance_to(monitor, current, times, is_first=False)


def _earlier_interval_slot(monitor: Monitor, interval: Interval, started_at: datetime) -> Slot:
    last = slots.newest_past_slot(monitor)
    if last is not None and last.epoch == monitor.epoch:
        return last
    # The first run, ever or since the schedule restarted, gets a slot of its own.
    times = slot_expected_at(interval, started_at, **slots.tolerances(monitor))
    return slots.find_slot(monitor, started_at) or slots.add_slot(monitor, times)


def _advance_to(monitor: Monitor, current: Slot, times: SlotTimes, *, is_first: bool) -> Slot:
    """Make a later slot the current one. Those in between keep waiting for their deadlines."""
    if is_first:
        slots.replace_current(monitor, times)
        return current
    slots.fill_gap(
        monitor,
        slots.due_at(monitor, current),
        times.expected_at - timedelta(microseconds=1),
        lambda passed: (SlotState.EXPECTED, passed.deadline_at),
    )
    return slots.add_current(monitor, times)
