"""The editor of monitors and its preview; pausing, muting and deleting a monitor."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import flash, make_response, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts import channel_picker
from taskbadger.blueprints.dashboard.formats import absolute
from taskbadger.blueprints.dashboard.forms import UNCHOSEN, Form, read_form, with_unchosen
from taskbadger.blueprints.dashboard.monitors.monitor import MUTE_HOURS
from taskbadger.blueprints.dashboard.monitors.rows import BASE, find_monitor, local_time
from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.blueprints.dashboard.visit import current_actor
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import ACTIVE, CRON, MUTED, PAUSED
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.schedule import (
    Cron,
    Schedule,
    parse_cron,
    parse_interval,
)
from taskbadger.domain.zones import list_timezones, next_clock_change
from taskbadger.errors import ScheduleError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.schemas.fields import Moment
from taskbadger.schemas.monitor_forms import UNITS, MonitorForm, seconds, split_seconds
from taskbadger.services.monitors import manage

PREVIEWED_RUNS = 5
SHOWN_RUNS_OF_DAY = 3
_NUMBERS = (
    "start_grace",
    "max_runtime",
    "early_margin",
    "failure_threshold",
    "recovery_threshold",
)


@blp.page(f"{BASE}/new/", role=roles.CHANGE_MONITORS)
def new_monitor() -> str:
    """Show an empty form."""
    return _edit_page(None, None, Form())


@blp.page(f"{BASE}/new/", role=roles.CHANGE_MONITORS, methods=["POST"])
def create_monitor() -> Response:
    """Create a monitor, or preview one without scripts."""
    form, targets = _read()
    if "preview" in request.form:
        return make_response(_edit_page(None, None, Form(form.typed)))
    project = _chosen_project(form)
    created = None
    if project is not None and not form.errors:
        try:
            data = {**form.data, "action": targets}
            created = manage.create_monitor(project, data, now=utcnow(), actor=current_actor())
        except ValidationFailed as error:
            channel_picker.add_errors(form, error, "action", targets)
    if created is None:
        return make_response(_edit_page(None, None, form), 400)
    monitor_id, name = str(created.id), created.name
    db.session.commit()
    flash(
        f"{name} created. Set up your job as shown below: watching starts with its first run.",
        "success",
    )
    return redirect(url_for("dashboard.monitor", id=monitor_id), 303)


@blp.page(f"{BASE}/<id>/edit/", role=roles.CHANGE_MONITORS)
def edit_monitor(id: str) -> str:
    """Show a monitor's form."""
    found, project = find_monitor(id)
    return _edit_page(found, project, Form())


@blp.page(f"{BASE}/<id>/edit/", role=roles.CHANGE_MONITORS, methods=["POST"])
def change_monitor(id: str) -> Response:
    """Change a monitor, or preview a change without scripts."""
    found, project = find_monitor(id)
    saved = json.loads(found.targets)
    form, targets = _read(saved)
    if "preview" in request.form:
        return make_response(_edit_page(found, project, Form(form.typed)))
    if not form.errors:
        changes = _differing(found, {**form.data, "action": targets})
        try:
            if changes:
                manage.update_monitor(
                    project, found.id, changes, now=utcnow(), actor=current_actor()
                )
        except ValidationFailed as error:
            channel_picker.add_errors(form, error, "action", targets)
    if form.errors:
        return make_response(_edit_page(found, project, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.monitor", id=id), 303)


def _read(saved: list[NotificationTarget] | None = None) -> tuple[Form, list[NotificationTarget]]:
    form = read_form(MonitorForm)
    if form.errors:
        _check_schedule(form)
    return form, channel_picker.read_targets(form, saved or ())


def _check_schedule(form: Form) -> None:
    """Add the errors that the service would report only once all other fields are valid."""
    is_cron = form.typed.get("type") == CRON
    schedule = form.typed.get("schedule", "").strip() if is_cron else ""
    for error in manage.check_schedule(form.typed.get("timezone", ""), schedule or None):
        if error.attr not in form.errors:
            form.add(ValidationFailed([error]))


def _chosen_project(form: Form) -> ProjectRef | None:
    slug = form.typed.get("project", "")
    for project in organization_projects():
        if project.slug == slug:
            return project
    detail = "Choose a project." if slug == UNCHOSEN else "This project does not exist."
    form.add(ValidationFailed.one("project", detail, "does_not_exist"))
    return None


def _differing(found: Monitor, data: dict[str, Any]) -> dict[str, Any]:
    """Return the fields whose values differ from the monitor's."""
    now = {name: getattr(found, name) for name in data if name != "action"}
    now["action"] = json.loads(found.targets)
    return {name: value for name, value in data.items() if value != now[name]}


def _edit_page(found: Monitor | None, project: ProjectRef | None, form: Form) -> str:
    values = _values(found) | dict(form.typed)
    saved = json.loads(found.targets) if found else []
    return render_template(
        "dashboard/monitors/monitor_edit.html",
        monitor=found,
        project=project,
        form=form,
        values=values,
        projects=with_unchosen(
            [(project.slug, project.label) for project in organization_projects()]
        ),
        units=[(str(size), words) for size, words in UNITS],
        timezones=list_timezones(),
        boxes=channel_picker.list_boxes(form, saved),
        addresses=channel_picker.saved_addresses(saved),
        **_preview(values),
    )


def _values(found: Monitor | None) -> dict[str, str]:
    """Return the initial values of the form's fields."""
    if found is None:
        return {
            "project": request.args.get("project", ""),
            "type": CRON,
            "timezone": "UTC",
            "interval_unit": split_seconds(None)[1],
            "anchor": "start",
            "failure_threshold": "1",
            "recovery_threshold": "1",
        }
    interval, unit = split_seconds(found.interval)
    numbers = {name: getattr(found, name) for name in _NUMBERS}
    return {
        "name": found.name,
        "type": found.type,
        "schedule": found.schedule or "",
        "timezone": found.timezone,
        "interval": interval,
        "interval_unit": unit,
        "anchor": found.anchor or "start",
        **{name: "" if value is None else str(value) for name, value in numbers.items()},
    }


# Matched before <id>/, because it has no variable part.
@blp.page(f"{BASE}/preview", role=roles.CHANGE_MONITORS)
def preview_monitor() -> str:
    """Explain a schedule while it is typed, as a fragment of a page."""
    return render_template(
        "dashboard/monitors/_monitor_preview.html", **_preview(request.args.to_dict())
    )


def _preview(values: dict[str, str]) -> dict[str, Any]:
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
        return {
            **shown,
            "words": schedule.explain(),
            "runs": schedule.next_runs(PREVIEWED_RUNS, after=now),
            **(_clock_change(schedule, now) if isinstance(schedule, Cron) else {}),
        }
    except (ScheduleError, OverflowError) as error:
        return {**shown, "problem": str(error)}


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
    length = seconds(values.get("interval", ""), values.get("interval_unit", ""))
    if not isinstance(length, int):
        raise ScheduleError("interval: use a whole number.")
    return parse_interval(length, values.get("anchor", "start"))


@blp.page(f"{BASE}/<id>/status", role=roles.CHANGE_MONITORS, methods=["POST"])
def set_monitor_status(id: str) -> Response:
    """Pause, mute or resume a monitor."""
    found, project = find_monitor(id)
    now, status = utcnow(), request.form.get("status", "")
    changes: dict[str, Any] = {"status": status if status in (PAUSED, MUTED) else ACTIVE}
    words = {PAUSED: "paused. Expected runs are skipped", ACTIVE: "active"}
    try:
        if changes["status"] == MUTED:
            changes["muted_until"] = until = _muted_until(now)
            words[MUTED] = _mute_words(until)
        manage.update_monitor(project, found.id, changes, now=now, actor=current_actor())
    except ValidationFailed as error:
        flash(error.errors[0].detail, "error")
        return redirect(url_for("dashboard.monitor", id=id), 303)
    db.session.commit()
    flash(f"The monitor is {words[changes['status']]}.", "success")
    return redirect(url_for("dashboard.monitor", id=id), 303)


def _mute_words(until: datetime | None) -> str:
    """Return words for a mute: a duration as chosen, since it reads the same in every zone."""
    hours = {str(number): words for number, words in MUTE_HOURS}.get(request.form.get("hours", ""))
    if until is None or hours:
        return f"muted {hours}" if hours else "muted"
    return f"muted until {absolute(until)}"


def _muted_until(now: datetime) -> datetime | None:
    """Return when a mute ends, from a number of hours or a time in UTC; None for never."""
    hours, until = request.form.get("hours", ""), request.form.get("until", "").strip()
    if hours in {str(number) for number, _ in MUTE_HOURS}:
        return now + timedelta(hours=int(hours))
    if hours != "until":
        return None
    try:
        moment: datetime = Moment().deserialize(until)
    except ValidationError as error:
        raise ValidationFailed.one("until", "Enter a date and time to mute until.") from error
    return moment.astimezone(UTC)


@blp.page(f"{BASE}/<id>/delete", role=roles.CHANGE_MONITORS, methods=["POST"])
def delete_monitor(id: str) -> Response:
    """Delete a monitor; its tasks are kept."""
    found, project = find_monitor(id)
    name = found.name
    manage.delete_monitor(project, found.id, now=utcnow(), actor=current_actor())
    db.session.commit()
    flash(f"The monitor {name} has been deleted.", "success")
    return redirect(url_for("dashboard.monitor_list"), 303)
