"""The steps of the background worker: each does what is due and commits, under either engine.

Any step may run in any number of threads, processes and machines at once. Each needs an
application context.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.channels import DeliveryError
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import (
    db,
    end_session,
    is_conflict,
    is_outage,
    reading,
    roll_back,
    set_transactions,
)
from taskbadger.process import current_process
from taskbadger.services import outage, throttle
from taskbadger.services.delivery import (
    channels,
    claims,
    outbox,
    outcomes,
    publishing,
    sending,
)
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.monitors import sweep
from taskbadger.services.stats import runs
from taskbadger.services.tasks import deadlines, idempotency, retention, write
from taskbadger.worker.clock_jumps import Seen, jumps
from taskbadger.worker.outage_log import outages
from taskbadger.worker.unmarkable import Unmarkable

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

BATCH = 500
"""Tasks per run of a sweep."""

GROUP = 50
"""Tasks per transaction of a sweep; few, because SQLite has one writer at a time."""

SWEEP_SECONDS = 1.0
"""How long a sweep may take before it lets the other steps run, such as `tick`."""

DELETED_AT_ONCE = 250
"""Tasks that retention deletes in one transaction, with all that belongs to them."""

PAUSE_SECONDS = 0.003
"""How long a sweep leaves SQLite's lock to others between transactions: they poll for it."""

REST_SECONDS = 0.01
"""How long steps with more to do leave the database to others between their runs."""

MONITOR_BATCH = 50
"""Monitors per transaction of `close_slots`; few, because SQLite has one writer at a time."""

unmarkable = Unmarkable()
"""Tasks that sweeps could not mark."""

MAX_THREAD_FACTOR = 8
"""Limit of deliveries in progress, slow ones included, as a multiple of WORKER_THREADS."""

_FINISH_PAUSES = (0.2, 1.0, *(3.0 for _ in range(9)))
"""Seconds between attempts to record an outcome; together less than what is left of a lease."""


def database_now() -> datetime:
    """Return the time of the database, so that all workers agree; with SQLite, of this machine."""
    began = time.monotonic()
    now = _read_clock()
    jumps.note(now, began, time.monotonic())
    return now


def _read_clock() -> datetime:
    if db.engine.dialect.name != "postgresql":
        return utcnow()
    moment: datetime = db.session.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def _now_after_jumps() -> datetime:
    """Return the time of the database, once leases and deadlines are adjusted to its jumps."""
    with reading():
        now = database_now()
    if not jumps.is_settled:
        tick()
    return now


def claim(limit: int) -> list[Claimed]:
    """Claim up to *limit* deliveries that are due; the caller sends them."""
    seen = jumps.seen
    now = _now_after_jumps()
    # First without SQLite's write lock: most calls find nothing.
    with reading():
        receivers = claims.list_receivers(now=now)
    if not receivers:
        return []
    return _keep(claims.claim(receivers, limit, now=now, lease=_lease()), seen)


def claim_one(delivery_id: str) -> list[Claimed]:
    """Claim one delivery if it may be sent now; return a list of one or none."""
    seen = jumps.seen
    now = _now_after_jumps()
    return _keep(claims.claim_one(delivery_id, now=now, lease=_lease()), seen)


def _keep(claimed: list[Claimed], seen: Seen) -> list[Claimed]:
    """Commit what was claimed, unless the clock has jumped since: then its leases are wrong."""
    database_now()
    if jumps.seen != seen:
        db.session.rollback()
        return []
    db.session.commit()
    return claimed


def _lease() -> timedelta:
    return timedelta(seconds=current_app.config["WORKER_LEASE_SECONDS"])


def send(claimed: Claimed) -> None:
    """Send a claimed delivery and record the outcome. No transaction is open while sending."""
    began = time.monotonic()
    with reading():
        target = channels.find_target(claimed.organization_id, claimed.integration)
    error = sending.attempt(claimed, target, current_process().send_context)
    _finish(claimed, error, timedelta(seconds=time.monotonic() - began))


def _finish(claimed: Claimed, error: DeliveryError | None, took: timedelta) -> None:
    for pause in (*_FINISH_PAUSES, None):
        try:
            now = database_now()
            written = outcomes.finish(claimed, error, started=now - took, now=now)
            db.session.commit()
            break
        except SQLAlchemyError as error_of_database:
            roll_back()
            if pause is None or not is_outage(error_of_database):
                raise
            time.sleep(pause)
    _log_outcome(claimed, error, written=written)


def _log_outcome(claimed: Claimed, error: DeliveryError | None, *, written: bool) -> None:
    extra = {"delivery": claimed.id, "attempt": claimed.attempts}
    if not written:
        log.warning("delivery lease lost", extra=extra)
    elif error is None:
        log.info("delivered", extra=extra)
    else:
        log.info("delivery failed", extra={**extra, "error_class": error.error_class})


def take_for_publishing(limit: int = 100) -> list[str]:
    """Mark due deliveries as published and return their ids for the broker."""
    now = _now_after_jumps()
    with reading():
        receivers = claims.list_receivers(now=now)
    if not receivers:
        return []
    published = publishing.take_for_publishing(receivers, limit, now=database_now())
    db.session.commit()
    return published


def tick() -> bool:
    """Record that the worker is running; extend deadlines after an outage that just ended.

    Returns whether it was time to.
    """
    seen = jumps.seen
    with reading():
        idle = not outage.is_due(now=database_now())
    if idle:
        # Another worker has seen the same jump.
        jumps.settle(seen)
        return False
    # First the lock: another worker may record a later time while this one waits for it.
    outage.lock_tick()
    now, seen = database_now(), jumps.seen
    written = outage.tick(now=now, ahead=jumps.ahead)
    db.session.commit()
    jumps.settle(seen)
    return written


def keep_time() -> bool:
    """Tick; there is never more to do."""
    tick()
    return False


def mark_stale() -> bool:
    """Mark tasks stale that have had no update for their stale_timeout."""
    return _sweep(deadlines.list_stale, write.mark_stale)


def mark_overdue() -> bool:
    """End tasks that have run for longer than their max_runtime, as errors."""
    return _sweep(deadlines.list_overdue, write.mark_overdue)


def _sweep(list_due: Callable[..., list[tuple[ProjectRef, str]]], mark: Callable[..., int]) -> bool:
    tick()
    now = _now_after_jumps()
    with reading():
        due = list_due(now=now, limit=BATCH, without=unmarkable.ids())
    by_project: defaultdict[ProjectRef, list[str]] = defaultdict(list)
    for project, task_id in due:
        by_project[project].append(task_id)
    groups = [
        (project, task_ids[start : start + GROUP])
        for project, task_ids in by_project.items()
        for start in range(0, len(task_ids), GROUP)
    ]
    done, until = 0, time.monotonic() + SWEEP_SECONDS
    for number, (project, task_ids) in enumerate(groups, start=1):
        done += _mark(mark, project, task_ids, now)
        if time.monotonic() > until and number < len(groups):
            return done > 0
        time.sleep(PAUSE_SECONDS)
    return len(due) == BATCH and done > 0


def _mark(
    mark: Callable[..., int], project: ProjectRef, task_ids: Sequence[str], now: datetime
) -> int:
    """Mark tasks in one transaction; if that fails, each in its own, so that none stops others.

    Returns how many the next sweep will not find: those that it marked or cannot mark.
    """
    try:
        marked = mark(project, task_ids, now=now, base_url=current_process().base_url)
        db.session.commit()
    except Exception as error:
        roll_back()
        if is_outage(error) and not is_conflict(error):
            raise
        if len(task_ids) > 1:
            return sum(_mark(mark, project, [task_id], now) for task_id in task_ids)
        if is_conflict(error):
            return 0  # The next sweep comes soon.
        log.exception("task not marked", extra={"task": task_ids[0]})
        unmarkable.add(task_ids[0])
        return 1
    return marked


def close_slots() -> bool:
    """Close the slots whose deadlines have passed; send the notices that mutes have deferred."""
    tick()
    now = _now_after_jumps()
    with reading():
        idle = not sweep.is_due(now=now)
    if idle:
        return False
    base_url, until = current_process().base_url, time.monotonic() + SWEEP_SECONDS
    for step in (sweep.close_due_slots, sweep.send_deferred_notices):
        while True:
            done = step(now=now, limit=MONITOR_BATCH, base_url=base_url)
            db.session.commit()
            if done < MONITOR_BATCH:
                break
            if time.monotonic() > until:
                return True
            time.sleep(PAUSE_SECONDS)
    return False


def count_runs() -> bool:
    """Count the runs that ended, for the statistics of each name."""
    until = time.monotonic() + SWEEP_SECONDS
    while True:
        now = database_now()
        with reading():
            batch = runs.read_batch(now=now)
        if batch is None:
            return False
        runs.count_batch(batch, now=now)
        db.session.commit()
        if not batch.is_full or time.monotonic() > until:
            return batch.is_full
        time.sleep(PAUSE_SECONDS)


def purge() -> bool:
    """Delete expired rows, a small batch of each kind; say whether there may be more."""
    now = database_now()
    throttle.purge(now=now)
    runs.forget_old(now=now)
    db.session.commit()
    found = idempotency.purge(now=now)
    db.session.commit()
    found += outbox.purge(now=now)
    db.session.commit()
    return found > 0


def delete_old_tasks() -> bool:
    """Delete tasks that their projects keep no longer, in small transactions, project by project.

    A project that has more waits until the others have had their turn.
    """
    now = database_now()
    with reading():
        left = retention.list_retentions()
    until = time.monotonic() + SWEEP_SECONDS
    while left:
        unfinished = []
        for project in left:
            with reading():
                old = retention.find_old_tasks(project, now=now, limit=DELETED_AT_ONCE)
            if old:
                retention.delete_old_tasks(project, old, now=now)
                db.session.commit()
                if time.monotonic() > until:
                    return True
                time.sleep(PAUSE_SECONDS)
            if len(old) == DELETED_AT_ONCE:
                unfinished.append(project)
        left = unfinished
    return False


SWEEPS: tuple[tuple[Callable[[], bool], float], ...] = (
    (keep_time, 1.0),
    (mark_stale, 1.0),
    (mark_overdue, 1.0),
    (count_runs, 1.0),
    (close_slots, 1.0),
    (delete_old_tasks, 60.0),
    (purge, 60.0),
)
"""The steps that run periodically, each with its interval in seconds.

They return whether there may be more to do at once.
"""


def run_safely(step: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result | None:
    """Run a step and return its result; log any exception and return None."""
    try:
        result = step(*arguments)
    except Exception as error:
        if is_outage(error):
            outages.failed(step.__name__, error)
        else:
            log.exception("worker step failed", extra={"step": step.__name__})
        return None
    else:
        outages.succeeded(step.__name__)
        return result
    finally:
        set_transactions(read_only=False)
        end_session()
