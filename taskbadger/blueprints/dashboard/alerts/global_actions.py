"""Alerts: the global actions of an organization, their editor, and what one would have fired."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import Response as FlaskResponse
from flask import flash, make_response, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts import channel_picker
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.shared import (
    organization_projects,
    render_shared,
    share_longer,
)
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles, triggers
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.status import STATUSES
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db, reading
from taskbadger.models import GlobalAction
from taskbadger.schemas.alert_forms import DryRunForm, GlobalActionForm
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.monitor_forms import UNITS, split_seconds
from taskbadger.services.alerts import dry_runs, global_actions
from taskbadger.services.alerts.global_actions import GlobalActionChanges
from taskbadger.services.pagination import read_number
from taskbadger.services.stats import overview as surroundings

BASE = "/a/<organization_slug>/alerts"
DRY_RUN_DAYS = 7
SHOWN_FIRINGS = 10


@dataclass(frozen=True, slots=True)
class ShownGlobalAction:
    """A global action as a list shows it."""

    global_action: GlobalAction
    project: str
    """The slug of its only project; empty for all."""
    channels: list[str]


def alerts_context() -> dict[str, Any]:
    """Return what every page of alerts shows around its own part."""
    return {"dead_count": count_dead()}


def count_dead() -> int:
    """Return how many messages of this page's organization were given up."""
    number = current_member().organization_id
    name = ("dead", number)
    return share_longer(name, lambda: surroundings.count_dead(number))


def render_alerts(
    template: str, shown: object, context: Callable[[], dict[str, Any]]
) -> FlaskResponse:
    """Respond with a live page of alerts; *shown* is the version of what it shows."""
    version = f"{shown!r}|{count_dead()}"
    path = f"dashboard/alerts/{template}"
    return render_shared(path, version, lambda: alerts_context() | context())


@blp.page(f"{BASE}/", role=roles.READ)
def alert_list() -> FlaskResponse:
    """Show the global actions."""
    found = global_actions.list_global_actions(current_member().organization_id)
    version = [
        (global_action.id, global_action.updated, global_action.held_back)
        for global_action in found
    ]
    return render_alerts("alerts.html", version, lambda: {"rows": _rows(found)})


def _rows(found: Sequence[GlobalAction]) -> list[ShownGlobalAction]:
    slugs = {project.id: project.slug for project in organization_projects()}
    return [
        ShownGlobalAction(
            global_action, slugs.get(global_action.project_id or 0, ""), _names(global_action)
        )
        for global_action in found
    ]


def _names(global_action: GlobalAction) -> list[str]:
    """Return the channels of a global action; of e-mail, the addresses."""
    return [
        f"email to {target['config']['to'].replace(',', ', ')}"
        if target["integration"] == "email"
        else target["integration"]
        for target in json.loads(global_action.channels)
    ]


def _find(text: str) -> GlobalAction:
    number = read_number(text)
    if number is None:
        raise NotFound()
    return global_actions.get_global_action(current_member().organization_id, number)


@blp.page(f"{BASE}/new/", role=roles.CHANGE_ALERTS)
def new_alert() -> str:
    """Show an empty form."""
    return _edit_page(None, Form())


@blp.page(f"{BASE}/new/", role=roles.CHANGE_ALERTS, methods=["POST"])
def create_alert() -> Response:
    """Make a global action, or try one without scripts."""
    form, targets = _read()
    if "preview" in request.form:
        return make_response(_edit_page(None, Form(form.typed)))
    made = None
    try:
        if not form.errors:
            made = global_actions.create_global_action(
                current_member().organization_id,
                cast(GlobalActionChanges, {**form.data, "channels": targets}),
                actor=current_actor(),
                now=utcnow(),
            )
    except ValidationFailed as error:
        channel_picker.add_errors(form, error, "channels", targets)
    if made is None:
        return make_response(_edit_page(None, form), 400)
    name = made.name
    db.session.commit()
    flash(f"{name} created. It applies to task changes from now on.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


@blp.page(f"{BASE}/<global_action_id>/", role=roles.CHANGE_ALERTS)
def edit_alert(global_action_id: str) -> str:
    """Show the form of a global action."""
    return _edit_page(_find(global_action_id), Form())


@blp.page(f"{BASE}/<global_action_id>/", role=roles.CHANGE_ALERTS, methods=["POST"])
def change_alert(global_action_id: str) -> Response:
    """Change a global action, or try a change without scripts."""
    global_action = _find(global_action_id)
    form, targets = _read(json.loads(global_action.channels))
    if "preview" in request.form:
        return make_response(_edit_page(global_action, Form(form.typed)))
    try:
        if not form.errors:
            _change(global_action, {**form.data, "channels": targets})
    except ValidationFailed as error:
        channel_picker.add_errors(form, error, "channels", targets)
    if form.errors:
        return make_response(_edit_page(global_action, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


def _read(saved: Sequence[NotificationTarget] = ()) -> tuple[Form, list[NotificationTarget]]:
    form = read_form(GlobalActionForm)
    targets = channel_picker.read_targets(form, saved)
    if form.errors:
        _check_rest(form, targets)
    return form, targets


def _check_rest(form: Form, targets: list[NotificationTarget]) -> None:
    """Add the errors that the service would report only once all other fields are valid."""
    rest: GlobalActionChanges = {"name_pattern": form.typed.get("name_pattern", "")}
    if channel_picker.ADDRESSES not in form.errors:
        rest["channels"] = targets
    errors = [
        error
        for error in global_actions.check(current_member().organization_id, rest)
        if error.attr not in form.errors
    ]
    if errors:
        channel_picker.add_errors(form, ValidationFailed(errors), "channels", targets)


def _change(global_action: GlobalAction, data: dict[str, Any]) -> None:
    """Change only what differs, so that saving an unchanged form changes nothing."""
    slugs = {project.id: project.slug for project in organization_projects()}
    now = {
        name: getattr(global_action, name) for name in data if name not in ("channels", "project")
    }
    now["channels"] = json.loads(global_action.channels)
    now["project"] = slugs.get(global_action.project_id or 0)
    changes = {name: value for name, value in data.items() if value != now[name]}
    if changes:
        _update(global_action, cast(GlobalActionChanges, changes))


def _update(global_action: GlobalAction, changes: GlobalActionChanges) -> None:
    global_actions.update_global_action(
        global_action.organization_id,
        global_action.id,
        changes,
        actor=current_actor(),
        now=utcnow(),
    )


def _edit_page(global_action: GlobalAction | None, form: Form) -> str:
    saved = json.loads(global_action.channels) if global_action else []
    values = _values(global_action) | dict(form.typed)
    return render_template(
        "dashboard/alerts/alert_edit.html",
        global_action=global_action,
        form=form,
        values=values,
        projects=[
            ("", "all projects"),
            *((project.slug, project.slug) for project in organization_projects()),
        ],
        statuses=STATUSES,
        max_runtime_exceeded=triggers.MAX_RUNTIME_EXCEEDED,
        units=[(str(size), words) for size, words in UNITS],
        boxes=channel_picker.list_boxes(form, saved),
        addresses=channel_picker.saved_addresses(saved),
        **alerts_context(),
        **_dry_run(values),
    )


def _values(global_action: GlobalAction | None) -> dict[str, str]:
    """Return what stands in the fields before anybody typed."""
    if global_action is None:
        return {"trigger": "error", "quiet_period": "", "quiet_unit": str(UNITS[0][0])}
    slugs = {project.id: project.slug for project in organization_projects()}
    period, unit = split_seconds(global_action.quiet_period or None)
    return {
        "name": global_action.name,
        "trigger": global_action.trigger,
        "project": slugs.get(global_action.project_id or 0, ""),
        "name_pattern": global_action.name_pattern,
        "quiet_period": period,
        "quiet_unit": unit,
    }


@blp.page(f"{BASE}/dry-run", role=roles.CHANGE_ALERTS)
def dry_run_alert() -> str:
    """Tell what a draft would have fired: a part of a page."""
    return render_template(
        "dashboard/alerts/_alert_dry_run.html", **_dry_run(request.args.to_dict())
    )


def _dry_run(values: dict[str, str]) -> dict[str, Any]:
    """Return what the draft would have fired in the last days, or what is wrong with it."""
    shown: dict[str, Any] = {"days": DRY_RUN_DAYS, "problems": [], "shown": SHOWN_FIRINGS}
    if not values.get("trigger", "").strip():
        return shown
    try:
        draft = DryRunForm().load(values)
        shown["above_100"] = triggers.parse(draft["trigger"]).percents_above_100
        number = current_member().organization_id
        # It reads for a while, after a form too: nobody who writes is to wait for it.
        with reading():
            shown["run"] = dry_runs.dry_run(
                number,
                trigger=draft["trigger"],
                project=draft["project"],
                name_pattern=draft["name_pattern"],
                days=DRY_RUN_DAYS,
                now=utcnow(),
                limit=SHOWN_FIRINGS,
            )
    except ValidationError as error:
        shown["problems"] = [field_error.detail for field_error in field_errors(error.messages)]
    except ValidationFailed as error:
        shown["problems"] = [field_error.detail for field_error in error.errors]
    return shown


@blp.page(f"{BASE}/<global_action_id>/enabled", role=roles.CHANGE_ALERTS, methods=["POST"])
def enable_alert(global_action_id: str) -> Response:
    """Turn a global action on or off."""
    global_action = _find(global_action_id)
    enabled = request.form.get("enabled") == "true"
    if global_action.enabled != enabled:
        _update(global_action, {"enabled": enabled})
    name = global_action.name
    db.session.commit()
    flash(f"{name} has been turned {'on' if enabled else 'off'}.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


@blp.page(f"{BASE}/<global_action_id>/delete", role=roles.CHANGE_ALERTS, methods=["POST"])
def delete_alert(global_action_id: str) -> Response:
    """Delete a global action; what it has queued is still delivered."""
    global_action = _find(global_action_id)
    name = global_action.name
    global_actions.delete_global_action(
        global_action.organization_id, global_action.id, actor=current_actor(), now=utcnow()
    )
    db.session.commit()
    flash(f"{name} has been deleted.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)
