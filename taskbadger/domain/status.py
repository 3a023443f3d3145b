"""The states of a task, what a change of state implies, and when a task is stale or overdue."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

PENDING = "pending"
STALE = "stale"
SUCCESS = "success"
ERROR = "error"
CANCELLED = "cancelled"
RUNNING = frozenset({"pre_processing", "processing", "post_processing"})
TERMINAL = frozenset({SUCCESS, ERROR, CANCELLED})
FAILED = frozenset({ERROR, STALE})
STATUSES = (
    PENDING,
    "pre_processing",
    "processing",
    "post_processing",
    SUCCESS,
    ERROR,
    CANCELLED,
    STALE,
)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The status of a task and the times that follow from it."""

    created: datetime
    status: str = PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    time_to_start: timedelta | None = None
    stale_from: str | None = None
    """The status before the task went stale; None unless it is stale."""


def move(task: Lifecycle, changes: Mapping[str, Any], *, now: datetime) -> Lifecycle:
    """Return the lifecycle of *task* after *changes*, by docs/contract.md#lifecycle.

    *changes* may hold ``status``, ``start_time``, ``end_time`` and ``time_to_start``; a time that
    is given is used as it is. Without a ``status``, a stale task returns to its former one.
    """
    status = changes.get("status") or task.stale_from or task.status
    after = task
    if status != task.status:
        after = _entered(task, status, now)
    given = {name: changes[name] for name in _TIMES if name in changes}
    return replace(after, **given) if given else after


def begin(changes: Mapping[str, Any], *, now: datetime) -> Lifecycle:
    """Return the lifecycle of a task that is created at *now* with *changes*."""
    return move(Lifecycle(created=now), changes, now=now)


_TIMES = ("start_time", "end_time", "time_to_start")


def _entered(task: Lifecycle, status: str, now: datetime) -> Lifecycle:
    before = task.stale_from or task.status
    start_time, time_to_start = task.start_time, task.time_to_start
    if before == PENDING and status not in (PENDING, STALE) and time_to_start is None:
        time_to_start = max(now - task.created, timedelta())
    if status in RUNNING and start_time is None:
        start_time = now
    return Lifecycle(
        created=task.created,
        status=status,
        start_time=start_time,
        end_time=now if status in TERMINAL else None,
        time_to_start=time_to_start,
        stale_from=before if status == STALE else None,
    )


def value_percent(value: int | None, value_max: int | None) -> int | None:
    """Return progress as a whole percentage, rounded down.

    None when *value* is None or *value_max* is 0.
    """
    if value is None or not value_max:
        return None
    return 100 * value // value_max


def stale_at(status: str, updated: datetime, stale_timeout: int | None) -> datetime | None:
    """Return when a task without further updates goes stale; None for never."""
    if stale_timeout is None or status == STALE or status in TERMINAL:
        return None
    return _after(updated, stale_timeout)


def overdue_at(
    status: str, start_time: datetime | None, max_runtime: int | None
) -> datetime | None:
    """Return when a task has run longer than *max_runtime* seconds; None for never."""
    if max_runtime is None or start_time is None or status not in RUNNING:
        return None
    return _after(start_time, max_runtime)


def _after(moment: datetime, seconds: int) -> datetime | None:
    wait = timedelta(seconds=seconds)
    return None if wait > _END_OF_TIME - moment else moment + wait
