"""Global actions: actions on all tasks of an organization."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TypedDict

import re2
from sqlalchemy import select

from taskbadger.domain import triggers
from taskbadger.domain.identity import Actor
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Project
from taskbadger.schemas.global_actions import MAX_QUIET_SECONDS
from taskbadger.services.alerts import firing
from taskbadger.services.delivery.channels import check_integration
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

MAX_CHANNELS = 10
_BY_ID = keyset_of(GlobalAction.id, read_number)


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
    }


def delete_global_action(
    organization_id: int, global_action_id: int, *, actor: Actor, now: datetime
) -> None:
    """Delete a global action, and record it in the audit log.

    Messages that are queued already are still delivered. Raises NotFound.
    """
    global_action = get_global_action(organization_id, global_action_id)
    audit.record(actor, organization_id, "global-action.delete", global_action.name, now=now)
    db.session.delete(global_action)
    db.session.flush()


def _change(global_action: GlobalAction, data: GlobalActionChanges, now: datetime) -> None:
    errors = list(check(global_action.organization_id, data))
    if errors:
        raise ValidationFailed(errors)
    if "project" in data:
        global_action.project_id = find_project_id(global_action.organization_id, data["project"])
    if "channels" in data:
        global_action.channels = json.dumps(
            [
                {"integration": target["integration"], "config": target.get("config") or {}}
                for target in data["channels"]
            ]
        )
    global_action.name = data.get("name", global_action.name)
    global_action.trigger = data.get("trigger", global_action.trigger)
    global_action.name_pattern = data.get("name_pattern", global_action.name_pattern)
    global_action.enabled = data.get("enabled", global_action.enabled)
    global_action.quiet_period = data.get("quiet_period", global_action.quiet_period)
    global_action.updated = now


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
    if "channels" in data:
        yield from _check_channels(organization_id, data["channels"])


def _check_pattern(pattern: str) -> Iterator[FieldError]:
    try:
        firing.compiled(pattern)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        yield FieldError("invalid", f"Not a valid RE2 regular expression: {text}.", "name_pattern")


def _check_channels(
    organization_id: int, channels: Sequence[NotificationTarget]
) -> Iterator[FieldError]:
    if not 1 <= len(channels) <= MAX_CHANNELS:
        yield FieldError("invalid", f"Give 1 to {MAX_CHANNELS} channels.", "channels")
    seen: set[str] = set()
    for index, channel in enumerate(channels):
        attr = f"channels.{index}.integration"
        integration = channel["integration"]
        if integration in seen:
            yield FieldError("invalid", "Use each channel only once.", attr)
        seen.add(integration)
        try:
            check_integration(organization_id, integration, attr, channel.get("config") or {})
        except ValidationFailed as error:
            yield from error.errors
