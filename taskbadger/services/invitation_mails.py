"""Mails of invitations: sent at least once, and not at all if the invitation is over.

The message names the invitation by its digest; the link is signed when it is sent. So nobody who
reads deliveries, or a backup, can join with it.
"""

from datetime import datetime

from sqlalchemy import select

from taskbadger.channels import INVITATION, Message, text
from taskbadger.domain.mail import InvalidAddress, read_address
from taskbadger.extensions import db
from taskbadger.models import Invitation
from taskbadger.services.delivery import outbox
from taskbadger.services.delivery.channels import EMAIL
from taskbadger.services.delivery.claims import Claimed


def queue(invitation: Invitation, *, now: datetime) -> str | None:
    """Queue the mail of an open invitation; return the delivery's id.

    Returns None if no mail server would take the address.
    """
    try:
        read_address(invitation.email)
    except InvalidAddress:
        return None
    organization = invitation.organization
    message = Message(
        id="",
        kind=INVITATION,
        created=now,
        organization=organization.slug,
        title=f"You are invited to {organization.name}",
        invitation={
            "digest": invitation.digest,
            "organization": organization.name,
            "role": invitation.role,
            "invited_by": invitation.invited_by,
            "expires": text.moment(invitation.expires),
        },
    )
    return outbox.queue(
        message,
        organization_id=organization.id,
        integration=EMAIL,
        config={"to": invitation.email},
        now=now,
        key=f"invitation:{invitation.digest}",
    )


def why_unwanted(claimed: Claimed, *, now: datetime) -> str | None:
    """Return why a claimed mail must not be sent any more; None if it is still wanted."""
    invited = Message.from_json(claimed.message).invitation or {}
    query = select(Invitation.used, Invitation.expires).where(
        Invitation.digest == invited.get("digest")
    )
    found = db.session.execute(query).first()
    if found is None:
        return "the invitation was withdrawn"
    if found.used is not None:
        return "the invitation was accepted"
    return "the invitation has expired" if found.expires <= now else None
