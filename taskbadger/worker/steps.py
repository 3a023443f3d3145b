"""The steps of the background worker: each does what is due and commits, under either engine.

Any step may run in any number of threads, processes and machines at once. Each needs an
application context.
"""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar, TypeVarTuple

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.channels import DIGEST, INVITATION, DeliveryError
from taskbadger.clock import utcnow
from taskbadger.extensions import (
    db,
    end_session,
    is_outage,
    reading,
    roll_back,
    set_transactions,
)
from taskbadger.models.delivery import DROPPED
from taskbadger.process import current_process
from taskbadger.services import invitation_mails, outage
from taskbadger.services.alerts import settling
from taskbadger.services.delivery import (
    channels,
    claims,
    deleted,
    held,
    outcomes,
    publishing,
    sending,
)
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.digests import sending as digests
from taskbadger.tracing import step_span
from taskbadger.worker.clock_jumps import Seen, jumps
from taskbadger.worker.outage_log import outages
from taskbadger.worker.turns import turns

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

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


def now_after_jumps() -> datetime:
    """Return the time of the database, once leases and deadlines are adjusted to its jumps."""
    with reading():
        now = database_now()
    if not jumps.is_settled:
        tick()
    return now


def claim(limit: int) -> list[Claimed]:
    """Claim up to *limit* deliveries that are due; the caller sends them."""
    seen = jumps.seen
    now = now_after_jumps()
    # First without SQLite's write lock: most calls find nothing.
    with reading():
        receivers = claims.list_receivers(now=now)
    if not receivers:
        return []
    return _keep(claims.claim(receivers, limit, now=now, lease=_lease()), seen)


def claim_one(delivery_id: str) -> list[Claimed]:
    """Claim one delivery if it may be sent now; return a list of one or none."""
    seen = jumps.seen
    now = now_after_jumps()
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
    return timedelta(seconds=current_process().settings.WORKER_LEASE_SECONDS)


def send(claimed: Claimed) -> None:
    """Send a claimed delivery and record the outcome, unless something holds it back.

    No transaction is open while sending.
    """
    if _drop_unwanted(claimed):
        return
    ready = _decide(claimed)
    if ready is not None:
        _send(ready)


def _decide(claimed: Claimed) -> Claimed | None:
    """Return the delivery as it is to be sent; None if it waits, or was dropped."""
    with reading():
        is_affected = held.is_affected(claimed, clock=database_now)
    if not is_affected:
        return claimed
    ready = settling.decide(claimed, now=database_now())
    db.session.commit()
    if ready is None:
        log.info("delivery held back", extra={"delivery": claimed.id})
    return ready


def _send(claimed: Claimed) -> None:
    began = time.monotonic()
    with reading():
        target = channels.find_target(claimed.organization_id, claimed.integration)
    error = sending.attempt(claimed, target, current_process().send_context)
    _finish(claimed, error, timedelta(seconds=time.monotonic() - began))


def _drop_unwanted(claimed: Claimed) -> bool:
    """Drop a message that has become wrong since it was queued.

    One about a project or organization that was deleted; a digest whose member has left or has
    turned digests off; an invitation that is over.
    """
    with reading():
        if _why_unwanted(claimed, database_now()) is None:
            return False
    now = database_now()
    reason = _why_unwanted(claimed, now)
    if reason is not None:
        outcomes.change_claimed(
            claimed, state=DROPPED, next_attempt_at=None, finished=now, held_by=reason
        )
    db.session.commit()
    return reason is not None


def _why_unwanted(claimed: Claimed, now: datetime) -> str | None:
    if claimed.kind == DIGEST:
        return digests.why_unwanted(claimed)
    if claimed.kind == INVITATION:
        return invitation_mails.why_unwanted(claimed, now=now)
    return deleted.why_unwanted(claimed)


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
    now = now_after_jumps()
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
    written = outage.tick(now=now, ahead=jumps.ahead, turns=turns.times(now))
    db.session.commit()
    jumps.settle(seen)
    return written


def run_safely(step: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result | None:
    """Run a step and return its result; log any exception and return None."""
    try:
        with step_span(step.__name__):
            result = step(*arguments)
    except Exception as error:
        if is_outage(error):
            outages.failed(step.__name__, error)
        else:
            log.exception("worker step failed", extra={"step": step.__name__})
        return None
    else:
        outages.succeeded(step.__name__)
        turns.ended(step.__name__)
        return result
    finally:
        set_transactions(read_only=False)
        end_session()
