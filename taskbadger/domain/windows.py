"""Maintenance windows: when one is active, what it covers, and which are not valid.

A window is active once, or again and again: then it starts by a cron expression, by the clocks of
its time zone, and lasts for a duration, however the clocks change meanwhile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, takewhile
from uuid import UUID

from taskbadger.domain import patterns
from taskbadger.domain.schedule import Cron, parse_cron
from taskbadger.domain.zones import check_timezone
from taskbadger.errors import FieldError, ScheduleError

MAX_DURATION = 7 * 86_400
"""Seconds that a recurring window may last."""

_TICK = timedelta(microseconds=1)
_DAY = timedelta(days=1)
_HORIZON = timedelta(days=366)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a window is active: from *start* until just before *end*."""

    start: datetime
    end: datetime

    def contains(self, moment: datetime) -> bool:
        """Say whether the window is active at *moment*."""
        return self.start <= moment < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a window is active: ``starts`` and ``ends``, or ``schedule`` and ``duration``."""

    starts: datetime | None = None
    ends: datetime | None = None
    schedule: str | None = None
    duration: int | None = None
    """Seconds."""
    timezone: str = "UTC"

    def active_span(self, now: datetime) -> Span | None:
        """Return the span that contains *now*; None while the window is not active."""
        span = self.last_span(now)
        return span if span and span.contains(now) else None

    def last_span(self, now: datetime) -> Span | None:
        """Return the span that has started last, over or not; None if none has."""
        if self.schedule is not None:
            try:
                return self._span(self._cron.previous_before(now + _TICK))
            except ScheduleError:
                return None
        span = self._once
        return span if span and span.start <= now else None

    def next_start(self, now: datetime) -> datetime | None:
        """Return the first start later than *now*; None if there is none."""
        span = self._next_span(now)
        return None if span is None else span.start

    def current_span(self, now: datetime) -> Span | None:
        """Return the active span, or else the next one; None if there is neither."""
        return self.active_span(now) or self._next_span(now)

    def _next_span(self, now: datetime) -> Span | None:
        if self.schedule is not None:
            try:
                return self._span(self._cron.next_after(now))
            except ScheduleError:
                return None
        span = self._once
        return span if span and span.start > now else None

    @property
    def _once(self) -> Span | None:
        return None if self.starts is None or self.ends is None else Span(self.starts, self.ends)

    @property
    def _cron(self) -> Cron:
        return parse_cron(self.schedule or "", self.timezone)

    def _span(self, start: datetime) -> Span:
        return Span(start, start + timedelta(seconds=self.duration or 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a window covers, within its organization: all of it, or at most one of these."""

    project_id: int | None = None
    monitor_id: UUID | None = None
    name_pattern: str = ""
    """Tasks whose names it matches."""

    def covers_task(self, project_id: int | None, name: str, monitor_id: UUID | None) -> bool:
        """Say whether a task is covered; *monitor_id* is the monitor that it is a run of."""
        return (
            self.project_id in (None, project_id)
            and self.monitor_id in (None, monitor_id)
            and patterns.matches(self.name_pattern, name)
        )

    def covers_monitor(self, project_id: int, monitor_id: UUID) -> bool:
        """Say whether a monitor is covered; a pattern of task names covers none."""
        return not self.name_pattern and self.covers_task(project_id, "", monitor_id)


def check(timing: Timing, scope: Scope, now: datetime) -> Iterator[FieldError]:
    """Yield an error for each thing that is wrong with a window."""
    errors = [*_check_form(timing)]
    yield from errors or _check_times(timing, now)
    given = {
        "project": scope.project_id,
        "monitor": scope.monitor_id,
        "name_pattern": scope.name_pattern or None,
    }
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        detail = "Give at most one of project, monitor and name_pattern."
        yield FieldError("invalid", detail, names[-1])
    problem = patterns.explain_error(scope.name_pattern)
    if problem:
        yield FieldError("invalid", problem, "name_pattern")


def _check_form(timing: Timing) -> Iterator[FieldError]:
    """Yield errors unless the window has both fields of one of the two forms."""
    once = {"starts": timing.starts, "ends": timing.ends}
    recurring = {"schedule": timing.schedule, "duration": timing.duration}
    given = [name for name, value in {**once, **recurring}.items() if value is not None]
    if not given:
        yield FieldError("required", "Give starts and ends, or schedule and duration.", "starts")
    elif given[0] in once and given[-1] in recurring:
        detail = "Give either starts and ends, or schedule and duration, not both."
        yield FieldError("invalid", detail, given[-1])
    else:
        for name in once if given[0] in once else recurring:
            if name not in given:
                detail = f"Give {' and '.join(once if name in once else recurring)} together."
                yield FieldError("required", detail, name)


def _check_times(timing: Timing, now: datetime) -> Iterator[FieldError]:
    try:
        check_timezone(timing.timezone)
    except ScheduleError as error:
        yield FieldError("invalid", str(error), "timezone")
        return
    if timing.schedule is not None:
        yield from _check_recurring(timing, now)
    elif timing.starts is not None and timing.ends is not None and timing.ends <= timing.starts:
        yield FieldError("invalid", "It must end after it starts.", "ends")


def _check_recurring(timing: Timing, now: datetime) -> Iterator[FieldError]:
    seconds = timing.duration or 0
    if not 1 <= seconds <= MAX_DURATION:
        detail = f"Give 1 to {MAX_DURATION} seconds (7 days)."
        yield FieldError("invalid", detail, "duration")
        return
    try:
        cron = parse_cron(timing.schedule or "", timing.timezone)
    except ScheduleError as error:
        yield FieldError("invalid", str(error), "schedule")
        return
    gap = shortest_gap(cron, now)
    if gap is not None and timedelta(seconds=seconds) >= gap:
        detail = (
            f"It must be shorter than the shortest time between two starts of the next 366 days: "
            f"{gap // timedelta(seconds=1)} seconds."
        )
        yield FieldError("invalid", detail, "duration")


def shortest_gap(cron: Cron, now: datetime) -> timedelta | None:
    """Return the shortest time between two starts of the next 366 days; None if there is one.

    All days on which it starts have the same times, unless the clocks change: so one of them is
    walked through, and those with a change; of the others, only the time since the day before.
    """
    until = now + _HORIZON
    gaps: list[timedelta] = []
    is_walked, day = False, now
    while day <= until:
        begin, end = cron.bounds_of_day(day)
        is_plain = end - begin == _DAY
        start = max(begin - _TICK, now)
        runs = [] if is_plain and is_walked else _runs_between(cron, start, min(end - _TICK, until))
        gaps += [later - earlier for earlier, later in pairwise(runs)]
        is_walked = is_walked or (is_plain and begin > now and bool(runs))
        gaps += _gap_across(cron, begin, now, until)
        if gaps and min(gaps) <= _MINUTE:
            break  # No two starts are closer.
        day = end
    return min(gaps, default=None)


def _runs_between(cron: Cron, after: datetime, until: datetime) -> list[datetime]:
    return list(takewhile(lambda run: run <= until, _runs_after(cron, after)))


def _runs_after(cron: Cron, moment: datetime) -> Iterator[datetime]:
    """Yield runs later than *moment*, as long as the calendar goes on."""
    try:
        yield from cron.runs_after(moment)
    except ScheduleError:
        return


def _gap_across(
    cron: Cron, midnight: datetime, now: datetime, until: datetime
) -> Iterator[timedelta]:
    """Yield the time between the last start before *midnight* and the first one after it."""
    try:
        earlier, later = cron.previous_before(midnight), cron.next_after(midnight - _TICK)
    except ScheduleError:
        return
    if earlier > now and later <= until:
        yield later - earlier
