"""The jobs of the background worker. They know no engine: each claims, works and commits.

All of them may run at once, in any number of threads, processes and machines. Each needs an
application context.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskbadger.channels import DeliveryError
from taskbadger.clock import utcnow
from taskbadger.extensions import db, reading, set_read_only
from taskbadger.services import (
    channels,
    claims,
    deliveries,
    idempotency,
    outage,
    outcomes,
    run_stats,
    sending,
    slot_sweep,
    sweeps,
    tasks,
    throttle,
)
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.claims import Claimed

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

BATCH = 100
"""Tasks that one turn of a sweep looks at."""

MONITOR_BATCH = 20
"""Monitors whose slots one transaction closes: SQLite has but one writer at a time."""

_FINISH_PAUSES = (0.2, 1.0, 3.0, 8.0)
"""Seconds between the tries to write an outcome down; in all less than the rest of a lease."""


def database_now() -> datetime:
    """Return the time: the database's where it has a clock, so that all workers agree."""
    if db.engine.dialect.name != "postgresql":
        return utcnow()
    moment: datetime = db.session.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def claim(limit: int) -> list[Claimed]:
    """Take up to *limit* deliveries that are due; whoever calls this sends them."""
    # First without SQLite's write lock: most turns find nothing.
    with reading():
        receivers = claims.list_receivers(now=database_now())
    if not receivers:
        return []
    claimed = claims.claim(receivers, limit, now=database_now(), lease=_lease())
    db.session.commit()
    return claimed


def claim_one(delivery_id: str) -> list[Claimed]:
    """Take one delivery, if it may be sent now; a list of one, or none."""
    claimed = claims.claim_one(delivery_id, now=database_now(), lease=_lease())
    db.session.commit()
    return claimed


def _lease() -> timedelta:
    return timedelta(seconds=current_app.config["WORKER_LEASE_SECONDS"])


def deliver(limit: int = 1) -> bool:
    """Claim and send up to *limit* deliveries, one after the other; say if there may be more."""
    claimed = claim(limit)
    for one in claimed:
        send(one)
    return bool(claimed)


def send(claimed: Claimed) -> None:
    """Send what was claimed, and write down how it ended. No transaction is open meanwhile."""
    began = time.monotonic()
    with reading():
        target = channels.find_target(claimed.organization_id, claimed.integration)
    error = sending.attempt(claimed, target, sending.send_context())
    _finish(claimed, error, timedelta(seconds=time.monotonic() - began))


def _finish(claimed: Claimed, error: DeliveryError | None, took: timedelta) -> None:
    for pause in (*_FINISH_PAUSES, None):
        try:
            now = database_now()
            written = outcomes.finish(claimed, error, started=now - took, now=now)
            db.session.commit()
            break
        except (OperationalError, PoolTimeout):
            db.session.rollback()
            if pause is None:
                raise
            time.sleep(pause)
    _log_outcome(claimed, error, written=written)


def _log_outcome(claimed: Claimed, error: DeliveryError | None, *, written: bool) -> None:
    extra = {"delivery": claimed.id, "attempt": claimed.attempts}
    if not written:
        log.warning("a delivery's lease was lost", extra=extra)
    elif error is None:
        log.info("delivered", extra=extra)
    else:
        log.info("delivery failed", extra={**extra, "error_class": error.error_class})


def publish(limit: int = 100) -> list[str]:
    """Return the ids of deliveries that are due, for a broker to carry to a worker."""
    with reading():
        receivers = claims.list_receivers(now=database_now())
    if not receivers:
        return []
    published = claims.take_for_publishing(receivers, limit, now=database_now())
    db.session.commit()
    return published


def tick() -> bool:
    """Note the time, and make up for an outage that just ended."""
    with reading():
        idle = not outage.is_due(now=database_now())
    if idle:
        return False
    written = outage.tick(now=database_now())
    db.session.commit()
    return written


def mark_stale() -> bool:
    """Let tasks go stale that have had no update for too long."""
    return _sweep(sweeps.list_stale, tasks.mark_stale)


def mark_overdue() -> bool:
    """End tasks that have run for longer than their max_runtime."""
    return _sweep(sweeps.list_overdue, tasks.mark_overdue)


def _sweep(
    list_due: Callable[..., list[tuple[ProjectRef, str]]], mark: Callable[..., bool]
) -> bool:
    tick()
    now = database_now()
    with reading():
        due = list_due(now=now, limit=BATCH)
    marked = 0
    for project, task_id in due:
        # A transaction for each: a task that cannot be marked stops no other.
        try:
            marked += mark(project, task_id, now=now)
            db.session.commit()
        except Exception:
            db.session.rollback()
            log.exception("a task could not be marked", extra={"task": task_id})
    return len(due) == BATCH and marked > 0


def close_slots() -> bool:
    """Give expected runs their outcomes where their deadlines have passed."""
    tick()
    now = database_now()
    with reading():
        idle = not slot_sweep.has_due_slots(now=now)
    if idle:
        return False
    closed = slot_sweep.close_due_slots(now=now, limit=MONITOR_BATCH)
    db.session.commit()
    return closed == MONITOR_BATCH


def count_runs() -> bool:
    """Count the runs that ended, for the charts and the names."""
    now = database_now()
    with reading():
        batch = run_stats.read_batch(now=now)
    if batch is None:
        return False
    run_stats.count_batch(batch, now=now)
    db.session.commit()
    return batch.is_full


def purge() -> bool:
    """Delete what is too old to matter, a small batch of each kind."""
    now = database_now()
    throttle.purge(now=now)
    db.session.commit()
    found = idempotency.purge(now=now)
    db.session.commit()
    run_stats.forget_old(now=now)
    db.session.commit()
    found += deliveries.purge(now=now)
    db.session.commit()
    for project_id, days in sweeps.projects_with_retention():
        found += sweeps.purge_tasks(project_id, days, now=now)
        db.session.commit()
    db.session.rollback()
    return found > 0


SWEEPS: tuple[tuple[Callable[[], bool], float], ...] = (
    (tick, 1.0),
    (mark_stale, 1.0),
    (mark_overdue, 1.0),
    (count_runs, 1.0),
    (close_slots, 1.0),
    (purge, 60.0),
)
"""What has to be done again and again, and after how many seconds."""


def run_safely(step: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result | None:
    """Run a step, whatever happens in it; return what it returns, or None when it failed."""
    try:
        return step(*arguments)
    except Exception:
        db.session.rollback()
        log.exception("a step of the worker failed", extra={"step": step.__name__})
        return None
    finally:
        set_read_only(False)
        db.session.remove()
