"""Schedules: when a monitor's runs are due, by cron expression or by interval.

The engine for cron is cronsim, asked about the wall clock alone; what a time on the wall clock is
worth in a zone is decided here. Asked in the zone itself, cronsim 2.8 answers with the past in the
second pass of a repeated hour, and loses runs where the clocks change by half an hour. The rules:

- A *fixed* time (neither minute nor hour begins with ``*``) that the clocks skip runs at the first
  minute that exists; one that they repeat runs once, the first time.
- Any other schedule runs whenever the wall clock shows a time that matches: not at all in what is
  skipped, twice in what is repeated.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache, cached_property, lru_cache
from itertools import islice, takewhile
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

MIN_INTERVAL = 60
MAX_INTERVAL = 365 * 24 * 60 * 60
"""Seconds: one year."""
MAX_EXPRESSION_LENGTH = 255

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")

Anchor = Literal["start", "end"]

_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_NAMES = {
    "month": {name: number for number, name in enumerate(_MONTHS, start=1)},
    "day-of-week": {name: number for number, name in enumerate(_DAYS)},
}
_BOUNDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day-of-month": (1, 31),
    "month": (1, 12),
    "day-of-week": (0, 7),
}
_TAKES = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L (the last day) or LW (the last weekday)",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday), SUN to SAT, 5L (the last Friday) or "
    "MON#1 (the first Monday)",
}
_RANGE = re.compile(r"([0-9]{1,2}|[A-Z]{3})-([0-9]{1,2}|[A-Z]{3})(/[0-9]+)?")
_WORD = re.compile(r"[A-Z]{3}")
# What every cron daemon knows: a step stands behind * or a range only.
_CRONTAB_TERM = re.compile(r"(\*|[0-9]+-[0-9]+)(/[0-9]+)?|[0-9]+")
# Files that the machine's zone database may hold, and that name no zone.
_NOT_ZONES = frozenset({"localtime", "posixrules", "Factory"})
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_MIDNIGHT = time()
# No date looks further for its next one than 40 years (a Sunday on 29 February, around 2100), and
# cronsim looks 50 years ahead: so a schedule with no run from here has none at all.
_SOME_MONDAY = datetime(2001, 1, 1)  # noqa: DTZ001 - a wall clock
_CHANGE_HORIZON_DAYS = 2 * 366


class ScheduleError(ValueError):
    """The schedule cannot be; the message names the field and says what would be right."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """A moment at which a zone's distance from UTC changes."""

    at: datetime
    """In UTC: the first moment with the new offset."""
    before: timedelta
    after: timedelta


@dataclass(frozen=True)
class Cron:
    """A checked cron schedule; made by parse_cron."""

    expression: str
    """Five fields with one space between them; an alias is written out."""
    timezone: str

    def next_after(self, moment: datetime) -> datetime:
        """Return the first run later than *moment*, in UTC.

        Raises ScheduleError where the calendar ends before the next run (the year 9999).
        """
        return self._nearest(moment, reverse=False)

    def previous_before(self, moment: datetime) -> datetime:
        """Return the last run earlier than *moment*, in UTC; raises as next_after."""
        return self._nearest(moment, reverse=True)

    def runs_after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the runs later than *moment*, in UTC, without end."""
        while True:
            moment = self.next_after(moment)
            yield moment

    def next_runs(self, count: int, *, after: datetime) -> list[datetime]:
        """Return the first *count* runs later than *after*, in UTC."""
        return list(islice(self.runs_after(after), count))

    def bounds_of_day(self, moment: datetime) -> tuple[datetime, datetime]:
        """Return the first moments of the day in the zone that holds *moment*, and of the next."""
        day = moment.astimezone(self._zone).date()
        begin = datetime.combine(day, _MIDNIGHT)
        return _instant(begin, self._zone, fold=0), _instant(begin + _DAY, self._zone, fold=0)

    def runs_on_day(self, moment: datetime, most: int) -> list[datetime]:
        """Return up to *most* runs on the day in the zone that holds *moment*, in UTC."""
        begin, end = self.bounds_of_day(moment)
        return list(takewhile(lambda run: run < end, islice(self.runs_after(begin - _TICK), most)))

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return the number of runs later than *after* and not later than *until*.

        Days without a change of the clock are multiplied, not walked through, so that a year of
        minutes costs little more than the days at its ends.
        """
        count, here, end = 0, _utc(after) + _TICK, _utc(until) + _TICK
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
        # cronsim says “and” where both days are restricted, but runs when either comes.
        return self._matcher.explain().replace(" and on ", " or on ")

    def in_crontab(self) -> str | None:
        """Return the five fields for any cron daemon; None where there are none, as for LW."""
        texts = self.expression.upper().split()
        fields = [_without_names(*field) for field in zip(FIELDS, texts, strict=True)]
        terms = [term for text in fields for term in text.split(",")]
        return " ".join(fields) if all(map(_CRONTAB_TERM.fullmatch, terms)) else None

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @cached_property
    def _matcher(self) -> CronSim:
        return CronSim(self.expression, _SOME_MONDAY)

    @cached_property
    def _is_fixed(self) -> bool:
        minute, hour, *_ = self.expression.split()
        return not minute.startswith("*") and not hour.startswith("*")

    def _nearest(self, moment: datetime, *, reverse: bool) -> datetime:
        instant = _utc(moment)
        try:
            return self._search(instant, reverse=reverse)
        except (StopIteration, OverflowError, ValueError) as error:
            side = "before" if reverse else "after"
            raise ScheduleError(
                f"{self.expression}: the calendar has no run {side} {instant}."
            ) from error

    def _search(self, instant: datetime, *, reverse: bool) -> datetime:
        here = instant.astimezone(self._zone)
        wall = here.replace(tzinfo=None, fold=0)
        # In a repeated hour, a match already passed on the clock may still be to come, and one
        # ahead on the clock may be past: so the search begins that much to the other side.
        margin = max(-_jump(wall, self._zone), timedelta())
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
        """Return when the schedule runs for a time on the wall clock that matches it."""
        jump = _jump(wall, self._zone)
        if jump > timedelta():
            return [self._end_of_gap(wall)] if self._is_fixed else []
        runs = [_instant(wall, self._zone, fold=0)]
        if jump and not self._is_fixed:
            runs.append(_instant(wall, self._zone, fold=1))
        return runs

    def _end_of_gap(self, wall: datetime) -> datetime:
        while _jump(wall, self._zone) > timedelta():
            wall += _MINUTE
        return _instant(wall, self._zone, fold=0)

    def _begins_plain_day(self, instant: datetime) -> bool:
        """Tell whether a local day of 24 hours begins here, and no change of the clock with it."""
        here = instant.astimezone(self._zone)
        before = (instant - _TICK).astimezone(self._zone)
        after = (instant + _DAY).astimezone(self._zone)
        return here.time() == _MIDNIGHT and before.utcoffset() == after.utcoffset()

    def _midnight_after(self, instant: datetime) -> datetime:
        here = instant.astimezone(self._zone)
        midnight = datetime.combine(here.date() + _DAY, _MIDNIGHT)
        return _instant(midnight, self._zone, fold=here.fold)

    def _runs_on(self, instant: datetime) -> int:
        day = instant.astimezone(self._zone).date()
        if day.month not in self._matcher.months or not self._matcher.match_day(day):
            return 0
        return len(self._matcher.hours) * len(self._matcher.minutes)

    def _walk(self, start: datetime, end: datetime) -> int:
        return sum(1 for _ in takewhile(lambda run: run < end, self.runs_after(start - _TICK)))


@dataclass(frozen=True, slots=True)
class Interval:
    """A checked interval schedule; made by parse_interval."""

    seconds: int
    anchor: Anchor = "start"

    @property
    def gap(self) -> timedelta:
        """The interval as a duration."""
        return timedelta(seconds=self.seconds)

    def next_after(self, moment: datetime) -> datetime:
        """Return one interval after *moment*, in UTC: pass the anchor's time of the last run."""
        return _utc(moment) + self.gap

    def previous_before(self, moment: datetime) -> datetime:
        """Return one interval before *moment*, in UTC."""
        return _utc(moment) - self.gap

    def runs_after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the moments whole intervals after *moment*, in UTC, without end."""
        while True:
            moment = self.next_after(moment)
            yield moment

    def next_runs(self, count: int, *, after: datetime) -> list[datetime]:
        """Return the first *count* moments whole intervals after *after*, in UTC."""
        return list(islice(self.runs_after(after), count))

    def count_between(self, after: datetime, until: datetime) -> int:
        """Return how many whole intervals lie between *after* and *until*."""
        return max((_utc(until) - _utc(after)) // self.gap, 0)

    def explain(self) -> str:
        """Return the schedule in English words."""
        every = _duration(self.seconds)
        return f"Every {every} after the last run's {self.anchor}"

    def in_crontab(self) -> str | None:
        """Return the five fields of a crontab that keep to the interval; None where none do."""
        minutes, hours = self.seconds // 60, self.seconds // 3600
        if self.seconds == minutes * 60 and minutes < 60 and 60 % minutes == 0:
            return f"{_every(minutes)} * * * *"
        if self.seconds == hours * 3600 and hours < 24 and 24 % hours == 0:
            return f"0 {_every(hours)} * * *"
        return {24 * 3600: "0 0 * * *", 7 * 24 * 3600: "0 0 * * 0"}.get(self.seconds)


Schedule = Cron | Interval


@lru_cache(maxsize=1024)
def parse_cron(expression: str, timezone_name: str = "UTC") -> Cron:
    """Read a cron expression or an alias; raise ScheduleError, made for its author."""
    check_timezone(timezone_name)
    fields = _split(expression)
    for name, text in zip(FIELDS, fields, strict=True):
        _check_field(name, text)
    cron = Cron(" ".join(fields), timezone_name)
    _check_has_a_date(cron)
    return cron


def parse_interval(seconds: int, anchor: str = "start") -> Interval:
    """Check an interval in seconds and what it is counted from; raise ScheduleError."""
    if not MIN_INTERVAL <= seconds <= MAX_INTERVAL:
        raise ScheduleError(
            f"interval: {seconds} is out of range; it takes {MIN_INTERVAL} to {MAX_INTERVAL} "
            "seconds (one year)."
        )
    if anchor == "start":
        return Interval(seconds, "start")
    if anchor == "end":
        return Interval(seconds, "end")
    raise ScheduleError(f'anchor: "{anchor}" is not valid; it takes start or end.')


def check_timezone(name: str) -> None:
    """Raise ScheduleError unless *name* is a zone of the IANA database."""
    if name not in _zones():
        raise ScheduleError(
            f'timezone: "{name}" is unknown; it takes an IANA name such as Europe/Paris or UTC.'
        )


def list_timezones() -> list[str]:
    """Return the names of the zones that check_timezone takes."""
    return sorted(_zones())


def explain(expression: str) -> str:
    """Return a cron expression in English words; raise ScheduleError when it is none."""
    return parse_cron(expression).explain()


def next_clock_change(timezone_name: str, *, after: datetime) -> ClockChange | None:
    """Return the next change of a zone's offset within two years of *after*; None for none."""
    check_timezone(timezone_name)
    zone = ZoneInfo(timezone_name)
    low = _utc(after)
    for _ in range(_CHANGE_HORIZON_DAYS):
        high = low + _DAY
        if _offset(low, zone) != _offset(high, zone):
            return _change_between(low, high, zone)
        low = high
    return None


def _split(expression: str) -> list[str]:
    if len(expression) > MAX_EXPRESSION_LENGTH:
        raise ScheduleError(f"The schedule is longer than {MAX_EXPRESSION_LENGTH} characters.")
    text = expression.strip()
    if text.startswith("@"):
        if text.lower() not in ALIASES:
            raise ScheduleError(f'"{text}" is not valid; it takes {", ".join(ALIASES)}.')
        text = ALIASES[text.lower()]
    fields = text.split()
    if len(fields) < len(FIELDS):
        raise ScheduleError(
            f"{FIELDS[len(fields)]}: the field is missing; a schedule has five: {' '.join(FIELDS)}."
        )
    if len(fields) > len(FIELDS):
        raise ScheduleError(
            f'field {len(FIELDS) + 1}: "{fields[len(FIELDS)]}" is one too many (there are no '
            f"seconds and no years); a schedule has five: {' '.join(FIELDS)}."
        )
    return fields


def _check_field(name: str, text: str) -> None:
    for term in text.upper().split(","):
        if "?" in term:
            raise ScheduleError(f"{name}: ? is not supported; write * for any.")
        if term.startswith("H"):
            raise ScheduleError(f"{name}: H is not supported; write a number.")
        _check_direction(name, term)
        # upper() makes letters of some that are none: only what was ASCII may pass.
        if not text.isascii() or not _is_term(name, term):
            raise ScheduleError(f'{name}: "{term}" is not valid; it takes {_TAKES[name]}.')


def _check_direction(name: str, term: str) -> None:
    match = _RANGE.fullmatch(term)
    if match is None:
        return
    first, last = _number(name, match[1]), _number(name, match[2])
    low, high = _BOUNDS[name]
    if first is None or last is None or first <= last or not low <= last <= first <= high:
        return
    raise ScheduleError(
        f"{name}: the range {term} runs backwards; "
        f"write {match[1]}-{high},{low}-{match[2]} instead."
    )


def _number(name: str, text: str) -> int | None:
    return int(text) if text.isdigit() else _NAMES.get(name, {}).get(text)


def _without_names(name: str, text: str) -> str:
    return _WORD.sub(lambda match: str(_NAMES.get(name, {}).get(match[0], match[0])), text)


def _every(step: int) -> str:
    return "*" if step == 1 else f"*/{step}"


def _is_term(name: str, term: str) -> bool:
    """Tell whether *term* alone is valid in the field *name*."""
    fields = ["*" if field != name else term for field in FIELDS]
    try:
        CronSim(" ".join(fields), _SOME_MONDAY)
    except CronSimError:
        return False
    return bool(term)


def _check_has_a_date(cron: Cron) -> None:
    try:
        found = next(CronSim(cron.expression, _SOME_MONDAY), None)
    except CronSimError:
        found = None
    if found is None:
        _, _, day, month, weekday = cron.expression.split()
        raise ScheduleError(
            f'day-of-month: "{day}" never comes with month "{month}" and day-of-week "{weekday}".'
        )


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _NOT_ZONES


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC)


def _instant(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _jump(wall: datetime, zone: ZoneInfo) -> timedelta:
    """Return by how much the clock changes around *wall*.

    Above zero: *wall* is skipped; below: it comes twice; zero: neither (PEP 495).
    """
    first = zone.utcoffset(wall.replace(fold=0)) or timedelta()
    second = zone.utcoffset(wall.replace(fold=1)) or timedelta()
    return second - first


def _change_between(low: datetime, high: datetime, zone: ZoneInfo) -> ClockChange:
    before = _offset(low, zone)
    low, high = low.replace(microsecond=0), high.replace(microsecond=0)
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return ClockChange(at=high, before=before, after=_offset(high, zone))


def _duration(seconds: int) -> str:
    parts = []
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {name}" + ("s" if count > 1 else ""))
    return " ".join(parts)
