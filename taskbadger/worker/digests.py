"""The sweep that queues digests, each in a transaction of its own."""

import logging

from taskbadger.extensions import db, is_conflict, is_outage, reading, roll_back
from taskbadger.process import current_process
from taskbadger.services.digests import sending
from taskbadger.worker import steps
from taskbadger.worker.groups import TimeLimit
from taskbadger.worker.left_out import LeftOut

log = logging.getLogger(__name__)

MEMBERS = 100
"""Members per run."""

unsent = LeftOut[int]()
"""Memberships whose digests could not be written."""


def send_digests() -> bool:
    """Queue the digests that are due, if there is a mail server; say whether there may be more."""
    if not current_process().settings.SMTP_URL:
        return False
    limit, now = TimeLimit(), steps.now_after_jumps()
    with reading():
        due = sending.list_due(now=now, limit=MEMBERS, without=unsent.ids())
    done = 0
    for membership_id in due:
        done += _queue_or_leave_out(membership_id)
        if not limit.pause():
            break
    return done > 0


def _queue_or_leave_out(membership_id: int) -> bool:
    """Queue a digest; say whether it is no longer due. One that fails stops no other."""
    try:
        done = _queue(membership_id)
        db.session.commit()
    except Exception as error:
        roll_back()
        if is_outage(error) and not is_conflict(error):
            raise
        if is_conflict(error):
            return False  # The next sweep comes soon.
        log.exception("a digest could not be written", extra={"membership": membership_id})
        return unsent.add(membership_id)
    return done


def _queue(membership_id: int) -> bool:
    now = steps.now_after_jumps()
    with reading():
        draft = sending.write_due(membership_id, now=now, base_url=current_process().base_url)
    return draft is not None and sending.queue(draft, now=now)
