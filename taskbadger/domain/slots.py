"""Slots: which run belongs to which expected one, how a slot ends, and when that is an incident.

Where the specification of monitors leaves a choice, this is ours:

- The neighbour that bounds the early margin is the slot before, for that is what an early run
  could be taken for. A margin that someone chose is cut to half of that gap, or else a run that
  is on time would count for the next slot.
- A start grace may be longer than the gap to the next slot: the slot then waits for its own
  deadline, while a later start belongs to a later window.
- After an interval without a run the next one is expected an interval later. A run that outlasts
  its interval leaves the whole grace from its end for the next start.
- ``unknown`` and ``skipped`` are neither good nor bad: they end a row of either kind.
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
"""Slots that a gap is written out as; one more row sums up the rest."""

Verdict = Literal["open", "close"]


class SlotState(StrEnum):
    """What is known of a slot; all but the first two are outcomes."""

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
    """What can happen to a slot; a run is the first of its window unless the event says extra."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The run's task is in error, or stale."""
    CANCELLED = "cancelled"
    EXTRA_FAILED = "extra_failed"
    """A later run of the same window failed."""
    DEADLINE_PASSED = "deadline_passed"
    """Feed it before STARTED when the run started after the deadline."""
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
    # The run's task may change its mind: success is not always its last word.
    SlotState.OK: {
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    SlotState.LATE: {
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # A run came after all, and its end says more than that it was late.
    SlotState.MISSED: {
        SlotEvent.SUCCEEDED: SlotState.LATE,
        SlotEvent.FAILED: SlotState.ERROR,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # A run that hung and was then ended still hung: its failure does not hide the timeout.
    SlotState.TIMEOUT: {
        SlotEvent.SUCCEEDED: SlotState.LATE,
        SlotEvent.EXTRA_FAILED: SlotState.ERROR,
    },
    # What we could not see in an outage, a run that is reported afterwards tells.
    SlotState.UNKNOWN: dict(_ENDED_BY),
    SlotState.SKIPPED: {SlotEvent.EXTRA_FAILED: SlotState.ERROR},
    SlotState.ERROR: {},
}


@dataclass(frozen=True, slots=True)
class SlotTimes:
    """When one run is expected; all in UTC."""

    expected_at: datetime
    deadline_at: datetime | None
    """A start later than this is missed; None while a run is going on, for nothing is then."""
    window_start: datetime
    window_end: datetime
    """The first moment that belongs to the next slot."""

    def holds(self, started_at: datetime) -> bool:
        """Tell whether a run that started at *started_at* belongs to this slot."""
        return self.window_start <= started_at < self.window_end


@dataclass(frozen=True, slots=True)
class Rest:
    """The slots of a gap that are not written out."""

    count: int
    first_expected_at: datetime
    last_expected_at: datetime


@dataclass(frozen=True, slots=True)
class GapSlots:
    """The slots of a gap: the oldest ones, and the rest in one."""

    slots: tuple[SlotTimes, ...]
    rest: Rest | None


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the background worker did not tick."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it lasted."""
        return self.end - self.start

    def contains(self, slot: SlotTimes) -> bool:
        """Tell whether *slot*, from its expected start to its deadline, lies wholly inside."""
        return (
            slot.deadline_at is not None
            and self.start <= slot.expected_at
            and slot.deadline_at <= self.end
        )

    def extend(self, deadline: datetime) -> datetime:
        """Return *deadline*, put off by the outage's length when it lies inside."""
        return deadline + self.length if self.start <= deadline <= self.end else deadline


def default_start_grace(schedule: Schedule) -> int:
    """Return how many seconds late a start may be where nobody chose."""
    if isinstance(schedule, Cron):
        return MIN_START_GRACE
    return max(MIN_START_GRACE, schedule.seconds // 10)


def early_margin(gap: timedelta, chosen: int | None = None) -> timedelta:
    """Return how early a run may come that is *gap* after the slot before.

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
        window_start=expected_at - early_margin(expected_at - before, margin),
        window_end=after - early_margin(after - expected_at, margin),
    )


def next_slot(
    schedule: Schedule,
    after: datetime,
    *,
    start_grace: int | None = None,
    margin: int | None = None,
) -> SlotTimes:
    """Return the slot that follows *after*: for an interval, one interval later."""
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
    if following.holds(started_at):
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

    *expected_at* is that of any slot since the last run; slots lie whole intervals from it.
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
    """Return the slot that an interval's last run leads to.

    *ended_at* is None while it is going on: then the slot has no deadline, and there is none at
    all where the end is the anchor.
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
    return SlotTimes(slot.expected_at, deadline, slot.window_start, slot.window_end)


def timeout_at(started_at: datetime, max_runtime: int | None) -> datetime | None:
    """Return when a run has taken longer than *max_runtime* seconds; None for never."""
    return None if max_runtime is None else started_at + timedelta(seconds=max_runtime)


def event_of(status: str, *, extra: bool = False) -> SlotEvent | None:
    """Return what a task's *status* means for its slot; None for nothing.

    *extra* marks a run that is not the first of its window: only its error counts.
    """
    if status in (ERROR, STALE):
        return SlotEvent.EXTRA_FAILED if extra else SlotEvent.FAILED
    if extra:
        return None
    if status in RUNNING:
        return SlotEvent.STARTED
    return {SUCCESS: SlotEvent.SUCCEEDED, CANCELLED: SlotEvent.CANCELLED}.get(status)


def apply(state: SlotState, event: SlotEvent) -> SlotState:
    """Return what *event* makes of a slot; the same state where it changes nothing."""
    return _NEXT[state].get(event, state)


def judge(
    outcomes: Sequence[SlotState],
    *,
    is_open: bool,
    failure_threshold: int = 1,
    recovery_threshold: int = 1,
) -> Verdict | None:
    """Tell whether an incident opens or closes; None for neither.

    *outcomes* are those of the finished slots, oldest first, since the monitor was last made,
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

    For an interval *after* is a slot's expected_at. The oldest *cap* slots are listed.
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
