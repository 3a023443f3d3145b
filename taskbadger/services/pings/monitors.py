"""Finds the monitor that a ping is for, and makes one for a slug that is new."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import INTERVAL
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.domain.pings import DEFAULT_GRACE, DEFAULT_TIMEOUT
from taskbadger.errors import Throttled, ValidationFailed
from taskbadger.extensions import Statement
from taskbadger.models import Monitor, Organization, Project
from taskbadger.models.types import Query
from taskbadger.schemas.monitors import MAX_TARGETS
from taskbadger.services import throttle
from taskbadger.services.delivery import channels
from taskbadger.services.monitors import manage, slots

NEW_A_MINUTE = 300
"""The monitors of one project that pings may make or change a minute."""


class Retimed(Enum):
    """What became of the timing that a ping has brought for a monitor that there is."""

    SAME = "it has it"
    CHANGED = "it has it now"
    REFUSED = "people have set another, or made it"


class Pinged(NamedTuple):
    """A monitor that is pinged."""

    id: UUID
    name: str
    task_name: str | None
    max_runtime: int | None
    project_id: int
    project: str
    organization_id: int
    organization: str

    @property
    def project_ref(self) -> ProjectRef:
        """Its project."""
        return ProjectRef(self.project_id, self.project, self.organization_id, self.organization)


_PINGED: Query = (
    select(
        Monitor.id,
        Monitor.name,
        Monitor.task_name,
        Monitor.max_runtime,
        Monitor.project_id,
        Project.slug,
        Organization.id,
        Organization.slug,
    )
    .join(Project, Project.id == Monitor.project_id)
    .join(Organization, Organization.id == Project.organization_id)
)
_BY_PING_ID = Statement(_PINGED.where(Monitor.ping_id == bindparam("ping_id")), Pinged._make)
_BY_SLUG = Statement(
    _PINGED.where(Monitor.project_id == bindparam("project"), Monitor.slug == bindparam("slug")),
    Pinged._make,
)

_SET_UP = (
    *("type", "schedule", "interval", "anchor", "timezone", "start_grace", "max_runtime"),
    *("failure_threshold", "recovery_threshold"),
)
_SETTINGS: Statement[dict[str, Any]] = Statement(
    select(*(getattr(Monitor, name) for name in _SET_UP)).where(Monitor.id == bindparam("monitor")),
    lambda row: dict(zip(_SET_UP, row, strict=True)),
)


def find_by_ping_id(ping_id: UUID) -> Pinged | None:
    """Return the monitor with this secret in its address."""
    found = _BY_PING_ID.read({"ping_id": ping_id})
    return found[0] if found else None


def find_by_slug(project: ProjectRef, slug: str) -> Pinged | None:
    """Return the monitor of a project with this slug."""
    found = _BY_SLUG.read({"project": project.id, "slug": slug})
    return found[0] if found else None


def make_monitor(
    project: ProjectRef,
    slug: str,
    *,
    now: datetime,
    actor: Actor,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Create the monitor *slug*, which notifies all channels of the organization.

    Without *settings* it expects a run a day. Raises Throttled, and ValidationFailed where the
    settings are wrong or another request was faster.
    """
    _count(project, now)
    data = {
        "name": slug,
        "type": INTERVAL,
        "interval": DEFAULT_TIMEOUT,
        "anchor": "end",
        "start_grace": DEFAULT_GRACE,
        "max_runtime": DEFAULT_GRACE,
    }
    if settings and "type" in settings:
        data = {"name": slug}
    found = {**data, **(settings or {}), "slug": slug}
    found.setdefault("action", all_channels(project))
    monitor = manage.create_monitor(project, found, now=now, actor=actor)
    monitor.timed_by_pings = True


def retime_monitor(
    pinged: Pinged, settings: Mapping[str, Any], *, now: datetime, actor: Actor
) -> Retimed:
    """Give a monitor the timing that a ping has brought, if pings gave it the one it has.

    A key that pings is in many places: it may undo what such keys did, and nothing else. Raises
    Throttled, and ValidationFailed.
    """
    monitor = slots.lock_monitor(pinged.id)
    if monitor is None or not monitor.timed_by_pings:
        return Retimed.REFUSED
    changes = {name: value for name, value in settings.items() if name != "name"}
    if all(getattr(monitor, name) == value for name, value in changes.items()):
        return Retimed.SAME
    _count(pinged.project_ref, now)
    manage.update_monitor(pinged.project_ref, pinged.id, changes, now=now, actor=actor)
    monitor.timed_by_pings = True
    return Retimed.CHANGED


def _count(project: ProjectRef, now: datetime) -> None:
    wait = throttle.count(f"ping-new:{project.id}", limit=NEW_A_MINUTE, seconds=60, now=now)
    if wait:
        raise Throttled(wait)


def all_channels(project: ProjectRef) -> list[NotificationTarget]:
    """Return the channels of the organization that work without further settings."""
    targets: list[NotificationTarget] = []
    for channel in channels.list_channels(project.organization_id):
        integration = channels.integration_of(channel)
        try:
            channels.check_integration(project.organization_id, integration, config={})
        except ValidationFailed:
            continue
        if channel.disabled is None:
            targets.append({"integration": integration, "config": {}})
    return targets[:MAX_TARGETS]


def has_settings(pinged: Pinged, settings: Mapping[str, Any]) -> bool:
    """Say whether a monitor is set up as *settings* say; each is a column of it."""
    found = _SETTINGS.read({"monitor": pinged.id})
    return bool(found) and settings.items() <= found[0].items()
