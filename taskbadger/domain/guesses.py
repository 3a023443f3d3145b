"""Guesses when a job is expected to run, and for how long, from its latest runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from taskbadger.domain.schedule import MAX_INTERVAL, MIN_INTERVAL

MIN_RUNS = 4
"""Fewer runs say nothing about a schedule."""
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800
_MINUTES = (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)
_HOURS = (1, 2, 3, 4, 6, 8, 12)
_PERIODS = (
    *(minutes * _MINUTE for minutes in _MINUTES),
    *(hours * _HOUR for hours in _HOURS),
    _DAY,
    _WEEK,
)
"""The periods in seconds that a crontab can say, and of which a day or a week is a multiple."""
_LIMITS = (
    *(_MINUTE * count for count in (1, 2, 3, 5, 10, 15, 20, 30, 45)),
    *(_HOUR * count for count in (1, 2, 3, 4, 6, 8, 12, 24)),
)
_REGULAR = 0.8
"""The share of the runs that a schedule must explain."""
_SPREAD = 0.1
"""How far a gap may be from the usual one, and a start from its time, as a share of the period."""
_MAX_LATE = 300
_MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - compared with local times


@dataclass(frozen=True, slots=True)
class Guess:
    """What the runs look like: a cron expression, or the seconds between starts, or neither."""

    schedule: str | None = None
    interval: int | None = None


def guess_schedule(starts: Iterable[datetime], timezone: ZoneInfo) -> Guess:
    """Return the schedule by which runs started at these times, as a crontab of *timezone*."""
    times = sorted(starts)
    gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
    if len(times) < MIN_RUNS:
        return Guess()
    local = [_seconds(time.astimezone(timezone)) for time in times]
    schedule = _guess_weekdays(local) or _guess_cron(local, median(gaps))
    if schedule is not None:
        return Guess(schedule=schedule)
    return Guess(interval=_guess_interval(gaps))


def _seconds(local: datetime) -> float:
    """Return the seconds on the clock since a Monday at midnight."""
    return (local.replace(tzinfo=None) - _MONDAY).total_seconds()


def _guess_cron(local: Sequence[float], gap: float) -> str | None:
    period = min(_PERIODS, key=lambda each: abs(each - gap))
    if abs(period - gap) > period * _SPREAD:
        return None
    begin = _common_start(local, period)
    return None if begin is None else _expression(period, begin)


def _common_start(local: Sequence[float], period: int) -> int | None:
    """Return the minute of the period, in seconds, at which most runs start; None if none does.

    In a period of its own, each run starts at that minute or shortly after.
    """
    allowed = max(min(period * _SPREAD, _MAX_LATE), _MINUTE / 2)
    offsets = [time % period for time in local]
    minutes = {int(offset // _MINUTE) * _MINUTE for offset in offsets}

    def fitting(begin: int) -> int:
        late = [(offset - begin) % period < max(allowed, _MINUTE) for offset in offsets]
        periods = {(time - begin) // period for time, fits in zip(local, late, strict=True) if fits}
        return len(periods)

    best = max(sorted(minutes), key=fitting)
    return best if fitting(best) >= len(local) * _REGULAR else None


def _expression(period: int, begin: int) -> str:
    minute, hour, day = begin % _HOUR // _MINUTE, begin % _DAY // _HOUR, begin // _DAY
    if period < _HOUR:
        return f"{_every(period // _MINUTE, minute, 59)} * * * *"
    if period < _DAY:
        return f"{minute} {_every(period // _HOUR, hour, 23)} * * *"
    return f"{minute} {hour} * * {(day + 1) % 7 if period == _WEEK else '*'}"


def _every(step: int, first: int, last: int) -> str:
    """Return a field of a crontab for every *step*th value from *first* on."""
    if step == 1:
        return "*"
    return f"*/{step}" if first == 0 else f"{first}-{last}/{step}"


def _guess_weekdays(local: Sequence[float]) -> str | None:
    """Return a schedule of Monday to Friday; None unless there was a weekend without runs."""
    days = {int(time // _DAY) for time in local}
    is_over_weekend = max(days) - min(days) >= 7
    if not is_over_weekend or any(day % 7 > 4 for day in days):
        return None
    workdays = sum(day % 7 < 5 for day in range(min(days), max(days) + 1))
    begin = _common_start(local, _DAY)
    if begin is None or len(days) < workdays * _REGULAR or len(days) < len(local) * _REGULAR:
        return None
    return f"{begin % _HOUR // _MINUTE} {begin // _HOUR} * * 1-5"


def _guess_interval(gaps: Sequence[float]) -> int | None:
    usual = median(gaps)
    close = [gap for gap in gaps if abs(gap - usual) <= usual * 2 * _SPREAD]
    if not MIN_INTERVAL <= usual <= MAX_INTERVAL or len(close) < len(gaps) * _REGULAR:
        return None
    size = next(size for size in (_DAY, _HOUR, _MINUTE, 1) if usual >= 10 * size or size == 1)
    return max(round(usual / size) * size, MIN_INTERVAL)


def guess_limit(run_times: Iterable[timedelta]) -> int | None:
    """Return a limit in seconds for runs that usually take this long: twice that, as a round time.

    None without runs, and for those that take longer than half a day.
    """
    sorted_times = sorted(time.total_seconds() for time in run_times)
    if not sorted_times:
        return None
    usual = sorted_times[int((len(sorted_times) - 1) * 0.95)]
    return next((limit for limit in _LIMITS if limit >= 2 * usual), None)
