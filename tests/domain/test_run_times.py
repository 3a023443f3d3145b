"""Histograms of run times."""

import random

import pytest

from taskbadger.domain.run_times import (
    BAR_NAMES,
    bin_of,
    count_by_bar,
    merged,
    p95_change,
    percentile,
    read_stored,
    seconds_of,
    stored,
)


@pytest.mark.parametrize("seconds", [0.002, 0.5, 1, 3.3, 59, 3600, 1_000_000])
def test_bin_tells_a_run_time_within_five_percent(seconds: float) -> None:
    assert seconds_of(bin_of(seconds)) == pytest.approx(seconds, rel=0.05)


def test_run_times_up_to_a_millisecond_share_a_bin() -> None:
    assert {bin_of(0), bin_of(0.0005), bin_of(0.001)} == {0}


def test_percentiles_come_near_the_true_ones() -> None:
    random.seed(1)
    runs = sorted(random.lognormvariate(1, 1) for _ in range(10_000))
    histogram = merged({bin_of(run): 1} for run in runs)

    assert percentile(histogram, 0.5) == pytest.approx(runs[5000], rel=0.06)
    assert percentile(histogram, 0.95) == pytest.approx(runs[9500], rel=0.06)


def test_nothing_has_no_percentile() -> None:
    assert percentile({}, 0.5) is None


def test_histogram_is_stored_as_short_json() -> None:
    histogram = {0: 3, 97: 12}

    assert stored(histogram) == '{"0":3,"97":12}'
    assert read_stored(stored(histogram)) == histogram
    assert read_stored("{}") == {}


def test_bars_add_up() -> None:
    runs = [0.05, 0.5, 0.6, 5, 30, 300, 1800, 7200, 90_000]
    histogram = merged({bin_of(run): 1} for run in runs)

    assert count_by_bar(histogram) == [1, 2, 1, 1, 1, 1, 1, 1]
    assert len(BAR_NAMES) == 8


def histogram(seconds: float, count: int) -> dict[int, int]:
    return {bin_of(seconds): count}


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ((10, 5), (20, 5), 1.0),
        ((20, 5), (10, 5), -0.5),
        ((10, 5), (11, 5), None),
        ((10, 4), (20, 5), None),
        ((10, 5), (20, 4), None),
        ((10, 0), (20, 0), None),
    ],
)
def test_change_of_p95_is_told_only_where_it_says_something(
    before: tuple[float, int], now: tuple[float, int], change: float | None
) -> None:
    found = p95_change(histogram(*before), histogram(*now))

    assert found == (None if change is None else pytest.approx(change, abs=0.1))
