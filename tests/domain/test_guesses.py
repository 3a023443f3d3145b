"""What the latest runs of a job say about its schedule and its run time."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from taskbadger.domain.guesses import Guess, guess_limit, guess_schedule
from taskbadger.domain.schedule import parse_cron, parse_interval

SINCE = datetime(2026, 3, 2, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")


def runs_of(expression: str, zone: str, count: int, late: float = 3.0) -> Iterator[datetime]:
    """Yield runs of a crontab, each up to *late* seconds late."""
    chance = random.Random(expression)
    expected = parse_cron(expression, zone).runs_after(SINCE)
    for moment in islice(expected, count):
        yield moment + timedelta(seconds=chance.uniform(0, late))


@pytest.mark.parametrize("count", [4, 20, 50])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "Asia/Kathmandu"])
@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "*/5 * * * *",
        "3-59/15 * * * *",
        "*/30 * * * *",
        "7 * * * *",
        "0 */6 * * *",
        "15 2-23/8 * * *",
        "30 2 * * *",
        "59 23 * * *",
        "0 0 * * *",
        "45 6 * * 1",
        "0 12 * * 0",
    ],
)
def test_crontab_is_found_in_the_times_of_its_runs(expression: str, zone: str, count: int) -> None:
    starts = runs_of(expression, zone, count)

    assert guess_schedule(starts, ZoneInfo(zone)) == Guess(schedule=expression)


def test_runs_of_workdays_are_known_by_their_weekends() -> None:
    weeks, days = runs_of("30 2 * * 1-5", "UTC", 10), runs_of("30 2 * * 1-5", "UTC", 5)

    assert guess_schedule(weeks, ZoneInfo("UTC")) == Guess(schedule="30 2 * * 1-5")
    assert guess_schedule(days, ZoneInfo("UTC")) == Guess(schedule="30 2 * * *")


def test_time_of_a_daily_run_is_that_of_the_given_zone() -> None:
    starts = list(runs_of("30 2 * * *", "Europe/Paris", 50))

    assert guess_schedule(starts, PARIS) == Guess(schedule="30 2 * * *")


@pytest.mark.parametrize("late", [50.0, 200.0])
def test_delays_do_not_hide_the_time(late: float) -> None:
    assert guess_schedule(runs_of("30 2 * * *", "UTC", 30, late), ZoneInfo("UTC")) == Guess(
        schedule="30 2 * * *"
    )


def test_few_missed_and_repeated_runs_do_not_hide_the_schedule() -> None:
    starts = list(runs_of("0 * * * *", "UTC", 40))
    starts = starts[:10] + starts[12:] + [starts[5] + timedelta(minutes=7)]

    assert guess_schedule(starts, ZoneInfo("UTC")) == Guess(schedule="0 * * * *")


@pytest.mark.parametrize(
    ("seconds", "interval"), [(605, 600), (100, 100), (5000, 4980), (50_000, 50_400)]
)
def test_runs_that_drift_have_an_interval(seconds: int, interval: int) -> None:
    starts = [SINCE + number * timedelta(seconds=seconds) for number in range(30)]

    assert guess_schedule(starts, ZoneInfo("UTC")) == Guess(interval=interval)


def test_irregular_runs_have_no_schedule() -> None:
    chance = random.Random(1)
    starts = [SINCE + timedelta(seconds=chance.uniform(0, 10**6)) for _ in range(50)]
    bursts = [SINCE + timedelta(hours=number // 10) for number in range(50)]

    assert guess_schedule(starts, ZoneInfo("UTC")) == Guess()
    assert guess_schedule(bursts, ZoneInfo("UTC")) == Guess()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_runs_have_no_schedule(count: int) -> None:
    starts = runs_of("0 * * * *", "UTC", count)

    assert guess_schedule(starts, ZoneInfo("UTC")) == Guess()


def test_guesses_can_be_used_as_they_are() -> None:
    """Whatever the times of the runs were."""
    chance = random.Random(7)
    for _ in range(2000):
        gap, jitter = 10 ** chance.uniform(0, 7), chance.choice([0.0, 0.01, 0.1])
        starts = [
            SINCE + timedelta(seconds=number * gap * (1 + chance.uniform(-jitter, jitter)))
            for number in range(chance.randint(0, 30))
        ]

        guess = guess_schedule(starts, PARIS)

        if guess.schedule is not None:
            parse_cron(guess.schedule, "Europe/Paris").next_after(SINCE)
        if guess.interval is not None:
            parse_interval(guess.interval, "start")


@pytest.mark.parametrize(
    ("run_times", "limit"),
    [
        ([], None),
        ([0.0], 60),
        ([29.0, 31.0], 60),
        ([31.0, 31.0], 120),
        ([230.0] * 20, 600),
        ([230.0] * 99 + [9000.0], 600),
        ([3700.0], 10_800),
        ([43_200.0], 86_400),
        ([43_201.0], None),
    ],
)
def test_limit_is_twice_the_usual_run_time_rounded_up(
    run_times: list[float], limit: int | None
) -> None:
    assert guess_limit(timedelta(seconds=each) for each in run_times) == limit
