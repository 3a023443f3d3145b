"""When failed deliveries are tried again."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.domain import retries

NOW = datetime(2026, 5, 4, tzinfo=UTC)
STEPS = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
"""Seconds after the first failure, the second, …"""


@pytest.mark.parametrize(("attempts", "seconds"), list(enumerate(STEPS, start=1)))
def test_each_failure_waits_longer_by_a_tenth_more_or_less(attempts: int, seconds: int) -> None:
    found = [retries.next_attempt(attempts, now=NOW, chance=chance) for chance in (0.0, 0.5, 1.0)]

    assert found == [NOW + timedelta(seconds=seconds * part) for part in (0.9, 1, 1.1)]


def test_tenth_failure_is_the_last() -> None:
    assert retries.next_attempt(10, now=NOW, chance=0.5) is None
    assert retries.next_attempt(11, now=NOW, chance=0.5, retry_after=5) is None


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(3, 5), (60, 60), (86_400, 86_400), (10**9, 86_400), (-5, 5), (0, 5)],
)
def test_receiver_that_asks_for_a_wait_gets_it_up_to_a_day(
    retry_after: float, seconds: int
) -> None:
    found = retries.next_attempt(1, now=NOW, chance=0.5, retry_after=retry_after)

    assert found == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, None), (4, None), (5, 300), (6, 1800), (7, 7200), (12, 86_400), (40, 86_400)],
)
def test_receiver_is_left_alone_after_five_failures_in_a_row(
    failures: int, seconds: int | None
) -> None:
    found = retries.hold_until(failures, now=NOW, chance=0.5)

    assert found == (None if seconds is None else NOW + timedelta(seconds=seconds))


def test_receiver_that_asks_for_a_wait_is_left_alone_at_once() -> None:
    found = retries.hold_until(1, now=NOW, chance=0.5, retry_after=90)

    assert found == NOW + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("proven", "failures", "most"), [(True, 0, 4), (False, 0, 1), (True, 1, 1), (False, 3, 1)]
)
def test_only_receivers_that_work_get_several_at_once(
    proven: bool, failures: int, most: int
) -> None:
    assert retries.max_at_once(proven=proven, failures=failures) == most
