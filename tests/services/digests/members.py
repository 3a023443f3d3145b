"""Members who get digests."""

from datetime import datetime

from conftest import FIXTURES
from people import make_member
from sqlalchemy import select

from taskbadger.domain.digests import DAILY
from taskbadger.extensions import db
from taskbadger.models import Membership
from taskbadger.services.digests import settings


def subscribe(
    now: datetime,
    frequency: str = DAILY,
    *,
    zone: str = "UTC",
    email: str = "ada@example.org",
    organization: str = "acme",
) -> Membership:
    """Return a member who has turned digests on at *now*."""
    user = make_member(email, organization=organization)
    query = select(Membership).where(Membership.user_id == user.id)
    membership = db.session.scalars(query.order_by(Membership.id.desc())).first()
    assert membership is not None
    settings.change_timezone(user, zone, actor=FIXTURES, now=now)
    settings.change_digest(membership, frequency, actor=FIXTURES, now=now)
    db.session.commit()
    return membership


def settings_of(membership_id: int) -> tuple[str, datetime | None, datetime | None]:
    """Return how often a member gets digests, when the next is due, and when the last was."""
    db.session.rollback()
    db.session.expire_all()
    found = db.session.get_one(Membership, membership_id)
    return found.digest, found.next_digest_at, found.last_digest_at
