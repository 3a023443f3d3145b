"""Checks, as Healthchecks calls monitors: what its API says of one.

The rules: https://healthchecks.io/docs/api/.
"""

import hashlib
import hmac
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from taskbadger.domain.monitors import PAUSED
from taskbadger.domain.pings import ENDS, Signal

UNNAMED = "unnamed"
"""The name of a check without one: the tasks of a monitor need a name."""
MIN_SECONDS = 60
MAX_SECONDS = 31_536_000
MAX_NAME = 100
MAX_SCHEDULE = 100
ALL = "*"
"""All channels; and the badge of all checks."""
_UNIQUE_KEY_PADDING = "0" * 8
"""Fills a monitor's id up to the length of a SHA-1, which clients expect."""
_SIGNATURE_DIGITS = 24


class Status(StrEnum):
    """How a check is doing."""

    NEW = "new"
    UP = "up"
    GRACE = "grace"
    DOWN = "down"
    PAUSED = "paused"


STARTED = "started"
"""What version 1 of the API says of a check while its job runs, instead of the status."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the status of a check depends on."""

    status: str
    """That of its monitor."""
    is_seen: bool
    is_failing: bool
    is_running: bool
    expected_at: datetime | None

    def at(self, now: datetime) -> Status:
        """Return the status of the check at *now*."""
        if self.status == PAUSED:
            return Status.PAUSED
        if self.is_failing:
            return Status.DOWN
        if not self.is_seen:
            return Status.NEW
        is_late = self.expected_at is not None and self.expected_at <= now
        return Status.GRACE if is_late and not self.is_running else Status.UP


def split_tags(text: str) -> list[str]:
    """Return the tags of a check."""
    return text.split()


def unique_key(monitor_id: UUID) -> str:
    """Return what stands for a check where its secret address is not shown."""
    return monitor_id.hex + _UNIQUE_KEY_PADDING


def read_unique_key(text: str) -> UUID | None:
    """Return the id of the monitor that a unique key stands for."""
    if not text.endswith(_UNIQUE_KEY_PADDING):
        return None
    try:
        return UUID(text.removesuffix(_UNIQUE_KEY_PADDING))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Point:
    """A ping, as far as it says how long a run took."""

    signal: str
    run_id: UUID | None
    at: datetime


def durations(points: Iterable[Point]) -> list[timedelta | None]:
    """Return how long the run took that each of *points*, oldest first, ended.

    None for one that ended none, or one without a start.
    """
    starts: dict[UUID | None, datetime] = {}
    found: list[timedelta | None] = []
    for point in points:
        start = starts.pop(point.run_id, None) if point.signal in ENDS else None
        if point.signal == Signal.START:
            starts[point.run_id] = point.at
        found.append(None if start is None else point.at - start)
    return found


# Badges


@dataclass(frozen=True, slots=True)
class Summary:
    """How the checks of a badge are doing together."""

    status: str
    """``up``, ``late`` or ``down``."""
    total: int
    grace: int
    down: int


def summarize(statuses: Iterable[Status], *, tells_late: bool) -> Summary:
    """Return what a badge says; without *tells_late*, a check in its grace time is up."""
    counts = Counter(statuses)
    status = "up"
    if counts[Status.GRACE] and tells_late:
        status = "late"
    if counts[Status.DOWN]:
        status = "down"
    return Summary(status, counts.total(), counts[Status.GRACE], counts[Status.DOWN])


def sign_badge(subject: str, secret_key: str) -> str:
    """Return the part of a badge's address that nobody can guess."""
    signed = hmac.new(secret_key.encode(), f"taskbadger.badge:{subject}".encode(), hashlib.sha256)
    return signed.hexdigest()[:_SIGNATURE_DIGITS]


def is_signed_badge(subject: str, signature: str, secret_keys: Sequence[str]) -> bool:
    """Say whether *signature* was made with one of these keys."""
    sent = signature.encode("utf-8", "replace")
    return any(hmac.compare_digest(sign_badge(subject, key).encode(), sent) for key in secret_keys)
