"""Alerts: the global actions of an organization, their editor, and what one would have fired."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response as FlaskResponse
from flask import flash, make_response, redirect, render_template, request, url_for
from marshmallow import ValidationError
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard import channel_picker
from taskbadger.blueprints.dashboard.access import blp, current_actor, current_member
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared, share
from taskbadger.clock import utcnow
from taskbadger.domain import roles, triggers
from taskbadger.domain.status import STATUSES
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db, reading
from taskbadger.models import GlobalAction
from taskbadger.schemas.alert_forms import DryRunForm, GlobalActionForm
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.monitor_forms import UNITS, split_seconds
from taskbadger.services import audit, rules
from taskbadger.services import overview as surroundings
from taskbadger.services.keyset import read_number

BASE = "/a/<organization_slug>/alerts"
DRY_RUN_DAYS = 7
SHOWN_FIRINGS = 10


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A global action as a list shows it."""

    rule: GlobalAction
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
    return share(name, lambda: surroundings.count_dead(number), place="counts")


def render_alerts(
    template: str, stamp: object, context: Callable[[], dict[str, Any]]
) -> FlaskResponse:
    """Answer with a page of alerts that keeps itself up to date; *stamp* is that of its part."""
    version = f"{stamp!r}|{count_dead()}"
    return render_shared(f"dashboard/{template}", version, lambda: alerts_context() | context())


@blp.page(f"{BASE}/", role=roles.READ)
def alert_list() -> FlaskResponse:
    """Show the global actions."""
    found = rules.list_rules(current_member().organization_id)
    stamp = [(rule.id, rule.updated, rule.held_back) for rule in found]
    return render_alerts("alerts.html", stamp, lambda: {"rows": _rows(found)})


def _rows(found: Sequence[GlobalAction]) -> list[RuleRow]:
    slugs = {project.id: project.slug for project in organization_projects()}
    return [RuleRow(rule, slugs.get(rule.project_id or 0, ""), _names(rule)) for rule in found]


def _names(rule: GlobalAction) -> list[str]:
    """Return the channels of a global action; of e-mail, the addresses."""
    return [
        f"email to {one['config']['to'].replace(',', ', ')}"
        if one["integration"] == "email"
        else one["integration"]
        for one in json.loads(rule.channels)
    ]


def _find(text: str) -> GlobalAction:
    number = read_number(text)
    if number is None:
        raise NotFound()
    return rules.get_rule(current_member().organization_id, number)


@blp.page(f"{BASE}/new/", role=roles.CHANGE_ALERTS)
def new_alert() -> str:
    """Show an empty form."""
    return _edit_page(None, Form())


@blp.page(f"{BASE}/new/", role=roles.CHANGE_ALERTS, methods=["POST"])
def create_alert() -> Response:
    """Make a global action, or try one without scripts."""
    form, notices = _read()
    if "preview" in request.form:
        return make_response(_edit_page(None, Form(form.typed)))
    made = None
    try:
        if not form.errors:
            data = {**form.data, "channels": notices}
            made = rules.create_rule(current_member().organization_id, data, now=utcnow())
    except ValidationFailed as error:
        channel_picker.add_errors(form, error, "channels", notices)
    if made is None:
        return make_response(_edit_page(None, form), 400)
    _record("global-action.create", made, made.trigger)
    name = made.name
    db.session.commit()
    flash(f"{name} looks at every change of a task from now on.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


@blp.page(f"{BASE}/<rule_id>/", role=roles.CHANGE_ALERTS)
def edit_alert(rule_id: str) -> str:
    """Show the form of a global action."""
    return _edit_page(_find(rule_id), Form())


@blp.page(f"{BASE}/<rule_id>/", role=roles.CHANGE_ALERTS, methods=["POST"])
def change_alert(rule_id: str) -> Response:
    """Change a global action, or try a change without scripts."""
    rule = _find(rule_id)
    form, notices = _read(json.loads(rule.channels))
    if "preview" in request.form:
        return make_response(_edit_page(rule, Form(form.typed)))
    try:
        if not form.errors:
            _change(rule, {**form.data, "channels": notices})
    except ValidationFailed as error:
        channel_picker.add_errors(form, error, "channels", notices)
    if form.errors:
        return make_response(_edit_page(rule, form), 400)
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


def _read(saved: Sequence[channel_picker.Notice] = ()) -> tuple[Form, list[dict[str, Any]]]:
    form = read_form(GlobalActionForm)
    return form, channel_picker.read_notices(form, saved)


def _change(rule: GlobalAction, data: dict[str, Any]) -> None:
    """Change and note only what differs."""
    slugs = {project.id: project.slug for project in organization_projects()}
    now = {name: getattr(rule, name) for name in data if name not in ("channels", "project")}
    now["channels"] = json.loads(rule.channels)
    now["project"] = slugs.get(rule.project_id or 0)
    changes = {name: value for name, value in data.items() if value != now[name]}
    if changes:
        _update(rule, changes)


def _update(rule: GlobalAction, changes: dict[str, Any]) -> None:
    rules.update_rule(rule.organization_id, rule.id, changes, actor=current_actor(), now=utcnow())


def _record(verb: str, rule: GlobalAction, detail: str = "") -> None:
    audit.record(current_actor(), rule.organization_id, verb, rule.name, detail, now=utcnow())


def _edit_page(rule: GlobalAction | None, form: Form) -> str:
    saved = json.loads(rule.channels) if rule else []
    values = _values(rule) | dict(form.typed)
    return render_template(
        "dashboard/alert_edit.html",
        rule=rule,
        form=form,
        values=values,
        projects=[("", "all projects"), *((one.slug, one.slug) for one in organization_projects())],
        statuses=STATUSES,
        max_runtime_exceeded=triggers.MAX_RUNTIME_EXCEEDED,
        units=[(str(size), words) for size, words in UNITS],
        boxes=channel_picker.list_boxes(form, saved),
        addresses=channel_picker.saved_addresses(saved),
        **alerts_context(),
        **_dry_run(values),
    )


def _values(rule: GlobalAction | None) -> dict[str, str]:
    """Return what stands in the fields before anybody typed."""
    if rule is None:
        return {"trigger": "error", "quiet_period": "", "quiet_unit": str(UNITS[0][0])}
    slugs = {project.id: project.slug for project in organization_projects()}
    period, unit = split_seconds(rule.quiet_period or None)
    return {
        "name": rule.name,
        "trigger": rule.trigger,
        "project": slugs.get(rule.project_id or 0, ""),
        "name_pattern": rule.name_pattern,
        "quiet_period": period,
        "quiet_unit": unit,
    }


@blp.page(f"{BASE}/dry-run", role=roles.CHANGE_ALERTS)
def dry_run_alert() -> str:
    """Tell what a draft would have fired: a part of a page."""
    return render_template("dashboard/_alert_dry_run.html", **_dry_run(request.args.to_dict()))


def _dry_run(values: dict[str, str]) -> dict[str, Any]:
    """Return what the draft would have fired in the last days, or what is wrong with it."""
    shown: dict[str, Any] = {"days": DRY_RUN_DAYS, "problems": [], "shown": SHOWN_FIRINGS}
    if not values.get("trigger", "").strip():
        return shown
    try:
        draft = DryRunForm().load(values)
        shown["past_whole"] = triggers.parse(draft["trigger"]).past_whole
        number = current_member().organization_id
        # It reads for a while, after a form too: nobody who writes is to wait for it.
        with reading():
            shown["run"] = rules.dry_run(
                number,
                trigger=draft["trigger"],
                project=draft["project"],
                name_pattern=draft["name_pattern"],
                days=DRY_RUN_DAYS,
                now=utcnow(),
                limit=SHOWN_FIRINGS,
            )
    except ValidationError as error:
        shown["problems"] = [one.detail for one in field_errors(error.messages)]
    except ValidationFailed as error:
        shown["problems"] = [one.detail for one in error.errors]
    return shown


@blp.page(f"{BASE}/<rule_id>/enabled", role=roles.CHANGE_ALERTS, methods=["POST"])
def enable_alert(rule_id: str) -> Response:
    """Turn a global action on or off."""
    rule = _find(rule_id)
    enabled = request.form.get("enabled") == "true"
    if rule.enabled != enabled:
        _update(rule, {"enabled": enabled})
    name = rule.name
    db.session.commit()
    flash(f"{name} is turned {'on' if enabled else 'off'}.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)


@blp.page(f"{BASE}/<rule_id>/delete", role=roles.CHANGE_ALERTS, methods=["POST"])
def delete_alert(rule_id: str) -> Response:
    """Delete a global action; what it has queued is still delivered."""
    rule = _find(rule_id)
    name = rule.name
    _record("global-action.delete", rule)
    rules.delete_rule(rule.organization_id, rule.id)
    db.session.commit()
    flash(f"{name} is deleted.", "success")
    return redirect(url_for("dashboard.alert_list"), 303)
