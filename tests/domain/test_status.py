"""The sentences of docs/contract.md#lifecycle as a table, and a model that any walk must match."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.status import (
    STATUSES,
    Lifecycle,
    begin,
    move,
    overdue_at,
    stale_at,
    value_percent,
)

MADE = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = MADE + timedelta(seconds=10)
ENDED = MADE + timedelta(seconds=60)
NOW = MADE + timedelta(seconds=90)
GIVEN = datetime(2020, 2, 2, tzinfo=UTC)
WAITED = timedelta(seconds=10)
RUNNING = ["pre_processing", "processing", "post_processing"]
TERMINAL = ["success", "error", "cancelled"]

PENDING_TASK = Lifecycle(created=MADE)
RUNNING_TASK = Lifecycle(MADE, "processing", STARTED, None, WAITED)
FAILED_TASK = Lifecycle(MADE, "error", STARTED, ENDED, WAITED)


def test_states_are_those_of_the_contract_in_its_order() -> None:
    assert ("pending", *RUNNING, *TERMINAL, "stale") == STATUSES


@pytest.mark.parametrize("status", RUNNING)
def test_running_task_gets_its_start_and_the_time_it_waited(status: str) -> None:
    after = move(PENDING_TASK, {"status": status}, now=NOW)

    assert after == Lifecycle(MADE, status, NOW, None, NOW - MADE)


@pytest.mark.parametrize("status", TERMINAL)
def test_task_that_ends_unstarted_gets_its_end_and_the_time_it_waited(status: str) -> None:
    after = move(PENDING_TASK, {"status": status}, now=NOW)

    assert after == Lifecycle(MADE, status, None, NOW, NOW - MADE)


def test_pending_task_that_goes_stale_has_not_left_pending() -> None:
    after = move(PENDING_TASK, {"status": "stale"}, now=NOW)

    assert after == Lifecycle(MADE, "stale", stale_from="pending")


@pytest.mark.parametrize("status", RUNNING)
def test_running_task_keeps_its_start_in_another_running_state(status: str) -> None:
    after = move(RUNNING_TASK, {"status": status}, now=NOW)

    assert after == replace(RUNNING_TASK, status=status)


@pytest.mark.parametrize("status", TERMINAL)
def test_running_task_gets_its_end(status: str) -> None:
    after = move(RUNNING_TASK, {"status": status}, now=NOW)

    assert after == replace(RUNNING_TASK, status=status, end_time=NOW)


@pytest.mark.parametrize("status", ["success", "cancelled"])
def test_end_moves_from_one_terminal_state_to_another(status: str) -> None:
    after = move(FAILED_TASK, {"status": status}, now=NOW)

    assert after == replace(FAILED_TASK, status=status, end_time=NOW)


def test_naming_the_same_state_moves_no_time() -> None:
    assert move(FAILED_TASK, {"status": "error"}, now=NOW) is FAILED_TASK


@pytest.mark.parametrize("status", [*RUNNING, "pending"])
def test_retried_job_loses_its_end_and_keeps_its_start(status: str) -> None:
    after = move(FAILED_TASK, {"status": status}, now=NOW)

    assert after == replace(FAILED_TASK, status=status, end_time=None)


def test_ended_task_that_goes_stale_loses_its_end() -> None:
    after = move(FAILED_TASK, {"status": "stale"}, now=NOW)

    assert after == replace(FAILED_TASK, status="stale", end_time=None, stale_from="error")


def test_task_that_is_pending_again_does_not_start_anew() -> None:
    again = replace(RUNNING_TASK, status="pending")

    after = move(again, {"status": "processing"}, now=NOW)

    assert after == RUNNING_TASK


@pytest.mark.parametrize("former", STATUSES[:-1])
def test_update_without_a_state_brings_the_former_state_back(former: str) -> None:
    stale = Lifecycle(MADE, "stale", STARTED, None, WAITED, stale_from=former)

    after = move(stale, {}, now=NOW)

    end = NOW if former in TERMINAL else None
    assert after == Lifecycle(MADE, former, STARTED, end, WAITED)


def test_update_that_names_stale_leaves_a_stale_task_so() -> None:
    stale = Lifecycle(MADE, "stale", stale_from="pending")

    assert move(stale, {"status": "stale"}, now=NOW) == stale


@pytest.mark.parametrize("status", ["processing", "success"])
def test_task_stale_before_it_started_waits_until_it_leaves_both_states(status: str) -> None:
    stale = Lifecycle(MADE, "stale", stale_from="pending")

    after = move(stale, {"status": status}, now=NOW)

    assert after.time_to_start == NOW - MADE
    assert after.stale_from is None


def test_stale_pending_task_is_pending_again_without_having_waited() -> None:
    stale = Lifecycle(MADE, "stale", stale_from="pending")

    assert move(stale, {}, now=NOW) == PENDING_TASK


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"status": "processing", "start_time": GIVEN},
            Lifecycle(MADE, "processing", GIVEN, None, NOW - MADE),
        ),
        (
            {"status": "processing", "time_to_start": timedelta(3)},
            Lifecycle(MADE, "processing", NOW, None, timedelta(3)),
        ),
        (
            {"status": "success", "end_time": GIVEN},
            Lifecycle(MADE, "success", None, GIVEN, NOW - MADE),
        ),
        (
            {"status": "processing", "end_time": GIVEN},
            Lifecycle(MADE, "processing", NOW, GIVEN, NOW - MADE),
        ),
        ({"start_time": GIVEN}, Lifecycle(MADE, "pending", GIVEN)),
        (
            {"status": "processing", "start_time": None},
            Lifecycle(MADE, "processing", None, None, NOW - MADE),
        ),
    ],
)
def test_time_that_is_given_stands(changes: dict[str, Any], expected: Lifecycle) -> None:
    assert move(PENDING_TASK, changes, now=NOW) == expected


def test_start_given_before_is_not_overwritten() -> None:
    ready = Lifecycle(MADE, start_time=GIVEN, time_to_start=timedelta(3))

    after = move(ready, {"status": "processing"}, now=NOW)

    assert after == Lifecycle(MADE, "processing", GIVEN, None, timedelta(3))


def test_no_task_waits_a_negative_time_when_the_clock_steps_back() -> None:
    after = move(PENDING_TASK, {"status": "processing"}, now=MADE - timedelta(hours=2))

    assert after.time_to_start == timedelta()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("pending", Lifecycle(MADE)),
        ("processing", Lifecycle(MADE, "processing", MADE, None, timedelta())),
        ("success", Lifecycle(MADE, "success", None, MADE, timedelta())),
        ("stale", Lifecycle(MADE, "stale", stale_from="pending")),
    ],
)
def test_task_created_past_pending_waited_no_time(status: str, expected: Lifecycle) -> None:
    assert begin({"status": status}, now=MADE) == expected


class _Model:
    """The sentences of docs/contract.md#lifecycle, one by one, with the history they are about."""

    def __init__(self) -> None:
        self.states = ["pending"]
        self.start: datetime | None = None
        self.end: datetime | None = None
        self.waited: timedelta | None = None

    def step(self, named: str | None, now: datetime) -> None:
        before = self.states[-1]
        after = named
        if named is None:
            awake = [state for state in self.states if state != "stale"]
            after = awake[-1] if before == "stale" else before
        assert after is not None
        if after == before:
            return
        self.states.append(after)
        if after not in ("pending", "stale") and self.waited is None:
            self.waited = now - MADE
        if after in RUNNING and self.start is None:
            self.start = now
        self.end = now if after in TERMINAL else None


@given(st.lists(st.tuples(st.sampled_from([None, *STATUSES]), st.integers(1, 10**6))))
def test_any_walk_through_the_states_matches_the_contract(
    steps: list[tuple[str | None, int]],
) -> None:
    task, model, now = PENDING_TASK, _Model(), MADE
    for named, seconds in steps:
        now += timedelta(seconds=seconds)
        task = move(task, {} if named is None else {"status": named}, now=now)
        model.step(named, now)

        shown = (task.status, task.start_time, task.end_time, task.time_to_start)
        assert shown == (model.states[-1], model.start, model.end, model.waited)


@pytest.mark.parametrize(
    ("value", "value_max", "percent"),
    [
        (None, 100, None),
        (0, 0, None),
        (5, 0, None),
        (0, 100, 0),
        (1, 3, 33),
        (2, 3, 66),
        (999, 1000, 99),
        (100, 100, 100),
        (250, 100, 250),
        (2**63 - 1, 2**63 - 1, 100),
        (2**63 - 2, 2**63 - 1, 99),
        (2**63 - 1, 1, 100 * (2**63 - 1)),
    ],
)
def test_percentage_is_the_whole_part(
    value: int | None, value_max: int, percent: int | None
) -> None:
    assert value_percent(value, value_max) == percent


@pytest.mark.parametrize("status", STATUSES)
def test_only_a_task_that_can_still_move_goes_stale(status: str) -> None:
    due = None if status in (*TERMINAL, "stale") else MADE + timedelta(seconds=30)

    assert stale_at(status, MADE, 30) == due
    assert stale_at(status, MADE, None) is None


@pytest.mark.parametrize("status", STATUSES)
def test_only_a_running_task_runs_too_long(status: str) -> None:
    due = STARTED + timedelta(seconds=30) if status in RUNNING else None

    assert overdue_at(status, STARTED, 30) == due
    assert overdue_at(status, STARTED, None) is None
    assert overdue_at(status, None, 30) is None


def test_moment_beyond_the_calendar_never_comes() -> None:
    late = datetime(9999, 12, 31, 23, tzinfo=UTC)

    assert stale_at("pending", late, 2**31 - 1) is None
    assert overdue_at("processing", late, 3600) is None
