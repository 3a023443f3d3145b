"""Mails of invitations: what is queued, and until when a mail is still wanted."""

from datetime import timedelta

import pytest
from delivering import NOW, claim
from sqlalchemy import Delete, Update, delete, select, update

from taskbadger.channels import Message
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Invitation
from taskbadger.services import invitation_mails

WEEK = timedelta(days=7)


def queue(project: ProjectRef, email: str = "grace@example.org") -> str | None:
    """Queue the mail of an invitation that ends after a week; return the delivery's id."""
    invitation = Invitation(
        organization_id=project.organization_id,
        email=email,
        role="viewer",
        digest="d1",
        invited_by="ada@example.org",
        created=NOW,
        expires=NOW + WEEK,
    )
    db.session.add(invitation)
    db.session.flush()
    queued = invitation_mails.queue(invitation, now=NOW)
    db.session.commit()
    return queued


def test_mail_names_the_invitation_and_has_no_link(project: ProjectRef) -> None:
    delivery_id = queue(project)

    queued = db.session.scalars(select(Delivery)).one()
    assert (queued.id, queued.key, queued.integration, queued.config) == (
        delivery_id,
        "invitation:d1",
        "email",
        '{"to": "grace@example.org"}',
    )
    assert Message.from_json(queued.message) == Message(
        id=queued.id,
        kind="invitation",
        created=NOW,
        organization="acme",
        title="You are invited to acme",
        invitation={
            "digest": "d1",
            "organization": "acme",
            "role": "viewer",
            "invited_by": "ada@example.org",
            "expires": "2026-05-11 03:02:01 UTC",
        },
    )


def test_invitation_is_mailed_once(project: ProjectRef) -> None:
    assert queue(project) is not None
    invitation = db.session.scalars(select(Invitation)).one()

    assert invitation_mails.queue(invitation, now=NOW) is None


def test_nothing_is_queued_for_an_address_that_no_mail_server_takes(project: ProjectRef) -> None:
    assert queue(project, "grace@localhost@example.org") is None

    assert db.session.scalars(select(Delivery)).all() == []


def test_mail_is_wanted_until_the_invitation_expires(project: ProjectRef) -> None:
    queue(project)
    [claimed] = claim()

    assert invitation_mails.why_unwanted(claimed, now=NOW + WEEK - timedelta(seconds=1)) is None
    assert invitation_mails.why_unwanted(claimed, now=NOW + WEEK) == "the invitation has expired"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (delete(Invitation), "the invitation was withdrawn"),
        (update(Invitation).values(used=NOW), "the invitation was accepted"),
    ],
    ids=["withdrawn", "accepted"],
)
def test_mail_of_an_invitation_that_is_over_is_unwanted(
    project: ProjectRef, change: Delete | Update, reason: str
) -> None:
    queue(project)
    db.session.execute(change)
    db.session.commit()
    [claimed] = claim()

    assert invitation_mails.why_unwanted(claimed, now=NOW) == reason
