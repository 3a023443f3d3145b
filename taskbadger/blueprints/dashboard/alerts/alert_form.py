"""The form of a global action, and the dry run of what is typed into it."""

import json
from dataclasses import dataclass
from typing import Any, cast

from flask import request
from marshmallow import ValidationError

from taskbadger.blueprints.dashboard.alerts import channel_picker, step_fields
from taskbadger.blueprints.dashboard.alerts.step_fields import TypedSteps
from taskbadger.blueprints.dashboard.forms import NAME_KINDS, Form, read_form
from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.clock import utcnow
from taskbadger.domain import triggers
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.patterns import CONTAINS, IS
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import reading
from taskbadger.models import GlobalAction
from taskbadger.models.action import EVERY, INCIDENT
from taskbadger.schemas import trigger_forms
from taskbadger.schemas.alert_forms import DryRunForm, GlobalActionForm
from taskbadger.schemas.durations import write_optional
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.name_patterns import show_pattern
from taskbadger.services.alerts import dry_runs, global_actions
from taskbadger.services.alerts.global_actions import INCIDENT_POINTS, GlobalActionChanges

DRY_RUN_DAYS = 7
SHOWN_FIRINGS = 10
WAIT_FOR_RETRY = "1 min"
"""What a new global action of the dashboard begins with."""
_DURATIONS = ("wait_for_retry", "quiet_period", "remind_after", "within")
MAX_NAME = 240
"""How much of a task's name is suggested as a part of an alert's name."""
MODES = (
    (INCIDENT, "when a job begins to fail, fails in a new way and recovers"),
    (EVERY, "each time"),
)


@dataclass(slots=True)
class TypedAlert:
    """What somebody has typed."""

    form: Form
    targets: list[NotificationTarget]
    steps: TypedSteps

    @property
    def data(self) -> GlobalActionChanges:
        """What to set, if the form has no errors."""
        lists = {"channels": self.targets, "escalation": self.steps.steps}
        return cast(GlobalActionChanges, {**self.form.data, **lists})

    def add_errors(self, error: ValidationFailed) -> None:
        """Add the errors that the service found, next to their fields."""
        rest = self.steps.add_errors(self.form, error)
        if rest is not None:
            channel_picker.add_errors(self.form, rest, "channels", self.targets)

    def check_rest(self) -> None:
        """Add the errors that the service would report only once all other fields are valid."""
        rest = self.data
        if channel_picker.ADDRESSES in self.form.errors:
            del rest["channels"]
        errors = [
            error
            for error in global_actions.check_draft(current_member().organization_id, rest)
            if error.attr not in self.form.errors
        ]
        if errors:
            self.add_errors(ValidationFailed(errors))


def read(global_action: GlobalAction | None = None) -> TypedAlert:
    """Return what was submitted; *global_action* is the one that is changed, if any."""
    form = read_form(GlobalActionForm)
    targets = channel_picker.read_targets(
        form, json.loads(global_action.channels) if global_action else ()
    )
    steps = TypedSteps()
    if form.typed.get("mode") == INCIDENT:
        steps = step_fields.read_steps(
            form, json.loads(global_action.escalation) if global_action else ()
        )
    typed = TypedAlert(form, targets, steps)
    if form.errors:
        typed.check_rest()
    return typed


def context(global_action: GlobalAction | None, form: Form) -> dict[str, Any]:
    """Return what the page of the form shows."""
    saved = json.loads(global_action.channels) if global_action else []
    steps = json.loads(global_action.escalation) if global_action else []
    known = channel_picker.list_known()
    values = _values(global_action) | dict(form.typed)
    values["trigger"] = trigger_forms.read_trigger(values)
    return {
        "global_action": global_action,
        "form": form,
        "values": values,
        "projects": [
            ("", "all projects"),
            *((project.slug, project.slug) for project in organization_projects()),
        ],
        "modes": MODES,
        "name_kinds": NAME_KINDS,
        "point_boxes": trigger_forms.list_boxes(values["trigger"]),
        "point_numbers": trigger_forms.list_numbers(values["trigger"]),
        "incident_points": INCIDENT_POINTS,
        "boxes": channel_picker.list_boxes(form, saved, known),
        "addresses": channel_picker.saved_addresses(saved),
        "steps": step_fields.list_steps(form, steps, known),
        **dry_run(values),
    }


def _values(global_action: GlobalAction | None) -> dict[str, str]:
    """Return what stands in the fields before anybody typed."""
    if global_action is None:
        return {
            "mode": INCIDENT,
            "trigger": "error",
            "name_kind": CONTAINS,
            "wait_for_retry": WAIT_FOR_RETRY,
            **_values_for_name(),
        }
    slugs = {project.id: project.slug for project in organization_projects()}
    at_least = global_action.at_least
    return {
        "name": global_action.name,
        "mode": global_action.mode,
        "trigger": global_action.trigger,
        "project": slugs.get(global_action.project_id or 0, ""),
        **show_pattern(global_action.name_pattern),
        "at_least": "" if at_least is None else str(at_least),
        **{name: write_optional(getattr(global_action, name)) for name in _DURATIONS},
    }


def _values_for_name() -> dict[str, str]:
    """Return the values for a new global action about one name; none without a name."""
    task_name = request.args.get("task_name", "")
    if not task_name:
        return {}
    return {
        "name": f"{task_name[:MAX_NAME]} fails",
        "project": request.args.get("project", ""),
        "name_kind": IS,
        "name_pattern": task_name,
    }


def dry_run(values: dict[str, str]) -> dict[str, Any]:
    """Return what the draft would have fired in the last days, or what is wrong with it."""
    shown: dict[str, Any] = {"days": DRY_RUN_DAYS, "problems": [], "shown": SHOWN_FIRINGS}
    if not values.get("trigger", "").strip():
        return shown
    try:
        draft = DryRunForm().load(values)
        draft["days"] = DRY_RUN_DAYS
        shown["draft"] = draft
        shown["above_100"] = triggers.parse(draft["trigger"]).percents_above_100
        number = current_member().organization_id
        # It reads for a while, after a form too: nobody who writes is to wait for it.
        with reading():
            shown["run"] = dry_runs.dry_run(number, **draft, now=utcnow(), limit=SHOWN_FIRINGS)
    except ValidationError as error:
        shown["problems"] = [field_error.detail for field_error in field_errors(error.messages)]
    except ValidationFailed as error:
        shown["problems"] = [field_error.detail for field_error in error.errors]
    return shown
