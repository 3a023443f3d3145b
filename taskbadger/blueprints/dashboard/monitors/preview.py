"""What a schedule means, while it is typed: in words, its next runs, and when they are late."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from flask import render_template, request
from marshmallow import ValidationError

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.monitors.rows import BASE, local_time
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.monitors import CRON
from taskbadger.domain.schedule import Cron, Schedule, parse_cron, parse_interval
from taskbadger.domain.slots import default_start_grace
from taskbadger.domain.zones import next_clock_change
from taskbadger.errors import ScheduleError
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.monitor_forms import grace_field, interval_field

PREVIEWED_RUNS = 5
SHOWN_RUNS_OF_DAY = 3
_INTERVAL = interval_field()
_START_GRACE = grace_field()


# Matched before <id>/, because it has no variable part.
@blp.page(f"{BASE}/preview", role=roles.CHANGE_MONITORS)
def preview_monitor() -> str:
    """Explain a schedule while it is typed, as a fragment of a page."""
    return render_template(
        "dashboard/monitors/_monitor_preview.html", **context(request.args.to_dict())
    )


def context(values: dict[str, str]) -> dict[str, Any]:
    """Return the words, the next runs and the next change of the clock, or the problem."""
    now, timezone = utcnow(), values.get("timezone", "").strip() or "UTC"
    is_cron = values.get("type", CRON) == CRON
    typed = values.get("schedule" if is_cron else "interval", "").strip()
    shown: dict[str, Any] = {
        "typed": typed,
        "timezone": timezone,
        "is_cron": is_cron,
        "local_time": local_time,
    }
    if not typed:
        return shown
    try:
        schedule = _read_schedule(values, timezone, is_cron=is_cron)
        runs = schedule.next_runs(PREVIEWED_RUNS, after=now)
        return {
            **shown,
            "words": schedule.explain(),
            "runs": [(run, _late_after(run, schedule, values)) for run in runs],
            "there": lambda run, late: _times_there(run, late, timezone),
            **(_clock_change(schedule, now) if isinstance(schedule, Cron) else {}),
        }
    except (ScheduleError, OverflowError) as error:
        return {**shown, "problem": str(error)}


def _late_after(run: datetime, schedule: Schedule, values: dict[str, str]) -> datetime:
    """Return from when on a run is late; as long as the typed limit is wrong, by the default."""
    grace = default_start_grace(schedule)
    typed = values.get("start_grace", "").strip()
    if typed:
        with suppress(ValidationError):
            grace = _START_GRACE.deserialize(typed)
    return run + timedelta(seconds=grace)


def _times_there(run: datetime, late: datetime, timezone: str) -> str:
    """Return both times by the clock of the monitor."""
    clock = local_time(late, timezone, "%H:%M:%S" if late.second else "%H:%M")
    return f"{local_time(run, timezone)}, late after {clock}"


def _clock_change(schedule: Cron, now: datetime) -> dict[str, Any]:
    """Return the next change of the clock, and the runs of that day."""
    change = next_clock_change(schedule.timezone, after=now)
    if change is None:
        return {}
    runs = schedule.runs_on_day(change.at, SHOWN_RUNS_OF_DAY + 1)
    begin, end = schedule.bounds_of_day(change.at)
    tick = timedelta(microseconds=1)
    count = schedule.count_between(begin - tick, end - tick)
    return {"change": change, "day_runs": runs[:SHOWN_RUNS_OF_DAY], "day_count": count}


def _read_schedule(values: dict[str, str], timezone: str, *, is_cron: bool) -> Schedule:
    if is_cron:
        return parse_cron(values.get("schedule", ""), timezone)
    try:
        length: int = _INTERVAL.deserialize(values.get("interval", ""))
    except ValidationError as error:
        raise ScheduleError(next(field_errors(error.messages)).detail) from error
    return parse_interval(length, values.get("anchor", "start"))
