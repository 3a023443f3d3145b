"""Changes monitors by what the API of Healthchecks says: its names, units and defaults."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from marshmallow import ValidationError
from sqlalchemy import select

from taskbadger.domain.checks import ALL, UNNAMED
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import ACTIVE, CRON, INTERVAL, PAUSED
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.pings import DEFAULT_GRACE, DEFAULT_TIMEOUT
from taskbadger.errors import Conflict, FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Monitor, Project
from taskbadger.schemas.fields import email_addresses
from taskbadger.schemas.monitors import MAX_TARGETS
from taskbadger.services.delivery import channels
from taskbadger.services.monitors import manage, slots
from taskbadger.services.pings.monitors import all_channels

Spec = Mapping[str, Any]
"""A loaded CheckRequest."""
_EMAIL = "email:"
_NAMES = {
    "timezone": "tz",
    "interval": "timeout",
    "start_grace": "grace",
    "max_runtime": "grace",
    "description": "desc",
    "action": "channels",
}
"""What Healthchecks calls our fields."""


def create_check(
    project: ProjectRef, spec: Spec, *, now: datetime, actor: Actor
) -> tuple[UUID, bool]:
    """Create a check, or change the one that is equal in the fields of ``unique``.

    Return the id of its monitor, and whether it is new. Raises ValidationFailed with the names of
    Healthchecks, here and below.
    """
    _lock_project(project)
    found = _find_equal(project, spec)
    if found is not None:
        update_check(project, found, spec, now=now, actor=actor)
        return found.id, False
    data = {
        "name": UNNAMED,
        "type": INTERVAL,
        "interval": DEFAULT_TIMEOUT,
        "anchor": "end",
        "start_grace": DEFAULT_GRACE,
        "max_runtime": DEFAULT_GRACE,
        "action": [],
        **_settings(project, spec, None),
    }
    if data["type"] == CRON:
        del data["interval"], data["anchor"]
    with _their_names():
        monitor = manage.create_monitor(project, data, now=now, actor=actor)
    return monitor.id, True


def update_check(
    project: ProjectRef, monitor: Monitor, spec: Spec, *, now: datetime, actor: Actor
) -> None:
    """Change what *spec* names of a check."""
    changes = _settings(project, spec, monitor)
    with _their_names():
        manage.update_monitor(project, monitor.id, changes, now=now, actor=actor)


def pause_check(project: ProjectRef, monitor: Monitor, *, now: datetime, actor: Actor) -> None:
    """Pause a check; one that is paused stays as it is."""
    if monitor.status != PAUSED:
        manage.update_monitor(project, monitor.id, {"status": PAUSED}, now=now, actor=actor)


def resume_check(project: ProjectRef, monitor: Monitor, *, now: datetime, actor: Actor) -> None:
    """Resume a check; raises Conflict if it is not paused."""
    if monitor.status != PAUSED:
        raise Conflict("check is not paused")
    manage.update_monitor(project, monitor.id, {"status": ACTIVE}, now=now, actor=actor)


def delete_check(project: ProjectRef, monitor: Monitor, *, now: datetime, actor: Actor) -> None:
    """Delete a check with its history; the tasks of its runs are kept."""
    manage.delete_monitor(project, monitor.id, now=now, actor=actor)


@contextmanager
def _their_names() -> Iterator[None]:
    """Give the errors of a block the names that Healthchecks has for our fields."""
    try:
        yield
    except ValidationFailed as error:
        raise ValidationFailed([_renamed(each) for each in error.errors]) from error


def _renamed(error: FieldError) -> FieldError:
    field = (error.attr or "").partition(".")[0]
    return FieldError(error.code, f"is not accepted: {error.detail}", _NAMES.get(field, field))


def _lock_project(project: ProjectRef) -> None:
    """Let those who create checks of one project wait for each other.

    FOR NO KEY UPDATE: inserting a task takes a key-share lock, and does not wait.
    """
    lock = select(Project.id).where(Project.id == project.id).with_for_update(key_share=True)
    db.session.execute(lock)


def _find_equal(project: ProjectRef, spec: Spec) -> Monitor | None:
    """Return the oldest check that is equal to *spec* in its fields of ``unique``."""
    names = set(spec.get("unique", ()))
    if not names or not names <= spec.keys():
        return None
    query = select(Monitor).where(Monitor.project_id == project.id).order_by(Monitor.id)
    if "name" in names:
        query = query.where(Monitor.name == _name_of(spec))
    for name in names & {"slug", "tags"}:
        query = query.where(getattr(Monitor, name) == spec[name])
    if "timeout" in names:
        query = query.where(Monitor.type == INTERVAL, Monitor.interval == spec["timeout"])
    found = db.session.scalars(query)
    if "grace" not in names:
        return found.first()
    grace = spec["grace"]
    return next((each for each in found if slots.grace_of(each).total_seconds() == grace), None)


def _settings(project: ProjectRef, spec: Spec, monitor: Monitor | None) -> dict[str, Any]:
    """Return what *spec* says of a monitor, in our words."""
    settings: dict[str, Any] = {}
    if spec.get("slug"):
        settings["slug"] = spec["slug"]
    if "name" in spec or monitor is None:
        settings["name"] = _name_of(spec, monitor)
    for theirs, ours in (("tags", "tags"), ("desc", "description"), ("tz", "timezone")):
        if theirs in spec:
            settings[ours] = spec[theirs]
    if "schedule" in spec:
        settings |= {"type": CRON, "schedule": spec["schedule"]}
    elif "timeout" in spec:
        settings |= {"type": INTERVAL, "interval": spec["timeout"]}
        if monitor is None or monitor.type != INTERVAL:
            settings["anchor"] = "end"
    if "grace" in spec:
        settings |= {"start_grace": spec["grace"], "max_runtime": spec["grace"]}
    if "channels" in spec:
        kept = json.loads(monitor.targets) if monitor is not None else []
        settings["action"] = _read_channels(project, spec["channels"], kept)
    return settings


def _name_of(spec: Spec, monitor: Monitor | None = None) -> str:
    """Return the name of a check, which *spec* may leave empty."""
    slug = monitor.slug if monitor is not None else None
    name: str = spec.get("name") or spec.get("slug") or slug or UNNAMED
    return name


def _read_channels(
    project: ProjectRef, text: str, kept: Sequence[NotificationTarget]
) -> list[NotificationTarget]:
    """Return the channels that a comma-separated list names by their ids or names.

    What *kept* says of a channel stays. ``email:`` and an address is a mail to that address.
    """
    if text == ALL:
        return all_channels(project)
    if text == "":
        return []
    configs = {target["integration"]: target["config"] for target in kept}
    available = channels.list_channels(project.organization_id)
    addresses, wanted = [], dict[str, dict[str, Any]]()
    for part in text.split(","):
        if part.startswith(_EMAIL):
            addresses.append(part.removeprefix(_EMAIL))
        else:
            integration = _find_channel(available, part)
            wanted[integration] = configs.get(integration, {})
    if addresses:
        wanted["email"] = {"to": _read_addresses(addresses)}
    if len(wanted) > MAX_TARGETS:
        raise ValidationFailed.one(None, f"more than {MAX_TARGETS} channel identifiers")
    return [{"integration": each, "config": config} for each, config in wanted.items()]


def _find_channel(available: Sequence[ChannelConfig], text: str) -> str:
    """Return the integration of the channel with this id or name."""
    if not text:
        raise ValidationFailed.one(None, "empty channel identifier")
    found = {
        channels.integration_of(channel)
        for channel in available
        if text in (channels.integration_of(channel), channel.name)
    }
    if not found:
        raise ValidationFailed.one(None, f"invalid channel identifier: {text}")
    if len(found) > 1:
        raise ValidationFailed.one(None, f"non-unique channel identifier: {text}")
    return found.pop()


def _read_addresses(addresses: Sequence[str]) -> str:
    if not all(addresses):
        raise ValidationFailed.one(None, f"invalid channel identifier: {_EMAIL}")
    try:
        return ",".join(email_addresses(",".join(addresses)))
    except ValidationError as error:
        raise ValidationFailed.one(None, f"invalid channel identifier: {error}") from error
