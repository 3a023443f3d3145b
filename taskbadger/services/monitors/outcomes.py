"""The last outcomes of monitors, which open and close their incidents."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from uuid import UUID

from sqlalchemy import FromClause, bindparam, select, true

from taskbadger.domain.slots import OUTCOMES, SlotState
from taskbadger.extensions import Statement, db
from taskbadger.models.monitor_rows import MONITORS, SLOTS, AnyMonitor, AnySlot
from taskbadger.models.types import Condition, Query

_IS_FINISHED = (
    *(SLOTS.c.state != state.value for state in SlotState if state not in OUTCOMES),
    SLOTS.c.deadline_at.is_(None),
)
"""A slot that still has a deadline is not finished, whatever its state."""
_ROWS: Statement[tuple[str, int]] = Statement(
    select(SLOTS.c.state, SLOTS.c.count)
    .where(
        SLOTS.c.monitor_id == bindparam("monitor"),
        SLOTS.c.epoch == bindparam("current_epoch"),
        *_IS_FINISHED,
    )
    .order_by(SLOTS.c.expected_at.desc())
    .limit(bindparam("most")),
    tuple,
)


def list_outcomes(
    wanted: Iterable[tuple[AnyMonitor, int, Sequence[AnySlot]]],
) -> dict[UUID, list[SlotState]]:
    """Return the outcomes of the last finished slots of each monitor, oldest first.

    It is given with how many outcomes to return, and its newest finished slots, oldest first, as
    far as they are known. Slots from before its schedule restarted do not count.
    """
    found = {}
    incomplete: defaultdict[int, list[AnyMonitor]] = defaultdict(list)
    for monitor, count, newest in wanted:
        known = [(slot.state, slot.count) for slot in newest if slot.epoch == monitor.epoch]
        found[monitor.id] = _last_of(known, count)
        if len(found[monitor.id]) < count:
            incomplete[count].append(monitor)
    for count, monitors in incomplete.items():
        for monitor_id, rows in _read_rows(monitors, count).items():
            found[monitor_id] = _last_of(rows[::-1], count)
    return found


def _last_of(slots: Sequence[tuple[str, int]], count: int) -> list[SlotState]:
    """Return the last *count* outcomes of rows, each of which may sum up several slots."""
    outcomes = [SlotState(state) for state, times in slots for _ in range(min(times, count))]
    return outcomes[-count:]


def _read_rows(monitors: Sequence[AnyMonitor], count: int) -> dict[UUID, list[tuple[str, int]]]:
    """Return the states and counts of the last *count* finished rows of each, newest first."""
    if len(monitors) == 1:  # A run is reported: the faster statement.
        [monitor] = monitors
        of_monitor = {"monitor": monitor.id, "current_epoch": monitor.epoch, "most": count}
        return {monitor.id: _ROWS.all(of_monitor)}
    rows: dict[UUID, list[tuple[str, int]]] = {monitor.id: [] for monitor in monitors}
    query = _rows_of_many(db.engine.dialect.name == "postgresql")
    for row in db.session.execute(query, {"ids": list(rows), "most": count}):
        rows[row[0]].append((row[1], row[2]))
    return rows


@cache
def _rows_of_many(is_postgresql: bool) -> Query:
    # A window function would read all slots of these monitors.
    newest = (
        select(SLOTS)
        .where(
            SLOTS.c.monitor_id == MONITORS.c.id, SLOTS.c.epoch == MONITORS.c.epoch, *_IS_FINISHED
        )
        .order_by(SLOTS.c.expected_at.desc())
        .limit(bindparam("most"))
        .correlate(MONITORS)
    )
    if is_postgresql:
        found: FromClause = newest.lateral()
        condition: Condition = true()
    else:  # SQLite has no LATERAL, but evaluates a list once for each row beside it.
        found = SLOTS.alias("found")
        condition = found.c.id.in_(newest.with_only_columns(SLOTS.c.id))
    return (
        select(MONITORS.c.id, found.c.state, found.c.count)
        .join_from(MONITORS, found, condition)
        .where(MONITORS.c.id.in_(bindparam("ids", expanding=True)))
        .order_by(found.c.expected_at.desc())
    )
