"""Receives check-ins: pings that each name their run, or mean the latest one."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select

from taskbadger.domain.check_ins import LATEST
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.pings import ENDS, ENVIRONMENT, Sent, Signal
from taskbadger.domain.status import TERMINAL
from taskbadger.errors import NotFound
from taskbadger.extensions import Statement
from taskbadger.models import Ping, Task
from taskbadger.models.types import Query
from taskbadger.services import throttle
from taskbadger.services.pings import receive
from taskbadger.services.pings.monitors import Pinged
from taskbadger.services.tasks import reads
from taskbadger.services.tasks.reads import Locked

KEPT_ENDS = 300
"""Ends of runs without a monitor that are remembered in one project a minute."""
_KEEP_ENDS = timedelta(minutes=1)
_MAX_OPEN = 50
"""Runs that are going on, among which the latest of an environment is looked for."""


class _Open(NamedTuple):
    """A run that is going on."""

    run_id: UUID | None
    task_id: str
    tags: str


_GOING_ON: Query = (
    select(Ping.run_id, Ping.task_id, Task.tags)
    .join(Task, Task.id == Ping.task_id)
    .where(
        Ping.monitor_id == bindparam("monitor"),
        Ping.signal == Signal.START.value,
        *(Task.status != ended for ended in sorted(TERMINAL)),
    )
    .order_by(Ping.number.desc())
    .limit(_MAX_OPEN)
)
_OPEN = Statement(_GOING_ON, _Open._make)


class _Found(NamedTuple):
    """The run of a check-in."""

    run_id: UUID | None
    started: Locked | None = None
    """None for a new run."""
    is_over: bool = False
    """Whether it has ended, so that the check-in says nothing more."""


def receive_check_in(
    pinged: Pinged, sent: Sent, *, now: datetime, actor: Actor, base_url: str, limit: int
) -> bool:
    """Record a check-in in the caller's transaction; return False if its run was over.

    Its ``run_id`` may be LATEST. Otherwise like ``receive.receive``.
    """
    receive.count(pinged, now=now, limit=limit)
    found = _find_latest(pinged, sent) if sent.run_id == LATEST else _find(pinged, sent)
    if found.is_over:
        return False
    sent = replace(sent, run_id=found.run_id, restarts=False)
    receive.record(pinged, sent, found.started, now=now, actor=actor, base_url=base_url)
    return True


def keep_end(project: ProjectRef, sent: Sent, *, now: datetime) -> None:
    """Remember the end of a run whose monitor is not there, in the caller's transaction.

    Clients send the start and the end of a quick run at once, and only the start makes a monitor.
    """
    wait = throttle.count(f"check-in-end:{project.id}", limit=KEPT_ENDS, seconds=60, now=now)
    if sent.run_id != LATEST and sent.signal in ENDS and not wait:
        throttle.take(_subject(project, sent.run_id, sent.signal), until=now + _KEEP_ENDS)


def find_end(project: ProjectRef, run_id: UUID) -> Signal | None:
    """Return how a run ended, if that was remembered."""
    for signal in ENDS:
        if throttle.is_taken(_subject(project, run_id, signal)):
            return signal
    return None


def _subject(project: ProjectRef, run_id: UUID | None, signal: Signal) -> str:
    return f"check-in-end:{project.id}:{run_id}:{signal}"


def _find(pinged: Pinged, sent: Sent) -> _Found:
    """Return the run that a check-in names. One that the server ended can still be ended."""
    latest = receive.find_latest(pinged, sent.run_id)
    if latest is None:
        return _Found(sent.run_id)
    if latest.signal in ENDS:
        return _Found(sent.run_id, is_over=True)
    started = _lock(pinged, latest.task_id)
    is_over = started is not None and started.task.status in TERMINAL
    return _Found(sent.run_id, started, is_over=is_over and sent.signal not in ENDS)


def _find_latest(pinged: Pinged, sent: Sent) -> _Found:
    """Return the latest run of an environment that is going on, or a new one."""
    for run in _OPEN.all({"monitor": pinged.id}):
        tags: dict[str, Any] = json.loads(run.tags)
        if tags.get(ENVIRONMENT) == sent.environment:
            return _Found(run.run_id, _lock(pinged, run.task_id))
    return _Found(uuid4())


def _lock(pinged: Pinged, task_id: str | None) -> Locked | None:
    """Lock the task of a run; None if it is gone."""
    if task_id is None:
        return None
    try:
        return reads.lock(pinged.project_ref, task_id)
    except NotFound:
        return None
