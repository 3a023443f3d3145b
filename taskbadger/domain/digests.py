"""Digests: when they are sent, which period they cover, and what is worth a line in them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from taskbadger.domain.run_times import Histogram, percentile
from taskbadger.domain.schedule import Cron, parse_cron

OFF = "off"
DAILY = "daily"
WEEKLY = "weekly"
FREQUENCIES = (OFF, DAILY, WEEKLY)

LENGTHS = {DAILY: timedelta(days=1), WEEKLY: timedelta(days=7)}
"""The periods that digests cover, unless the last one was sent at another time."""
MAX_PERIOD = timedelta(days=14)
"""The longest period of a digest: what lies further back is left out."""

MIN_RUNS = 5
"""With fewer runs in one of two periods, their run times are not compared."""
MIN_FACTOR = 1.5
"""By which the run time must have grown. Percentiles are accurate to 5 %."""
MIN_SECONDS = 1.0
"""By how much it must have grown, so that nobody is told of milliseconds."""

_SCHEDULES = {DAILY: "0 8 * * *", WEEKLY: "0 8 * * 1"}
_INSTANT = timedelta(microseconds=1)
_PERCENTILES = (("p95", 0.95), ("p50", 0.5))

Key = tuple[int, str]
"""The id of a project, and a name in it."""


class Period(NamedTuple):
    """The time that a digest tells about: from its start to just before its end."""

    start: datetime
    end: datetime


class Growth(NamedTuple):
    """How the run time of a name has grown."""

    key: Key
    percentile: str
    """``p95`` or ``p50``: the one that has grown by the larger factor."""
    before: float
    """Seconds."""
    now: float

    @property
    def factor(self) -> float:
        """How many times as long it takes now."""
        return self.now / self.before


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a digest."""

    title: str
    detail: str
    url: str | None
    """Its page; None where the server's address is unknown."""


@dataclass(frozen=True, slots=True)
class Section:
    """The entries about one subject."""

    title: str
    entries: tuple[Entry, ...]
    count: int
    """How many there are, the first ones included; not more than were read."""
    more: str = ""
    """How many there are beside the entries, in words; empty if there are none."""


def next_due(frequency: str, timezone: str, *, after: datetime) -> datetime | None:
    """Return when the first digest later than *after* is due, in UTC; None for OFF.

    Raises ScheduleError if the zone is unknown.
    """
    cron = _cron(frequency, timezone)
    return None if cron is None else cron.next_after(after)


def latest_due(frequency: str, timezone: str, *, now: datetime) -> datetime | None:
    """Return when the latest digest was due that is due at *now*, in UTC; None for OFF."""
    cron = _cron(frequency, timezone)
    return None if cron is None else cron.previous_before(now + _INSTANT)


def _cron(frequency: str, timezone: str) -> Cron | None:
    expression = _SCHEDULES.get(frequency)
    return None if expression is None else parse_cron(expression, timezone)


def day_of(moment: datetime, timezone: str) -> date:
    """Return the date of *moment* in *timezone*."""
    return moment.astimezone(ZoneInfo(timezone)).date()


def period_of(frequency: str, last: datetime | None, *, now: datetime) -> Period:
    """Return the period of a digest that is written *now*: since the *last* one."""
    length = LENGTHS.get(frequency, LENGTHS[DAILY])
    start = now - length if last is None else max(last, now - MAX_PERIOD)
    return Period(min(start, now), now)


def find_growths(before: Mapping[Key, Histogram], now: Mapping[Key, Histogram]) -> list[Growth]:
    """Return the names whose usual run time (p50) or p95 has grown, the largest factor first.

    Histograms are of run times, as in `run_times`. The rule: MIN_RUNS runs in both periods, by
    MIN_FACTOR and by MIN_SECONDS.
    """
    found = [
        growth
        for key, histogram in now.items()
        if (growth := _growth(key, before.get(key, {}), histogram)) is not None
    ]
    return sorted(found, key=lambda growth: (-growth.factor, growth.key))


def _growth(key: Key, before: Histogram, now: Histogram) -> Growth | None:
    if min(sum(before.values()), sum(now.values())) < MIN_RUNS:
        return None
    grown = [growth for growth in _compare(key, before, now) if _is_notable(growth)]
    return max(grown, key=lambda growth: growth.factor, default=None)


def _compare(key: Key, before: Histogram, now: Histogram) -> Iterable[Growth]:
    for name, share in _PERCENTILES:
        old, new = percentile(before, share), percentile(now, share)
        if old is not None and new is not None:
            yield Growth(key, name, old, new)


def _is_notable(growth: Growth) -> bool:
    return growth.factor >= MIN_FACTOR and growth.now - growth.before >= MIN_SECONDS
