"""Slots: starts, deadlines, outcomes, incidents, outages and gaps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskbadger.domain.schedule import Cron, Interval, Schedule, parse_cron
from taskbadger.domain.slots import (
    BAD,
    GOOD,
    OUTCOMES,
    GapSlots,
    Outage,
    Rest,
    SlotEvent,
    SlotState,
    SlotTimes,
    cron_slot_of,
    decide_incident,
    default_start_grace,
    early_margin,
    event_of,
    interval_slot_of,
    next_slot,
    next_state,
    slot_after_run,
    slot_expected_at,
    slots_in_gap,
    timeout_at,
)

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HOURLY = parse_cron("0 * * * *")
TEN_MINUTES = Interval(600)
TEN_MINUTES_FROM_END = Interval(600, "end")


def at(time: str) -> datetime:
    """Return a moment of one day in UTC."""
    return datetime.fromisoformat(f"2026-06-01T{time}").replace(tzinfo=UTC)


# Defaults


@pytest.mark.parametrize(
    ("schedule", "seconds"),
    [
        (HOURLY, 60),
        (Interval(60), 60),
        (Interval(600), 60),
        (Interval(609), 60),
        (Interval(610), 61),
        (Interval(86400), 8640),
    ],
)
def test_start_grace_is_a_minute_or_a_tenth_of_the_interval(
    schedule: Schedule, seconds: int
) -> None:
    assert default_start_grace(schedule) == seconds


@pytest.mark.parametrize(
    ("gap", "chosen", "margin"),
    [
        (MINUTE, None, 15 * SECOND),
        (20 * MINUTE, None, 5 * MINUTE),
        (1196 * SECOND, None, 299 * SECOND),
        (24 * HOUR, None, 5 * MINUTE),
        (24 * HOUR, 0, timedelta()),
        (24 * HOUR, 7200, 2 * HOUR),
        (HOUR, 7200, 30 * MINUTE),
    ],
)
def test_early_margin_leaves_room_for_the_slot_before(
    gap: timedelta, chosen: int | None, margin: timedelta
) -> None:
    assert early_margin(gap, chosen) == margin


# Starts


@pytest.mark.parametrize(
    ("schedule", "options", "slot"),
    [
        (HOURLY, {}, ("12:00", "12:01", "11:55", "12:55")),
        (HOURLY, {"start_grace": 0, "margin": 0}, ("12:00", "12:00", "12:00", "13:00")),
        (HOURLY, {"start_grace": 7200}, ("12:00", "14:00", "11:55", "12:55")),
        # The neighbours at 11:40 and 12:04 lie at different distances.
        (parse_cron("0,4,40 * * * *"), {}, ("12:00", "12:01", "11:55", "12:03")),
        (TEN_MINUTES, {}, ("12:00", "12:01", "11:57:30", "12:07:30")),
        (TEN_MINUTES, {"margin": 60, "start_grace": 120}, ("12:00", "12:02", "11:59", "12:09")),
    ],
)
def test_slot_has_a_deadline_and_accepts_starts(
    schedule: Schedule, options: dict[str, int], slot: tuple[str, str, str, str]
) -> None:
    expected = SlotTimes(*map(at, slot))

    assert slot_expected_at(schedule, at("12:00"), **options) == expected
    assert next_slot(schedule, schedule.previous_before(at("12:00")), **options) == expected


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("11:54:59.999999", "11:00"),
        ("11:55", "12:00"),
        ("12:00", "12:00"),
        ("12:30", "12:00"),
        ("12:54:59.999999", "12:00"),
        ("12:55", "13:00"),
    ],
)
def test_start_belongs_to_the_slot_that_accepts_it(started: str, expected: str) -> None:
    slot = cron_slot_of(HOURLY, at(started))

    assert slot == slot_expected_at(HOURLY, at(expected))
    assert slot.accepts(at(started))


@pytest.mark.parametrize(
    ("started", "expected"),
    [
        ("11:57:29", "11:50"),
        ("11:57:30", "12:00"),
        ("12:07:29", "12:00"),
        ("12:07:30", "12:10"),
        ("12:59", "13:00"),
        ("10:59", "11:00"),
    ],
)
def test_start_belongs_to_the_interval_that_accepts_it(started: str, expected: str) -> None:
    slot = interval_slot_of(TEN_MINUTES, at(started), expected_at=at("12:00"))

    assert slot == slot_expected_at(TEN_MINUTES, at(expected))


def test_accepted_starts_follow_the_clock_change() -> None:
    cron = parse_cron("30 2 * * *", "America/New_York")
    skipped = datetime(2026, 3, 8, 7, 0, tzinfo=UTC)  # 03:00 EDT

    assert cron_slot_of(cron, skipped) == SlotTimes(
        expected_at=skipped,
        deadline_at=skipped + MINUTE,
        accepts_from=skipped - 5 * MINUTE,
        accepts_until=datetime(2026, 3, 9, 6, 25, tzinfo=UTC),
    )


crons = st.builds(
    parse_cron,
    st.sampled_from(
        ["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0,4,40 1-3 * * MON", "0 0 1 * *"]
    ),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo"]),
)
moments = st.datetimes(
    datetime(2017, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2027, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
margins = st.none() | st.integers(0, 100_000)


@settings(deadline=None)
@given(crons, moments, margins)
def test_slots_of_a_cron_accept_every_start_once(
    cron: Cron, moment: datetime, margin: int | None
) -> None:
    slots = [slot_expected_at(cron, run, margin=margin) for run in cron.next_runs(6, after=moment)]

    assert all(early.accepts_until == late.accepts_from for early, late in pairwise(slots))
    assert all(slot.accepts_from < slot.accepts_until for slot in slots)
    assert all(slot.accepts(slot.expected_at) for slot in slots)


@settings(deadline=None)
@given(crons, moments, margins)
def test_each_start_belongs_to_exactly_one_slot(
    cron: Cron, moment: datetime, margin: int | None
) -> None:
    found = cron_slot_of(cron, moment, margin=margin)
    around = [cron.previous_before(found.expected_at), found.expected_at]
    around = [cron.previous_before(around[0]), *around, *cron.next_runs(2, after=around[1])]

    slots = [slot_expected_at(cron, run, margin=margin) for run in around]

    assert [slot for slot in slots if slot.accepts(moment)] == [found]


@given(st.integers(60, 100_000), moments, moments, margins)
def test_each_start_belongs_to_exactly_one_interval(
    seconds: int, expected_at: datetime, moment: datetime, margin: int | None
) -> None:
    interval = Interval(seconds)

    slot = interval_slot_of(interval, moment, expected_at=expected_at, margin=margin)
    after = next_slot(interval, slot.expected_at, margin=margin)

    assert slot.accepts(moment)
    assert slot.accepts(slot.expected_at)
    assert slot.accepts_until == after.accepts_from
    assert (slot.expected_at - expected_at) % interval.gap == timedelta()


# Intervals and the last run


@pytest.mark.parametrize(
    ("interval", "ended", "slot"),
    [
        (TEN_MINUTES, "12:03", ("12:10", "12:11", "12:07:30", "12:17:30")),
        (TEN_MINUTES, "12:10:30", ("12:10", "12:11:30", "12:07:30", "12:17:30")),
        (TEN_MINUTES, "12:45", ("12:10", "12:46", "12:07:30", "12:17:30")),
        (TEN_MINUTES, None, ("12:10", None, "12:07:30", "12:17:30")),
        (TEN_MINUTES_FROM_END, "12:03", ("12:13", "12:14", "12:10:30", "12:20:30")),
        (TEN_MINUTES_FROM_END, None, None),
    ],
)
def test_interval_counts_from_its_anchor_and_waits_for_a_running_one(
    interval: Interval, ended: str | None, slot: tuple[str, str | None, str, str] | None
) -> None:
    times = [at(time) if time else None for time in slot] if slot else []
    following = slot_after_run(
        interval, started_at=at("12:00"), ended_at=at(ended) if ended else None
    )

    assert following == (SlotTimes(*times) if slot else None)  # type: ignore[arg-type] # a table


def test_chosen_grace_counts_from_the_end_of_a_long_run() -> None:
    slot = slot_after_run(
        TEN_MINUTES, started_at=at("12:00"), ended_at=at("13:00"), start_grace=300, margin=0
    )

    assert slot == SlotTimes(at("12:10"), at("13:05"), at("12:10"), at("12:20"))


@pytest.mark.parametrize(("max_runtime", "moment"), [(None, None), (90, at("12:01:30"))])
def test_run_times_out_its_max_runtime_after_its_start(
    max_runtime: int | None, moment: datetime | None
) -> None:
    assert timeout_at(at("12:00"), max_runtime) == moment


# Outcomes

STATES = {
    "expected": SlotState.EXPECTED,
    "running": SlotState.RUNNING,
    **{outcome.value: outcome for outcome in OUTCOMES},
}
COLUMNS = (
    "started succeeded failed cancelled extra_failed deadline_passed runtime_exceeded paused outage"
)
# A dot: the state stays.
TABLE = {
    "expected": "running ok error skipped error missed . skipped unknown",
    "running": ". ok error skipped error . timeout skipped .",
    "ok": ". . error . error . . . .",
    "late": ". . error . error . . . .",
    "error": ". . . . . . . . .",
    "missed": ". late error . error . . . .",
    "timeout": ". late . . error . . . .",
    "unknown": ". ok error skipped error . . . .",
    "skipped": ". . . . error . . . .",
}


@pytest.mark.parametrize("state", TABLE)
def test_event_turns_the_slot_as_the_table_says(state: str) -> None:
    row = {event: next_state(STATES[state], SlotEvent(event)).value for event in COLUMNS.split()}

    assert row == {
        event: state if cell == "." else cell
        for event, cell in zip(COLUMNS.split(), TABLE[state].split(), strict=True)
    }


def test_table_covers_every_state_and_event() -> None:
    assert set(TABLE) == {state.value for state in SlotState}
    assert COLUMNS.split() == [event.value for event in SlotEvent]


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        (["started", "succeeded"], "ok"),
        (["deadline_passed", "started", "succeeded"], "late"),
        (["started", "runtime_exceeded", "succeeded"], "late"),
        (["deadline_passed", "started", "runtime_exceeded", "failed"], "error"),
        (["started", "succeeded", "extra_failed"], "error"),
        (["started", "extra_failed", "succeeded"], "error"),
        (["started", "cancelled"], "skipped"),
        (["started", "deadline_passed", "succeeded"], "ok"),
        (["outage", "started", "succeeded"], "ok"),
    ],
)
def test_story_of_a_slot_has_its_end(events: list[str], outcome: str) -> None:
    state = SlotState.EXPECTED
    for event in events:
        state = next_state(state, SlotEvent(event))

    assert state == outcome


@pytest.mark.parametrize(("state", "event"), list(product(sorted(OUTCOMES), SlotEvent)))
def test_outcome_never_becomes_open_again(state: SlotState, event: SlotEvent) -> None:
    assert next_state(state, event) in OUTCOMES


@pytest.mark.parametrize(
    ("status", "event", "extra"),
    [
        ("pending", None, None),
        ("pre_processing", "started", None),
        ("processing", "started", None),
        ("post_processing", "started", None),
        ("success", "succeeded", None),
        ("error", "failed", "extra_failed"),
        ("stale", "failed", "extra_failed"),
        ("cancelled", "cancelled", None),
    ],
)
def test_status_of_a_task_is_an_event_of_its_slot(
    status: str, event: str | None, extra: str | None
) -> None:
    assert (event_of(status), event_of(status, extra=True)) == (event, extra)


# Incidents


@pytest.mark.parametrize(
    ("outcomes", "thresholds", "closed", "opened"),
    [
        ("", (1, 1), None, None),
        ("ok", (1, 1), None, "close"),
        ("late", (1, 1), None, "close"),
        ("error", (1, 1), "open", None),
        ("missed", (1, 1), "open", None),
        ("timeout", (1, 1), "open", None),
        ("unknown", (1, 1), None, None),
        ("skipped", (1, 1), None, None),
        ("error missed", (3, 1), None, None),
        ("error missed timeout", (3, 1), "open", None),
        ("ok error missed timeout", (3, 1), "open", None),
        ("error missed ok timeout", (3, 1), None, None),
        ("error unknown error", (2, 1), None, None),
        ("error skipped error", (2, 1), None, None),
        ("error error unknown", (2, 1), None, None),
        ("error ok", (1, 2), None, None),
        ("error ok late", (1, 2), None, "close"),
        ("error ok unknown ok", (1, 2), None, None),
        ("error ok error ok", (1, 2), None, None),
        ("ok error", (1, 1), "open", None),
    ],
)
def test_incident_opens_and_closes_by_rows_of_slots(
    outcomes: str, thresholds: tuple[int, int], closed: str | None, opened: str | None
) -> None:
    failure, recovery = thresholds
    row = [SlotState(outcome) for outcome in outcomes.split()]

    changes = [
        decide_incident(
            row, is_open=is_open, failure_threshold=failure, recovery_threshold=recovery
        )
        for is_open in (False, True)
    ]

    assert changes == [closed, opened]


def test_outcomes_are_good_or_bad_or_neither() -> None:
    assert {SlotState.UNKNOWN, SlotState.SKIPPED} == OUTCOMES - GOOD - BAD
    assert GOOD.isdisjoint(BAD)


@given(
    st.lists(st.sampled_from(sorted(OUTCOMES)), max_size=12),
    st.integers(1, 4),
    st.integers(1, 4),
)
def test_incidents_agree_with_counting_rows(
    outcomes: list[SlotState], failure: int, recovery: int
) -> None:
    is_open, bad, good = False, 0, 0

    for index, outcome in enumerate(outcomes, start=1):
        bad = bad + 1 if outcome in BAD else 0
        good = good + 1 if outcome in GOOD else 0
        expected = None
        if not is_open and bad >= failure:
            expected, is_open = "open", True
        elif is_open and good >= recovery:
            expected, is_open = "close", False
        assert expected == decide_incident(
            outcomes[:index],
            is_open=is_open if expected is None else expected == "close",
            failure_threshold=failure,
            recovery_threshold=recovery,
        )


# Our own outages


@pytest.mark.parametrize(
    ("deadline", "extended"),
    [
        ("10:59:59", "10:59:59"),
        ("11:00", "13:00"),
        ("12:30", "14:30"),
        ("13:00", "15:00"),
        ("13:00:01", "13:00:01"),
    ],
)
def test_deadline_inside_an_outage_is_put_off_by_its_length(deadline: str, extended: str) -> None:
    outage = Outage(at("11:00"), at("13:00"))

    assert outage.length == 2 * HOUR
    assert outage.extend(at(deadline)) == at(extended)


@pytest.mark.parametrize(
    ("expected", "deadline", "inside"),
    [
        ("11:00", "11:01", True),
        ("12:59", "13:00", True),
        ("10:59:59", "11:30", False),
        ("12:59", "13:00:01", False),
        ("10:00", "10:01", False),
        ("14:00", "14:01", False),
        ("12:00", None, False),
    ],
)
def test_slot_is_lost_when_it_lies_wholly_inside_an_outage(
    expected: str, deadline: str | None, inside: bool
) -> None:
    slot = SlotTimes(at(expected), at(deadline) if deadline else None, at("09:00"), at("15:00"))

    assert Outage(at("11:00"), at("13:00")).contains(slot) == inside


# Gaps


def test_short_gap_is_written_out() -> None:
    assert slots_in_gap(HOURLY, at("12:00"), at("14:00"), start_grace=120) == GapSlots(
        (
            slot_expected_at(HOURLY, at("13:00"), start_grace=120),
            slot_expected_at(HOURLY, at("14:00"), start_grace=120),
        ),
        None,
    )
    assert slots_in_gap(TEN_MINUTES, at("12:00"), at("12:09")) == GapSlots((), None)
    assert slots_in_gap(HOURLY, at("12:00"), at("11:00")) == GapSlots((), None)


@pytest.mark.parametrize(
    ("schedule", "minutes"), [(parse_cron("* * * * *"), 1), (Interval(120), 2)]
)
def test_long_gap_is_a_hundred_slots_and_the_rest_in_one(schedule: Schedule, minutes: int) -> None:
    start = at("00:00")
    step = minutes * MINUTE

    gap = slots_in_gap(schedule, start, start + 700 * step)
    even = slots_in_gap(schedule, start, start + 100 * step)

    assert [slot.expected_at for slot in gap.slots] == [
        start + index * step for index in range(1, 101)
    ]
    assert gap.rest == Rest(600, start + 101 * step, start + 700 * step)
    assert (len(even.slots), even.rest) == (100, None)


def test_gap_may_be_summed_up_whole() -> None:
    gap = slots_in_gap(HOURLY, at("12:30"), at("15:30"), cap=0)

    assert gap == GapSlots((), Rest(3, at("13:00"), at("15:00")))
