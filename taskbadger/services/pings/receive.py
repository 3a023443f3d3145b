"""Receives pings: each becomes a task of its monitor, or the end of one."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select

from taskbadger.domain.identity import Actor
from taskbadger.domain.pings import ENDS, ENVIRONMENT, MAX_KEPT, Sent, Signal, data_of, status_of
from taskbadger.domain.status import TERMINAL
from taskbadger.errors import NotFound, Throttled
from taskbadger.extensions import Statement
from taskbadger.models import Ping
from taskbadger.models.ping import MAX_USER_AGENT
from taskbadger.models.types import Query
from taskbadger.services import throttle
from taskbadger.services.pings.monitors import Pinged
from taskbadger.services.tasks import reads, write
from taskbadger.services.tasks.reads import Locked

_WINDOW_SECONDS = 60
_PRUNE_EVERY = 20
"""Pings of a monitor between two deletions of its old ones."""


class LatestPing(NamedTuple):
    """The latest ping of a run."""

    signal: str
    task_id: str | None


_LATEST: Query = (
    select(Ping.signal, Ping.task_id)
    .where(Ping.monitor_id == bindparam("monitor"), Ping.signal != Signal.LOG)
    .order_by(Ping.number.desc())
    .limit(1)
)
_LATEST_OF_RUN = Statement(_LATEST.where(Ping.run_id == bindparam("run")), LatestPing._make)
_LATEST_WITHOUT_RUN = Statement(_LATEST.where(Ping.run_id.is_(None)), LatestPing._make)
_NEXT_NUMBER = (
    select(func.coalesce(func.max(Ping.number), 0) + 1)
    .where(Ping.monitor_id == bindparam("monitor"))
    .scalar_subquery()
)
_INSERT: Statement[tuple[int]] = Statement(
    insert(Ping).values(number=_NEXT_NUMBER).returning(Ping.number), tuple
)
_PRUNE = Statement(
    delete(Ping).where(
        Ping.monitor_id == bindparam("monitor"), Ping.number <= bindparam("last_old")
    ),
    tuple,
)


def receive(
    pinged: Pinged, sent: Sent, *, now: datetime, actor: Actor, base_url: str, limit: int
) -> str | None:
    """Record a ping in the caller's transaction; return the id of its task, if it has one.

    *limit* is how many pings of the monitor are taken a minute, 0 for any number. Raises Throttled.
    """
    count(pinged, now=now, limit=limit)
    started = None if sent.signal is Signal.LOG else _find_started(pinged, sent)
    return record(pinged, sent, started, now=now, actor=actor, base_url=base_url)


def count(pinged: Pinged, *, now: datetime, limit: int) -> None:
    """Count a ping; this also makes the pings of one monitor wait for each other.

    Raises Throttled.
    """
    wait = throttle.count(
        f"ping:{pinged.id}", limit=limit or 2**31, seconds=_WINDOW_SECONDS, now=now
    )
    if wait:
        raise Throttled(wait)


def record(
    pinged: Pinged,
    sent: Sent,
    started: Locked | None,
    *,
    now: datetime,
    actor: Actor,
    base_url: str,
) -> str | None:
    """Record a ping of a run, which *started* unless it is new; return the id of its task."""
    task_id = None
    if sent.signal is not Signal.LOG:
        task_id = _follow(pinged, sent, started, now=now, actor=actor, base_url=base_url)
    _keep(pinged.id, sent, task_id, now)
    return task_id


def _follow(
    pinged: Pinged,
    sent: Sent,
    started: Locked | None,
    *,
    now: datetime,
    actor: Actor,
    base_url: str,
) -> str:
    """Start the run of a ping, or end the one that it belongs to; return its task's id."""
    project = pinged.project_ref
    changes: dict[str, Any] = {"status": status_of(sent.signal)}
    if started is not None:
        changes["data"] = data_of(sent, started.task.data)
        if sent.signal is Signal.START and sent.restarts:
            changes["start_time"] = now  # It began again, without a word about its end.
        after = write.change_locked(
            project, started, changes, now=now, actor=actor, base_url=base_url
        )
        return after.id
    changes |= {
        "name": pinged.task_name or pinged.name,
        "external_id": str(sent.run_id) if sent.run_id else "",
        "data": data_of(sent),
        "max_runtime": pinged.max_runtime if sent.signal is Signal.START else None,
    }
    if sent.environment is not None:
        changes["tags"] = {ENVIRONMENT: sent.environment}
    if sent.duration is not None:
        changes["start_time"] = now - sent.duration
    task = write.create_task(
        project, changes, now=now, actor=actor, monitor_id=pinged.id, base_url=base_url
    )
    return task.id


def _find_started(pinged: Pinged, sent: Sent) -> Locked | None:
    """Return the task, locked, that an earlier ping of the same run started and none ended.

    One that the server ended meanwhile can still be ended by its job, but not begin again.
    """
    latest = find_latest(pinged, sent.run_id)
    if latest is None or latest.task_id is None or latest.signal != Signal.START:
        return None
    try:
        locked = reads.lock(pinged.project_ref, latest.task_id)
    except NotFound:
        return None
    is_over = locked.task.status in TERMINAL
    return None if is_over and sent.signal not in ENDS else locked


def find_latest(pinged: Pinged, run_id: UUID | None) -> LatestPing | None:
    """Return the latest ping of a run, or of those without an id."""
    here: dict[str, Any] = {"monitor": pinged.id}
    if run_id is None:
        return _LATEST_WITHOUT_RUN.first(here)
    return _LATEST_OF_RUN.first({**here, "run": run_id})


def _keep(monitor_id: UUID, sent: Sent, task_id: str | None, now: datetime) -> None:
    [(number,)] = _INSERT.all(
        {
            "monitor": monitor_id,
            "monitor_id": monitor_id,
            "created": now,
            "signal": sent.signal.value,
            "exit_status": sent.exit_status,
            "run_id": sent.run_id,
            "task_id": task_id,
            "scheme": sent.scheme,
            "method": sent.method,
            "address": sent.address,
            "user_agent": sent.user_agent[:MAX_USER_AGENT],
            "has_body": sent.output is not None,
            "body": sent.output if sent.signal is Signal.LOG else None,
        }
    )
    if number % _PRUNE_EVERY == 0:
        _PRUNE.run({"monitor": monitor_id, "last_old": number - MAX_KEPT})
