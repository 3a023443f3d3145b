"""For how long tasks are kept, by how they ended."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.domain.retention import OUTCOMES, Retention
from taskbadger.domain.status import STATUSES

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def days_of(retention: Retention) -> tuple[int | None, ...]:
    return tuple(retention.days_of(outcome) for outcome in OUTCOMES)


def test_every_status_belongs_to_one_outcome() -> None:
    assert sorted(status for some in OUTCOMES.values() for status in some) == sorted(STATUSES)


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(1), (None, None, None, None)),
        (Retention(1, 30), (30, 30, 30, 30)),
        (Retention(1, 30, success=7), (7, 30, 30, 30)),
        (Retention(1, 30, failure=365), (30, 365, 30, 30)),
        (Retention(1, None, unfinished=3), (None, None, None, 3)),
        (Retention(1, 9, 1, 2, 3), (1, 2, 9, 3)),
    ],
)
def test_outcome_without_days_of_its_own_has_the_general_ones(
    retention: Retention, kept: tuple[int | None, ...]
) -> None:
    assert days_of(retention) == kept


def test_statuses_have_the_times_of_their_outcomes() -> None:
    retention = Retention(1, 9, 1, 2, 3)
    days = {"success": 1, "error": 2, "cancelled": 9}

    found = {status: retention.cutoff(status, NOW) for status in STATUSES}

    assert found == {status: NOW - timedelta(days=days.get(status, 3)) for status in STATUSES}
    assert Retention(1).cutoff("error", NOW) is None


@pytest.mark.parametrize(
    ("retention", "history", "slots"),
    [
        (Retention(1), None, 400),
        (Retention(1, 7), 30, 100),
        (Retention(1, 7, failure=365), 365, 365),
        (Retention(1, None, failure=7), 30, 400),
        (Retention(1, 3000), 3000, 3000),
    ],
)
def test_history_follows_failures_and_slots_follow_what_is_kept_longest(
    retention: Retention, history: int | None, slots: int
) -> None:
    assert (retention.days_of_history, retention.days_of_slots) == (history, slots)


@pytest.mark.parametrize(
    ("before", "after", "shortened"),
    [
        (Retention(1), Retention(1, 30), [*OUTCOMES]),
        (Retention(1, 30), Retention(1), []),
        (Retention(1, 30), Retention(1, 30, failure=7), ["failure"]),
        (Retention(1, 30, success=7), Retention(1, 30), []),
        (Retention(1, 30, success=90), Retention(1, 30), ["success"]),
        (Retention(1, 30), Retention(1, 7, 30, 30, 30), ["cancelled"]),
        (Retention(1, None, 7), Retention(1, None, None, 7), ["failure"]),
    ],
)
def test_outcomes_that_are_kept_for_a_shorter_time(
    before: Retention, after: Retention, shortened: list[str]
) -> None:
    assert after.shortened(before) == shortened
