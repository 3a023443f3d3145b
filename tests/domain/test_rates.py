"""Rates, against a count of all times in the last *within* seconds."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.rates import Rate, count

START = datetime(2026, 3, 1, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def spoken(seconds: list[int], *, at_least: int, within: int) -> list[int]:
    rate, found = Rate(), []
    for second in seconds:
        rate, speaks = count(rate, at(second), at_least=at_least, within=timedelta(seconds=within))
        if speaks:
            found.append(second)
    return found


def test_it_speaks_when_enough_happened_in_time() -> None:
    assert spoken([0, 100, 200, 300, 400], at_least=5, within=600) == [400]


def test_it_does_not_speak_when_they_are_too_far_apart() -> None:
    assert spoken([0, 300, 600, 900, 1200], at_least=3, within=600) == []


def test_it_speaks_again_only_after_the_rate_has_fallen_below() -> None:
    assert spoken([0, 1, 2, 3, 100, 101, 102], at_least=3, within=10) == [2, 102]


def test_one_is_told_again_after_nothing_has_happened_for_so_long() -> None:
    assert spoken([0, 5, 14, 24, 25, 100], at_least=1, within=10) == [0, 24, 100]


def test_no_more_times_are_kept_than_are_needed() -> None:
    rate = Rate()
    for second in range(100):
        rate, _ = count(rate, at(second), at_least=3, within=timedelta(seconds=50))

    assert rate == Rate([at(97), at(98), at(99)], is_reached=True)


def test_what_is_counted_late_changes_nothing_that_came_since() -> None:
    rate, within = Rate([at(100), at(110)]), timedelta(seconds=50)

    rate, speaks = count(rate, at(0), at_least=3, within=within, now=at(115))

    assert (rate, speaks) == (Rate([at(100), at(110)]), False)
    assert count(rate, at(120), at_least=3, within=within) == (
        Rate([at(100), at(110), at(120)], is_reached=True),
        True,
    )


def test_what_is_counted_late_but_in_time_counts() -> None:
    rate, within = Rate([at(100), at(110)]), timedelta(seconds=50)

    assert count(rate, at(90), at_least=3, within=within, now=at(115))[1] is True


def test_times_of_a_clock_that_was_ahead_are_forgotten() -> None:
    rate, within = Rate([at(10_000), at(10_001)], is_reached=True), timedelta(seconds=50)

    rate, speaks = count(rate, at(0), at_least=2, within=within)

    assert (rate, speaks) == (Rate([at(0)]), False)
    assert count(rate, at(1), at_least=2, within=within)[1] is True


@given(
    gaps=st.lists(st.integers(0, 20), max_size=40),
    at_least=st.integers(1, 5),
    within=st.integers(1, 30),
)
def test_it_agrees_with_a_count_of_everything(gaps: list[int], at_least: int, within: int) -> None:
    seconds = [sum(gaps[: number + 1]) for number in range(len(gaps))]
    expected, was_reached = [], False
    for number, second in enumerate(seconds):
        recent = [each for each in seconds[: number + 1] if each > second - within]
        is_reached = len(recent) >= at_least
        if is_reached and not (was_reached and len(recent) > 1):
            expected.append(second)
        was_reached = is_reached

    assert spoken(seconds, at_least=at_least, within=within) == expected
