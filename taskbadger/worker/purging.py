"""Purging: deletes expired rows of all organizations, in small transactions."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

from taskbadger.extensions import db
from taskbadger.process import current_process
from taskbadger.services import throttle
from taskbadger.services.delivery import outbox
from taskbadger.services.incidents import links
from taskbadger.services.organizations import audit
from taskbadger.services.people import drafts, invitations, sessions
from taskbadger.services.stats import runs
from taskbadger.services.tasks import idempotency
from taskbadger.services.windows import ending
from taskbadger.worker import steps

Part = Callable[..., int]
"""Deletes a small number of rows that have expired *now*; returns how many."""


def purge() -> bool:
    """Delete expired rows of tables that grow fast; say whether there may be more."""
    parts: list[Part] = [throttle.purge, runs.forget_old, idempotency.purge, outbox.purge]
    days = current_process().settings.AUDIT_RETENTION_DAYS
    if days:
        parts.append(partial(audit.purge, kept=timedelta(days=days)))
    return _delete(parts, steps.database_now())


def purge_slowly() -> bool:
    """Delete expired rows of tables that people fill; say whether there may be more."""
    idle = timedelta(hours=current_process().settings.SESSION_HOURS)
    return _delete(
        [
            links.purge,
            partial(sessions.purge, idle=idle),
            drafts.purge,
            invitations.purge,
            ending.purge,
            outbox.purge_destinations,
        ],
        steps.database_now(),
    )


def _delete(parts: Sequence[Part], now: datetime) -> bool:
    found = 0
    for delete in parts:
        found += delete(now=now)
        db.session.commit()
    return found > 0
