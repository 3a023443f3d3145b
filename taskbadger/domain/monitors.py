"""Monitors: the words for their types, statuses and health, and what people set up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from taskbadger.domain.notification_targets import NotificationTarget

CRON = "cron"
INTERVAL = "interval"
TYPES = (CRON, INTERVAL)
ANCHORS = ("start", "end")

ACTIVE = "active"
PAUSED = "paused"
MUTED = "muted"
STATUSES = (ACTIVE, PAUSED, MUTED)

NEW = "new"
HEALTHY = "healthy"
FAILING = "failing"
HEALTH = (NEW, HEALTHY, FAILING, PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """What people set up; `models.Monitor` has the meaning and the unit of each field."""

    name: str
    type: str
    schedule: str | None = None
    interval: int | None = None
    anchor: str | None = None
    timezone: str = "UTC"
    start_grace: int | None = None
    max_runtime: int | None = None
    early_margin: int | None = None
    failure_threshold: int = 1
    recovery_threshold: int = 1
    status: str = ACTIVE
    muted_until: datetime | None = None
    action: Sequence[NotificationTarget] = ()

    def __post_init__(self) -> None:
        """Keep the targets as a list, whatever they were given as: settings are compared."""
        object.__setattr__(self, "action", list(self.action))

    def normalized(self) -> Self:
        """Return the settings without the fields that their type and status do not use."""
        muted_until = self.muted_until if self.status == MUTED else None
        if self.type == CRON:
            return replace(self, interval=None, anchor=None, muted_until=muted_until)
        anchor = self.anchor or "start"
        return replace(self, schedule=None, anchor=anchor, muted_until=muted_until)


def status_at(status: str, muted_until: datetime | None, now: datetime) -> str:
    """Return the status at *now*: after ``muted_until``, a muted monitor is active."""
    if status == MUTED and muted_until is not None and muted_until <= now:
        return ACTIVE
    return status


def health(status: str, *, seen: bool, failing: bool) -> str:
    """Return the health of a monitor; *seen* says whether it ever had a run."""
    if status == PAUSED:
        return PAUSED
    if failing:
        return FAILING
    return HEALTHY if seen else NEW
