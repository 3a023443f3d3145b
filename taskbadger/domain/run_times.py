"""Histograms of run times. Each bin is 10 % wider than the last: percentiles are within 5 %."""

import json
import math
from collections.abc import Iterable, Mapping

GROWTH = 1.1
_STEP = math.log(GROWTH)
BAR_LIMITS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
"""The limits, in seconds, between the bars of the chart."""
BAR_NAMES = (
    "< 0.1 s",
    "0.1–1 s",
    "1–10 s",
    "10–60 s",
    "1–10 min",
    "10–60 min",
    "1–24 h",
    "> 24 h",
)

MIN_COMPARED = 5
"""The runs that are needed before and after to speak of a change."""
MIN_CHANGE = 0.2

Histogram = Mapping[int, int]


def bin_of(seconds: float) -> int:
    """Return the bin of a run time; the first holds all up to a millisecond."""
    milliseconds = seconds * 1000
    return 0 if milliseconds <= 1 else math.ceil(math.log(milliseconds) / _STEP)


def seconds_of(number: int) -> float:
    """Return the middle of a bin, in seconds."""
    return float(GROWTH ** (number - 0.5)) / 1000 if number else 0.0005


def merged(histograms: Iterable[Histogram]) -> dict[int, int]:
    """Return the sum of histograms."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for number, count in histogram.items():
            total[number] = total.get(number, 0) + count
    return total


def stored(histogram: Histogram) -> str:
    """Return the JSON of a histogram."""
    return json.dumps(histogram, separators=(",", ":"))


def read_stored(text: str) -> dict[int, int]:
    """Return the histogram of which this is the JSON."""
    return {int(number): count for number, count in json.loads(text).items()}


def percentile(histogram: Histogram, share: float) -> float | None:
    """Return the run time in seconds that *share* (0 to 1) of the runs did not exceed.

    None if there are no runs.
    """
    rank = math.ceil(sum(histogram.values()) * share)
    seen = 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= rank:
            return seconds_of(number)
    return None


def p95_change(before: Histogram, now: Histogram) -> float | None:
    """Return by what share of it the 95th percentile has changed; None if negligible.

    Few runs say nothing, nor does a change that the ranges of the bins could feign.
    """
    if min(sum(before.values()), sum(now.values())) < MIN_COMPARED:
        return None
    was, is_now = percentile(before, 0.95), percentile(now, 0.95)
    if not was or is_now is None:
        return None
    change = is_now / was - 1
    return change if abs(change) >= MIN_CHANGE else None


def count_by_bar(histogram: Histogram) -> list[int]:
    """Return the number of runs in each bar of BAR_NAMES."""
    found = [0] * len(BAR_NAMES)
    for number, count in histogram.items():
        seconds = seconds_of(number)
        bar = sum(seconds >= limit for limit in BAR_LIMITS)
        found[bar] += count
    return found
