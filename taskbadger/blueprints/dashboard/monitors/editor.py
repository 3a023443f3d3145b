"""The editor of monitors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts import channel_picker, step_fields
from taskbadger.blueprints.dashboard.alerts.step_fields import TypedSteps
from taskbadger.blueprints.dashboard.forms import UNCHOSEN, Form, read_form, with_unchosen
from taskbadger.blueprints.dashboard.monitors import preview
from taskbadger.blueprints.dashboard.monitors.rows import BASE, find_monitor
from taskbadger.blueprints.dashboard.monitors.suggested import suggest
from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import durations, roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import CRON
from taskbadger.domain.notification_targets import EscalationStep, NotificationTarget
from taskbadger.domain.zones import list_timezones
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.schemas.durations import write_optional
from taskbadger.schemas.monitor_forms import MonitorForm
from taskbadger.services.monitors import manage

_NUMBERS = ("failure_threshold", "recovery_threshold")
_LIMITS = ("start_grace", "max_runtime", "early_margin")


@blp.page(f"{BASE}/new/", role=roles.CHANGE_MONITORS)
def new_monitor() -> str:
    """Show an empty form."""
    return _edit_page(None, None, Form())


@blp.page(f"{BASE}/new/", role=roles.CHANGE_MONITORS, methods=["POST"], keeps_draft=True)
def create_monitor() -> Response:
    """Create a monitor, or preview one without scripts."""
    typed = _read(None)
    form = typed.form
    if "preview" in request.form:
        return make_response(_edit_page(None, None, Form(form.typed)))
    project = _chosen_project(form)
    created = None
    if project is None or form.errors:
        typed.check_rest()
    else:
        try:
            created = manage.create_monitor(
                project, typed.data, now=utcnow(), actor=current_actor()
            )
        except ValidationFailed as error:
            typed.add_errors(error)
    if created is None:
        return make_response(_edit_page(None, None, form), 400)
    monitor_id, words = str(created.id), _created_words(created)
    db.session.commit()
    flash(words, "success")
    return redirect(url_for("dashboard.monitor", id=monitor_id), 303)


def _created_words(created: Monitor) -> str:
    if created.task_name is not None:
        return f"{created.name} created. Watching starts with the next run of {created.task_name}."
    return (
        f"{created.name} created. Set up your job as shown below: watching starts with its first "
        "run."
    )


@blp.page(f"{BASE}/<id>/edit/", role=roles.CHANGE_MONITORS)
def edit_monitor(id: str) -> str:
    """Show a monitor's form."""
    found, project = find_monitor(id)
    return _edit_page(found, project, Form())


@blp.page(f"{BASE}/<id>/edit/", role=roles.CHANGE_MONITORS, methods=["POST"], keeps_draft=True)
def change_monitor(id: str) -> Response:
    """Change a monitor, or preview a change without scripts."""
    found, project = find_monitor(id)
    typed = _read(found)
    form = typed.form
    if "preview" in request.form:
        return make_response(_edit_page(found, project, Form(form.typed)))
    if form.errors:
        typed.check_rest()
    elif changes := _differing(found, typed.data):
        try:
            manage.update_monitor(project, found.id, changes, now=utcnow(), actor=current_actor())
        except ValidationFailed as error:
            typed.add_errors(error)
    if form.errors:
        return make_response(_edit_page(found, project, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.monitor", id=id), 303)


@dataclass(slots=True)
class _TypedMonitor:
    """What somebody has typed."""

    form: Form
    targets: list[NotificationTarget]
    steps: TypedSteps

    @property
    def data(self) -> dict[str, Any]:
        """What to set, if the form has no errors."""
        return {**self.form.data, "action": self.targets, "escalation": self.steps.steps}

    def add_errors(self, error: ValidationFailed) -> None:
        """Add the errors that the service found, next to their fields."""
        rest = self.steps.add_errors(self.form, error)
        if rest is not None:
            channel_picker.add_errors(self.form, rest, "action", self.targets)

    def check_rest(self) -> None:
        """Add the errors that the service would report only once all other fields are valid."""
        is_cron = self.form.typed.get("type") == CRON
        schedule = self.form.typed.get("schedule", "").strip() if is_cron else ""
        timezone = self.form.typed.get("timezone", "")
        errors = [
            *manage.check_schedule(timezone, schedule or None),
            *manage.check_notified(current_member().organization_id, self.data),
        ]
        rest = [error for error in errors if error.attr not in self.form.errors]
        if rest:
            self.add_errors(ValidationFailed(rest))


def _read(found: Monitor | None) -> _TypedMonitor:
    form = read_form(MonitorForm)
    saved, steps = _saved_lists(found)
    targets = channel_picker.read_targets(form, saved)
    return _TypedMonitor(form, targets, step_fields.read_steps(form, steps))


def _saved_lists(
    found: Monitor | None,
) -> tuple[Sequence[NotificationTarget], Sequence[EscalationStep]]:
    """Return the channels and the escalation of a monitor, if there is one."""
    return (json.loads(found.targets), json.loads(found.escalation)) if found else ((), ())


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
    now = {name: getattr(found, name) for name in data if name not in ("action", "escalation")}
    now["action"], now["escalation"] = _saved_lists(found)
    return {name: value for name, value in data.items() if value != now[name]}


def _edit_page(found: Monitor | None, project: ProjectRef | None, form: Form) -> str:
    values = _values(found) | dict(form.typed)
    saved, steps = _saved_lists(found)
    known = channel_picker.list_known()
    return render_template(
        "dashboard/monitors/monitor_edit.html",
        monitor=found,
        project=project,
        form=form,
        values=values,
        projects=with_unchosen(
            [(project.slug, project.label) for project in organization_projects()]
        ),
        timezones=list_timezones(),
        boxes=channel_picker.list_boxes(form, saved, known),
        steps=step_fields.list_steps(form, steps, known),
        addresses=channel_picker.saved_addresses(saved),
        **preview.context(values),
    )


def _values(found: Monitor | None) -> dict[str, str]:
    """Return the initial values of the form's fields."""
    if found is None:
        return _new_values()
    limits = {name: getattr(found, name) for name in _LIMITS}
    return {
        "name": found.name,
        "slug": found.slug or "",
        "task_name": found.task_name or "",
        "type": found.type,
        "schedule": found.schedule or "",
        "timezone": found.timezone,
        "interval": write_optional(found.interval),
        "anchor": found.anchor or "start",
        "remind_after": write_optional(found.remind_after),
        **{name: "" if each is None else durations.write(each) for name, each in limits.items()},
        **{name: str(getattr(found, name)) for name in _NUMBERS},
    }


def _new_values() -> dict[str, str]:
    slug, task_name = request.args.get("project", ""), request.args.get("task_name", "")
    known = [project for project in organization_projects() if project.slug == slug]
    return {
        "project": slug,
        "type": CRON,
        "timezone": "UTC",
        "anchor": "start",
        "failure_threshold": "1",
        "recovery_threshold": "1",
        **(suggest(known[0], task_name) if known and task_name else {}),
    }
