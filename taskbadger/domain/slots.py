"""Slots: to which slot a run belongs, how a slot ends, and when an incident opens or closes.

The rules: docs/monitors.md#slots.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Literal

from taskbadger.domain.schedule import Cron, Interval, Schedule
from taskbadger.domain.status import CANCELLED, ERROR, RUNNING, STALE, SUCCESS

MAX_EARLY_MARGIN = timedelta(seconds=300)
MIN_START_GRACE = 60
"""Seconds."""
MAX_ROWS = 100
"""Slots of a gap that get rows of their own; one more row sums up the rest."""

IncidentChange = Literal["open", "close"]


class SlotState(StrEnum):
    """The state of a slot; all but the first two are outcomes."""

    EXPECTED = "expected"
    RUNNING = "running"
    OK = "ok"
    LATE = "late"
    ERROR = "error"
    MISSED = "missed"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


GOOD = frozenset({SlotState.OK, SlotState.LATE})
BAD = frozenset({SlotState.ERROR, SlotState.MISSED, SlotState.TIMEOUT})
OUTCOMES = frozenset(SlotState) - {SlotState.EXPECTED, SlotState.RUNNING}


class SlotEvent(StrEnum):
    """What can happen to a slot. All runs but that of EXTRA_FAILED are its first."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The run's task is in error, or stale."""
    CANCELLED = "cancelled"
    EXTRA_FAILED = "extra_failed"
    """A later run of the same slot failed."""
    DEADLINE_PASSED = "deadline_passed"
    """To be applied before STARTED if the run started after the deadline."""
    RUNTIME_EXCEEDED = "runtime_exceeded"
    PAUSED = "paused"
    OUTAGE = "outage"
    """The slot lies wholly inside an outage of ours."""


_ENDED_BY = {
    SlotEvent.SUCCEEDED: SlotState.OK,
    SlotEvent.FAILED: SlotState.ERROR,
    SlotEvent.CANCELLED: SlotState.SKIPPED,
    SlotEvent.EXTRA_FAILED: SlotState.ERROR,
}
_NEXT: dict[SlotState, dict[SlotEvent, SlotState]] = {
    SlotState.EXPECTED: {
        **_ENDED_BY,
        SlotEvent.STARTED: SlotState.RUNNING,
        SlotEvent.DEADLINE_PASSED: SlotState.MISSED,
        SlotEvent.PAUSED: SlotState.SKIPPED,
        SlotEvent.OUTAGE: SlotState.UNKNOWN,
    },
    SlotState.RUNNING: {
        **_ENDED_BY,
        SlotEvent.RUNTIME_EXCEEDED: SlotState.TIMEOUT,
        SlotEvent.PAUSED: SlotState.SKIPPED,
    },
    # A task may still fail after it was reported as successful.
    SlotState.OK: {
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    SlotState.LATE: {
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # A run came after all, and its result matters more than its lateness.
    SlotState.MISSED: {
        SlotEvent.SUCCEEDED: SlotState.LATE,
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # A run that timed out and then failed stays a timeout.
    SlotState.TIMEOUT: {
        SlotEvent.SUCCEEDED: SlotState.LATE,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # A run during our outage may be reported afterwards.
    SlotState.UNKNOWN: dict(_ENDED_BY),
    SlotState.SKIPPED: {SlotEvent.EXTRA_FAILED: SlotState.ERROR},
    SlotState.ERROR: {},
}


@dataclass(frozen=True, slots=True)
class SlotTimes:
    """When one run is expected; all in UTC."""

    expected_at: datetime
    deadline_at: datetime | None
    """A start later than this is missed. None during a run, because nothing is missed then."""
    accepts_from: datetime
    accepts_until: datetime
    """The first moment that belongs to the next slot."""

    def accepts(self, started_at: datetime) -> bool:
        """Say whether a run that started at *started_at* belongs to this slot."""
        return self.accepts_from <= started_at < self.accepts_until


@dataclass(frozen=True, slots=True)
class Rest:
    """The slots of a gap that one row sums up."""

    count: int
    first_expected_at: datetime
    last_expected_at: datetime


@dataclass(frozen=True, slots=True)
class GapSlots:
    """The slots of a gap: the oldest ones, and the rest summed up."""

    slots: tuple[SlotTimes, ...]
    rest: Rest | None


@dataclass(frozen=True, slots=True)
class Outage:
    """A period in which the background worker did not tick."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.end - self.start

    def contains(self, slot: SlotTimes) -> bool:
        """Say whether *slot*, from its expected start to its deadline, lies wholly inside."""
        return (
            slot.deadline_at is not None
            and self.start <= slot.expected_at
            and slot.deadline_at <= self.end
        )

    def extend(self, deadline: datetime) -> datetime:
        """Return *deadline*, moved by the length of the outage if it lies inside."""
        return deadline + self.length if self.start <= deadline <= self.end else deadline


def default_start_grace(schedule: Schedule) -> int:
    """Return how many seconds late a run may start by default."""
    if isinstance(schedule, Cron):
        return MIN_START_GRACE
    return max(MIN_START_GRACE, schedule.seconds // 10)


def early_margin(gap: timedelta, chosen: int | None = None) -> timedelta:
    """Return how early a run may start whose slot is *gap* after the previous one.

    *chosen* is the monitor's own margin in seconds; None for the default.
    """
    if chosen is None:
        return min(MAX_EARLY_MARGIN, gap / 4)
    return min(timedelta(seconds=chosen), gap / 2)


def slot_expected_at(
    schedule: Schedule,
    expected_at: datetime,
    *,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes:
    """Return the slot of *schedule* that is expected at *expected_at*.

    *start_grace* and *margin* are the monitor's, in seconds; None for the default.
    """
    expected_at = expected_at.astimezone(UTC)
    before = schedule.previous_before(expected_at)
    after = schedule.next_after(expected_at)
    grace = default_start_grace(schedule) if start_grace is None else start_grace
    return SlotTimes(
        expected_at=expected_at,
        deadline_at=expected_at + timedelta(seconds=grace),
        accepts_from=expected_at - early_margin(expected_at - before, margin),
        accepts_until=after - early_margin(after - expected_at, margin),
    )


def next_slot(
    schedule: Schedule,
    after: datetime,
    *,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes:
    """Return the first slot after *after*: for an interval, one interval later."""
    return slot_expected_at(
        schedule, schedule.next_after(after), start_grace=start_grace, margin=margin
    )


def cron_slot_of(
    cron: Cron,
    started_at: datetime,
    *,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes:
    """Return the slot to which a run that started at *started_at* belongs."""
    following = next_slot(cron, started_at, start_grace=start_grace, margin=margin)
    if following.accepts(started_at):
        return following
    return slot_expected_at(
        cron,
        cron.previous_before(following.expected_at),
        start_grace=start_grace,
        margin=margin,
    )


def interval_slot_of(
    interval: Interval,
    started_at: datetime,
    *,
    expected_at: datetime,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes:
    """Return the slot to which a run that started at *started_at* belongs.

    *expected_at* is that of any slot since the last run: the others are whole intervals away.
    """
    reach = early_margin(interval.gap, margin)
    steps = (started_at - (expected_at - reach)) // interval.gap
    return slot_expected_at(
        interval, expected_at + steps * interval.gap, start_grace=start_grace, margin=margin
    )


def slot_after_run(
    interval: Interval,
    *,
    started_at: datetime,
    ended_at: datetime | None,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes | None:
    """Return the slot that follows an interval's last run.

    *ended_at* is None while the run is in progress: then the slot has no deadline, and if the end
    is the anchor, there is no slot.
    """
    anchor = started_at if interval.anchor == "start" else ended_at
    if anchor is None:
        return None
    slot = next_slot(interval, anchor, start_grace=start_grace, margin=margin)
    grace = default_start_grace(interval) if start_grace is None else start_grace
    deadline = None
    if ended_at is not None:
        waits_from = max(slot.expected_at, ended_at.astimezone(UTC))
        deadline = waits_from + timedelta(seconds=grace)
    return SlotTimes(slot.expected_at, deadline, slot.accepts_from, slot.accepts_until)


def timeout_at(started_at: datetime, max_runtime: int | None) -> datetime | None:
    """Return when a run exceeds *max_runtime* seconds; None for never."""
    return None if max_runtime is None else started_at + timedelta(seconds=max_runtime)


def event_of(status: str, *, extra: bool = False) -> SlotEvent | None:
    """Return the slot event that a task's *status* causes, or None.

    *extra* marks a run that is not the first of its slot: only its failure counts.
    """
    if status in (ERROR, STALE):
        return SlotEvent.EXTRA_FAILED if extra else SlotEvent.FAILED
    if extra:
        return None
    if status in RUNNING:
        return SlotEvent.STARTED
    return {SUCCESS: SlotEvent.SUCCEEDED, CANCELLED: SlotEvent.CANCELLED}.get(status)


def next_state(state: SlotState, event: SlotEvent) -> SlotState:
    """Return the state of a slot after *event*, which may be the same."""
    return _NEXT[state].get(event, state)


def decide_incident(
    outcomes: Sequence[SlotState],
    *,
    is_open: bool,
    failure_threshold: int = 1,
    recovery_threshold: int = 1,
) -> IncidentChange | None:
    """Return whether an incident opens or closes; None for neither.

    *outcomes* are those of the finished slots, oldest first, since the monitor was last created,
    edited or resumed. *is_open* says whether an incident is open.
    """
    if is_open:
        return "close" if _all_last(outcomes, recovery_threshold, GOOD) else None
    return "open" if _all_last(outcomes, failure_threshold, BAD) else None


def slots_in_gap(
    schedule: Schedule,
    after: datetime,
    until: datetime,
    *,
    start_grace: int | None = None,
    margin: int | None = None,
    cap: int = MAX_ROWS,
) -> GapSlots:
    """Return the slots expected later than *after* and not later than *until*.

    For an interval, *after* is a slot's expected_at. The oldest *cap* slots are listed.
    """
    count = schedule.count_between(after, until)
    expected = list(islice(schedule.runs_after(after), min(count, cap)))
    slots = tuple(
        slot_expected_at(schedule, moment, start_grace=start_grace, margin=margin)
        for moment in expected
    )
    if count <= cap:
        return GapSlots(slots, None)
    listed = expected[-1] if expected else after
    return GapSlots(slots, _rest(schedule, listed, until, count - cap))


def _rest(schedule: Schedule, after: datetime, until: datetime, count: int) -> Rest:
    if isinstance(schedule, Interval):
        last = after + count * schedule.gap
    else:
        last = schedule.previous_before(until + timedelta(microseconds=1))
    return Rest(count, schedule.next_after(after), last)


def _all_last(outcomes: Sequence[SlotState], count: int, wanted: Collection[SlotState]) -> bool:
    last = outcomes[-count:]
    return len(last) == count and all(outcome in wanted for outcome in last)
