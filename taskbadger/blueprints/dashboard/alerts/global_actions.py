"""Alerts: the global actions of an organization, their editor, and what one would have fired."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from flask import Response as FlaskResponse
from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts import alert_form
from taskbadger.blueprints.dashboard.forms import Form
from taskbadger.blueprints.dashboard.shared import (
    organization_projects,
    render_shared,
    share_longer,
)
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import GlobalAction
from taskbadger.services.alerts import global_actions
from taskbadger.services.alerts.global_actions import GlobalActionChanges
from taskbadger.services.pagination import read_number
from taskbadger.services.stats import overview as surroundings

BASE = "/a/<organization_slug>/alerts"


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


@blp.page(f"{BASE}/new/", role=roles.CHANGE_ALERTS, methods=["POST"], keeps_draft=True)
def create_alert() -> Response:
    """Make a global action, or try one without scripts."""
    typed = alert_form.read()
    form = typed.form
    if "preview" in request.form:
        return make_response(_edit_page(None, Form(form.typed)))
    made = None
    try:
        if not form.errors:
            made = global_actions.create_global_action(
                current_member().organization_id, typed.data, actor=current_actor(), now=utcnow()
            )
    except ValidationFailed as error:
        typed.add_errors(error)
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


@blp.page(
    f"{BASE}/<global_action_id>/", role=roles.CHANGE_ALERTS, methods=["POST"], keeps_draft=True
)
def change_alert(global_action_id: str) -> Response:
    """Change a global action, or try a change without scripts."""
    global_action = _find(global_action_id)
    typed = alert_form.read(global_action)
    form = typed.form
    if "preview" in request.form:
        return make_response(_edit_page(global_action, Form(form.typed)))
    try:
        if not form.errors:
            _change(global_action, typed.data)
    except ValidationFailed as error:
        typed.add_errors(error)
    if form.errors:
        return make_response(_edit_page(global_action, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


def _change(global_action: GlobalAction, data: GlobalActionChanges) -> None:
    """Change only what differs, so that saving an unchanged form changes nothing."""
    now = global_actions.fields_of(global_action)
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
    return render_template(
        "dashboard/alerts/alert_edit.html",
        **alert_form.context(global_action, form),
        **alerts_context(),
    )


@blp.page(f"{BASE}/dry-run", role=roles.CHANGE_ALERTS)
def dry_run_alert() -> str:
    """Tell what a draft would have fired: a part of a page."""
    return render_template(
        "dashboard/alerts/_alert_dry_run.html", **alert_form.dry_run(request.args.to_dict())
    )


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
    """Delete a global action; what is held back of it is dropped."""
    global_action = _find(global_action_id)
    name = global_action.name
    global_actions.delete_global_action(
        global_action.organization_id, global_action.id, actor=current_actor(), now=utcnow()
    )
    db.session.commit()
    flash(f"{name} has been deleted.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)
