"""What members choose about digests, and the links by which they unsubscribe."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select

from taskbadger.domain.digest_links import InvalidLink, read_token
from taskbadger.domain.digests import FREQUENCIES, OFF, next_due
from taskbadger.domain.identity import Actor
from taskbadger.domain.mail import InvalidAddress, read_address
from taskbadger.domain.zones import check_timezone
from taskbadger.errors import NotFound, ScheduleError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization, User
from taskbadger.services.organizations import audit


def find_own(user_id: int, membership_id: int) -> Membership:
    """Return a membership of a user; raises NotFound."""
    membership = db.session.get(Membership, membership_id)
    if membership is None or membership.user_id != user_id:
        raise NotFound()
    return membership


def why_unreachable(email: str) -> str | None:
    """Return why no mail can be sent to the address of a user; None if it can."""
    try:
        read_address(email)
    except InvalidAddress:
        return f"No mail can be sent to {email}."
    return None


def change_digest(membership: Membership, frequency: str, *, actor: Actor, now: datetime) -> None:
    """Choose how often a member gets digests; raises ValidationFailed.

    Digests that are turned on begin anew: the first one is about the last day, or week.
    """
    if frequency not in FREQUENCIES:
        raise ValidationFailed.one(
            "digest", f'"{frequency}" is not a valid choice.', "invalid_choice"
        )
    problem = None if frequency == OFF else why_unreachable(membership.user.email)
    if problem is not None:
        raise ValidationFailed.one("digest", problem)
    before = membership.digest
    if frequency == before:
        return
    membership.digest = frequency
    membership.next_digest_at = next_due(frequency, membership.user.timezone, after=now)
    if OFF in (before, frequency):
        membership.last_digest_at = None
    audit.record_change(
        actor,
        membership.organization_id,
        "member.change-digest",
        membership.user.email,
        {"digest": before},
        {"digest": frequency},
        now=now,
    )


def change_timezone(user: User, timezone: str, *, actor: Actor, now: datetime) -> None:
    """Change where a person is, and with it when digests are due; raises ValidationFailed."""
    try:
        check_timezone(timezone)
    except ScheduleError as error:
        raise ValidationFailed.one("timezone", str(error).removeprefix("timezone: ")) from error
    before, user.timezone = user.timezone, timezone
    if timezone == before:
        return
    for membership in user.memberships:
        membership.next_digest_at = next_due(membership.digest, timezone, after=now)
    detail = f"timezone: {before} → {timezone}"
    audit.record_for_user(actor, user.id, "user.change-timezone", user.email, detail, now=now)


class Subscription(NamedTuple):
    """Whose digests a link is about."""

    membership: Membership
    email: str
    organization: str
    """The organization's name."""


def find_subscription(token: str, secret_keys: str | Sequence[str]) -> Subscription | None:
    """Return what a link is about, if it is ours and the person is still a member. Only reads."""
    try:
        link = read_token(token, secret_keys)
    except InvalidLink:
        return None
    query = (
        select(Membership, User.email, Organization.name)
        .join(Membership.user)
        .join(Membership.organization)
        .where(
            Membership.organization_id == link.organization_id,
            Membership.user_id == link.user_id,
        )
    )
    row = db.session.execute(query).first()
    return None if row is None else Subscription(*row)


def unsubscribe(subscription: Subscription, *, now: datetime) -> None:
    """Turn digests off, on behalf of whoever has the mail."""
    actor = Actor("link", subscription.email)
    change_digest(subscription.membership, OFF, actor=actor, now=now)
