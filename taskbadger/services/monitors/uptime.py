"""The uptime of a monitor: which part of its expected runs was good.

The rules: docs/monitors.md#uptime.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, case, func, select

from taskbadger.domain.slots import BAD, GOOD, SlotState
from taskbadger.extensions import Statement
from taskbadger.models.monitor_rows import SLOTS
from taskbadger.models.types import UTCDateTime

PERIODS = (30, 90)
"""Days."""


class Uptime(NamedTuple):
    """The outcomes of a monitor in the last days, without those that say nothing about the job."""

    days: int
    good: int
    bad: int

    @property
    def percent(self) -> float | None:
        """The good ones of 100, rounded down to hundredths; None if there is no outcome."""
        total = self.good + self.bad
        return self.good * 10_000 // total / 100 if total else None


class _Outcome(NamedTuple):
    """How often slots had a state: in the last of *PERIODS* days, and in the first."""

    state: str
    long: int
    short: int


class _LastRow(NamedTuple):
    """A row of slots from before a period, the last of which may lie within it."""

    state: str
    count: int  # type: ignore[assignment]  # hides tuple.count
    expected_at: datetime
    last_expected_at: datetime | None


_OUTCOMES: Statement[_Outcome] = Statement(
    select(
        SLOTS.c.state,
        func.sum(SLOTS.c.count),
        func.sum(
            case(
                (
                    SLOTS.c.expected_at >= bindparam("short_since", type_=UTCDateTime()),
                    SLOTS.c.count,
                ),
                else_=0,
            )
        ),
    )
    .where(
        SLOTS.c.monitor_id == bindparam("monitor"),
        SLOTS.c.expected_at >= bindparam("long_since", type_=UTCDateTime()),
    )
    .group_by(SLOTS.c.state),
    _Outcome._make,
)
_BEFORE: Statement[_LastRow] = Statement(
    select(SLOTS.c.state, SLOTS.c.count, SLOTS.c.expected_at, SLOTS.c.last_expected_at)
    .where(
        SLOTS.c.monitor_id == bindparam("monitor"),
        SLOTS.c.expected_at < bindparam("since", type_=UTCDateTime()),
    )
    .order_by(SLOTS.c.expected_at.desc())
    .limit(1),
    _LastRow._make,
)


def read_uptime(monitor_id: UUID, *, now: datetime) -> list[Uptime]:
    """Return the uptime of a monitor in each of *PERIODS*."""
    short, long = (now - timedelta(days=days) for days in PERIODS)
    between = {"monitor": monitor_id, "short_since": short, "long_since": long}
    outcomes = _OUTCOMES.all(between)
    found = (
        (short, [(one.state, one.short) for one in outcomes]),
        (long, [(one.state, one.long) for one in outcomes]),
    )
    return [
        _sum(days, [*states, *_reaching_in(monitor_id, since)])
        for days, (since, states) in zip(PERIODS, found, strict=True)
    ]


def _reaching_in(monitor_id: UUID, since: datetime) -> list[tuple[str, int]]:
    """Return how many slots of a row that began before *since* were expected afterwards."""
    for row in _BEFORE.all({"monitor": monitor_id, "since": since}):
        last = row.last_expected_at
        if last is not None and last >= since:
            part = (last - since) / (last - row.expected_at)
            return [(row.state, max(round(row.count * part), 1))]
    return []


def _sum(days: int, states: Iterable[tuple[str, int]]) -> Uptime:
    counted = [(SlotState(state), count) for state, count in states]
    good, bad = (sum(count for state, count in counted if state in kind) for kind in (GOOD, BAD))
    return Uptime(days, good, bad)
