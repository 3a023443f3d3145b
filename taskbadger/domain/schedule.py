"""Schedules: when a monitor's runs are due, by cron expression or by interval.

cronsim only computes wall-clock times; this module converts them. With a time zone, cronsim 2.8
returns past moments in the second pass of a repeated hour, and loses runs where clocks change by
half an hour. The rules:

- A *fixed* time (neither minute nor hour begins with ``*``) that the clocks skip runs at the first
  minute that exists; one that they repeat runs once, the first time.
- Any other schedule runs whenever the wall clock shows a time that matches: not at all in skipped
  hours, twice in repeated ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import islice, takewhile
from typing import Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim

from taskbadger.domain import cron_fields
from taskbadger.domain.zones import check_timezone, clock_jump, to_instant, to_utc
from taskbadger.errors import ScheduleError

MIN_INTERVAL = 60
MAX_INTERVAL = 365 * 24 * 60 * 60
"""Seconds: one year."""

Anchor = Literal["start", "end"]

_TICK = timedelta(microseconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_MIDNIGHT = time()


@dataclass(frozen=True)
class Cron:
    """A valid cron schedule, from parse_cron."""

    expression: str
    """Five fields separated by single spaces; never an alias."""
    timezone: str

    def next_after(self, moment: datetime) -> datetime:
        """Return the first run later than *moment*, in UTC.

        Raises ScheduleError if the calendar ends first (the year 9999).
        """
        return _nearest(self, to_utc(moment), reverse=False)

    def previous_before(self, moment: datetime) -> datetime:
        """Return the last run earlier than *moment*, in UTC; raises like next_after."""
        return _nearest(self, to_utc(moment), reverse=True)

    def runs_after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the runs later than *moment*, in UTC, endlessly."""
        while True:
            moment = self.next_after(moment)
            yield moment

    def next_runs(self, count: int, *, after: datetime) -> list[datetime]:
        """Return the first *count* runs later than *after*, in UTC."""
        return list(islice(self.runs_after(after), count))

    def bounds_of_day(self, moment: datetime) -> tuple[datetime, datetime]:
        """Return when the local day that contains *moment* begins, and when the next one does."""
        day = moment.astimezone(self._zone).date()
        begin = datetime.combine(day, _MIDNIGHT)
        return to_instant(begin, self._zone, fold=0), to_instant(begin + _DAY, self._zone, fold=0)

    def runs_on_day(self, moment: datetime, limit: int) -> list[datetime]:
        """Return up to *limit* runs of the local day that contains *moment*, in UTC."""
        begin, end = self.bounds_of_day(moment)
        return list(takewhile(lambda run: run < end, islice(self.runs_after(begin - _TICK), limit)))

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return the number of runs later than *after* and not later than *until*.

        Whole days without a change of the clock are multiplied instead of walked through, so that
        counting a year of minutes costs little more than the days at its ends.
        """
        count, here, end = 0, to_utc(after) + _TICK, to_utc(until) + _TICK
        while here < end:
            if here + _DAY <= end and self._begins_plain_day(here):
                count += self._runs_on(here)
                here += _DAY
                continue
            edge = min(self._midnight_after(here), end)
            count += self._walk(here, edge)
            here = edge
        return count

    def explain(self) -> str:
        """Return the schedule in English words."""
        # cronsim says “and” if both days are restricted, but runs on either.
        return self._matcher.explain().replace(" and on ", " or on ")

    def in_crontab(self) -> str | None:
        """Return the fields in the syntax of any cron daemon; None if there are none, as for LW."""
        return cron_fields.in_crontab(self.expression)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _matcher(self) -> CronSim:
        return CronSim(self.expression, cron_fields.SOME_MONDAY)

    @cached_property
    def _is_fixed(self) -> bool:
        minute, hour, *_ = self.expression.split()
        return not minute.startswith("*") and not hour.startswith("*")

    def nearest(self, instant: datetime, *, reverse: bool) -> datetime:
        """Return the first run later than *instant*, or the last one earlier, both in UTC.

        Raises like next_after, which remembers what this finds.
        """
        try:
            return self._search(instant, reverse=reverse)
        except (StopIteration, OverflowError, ValueError) as error:
            side = "before" if reverse else "after"
            raise ScheduleError(f"{self.expression}: there is no run {side} {instant}.") from error

    def _search(self, instant: datetime, *, reverse: bool) -> datetime:
        here = instant.astimezone(self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        # In a repeated hour, a match earlier on the clock may still be to come, and a later one
        # may be past, so the search begins earlier by the length of the change.
        margin = max(-clock_jump(wall, self._zone), timedelta())
        start = wall + margin if reverse else wall - margin
        matches = CronSim(self.expression, start, reverse=reverse)
        best: datetime | None = None
        while True:
            match = next(matches)
            for run in self._instants(match):
                if run < instant if reverse else run > instant:
                    best = run if best is None else (max if reverse else min)(best, run)
            if best is not None and (match < wall if reverse else match > wall):
                return best

    def _instants(self, wall: datetime) -> list[datetime]:
        """Return when the schedule runs for a matching wall-clock time: never, once or twice."""
        jump = clock_jump(wall, self._zone)
        if jump > timedelta():
            return [self._end_of_gap(wall)] if self._is_fixed else []
        runs = [to_instant(wall, self._zone, fold=0)]
        if jump and not self._is_fixed:
            runs.append(to_instant(wall, self._zone, fold=1))
        return runs

    def _end_of_gap(self, wall: datetime) -> datetime:
        while clock_jump(wall, self._zone) > timedelta():
            wall += _MINUTE
        return to_instant(wall, self._zone, fold=0)

    def _begins_plain_day(self, instant: datetime) -> bool:
        """Say whether a local day of 24 hours begins here, without a change of the clock."""
        here = instant.astimezone(self._zone)
        before = (instant - _TICK).astimezone(self._zone)
        after = (instant + _DAY).astimezone(self._zone)
        return here.time() == _MIDNIGHT and before.utcoffset() == after.utcoffset()

    def _midnight_after(self, instant: datetime) -> datetime:
        here = instant.astimezone(self._zone)
        midnight = datetime.combine(here.date() + _DAY, _MIDNIGHT)
        return to_instant(midnight, self._zone, fold=here.fold)

    def _runs_on(self, instant: datetime) -> int:
        day = instant.astimezone(self._zone).date()
        if day.month not in self._matcher.months or not self._matcher.match_day(day):
            return 0
        return len(self._matcher.hours) * len(self._matcher.minutes)

    def _walk(self, start: datetime, end: datetime) -> int:
        return sum(1 for _ in takewhile(lambda run: run < end, self.runs_after(start - _TICK)))


@lru_cache(maxsize=4096)
def _nearest(cron: Cron, instant: datetime, *, reverse: bool) -> datetime:
    """Return `Cron.nearest`: many monitors have the same schedule, and are due at once."""
    return cron.nearest(instant, reverse=reverse)


@dataclass(frozen=True, slots=True)
class Interval:
    """A valid interval schedule, from parse_interval."""

    seconds: int
    anchor: Anchor = "start"

    @property
    def gap(self) -> timedelta:
        """The interval as a duration."""
        return timedelta(seconds=self.seconds)

    def next_after(self, moment: datetime) -> datetime:
        """Return one interval after *moment*, the anchor of the last run, in UTC."""
        return to_utc(moment) + self.gap

    def previous_before(self, moment: datetime) -> datetime:
        """Return one interval before *moment*, in UTC."""
        return to_utc(moment) - self.gap

    def runs_after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments whole intervals after *moment*, in UTC, endlessly."""
        while True:
            moment = self.next_after(moment)
            yield moment

    def next_runs(self, count: int, *, after: datetime) -> list[datetime]:
        """Return the first *count* moments whole intervals after *after*, in UTC."""
        return list(islice(self.runs_after(after), count))

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return how many whole intervals lie between *after* and *until*."""
        return max((to_utc(until) - to_utc(after)) // self.gap, 0)

    def explain(self) -> str:
        """Return the schedule in English words."""
        every = _duration(self.seconds)
        return f"Every {every} after the last run's {self.anchor}"

    def in_crontab(self) -> str | None:
        """Return the crontab fields that run at this interval; None if there are none."""
        minutes, hours = self.seconds // 60, self.seconds // 3600
        if self.seconds == minutes * 60 and minutes < 60 and 60 % minutes == 0:
            return f"{_every(minutes)} * * * *"
        if self.seconds == hours * 3600 and hours < 24 and 24 % hours == 0:
            return f"0 {_every(hours)} * * *"
        return {24 * 3600: "0 0 * * *", 7 * 24 * 3600: "0 0 * * 0"}.get(self.seconds)


Schedule = Cron | Interval


@lru_cache(maxsize=1024)
def parse_cron(expression: str, timezone_name: str = "UTC") -> Cron:
    """Read a cron expression or an alias; raises ScheduleError with a message for its author."""
    check_timezone(timezone_name)
    return Cron(" ".join(cron_fields.read_fields(expression)), timezone_name)


def parse_interval(seconds: int, anchor: str = "start") -> Interval:
    """Check an interval in seconds and its anchor; raises ScheduleError."""
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise ScheduleError(
            f"interval: {seconds} is out of range; use {MIN_INTERVAL} to {MAX_INTERVAL} "
            "seconds (one year)."
        )
    if anchor == "start":
        return Interval(seconds, "start")
    if anchor == "end":
        return Interval(seconds, "end")
    raise ScheduleError(f'anchor: "{anchor}" is not valid; use start or end.')


def _every(step: int) -> str:
    return "*" if step == 1 else f"*/{step}"


def _duration(seconds: int) -> str:
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}" + ("s" if count > 1 else ""))
    return " ".join(parts)
