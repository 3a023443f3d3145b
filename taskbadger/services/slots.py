"""The slots of a monitor as rows, and its current slot: the one that is expected next.

The current slot is the newest row, in state ``expected``, and ``monitor.expected_at`` names it.
There is a row for every slot before it since the first run, but for what a row of a long gap sums
up. Nothing is current for an interval before its first run, nor, where it counts from the end,
during a run.

Everything here asks that the caller holds the monitor's row (`lock_monitor`), which guards its
slots and incidents too. The order of locks is: the task's row, then the monitor's; a sweep takes no
task's row, and passes over monitors that others hold. So nobody waits in a circle.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict
from uuid import UUID

from sqlalchemy import delete, exists, func, select

from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.schedule import Interval, Schedule, parse_cron, parse_interval
from taskbadger.domain.slots import (
    BAD,
    MAX_ROWS,
    OUTCOMES,
    SlotEvent,
    SlotState,
    SlotTimes,
    apply,
    default_start_grace,
    next_slot,
    slot_after_run,
    slot_expected_at,
    slots_in_gap,
)
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, SlotRun

OPEN_STATES = (SlotState.EXPECTED.value, SlotState.RUNNING.value)

Fate = Callable[[SlotTimes], tuple[SlotState, datetime | None]]
"""What becomes of a slot that is passed over: its state and its deadline."""


class Tolerances(TypedDict):
    """What a monitor says of all its slots, as `domain.slots` takes it."""

    start_grace: int | None
    margin: int | None


def lock_monitor(monitor_id: UUID) -> Monitor | None:
    """Return a monitor, fresh, its row held until the transaction ends; None if it is gone."""
    return db.session.get(Monitor, monitor_id, with_for_update=True, populate_existing=True)


def schedule_of(monitor: Monitor) -> Schedule:
    """Return the schedule of a monitor; raises ScheduleError when its zone is no longer known."""
    if monitor.type == CRON:
        return parse_cron(monitor.schedule or "", monitor.timezone)
    return _interval_of(monitor)


def _interval_of(monitor: Monitor) -> Interval:
    return parse_interval(monitor.interval or 0, monitor.anchor or "start")


def tolerances(monitor: Monitor) -> Tolerances:
    """Return the monitor's own start grace and early margin."""
    return {"start_grace": monitor.start_grace, "margin": monitor.early_margin}


def grace_of(monitor: Monitor) -> timedelta:
    """Return how late a start may be."""
    if monitor.start_grace is not None:
        return timedelta(seconds=monitor.start_grace)
    return timedelta(seconds=default_start_grace(schedule_of(monitor)))


def is_current(monitor: Monitor, slot: Slot) -> bool:
    """Say whether *slot* is the one that is expected next."""
    return slot.expected_at == monitor.expected_at


def find_slot(monitor: Monitor, expected_at: datetime) -> Slot | None:
    """Return the monitor's slot that was expected at that moment."""
    return db.session.scalar(
        select(Slot).where(Slot.monitor_id == monitor.id, Slot.expected_at == expected_at)
    )


def current_slot(monitor: Monitor) -> Slot | None:
    """Return the slot that is expected next; None while nothing is."""
    return None if monitor.expected_at is None else find_slot(monitor, monitor.expected_at)


def newest_past_slot(monitor: Monitor) -> Slot | None:
    """Return the newest slot but the current one."""
    query = select(Slot).where(Slot.monitor_id == monitor.id)
    if monitor.expected_at is not None:
        query = query.where(Slot.expected_at < monitor.expected_at)
    return db.session.scalar(query.order_by(Slot.expected_at.desc()).limit(1))


def add_slot(
    monitor: Monitor,
    times: SlotTimes,
    *,
    state: SlotState = SlotState.EXPECTED,
    deadline_at: datetime | None = None,
) -> Slot:
    """Write a slot that nothing is awaited of, unless there is a deadline."""
    slot = Slot(
        monitor_id=monitor.id,
        epoch=monitor.epoch,
        expected_at=times.expected_at,
        count=1,
        deadline_at=deadline_at,
        state=state.value,
        extra_runs=0,
    )
    db.session.add(slot)
    db.session.flush()
    return slot


def expect(monitor: Monitor, times: SlotTimes) -> Slot:
    """Write a new current slot; the one before stays as it is."""
    slot = add_slot(monitor, times, deadline_at=times.deadline_at)
    monitor.expected_at = times.expected_at
    return slot


def expect_after(monitor: Monitor, moment: datetime) -> None:
    """Make the slot that the schedule has next after *moment* the current one."""
    expect(monitor, next_slot(schedule_of(monitor), moment, **tolerances(monitor)))


def move_current(monitor: Monitor, times: SlotTimes | None) -> None:
    """Let the current slot, if there is one, be another; with None, nothing is expected."""
    current = current_slot(monitor)
    if current is None and times is not None:
        expect(monitor, times)
    elif current is not None and times is not None:
        current.expected_at, current.deadline_at = times.expected_at, times.deadline_at
        monitor.expected_at = times.expected_at
    elif current is not None:
        db.session.delete(current)
        monitor.expected_at = None
    db.session.flush()


def turn(slot: Slot, event: SlotEvent) -> bool:
    """Let *event* happen to *slot*; say whether that changed its state.

    One that has come to an outcome awaits nothing more.
    """
    state = SlotState(slot.state)
    turned = apply(state, event)
    if turned is state:
        return False
    slot.state = turned.value
    if turned in OUTCOMES:
        slot.deadline_at = None
    return True


def count_bad(slot: Slot) -> int:
    """Return how many bad slots this row stands for."""
    return slot.count if slot.state in BAD else 0


def successor_base(monitor: Monitor, slot: Slot) -> datetime:
    """Return the moment from which the slots that follow one without a run are counted.

    An interval counts from when the run was really due: that moves with a long run before it, and
    with an outage of ours. Ask before the slot loses its deadline.
    """
    if monitor.type == CRON or slot.deadline_at is None:
        return slot.expected_at
    return slot.deadline_at - grace_of(monitor)


def pass_over(monitor: Monitor, after: datetime, until: datetime, fate: Fate) -> Sequence[Slot]:
    """Write the slots expected later than *after* and not later than *until*; return their rows.

    There are at most MAX_ROWS of them with the one at *after*; one more row sums up the rest.
    """
    schedule = schedule_of(monitor)
    gap = slots_in_gap(schedule, after, until, cap=MAX_ROWS - 1, **tolerances(monitor))
    rows = []
    for times in gap.slots:
        state, deadline_at = fate(times)
        rows.append(add_slot(monitor, times, state=state, deadline_at=deadline_at))
    if gap.rest is not None:
        last = slot_expected_at(schedule, gap.rest.last_expected_at, **tolerances(monitor))
        state, deadline_at = fate(last)
        first = replace(last, expected_at=gap.rest.first_expected_at)
        rows.append(add_slot(monitor, first, state=state, deadline_at=deadline_at))
        rows[-1].count, rows[-1].last_expected_at = gap.rest.count, last.expected_at
    return rows


def last_expected_at(rows: Sequence[Slot], otherwise: datetime) -> datetime:
    """Return when the last slot of *rows*, oldest first, was expected."""
    if not rows:
        return otherwise
    return rows[-1].last_expected_at or rows[-1].expected_at


def is_running(monitor: Monitor) -> bool:
    """Say whether a run of the monitor is going on."""
    going = exists().where(SlotRun.monitor_id == monitor.id, SlotRun.ended_at.is_(None))
    return bool(db.session.scalar(select(going)))


def expect_after_run(monitor: Monitor, *, now: datetime) -> None:
    """Make the slot to which an interval's last run leads the current one.

    A run of the monitor has begun or ended at *now*. While one is going on nothing is missed, and
    when the last of them ends, the whole grace is left.
    """
    last = newest_past_slot(monitor)
    if last is not None and last.started_at is not None:
        times = _after_run(monitor, last.started_at, last.ended_at or now)
        move_current(monitor, _with_whole_grace(monitor, times, now))
    elif monitor.expected_at is None and not is_running(monitor):
        expect_after(monitor, now)
    # Else the last slot was missed, and its successor stands.


def begin_anew(monitor: Monitor, *, now: datetime) -> None:
    """Expect runs as the schedule has it from *now* on: for one that was edited or resumed.

    What was awaited is skipped, so nothing is missed backwards; a run that is going on counts.
    """
    monitor.epoch += 1
    for slot in open_slots(monitor):
        if slot.state == SlotState.RUNNING:
            slot.epoch = monitor.epoch
        elif slot.expected_at <= now:
            turn(slot, SlotEvent.PAUSED)
    db.session.flush()
    _forget_expected(monitor)
    if monitor.type == INTERVAL:
        begin_interval(monitor, now=now)
        return
    written = select(func.max(Slot.expected_at)).where(Slot.monitor_id == monitor.id)
    expect_after(monitor, max(now, db.session.scalar(written) or now))


def open_slots(monitor: Monitor) -> Sequence[Slot]:
    """Return the slots of a monitor that have no outcome yet, oldest first."""
    return db.session.scalars(
        select(Slot)
        .where(Slot.monitor_id == monitor.id, Slot.state.in_(OPEN_STATES))
        .order_by(Slot.expected_at)
    ).all()


def _forget_expected(monitor: Monitor) -> None:
    db.session.execute(
        delete(Slot).where(Slot.monitor_id == monitor.id, Slot.state == SlotState.EXPECTED.value)
    )
    monitor.expected_at = None


def begin_interval(monitor: Monitor, *, now: datetime) -> None:
    """Go on from the last run where that leads ahead, else from *now*."""
    if not monitor.seen:
        return
    last = newest_past_slot(monitor)
    running = is_running(monitor)
    times = None
    if last is not None and last.started_at is not None:
        times = _after_run(monitor, last.started_at, last.ended_at or now)
    if not running and (times is None or times.expected_at <= now):
        times = next_slot(schedule_of(monitor), now, **tolerances(monitor))
    move_current(monitor, times)


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
