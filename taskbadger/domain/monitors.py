"""Monitors: the words for their types, statuses and health, and what people set up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from taskbadger.domain.notification_targets import EscalationStep, NotificationTarget
from taskbadger.domain.status import PENDING, TERMINAL

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
MAX_SLUG = 100
"""Characters of a monitor's slug."""
_SLUG = re.compile(r"[a-z0-9_-]+", re.ASCII)
MAX_TAGS = 500
"""Characters of all its tags."""
MAX_DESCRIPTION = 10_000
HEALTH = (NEW, HEALTHY, FAILING, PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorSettings:
    """What people set up; `models.Monitor` has the meaning and the unit of each field."""

    name: str
    slug: str | None = None
    """None for a new monitor: one that is made of its name."""
    tags: str = ""
    description: str = ""
    task_name: str | None = None
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
    remind_after: int = 0
    escalation: Sequence[EscalationStep] = ()

    def __post_init__(self) -> None:
        """Keep lists as lists, whatever they were given as: settings are compared."""
        object.__setattr__(self, "action", list(self.action))
        object.__setattr__(self, "escalation", list(self.escalation))

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


def is_monitor_slug(text: str) -> bool:
    """Say whether *text* can be the slug of a monitor."""
    return len(text) <= MAX_SLUG and _SLUG.fullmatch(text) is not None


def joins_monitor(before: str | None, after: str) -> bool:
    """Say whether a change of status makes a task a run of the monitor that is bound to its name.

    It does when the task starts or goes on, but not while it waits, nor once it has ended.
    *before* is None for a creation.
    """
    if after in (before, PENDING):
        return False
    return before not in TERMINAL or after not in TERMINAL
