"""The words for monitors: their types, statuses and health."""

from datetime import datetime

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


def status_at(status: str, muted_until: datetime | None, now: datetime) -> str:
    """Return the status that counts: a mute that has run out is none."""
    if status == MUTED and muted_until is not None and muted_until <= now:
        return ACTIVE
    return status


def health(status: str, *, seen: bool, failing: bool) -> str:
    """Return how a monitor is; *seen* says whether a run ever came."""
    if status == PAUSED:
        return PAUSED
    if failing:
        return FAILING
    return HEALTHY if seen else NEW
