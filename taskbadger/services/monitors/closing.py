"""Closing: slots whose deadlines have passed, of many monitors with a few statements.

What becomes of a monitor is computed first, from its row and its due slots, and then written for
all of them together. So a schedule that is not readable stops no other monitor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, func, insert, select, update

from taskbadger.domain.monitors import INTERVAL, PAUSED
from taskbadger.domain.slots import SlotEvent, SlotState, SlotTimes, next_slot, next_state
from taskbadger.domain.windows import Span
from taskbadger.errors import ScheduleError
from taskbadger.extensions import Statement, db
from taskbadger.models import Slot
from taskbadger.models.monitor_rows import (
    MONITOR_COLUMNS,
    MONITORS,
    SLOT_COLUMNS,
    SLOT_RUNS,
    SLOTS,
    MonitorRow,
    NewSlot,
    SlotRow,
)
from taskbadger.services.monitors import incidents, slots
from taskbadger.services.monitors.covers import Cover, covers_of
from taskbadger.services.monitors.incidents import Finished

_TICK = timedelta(microseconds=1)

_INSERT_SLOT = Statement(insert(SLOTS), tuple)
_UPDATE_SLOT = Statement(update(SLOTS).where(SLOTS.c.id == bindparam("slot_id")), tuple)
_END_RUN = Statement(
    update(SLOT_RUNS).where(
        SLOT_RUNS.c.slot_id == bindparam("of_slot"),
        ~SLOT_RUNS.c.is_extra,
        SLOT_RUNS.c.ended_at.is_(None),
    ),
    tuple,
)
_EXPECT = Statement(update(MONITORS).where(MONITORS.c.id == bindparam("monitor_id")), tuple)
_LOCK = (
    select(*MONITOR_COLUMNS)
    .where(MONITORS.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(MONITORS.c.id)
    .with_for_update(skip_locked=True)
)
_DUE = (
    select(*SLOT_COLUMNS)
    .where(
        SLOTS.c.monitor_id.in_(bindparam("ids", expanding=True)),
        SLOTS.c.deadline_at <= bindparam("now"),
    )
    .order_by(SLOTS.c.expected_at)
)


def list_due(*, now: datetime, limit: int, without: Sequence[UUID] = ()) -> Sequence[UUID]:
    """Return up to *limit* monitors with slots whose deadlines have passed.

    The longest overdue come first; those in *without* are left out. Read-only.
    """
    passed = select(Slot.monitor_id, Slot.deadline_at).where(Slot.deadline_at <= now)
    if without:
        passed = passed.where(Slot.monitor_id.not_in(without))
    # Otherwise SQLite would group by walking the deadlines of all monitors.
    due = passed.cte("due").prefix_with("MATERIALIZED")
    monitors = (
        select(due.c.monitor_id)
        .group_by(due.c.monitor_id)
        .order_by(func.min(due.c.deadline_at))
        .limit(limit)
    )
    return db.session.scalars(monitors).all()


def close(monitor_ids: Sequence[UUID], *, now: datetime, base_url: str = "") -> int:
    """Close the slots of these monitors whose deadlines have passed; return how many had any.

    Monitors whose rows are locked, by another worker or by a run, are left for the next sweep.
    """
    due = _lock_due(monitor_ids, now)
    covers = covers_of((monitor for monitor, _ in due), now=now)
    closings = [_close_safely(monitor, found, covers[monitor.id], now) for monitor, found in due]
    _write([closing for closing in closings if closing is not None], now, base_url)
    return len(due)


@dataclass(slots=True)
class Closing:
    """What changes when the due slots of a monitor are closed."""

    monitor: MonitorRow
    changed: list[SlotRow] = field(default_factory=list)
    """Its due slots with their new values."""
    timed_out: list[SlotRow] = field(default_factory=list)
    """Those whose runs took too long."""
    added: list[NewSlot] = field(default_factory=list)
    """The slots that follow: those that are due as well, then the current one."""
    expected_at: datetime | None = None
    """When the current slot is expected; None if that stays as it is."""
    newly_bad: int = 0
    newest: Sequence[SlotRow | NewSlot] = ()
    """Its newest finished slots, oldest first, as far as they are known."""


def _lock_due(monitor_ids: Sequence[UUID], now: datetime) -> list[tuple[MonitorRow, list[SlotRow]]]:
    """Lock the monitors that nobody else has locked; return those with due slots, and these."""
    rows = db.session.execute(_LOCK, {"ids": monitor_ids})
    locked = [MonitorRow._make(row) for row in rows]
    found: dict[UUID, list[SlotRow]] = {monitor.id: [] for monitor in locked}
    for row in db.session.execute(_DUE, {"ids": list(found), "now": now}) if found else ():
        slot = SlotRow._make(row)
        found[slot.monitor_id].append(slot)
    return [(monitor, found[monitor.id]) for monitor in locked if found[monitor.id]]


def _close_safely(
    monitor: MonitorRow, due: Sequence[SlotRow], cover: Cover, now: datetime
) -> Closing | None:
    """Close slots; if the schedule is not readable, log that, drop the deadlines, return None."""
    try:
        if not monitor.seen:
            return _move_current(monitor, due, now)
        return _close_slots(monitor, due, cover, now)
    except ScheduleError as error:
        slots.drop_deadlines(monitor.id, error)
        return None


def _move_current(monitor: MonitorRow, due: Sequence[SlotRow], now: datetime) -> Closing:
    """Wait longer for the first run of a new monitor: until then it is silent."""
    times = next_slot(slots.schedule_of(monitor), now, **slots.tolerances(monitor))
    moved = [
        slot._replace(expected_at=times.expected_at, deadline_at=times.deadline_at)
        for slot in due
        if slots.is_current(monitor, slot)
    ]
    return Closing(monitor, moved, expected_at=times.expected_at)


def _close_slots(
    monitor: MonitorRow, due: Sequence[SlotRow], cover: Cover, now: datetime
) -> Closing:
    closing = Closing(monitor)
    for slot in due:
        span = _fresh_after(monitor, slot, cover, now)
        if span is not None:
            restart(closing, slot, span)
            continue
        closed = _closed(monitor, slot, is_covered=cover.contains(slot.expected_at))
        closing.changed.append(closed)
        closing.newly_bad += slots.count_bad(closed) - slots.count_bad(slot)
        if slot.state == SlotState.RUNNING:
            closing.timed_out.append(closed)
        if slots.is_current(monitor, slot):  # The last one: no slot is newer.
            _add_following(closing, closed, slots.due_at(monitor, slot), cover, now)
    if closing.timed_out and monitor.type == INTERVAL:
        slots.schedule_of(monitor)  # Raises ScheduleError before anything is written.
    return closing


def _fresh_after(monitor: MonitorRow, slot: SlotRow, cover: Cover, now: datetime) -> Span | None:
    """Return the window, now over, after which the current slot of an interval begins afresh.

    The worker does that at the end of the window, but may not have done it yet.
    """
    if monitor.type != INTERVAL or slot.state != SlotState.EXPECTED:
        return None
    if not slots.is_current(monitor, slot):
        return None
    gap = timedelta(seconds=monitor.interval or 0)
    span = cover.last_span(slot.expected_at - gap, now)
    return span if span and span.start <= slot.expected_at else None


def restart(closing: Closing, slot: SlotRow, span: Span) -> None:
    """Skip what is expected inside *span*, from the current slot on, and expect the next run.

    An interval is expected a whole interval after the end. A slot from before the span stays.
    """
    monitor = closing.monitor
    schedule, tolerances = slots.schedule_of(monitor), slots.tolerances(monitor)
    if slot.expected_at >= span.end:
        times = next_slot(schedule, span.end, **tolerances)
        moved = slot._replace(expected_at=times.expected_at, deadline_at=times.deadline_at)
        closing.changed.append(moved)
        closing.expected_at = times.expected_at
        return

    def outcome_of(times: SlotTimes) -> tuple[SlotState, datetime | None]:
        if times.expected_at >= span.start:
            return SlotState.SKIPPED, None
        return SlotState.EXPECTED, times.deadline_at

    base, newest = slots.due_at(monitor, slot), slot
    if slot.expected_at >= span.start:
        newest = slot._replace(state=SlotState.SKIPPED.value, deadline_at=None)
        closing.changed.append(newest)
    passed = slots.gap_slots(monitor, base, span.end - _TICK, outcome_of)
    last = span.end if monitor.type == INTERVAL else slots.last_expected_at(passed, base)
    _add(closing, [newest, *passed], next_slot(schedule, last, **tolerances))


def _closed(monitor: MonitorRow, slot: SlotRow, *, is_covered: bool) -> SlotRow:
    """Return a due slot as it is once its deadline has passed."""
    if slot.state == SlotState.RUNNING:
        # The run counts as ended at its deadline, so that the next one is expected.
        slot = slot._replace(ended_at=slot.deadline_at)
        event = SlotEvent.RUNTIME_EXCEEDED
    else:
        is_skipped = is_covered or monitor.status == PAUSED
        event = SlotEvent.PAUSED if is_skipped else SlotEvent.DEADLINE_PASSED
    return slot._replace(state=next_state(SlotState(slot.state), event).value, deadline_at=None)


def _add_following(
    closing: Closing, closed: SlotRow, base: datetime, cover: Cover, now: datetime
) -> None:
    """Add the slots after the current one whose deadlines have passed too, then the next one."""
    monitor = closing.monitor

    def outcome_of(times: SlotTimes) -> tuple[SlotState, None]:
        is_skipped = monitor.status == PAUSED or cover.contains(times.expected_at)
        return SlotState.SKIPPED if is_skipped else SlotState.MISSED, None

    passed = slots.gap_slots(monitor, base, now - slots.grace_of(monitor), outcome_of)
    last = slots.last_expected_at(passed, base)
    times = next_slot(slots.schedule_of(monitor), last, **slots.tolerances(monitor))
    closing.newly_bad += sum(map(slots.count_bad, passed))
    _add(closing, [closed, *passed], times)


def _add(closing: Closing, newest: Sequence[SlotRow | NewSlot], times: SlotTimes) -> None:
    """Add the slots after the first of *newest*, and the current one at *times*."""
    following = slots.new_slot(closing.monitor, times, deadline_at=times.deadline_at)
    closing.added = [*(slot for slot in newest if isinstance(slot, NewSlot)), following]
    closing.expected_at = times.expected_at
    closing.newest = newest


def _write(closings: Sequence[Closing], now: datetime, base_url: str) -> None:
    write_slots(closings)
    for closing in closings:
        if closing.timed_out and closing.monitor.type == INTERVAL:
            monitor = slots.lock_monitor(closing.monitor.id)
            assert monitor is not None  # noqa: S101 - it is locked already
            slots.expect_after_run(monitor, now=now)
    db.session.flush()
    finished = [
        Finished(closing.monitor, closing.newly_bad, closing.newest)
        for closing in closings
        if closing.monitor.seen
    ]
    incidents.update_incidents(finished, now=now, base_url=base_url)


def write_slots(closings: Sequence[Closing]) -> None:
    """Write what changes of slots and of monitors, with a few statements for all of them."""
    for statement, rows in (
        (_UPDATE_SLOT, [_changes(slot) for closing in closings for slot in closing.changed]),
        (
            _END_RUN,
            [
                {"of_slot": slot.id, "ended_at": slot.ended_at}
                for closing in closings
                for slot in closing.timed_out
            ],
        ),
        (
            _EXPECT,
            [
                {"monitor_id": closing.monitor.id, "expected_at": closing.expected_at}
                for closing in closings
                if closing.expected_at is not None
            ],
        ),
        (_INSERT_SLOT, [slot._asdict() for closing in closings for slot in closing.added]),
    ):
        if rows:
            statement.run_each(rows)


def _changes(slot: SlotRow) -> dict[str, object]:
    return {
        "slot_id": slot.id,
        "expected_at": slot.expected_at,
        "deadline_at": slot.deadline_at,
        "state": slot.state,
        "ended_at": slot.ended_at,
    }
