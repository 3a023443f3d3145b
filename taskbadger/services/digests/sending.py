"""Sending digests: once for each member and day, by any number of workers.

A digest is written without a lock, then queued in a short transaction that moves the time of the
next one. After an outage only the latest is sent, about all that has happened since the last one.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, select, update

from taskbadger.channels import Message
from taskbadger.domain.digests import OFF, day_of, latest_due, next_due
from taskbadger.domain.mail import InvalidAddress, read_address
from taskbadger.extensions import change_rows, db
from taskbadger.models import Membership, User
from taskbadger.services.delivery import outbox
from taskbadger.services.delivery.channels import EMAIL
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.digests.writing import Reader, find_reader, write_digest


class Draft(NamedTuple):
    """A digest that is due, or was due for someone who gets none."""

    reader: Reader
    message: Message | None
    key: str
    next_due: datetime | None


def list_due(*, now: datetime, limit: int, without: Sequence[int] = ()) -> Sequence[int]:
    """Return the members whose digests are due, by the ids of their memberships. Only reads."""
    query = (
        select(Membership.id)
        .where(Membership.next_digest_at <= now)
        .order_by(Membership.next_digest_at)
        .limit(limit)
    )
    if without:
        query = query.where(Membership.id.not_in(without))
    return db.session.scalars(query).all()


def write_due(membership_id: int, *, now: datetime, base_url: str) -> Draft | None:
    """Write the digest of a member, if it is due. Only reads."""
    reader = find_reader(membership_id)
    if reader is None or reader.next_digest_at is None or reader.next_digest_at > now:
        return None
    due = latest_due(reader.digest, reader.timezone, now=now) or now
    message = write_digest(reader, now=now, base_url=base_url) if _may_get_it(reader) else None
    return Draft(
        reader,
        message,
        # By the ids of the two, because those of memberships may be used again.
        key=f"digest:{reader.organization_id}:{reader.user_id}:{day_of(due, reader.timezone)}",
        next_due=next_due(reader.digest, reader.timezone, after=now),
    )


def _may_get_it(reader: Reader) -> bool:
    try:
        read_address(reader.email)
    except InvalidAddress:
        return False
    return reader.disabled is None and reader.digest != OFF


def queue(draft: Draft, *, now: datetime) -> bool:
    """Queue a digest; return False if another worker did, or the settings have changed since."""
    reader, message = draft.reader, draft.message
    unchanged = (
        Membership.id == reader.id,
        Membership.next_digest_at == reader.next_digest_at,
        Membership.digest == reader.digest,
    )
    if not _change(*unchanged, next_digest_at=draft.next_due):
        return False
    if message is None:
        return True
    queued = outbox.queue(
        message,
        organization_id=reader.organization_id,
        integration=EMAIL,
        config={"to": reader.email},
        now=now,
        key=draft.key,
    )
    if queued is not None:
        # If there was one today, the next one is about this period, too.
        _change(Membership.id == reader.id, last_digest_at=now)
    return True


def _change(*conditions: ColumnElement[bool], **values: datetime | None) -> int:
    return change_rows(
        update(Membership)
        .where(*conditions)
        .values(values)
        .execution_options(synchronize_session=False)
    )


def why_unwanted(claimed: Claimed) -> str | None:
    """Return why a claimed digest must not be sent any more; None if it is still wanted."""
    member = (Message.from_json(claimed.message).digest or {}).get("member", {})
    query = (
        select(Membership.digest, User.disabled)
        .join(Membership.user)
        .where(
            Membership.organization_id == claimed.organization_id,
            Membership.user_id == member.get("user_id"),
        )
    )
    found = db.session.execute(query).first()
    if found is None:
        return "the person is no longer a member"
    if found.disabled is not None:
        return "the account is disabled"
    return "digests were turned off" if found.digest == OFF else None
