"""Global actions: actions on all tasks of an organization."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypedDict

from sqlalchemy import select, update

from taskbadger.domain import patterns, triggers
from taskbadger.domain.identity import Actor
from taskbadger.domain.notification_targets import EscalationStep, NotificationTarget
from taskbadger.domain.status import ERROR, STALE
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, IncidentNotice, Project
from taskbadger.models.action import EVERY, INCIDENT
from taskbadger.schemas.global_actions import (
    MAX_QUIET_SECONDS,
    MAX_WAIT_SECONDS,
    MIN_REMIND_SECONDS,
)
from taskbadger.services.delivery import withdrawals
from taskbadger.services.delivery.channels import check_integration
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

MAX_CHANNELS = 10
MAX_STEPS = 5
INCIDENT_POINTS = (ERROR, STALE, triggers.MAX_RUNTIME_EXCEEDED)
"""What the trigger of a global action in the mode ``incident`` may name."""
_BY_ID = keyset_of(GlobalAction.id, read_number)
_PLAIN = (
    "name",
    "trigger",
    "name_pattern",
    "enabled",
    "quiet_period",
    "wait_for_retry",
    "mode",
    "remind_after",
    "at_least",
    "within",
)
"""Fields that are stored as they are."""


class GlobalActionChanges(TypedDict, total=False):
    """What people set of a global action; `models.GlobalAction` says what each field means."""

    name: str
    project: str | None
    """A slug; None for all projects."""
    name_pattern: str
    trigger: str
    channels: Sequence[NotificationTarget]
    enabled: bool
    quiet_period: int
    mode: str
    remind_after: int
    escalation: Sequence[EscalationStep]
    at_least: int | None
    within: int | None
    wait_for_retry: int


def list_global_actions(organization_id: int) -> Sequence[GlobalAction]:
    """Return the global actions of an organization, oldest first."""
    return db.session.scalars(
        select(GlobalAction)
        .where(GlobalAction.organization_id == organization_id)
        .order_by(GlobalAction.id)
    ).all()


def list_page(organization_id: int, cursor: Cursor | None, size: int) -> Page[GlobalAction]:
    """Return a page of the global actions of an organization, oldest first."""
    query = select(GlobalAction).where(GlobalAction.organization_id == organization_id)
    return walk(query, _BY_ID, cursor, size)


def project_slugs(found: Sequence[GlobalAction]) -> dict[int, str]:
    """Return the slugs of the projects that *found* are limited to, by the project's id."""
    ids = {each.project_id for each in found if each.project_id is not None}
    if not ids:
        return {}
    rows = db.session.execute(select(Project.id, Project.slug).where(Project.id.in_(ids)))
    return {row.id: row.slug for row in rows}


def get_global_action(organization_id: int, global_action_id: int) -> GlobalAction:
    """Return one global action; raises NotFound."""
    global_action = db.session.scalar(
        select(GlobalAction).where(
            GlobalAction.organization_id == organization_id, GlobalAction.id == global_action_id
        )
    )
    if global_action is None:
        raise NotFound()
    return global_action


def create_global_action(
    organization_id: int, data: GlobalActionChanges, *, actor: Actor, now: datetime
) -> GlobalAction:
    """Create a global action, and record it in the audit log.

    *data* has at least ``name``, ``trigger`` and ``channels``. Raises ValidationFailed.
    """
    global_action = GlobalAction(
        organization_id=organization_id,
        project_id=None,
        name_pattern="",
        enabled=True,
        quiet_period=0,
        quiet_until=None,
        held_back=0,
        mode=EVERY,
        remind_after=0,
        escalation="[]",
        rate="[]",
        rate_reached=False,
        wait_for_retry=0,
        created=now,
    )
    _change(global_action, data, now)
    db.session.add(global_action)
    db.session.flush()
    audit.record(
        actor,
        organization_id,
        "global-action.create",
        global_action.name,
        global_action.trigger,
        now=now,
    )
    return global_action


def update_global_action(
    organization_id: int,
    global_action_id: int,
    changes: GlobalActionChanges,
    *,
    actor: Actor,
    now: datetime,
) -> GlobalAction:
    """Change the fields in *changes*, and record what differs in the audit log.

    Raises NotFound and ValidationFailed.
    """
    global_action = get_global_action(organization_id, global_action_id)
    before = fields_of(global_action)
    _wake_notices(global_action_id, now)
    _change(global_action, changes, now)
    db.session.flush()
    audit.record_change(
        actor,
        organization_id,
        "global-action.change",
        global_action.name,
        before,
        fields_of(global_action),
        now=now,
    )
    return global_action


def fields_of(global_action: GlobalAction) -> dict[str, object]:
    """Return the fields that people set."""
    return {
        "name": global_action.name,
        "project": db.session.scalar(
            select(Project.slug).where(Project.id == global_action.project_id)
        ),
        "name_pattern": global_action.name_pattern,
        "trigger": global_action.trigger,
        "channels": json.loads(global_action.channels),
        "enabled": global_action.enabled,
        "quiet_period": global_action.quiet_period,
        "mode": global_action.mode,
        "remind_after": global_action.remind_after,
        "escalation": json.loads(global_action.escalation),
        "at_least": global_action.at_least,
        "within": global_action.within,
        "wait_for_retry": global_action.wait_for_retry,
    }


def delete_global_action(
    organization_id: int, global_action_id: int, *, actor: Actor, now: datetime
) -> None:
    """Delete a global action, and record it in the audit log.

    Messages that are held back are dropped; others that are queued are still delivered. Raises
    NotFound.
    """
    global_action = get_global_action(organization_id, global_action_id)
    audit.record(actor, organization_id, "global-action.delete", global_action.name, now=now)
    _lock_notices(global_action_id)
    # A change that is firing it is over then, and its messages are seen.
    db.session.refresh(global_action, with_for_update=True)
    withdrawals.drop_held(organization_id, global_action_id, now=now)
    db.session.delete(global_action)
    db.session.flush()


def _lock_notices(global_action_id: int) -> None:
    """Lock what it tells of incidents; a worker that tells locks in this order."""
    query = select(IncidentNotice.id).where(IncidentNotice.global_action_id == global_action_id)
    db.session.execute(query.order_by(IncidentNotice.id).with_for_update()).all()


def _wake_notices(global_action_id: int, now: datetime) -> None:
    """Look again at what it tells of open incidents, because its settings have changed."""
    _lock_notices(global_action_id)
    db.session.execute(
        update(IncidentNotice)
        .where(
            IncidentNotice.global_action_id == global_action_id,
            ~IncidentNotice.is_over,
            IncidentNotice.told_at.is_not(None),
        )
        .values(next_at=now)
        .execution_options(synchronize_session=False)
    )


def _change(global_action: GlobalAction, data: GlobalActionChanges, now: datetime) -> None:
    errors = list(check(global_action.organization_id, data))
    errors += _check_together(global_action, data)
    if errors:
        raise ValidationFailed(errors)
    if "project" in data:
        global_action.project_id = find_project_id(global_action.organization_id, data["project"])
    if "channels" in data:
        global_action.channels = json.dumps(_targets(data["channels"]))
    if "escalation" in data:
        global_action.escalation = json.dumps(stored_steps(data["escalation"]))
    for name in _PLAIN:
        setattr(global_action, name, data.get(name, getattr(global_action, name)))
    global_action.updated = now


def stored_steps(steps: Sequence[EscalationStep]) -> list[EscalationStep]:
    """Return the steps of an escalation as they are stored."""
    return [{"after": step["after"], "channels": _targets(step["channels"])} for step in steps]


def _targets(channels: Sequence[NotificationTarget]) -> list[NotificationTarget]:
    return [
        {"integration": target["integration"], "config": target.get("config") or {}}
        for target in channels
    ]


def find_project_id(organization_id: int, slug: str | None) -> int | None:
    """Return the id of a project, None for None; raises ValidationFailed on ``project``."""
    if slug is None:
        return None
    found = db.session.scalar(
        select(Project.id).where(Project.organization_id == organization_id, Project.slug == slug)
    )
    if found is None:
        raise ValidationFailed.one(
            "project", f"There is no project “{slug}” in this organization.", "does_not_exist"
        )
    return found


def check(organization_id: int, data: GlobalActionChanges) -> Iterator[FieldError]:
    """Yield an error for each wrong field in *data*; `_change` checks the project."""
    if "trigger" in data:
        try:
            triggers.parse(data["trigger"])
        except triggers.TriggerError as error:
            yield FieldError("invalid", str(error), "trigger")
    if data.get("name_pattern"):
        yield from _check_pattern(data["name_pattern"])
    if not 0 <= data.get("quiet_period", 0) <= MAX_QUIET_SECONDS:
        yield FieldError("max_value", f"Give 0 to {MAX_QUIET_SECONDS} seconds.", "quiet_period")
    yield from check_reminder(data.get("remind_after", 0))
    if not 0 <= data.get("wait_for_retry", 0) <= MAX_WAIT_SECONDS:
        yield FieldError("max_value", f"Give 0 to {MAX_WAIT_SECONDS} seconds.", "wait_for_retry")
    if "channels" in data:
        yield from _check_channels(organization_id, data["channels"], "channels")
    yield from check_escalation(organization_id, data.get("escalation", ()))


def check_draft(organization_id: int, draft: GlobalActionChanges) -> Iterator[FieldError]:
    """Yield an error for each wrong field of a draft, also of those that do not go together."""
    yield from check(organization_id, draft)
    yield from _check_whole(draft)


def _check_together(global_action: GlobalAction, data: GlobalActionChanges) -> Iterator[FieldError]:
    """Yield an error for each field that does not go with another one, sent or not."""
    kept: GlobalActionChanges = {
        "mode": global_action.mode,
        "trigger": global_action.trigger or "",
        "remind_after": global_action.remind_after,
        "escalation": json.loads(global_action.escalation),
        "at_least": global_action.at_least,
        "within": global_action.within,
    }
    yield from _check_whole({**kept, **data})


def _check_whole(data: GlobalActionChanges) -> Iterator[FieldError]:
    if data.get("mode") == INCIDENT:
        yield from _check_incident_trigger(data.get("trigger", ""))
    else:
        only = "Only a global action in the mode incident has it."
        if data.get("remind_after"):
            yield FieldError("invalid", only, "remind_after")
        if data.get("escalation"):
            yield FieldError("invalid", only, "escalation")
    at_least, within = data.get("at_least"), data.get("within")
    if (at_least is None) != (within is None):
        missing = "at_least" if at_least is None else "within"
        yield FieldError(
            "required", "Give both, or neither: how many failures, and within how long.", missing
        )


def _check_incident_trigger(trigger: str) -> Iterator[FieldError]:
    try:
        points = triggers.parse(trigger).points
    except triggers.TriggerError:
        return  # `check` says so.
    others = [point.text for point in points if point.text not in INCIDENT_POINTS]
    if others:
        allowed = ", ".join(INCIDENT_POINTS)
        detail = f"An incident begins with {allowed} only; not with {others[0]}."
        yield FieldError("invalid", detail, "trigger")


def check_reminder(remind_after: int) -> Iterator[FieldError]:
    """Yield an error if reminders would come too soon after each other."""
    if 0 < remind_after < MIN_REMIND_SECONDS:
        detail = f"Give 0, or {MIN_REMIND_SECONDS} seconds or more."
        yield FieldError("min_value", detail, "remind_after")


def check_escalation(organization_id: int, steps: Sequence[EscalationStep]) -> Iterator[FieldError]:
    """Yield an error for each wrong step of an escalation."""
    if len(steps) > MAX_STEPS:
        yield FieldError("max_length", f"Give at most {MAX_STEPS} steps.", "escalation")
    last = 0
    for index, step in enumerate(steps):
        if step["after"] <= last:
            detail = "Each step comes later than the one before."
            yield FieldError("invalid", detail, f"escalation.{index}.after")
        last = step["after"]
        attr = f"escalation.{index}.channels"
        yield from _check_channels(organization_id, step["channels"], attr)


def _check_pattern(pattern: str) -> Iterator[FieldError]:
    problem = patterns.explain_error(pattern)
    if problem:
        yield FieldError("invalid", problem, "name_pattern")


def _check_channels(
    organization_id: int, channels: Sequence[NotificationTarget], attr_of_list: str
) -> Iterator[FieldError]:
    if not channels:
        yield FieldError("invalid", "Choose at least one e-mail address or channel.", attr_of_list)
    if len(channels) > MAX_CHANNELS:
        yield FieldError("invalid", f"Choose at most {MAX_CHANNELS} channels.", attr_of_list)
    seen: set[str] = set()
    for index, channel in enumerate(channels):
        attr = f"{attr_of_list}.{index}.integration"
        integration = channel["integration"]
        if integration in seen:
            yield FieldError("invalid", "Use each channel only once.", attr)
        seen.add(integration)
        try:
            check_integration(organization_id, integration, attr, channel.get("config") or {})
        except ValidationFailed as error:
            yield from error.errors
