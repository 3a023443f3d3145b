"""Inviting, accepting and withdrawing."""

from datetime import timedelta

import pytest
from conftest import FIXTURES, audit_entries
from flask import Flask
from people import make_member
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound, PermissionDenied, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Invitation, Membership, Organization, User
from taskbadger.services.organizations import organizations
from taskbadger.services.people import invitations, users
from taskbadger.services.people.invitations import InvitationGone

PLUGIN = Actor("plugin", "importer")
NOW = utcnow().replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def acme(app: Flask) -> Organization:
    return organizations.ensure_organization("acme", actor=FIXTURES, now=NOW)


def invite(acme: Organization, email: str = "bo@example.org", role: str = "member") -> str:
    token = invitations.invite(
        acme, email=email, role=role, lasting=DAY, actor=PLUGIN, actor_role="admin", now=NOW
    )
    db.session.flush()
    return token


def entries() -> list[tuple[str, str, str, str]]:
    db.session.flush()
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def test_plain_calls_leave_an_entry_for_each_step(acme: Organization) -> None:
    token = invite(acme, role="viewer")
    found = invitations.find(token, now=NOW)
    user = users.ensure_user("bo@example.org", now=NOW)

    invitations.take(found, now=NOW)
    invitations.join(found, user, now=NOW)
    invite(acme, "cy@example.org")
    [second] = invitations.list_open(acme.id, now=NOW)
    invitations.withdraw(acme.id, second.id, actor=PLUGIN, now=NOW)

    [membership] = db.session.scalars(select(Membership))
    assert (membership.user_id, membership.role) == (user.id, "viewer")
    assert entries() == [
        ("importer", "member.invite", "bo@example.org", "viewer"),
        ("bo@example.org", "member.join", "bo@example.org", "viewer"),
        ("importer", "member.invite", "cy@example.org", "member"),
        ("importer", "member.uninvite", "cy@example.org", ""),
    ]
    assert invitations.list_open(acme.id, now=NOW) == []


def test_invitation_is_kept_without_its_token(acme: Organization) -> None:
    token = invite(acme)

    [kept] = db.session.scalars(select(Invitation))
    assert token not in kept.digest
    assert (kept.email, kept.invited_by) == ("bo@example.org", "importer")
    assert (kept.created, kept.expires, kept.used) == (NOW, NOW + DAY, None)


def test_second_invitation_ends_the_first(acme: Organization) -> None:
    first, second = invite(acme), invite(acme)

    with pytest.raises(InvitationGone):
        invitations.find(first, now=NOW)
    assert invitations.find(second, now=NOW).organization is acme


def test_member_is_not_invited(acme: Organization) -> None:
    make_member("bo@example.org")

    with pytest.raises(ValidationFailed) as caught:
        invite(acme)

    assert [(one.attr, one.code) for one in caught.value.errors] == [("email", "unique")]
    assert entries() == []


def test_role_above_ones_own_is_not_given(acme: Organization) -> None:
    with pytest.raises(PermissionDenied):
        invite(acme, role="owner")

    assert db.session.scalars(select(Invitation)).all() == []


def test_invitation_ends_by_age_and_by_use(acme: Organization) -> None:
    token = invite(acme)
    found = invitations.find(token, now=NOW + DAY - timedelta(seconds=1))

    with pytest.raises(InvitationGone):
        invitations.find(token, now=NOW + DAY)
    with pytest.raises(InvitationGone):
        invitations.find("another token", now=NOW)
    invitations.take(found, now=NOW)
    with pytest.raises(InvitationGone):
        invitations.take(found, now=NOW)
    with pytest.raises(InvitationGone):
        invitations.find(token, now=NOW)


def test_member_who_joins_again_keeps_their_role(acme: Organization) -> None:
    token = invite(acme)
    make_member("bo@example.org", "admin")
    user = db.session.scalars(select(User)).one()
    found = invitations.find(token, now=NOW)

    invitations.join(found, user, now=NOW)

    assert db.session.scalars(select(Membership.role)).all() == ["admin"]
    assert entries() == [
        ("importer", "member.invite", "bo@example.org", "member"),
        ("bo@example.org", "member.join", "bo@example.org", "already a member"),
    ]


def test_invitation_of_another_organization_is_not_withdrawn(acme: Organization) -> None:
    invite(acme)
    other = organizations.ensure_organization("other", actor=FIXTURES, now=NOW)
    [found] = invitations.list_open(acme.id, now=NOW)

    with pytest.raises(NotFound):
        invitations.withdraw(other.id, found.id, actor=PLUGIN, now=NOW)
    invitations.take(found, now=NOW)
    db.session.refresh(found)
    with pytest.raises(NotFound):
        invitations.withdraw(acme.id, found.id, actor=PLUGIN, now=NOW)


def test_invitations_of_an_address_are_of_all_organizations(acme: Organization) -> None:
    invite(acme)
    invite(organizations.ensure_organization("other", actor=FIXTURES, now=NOW))
    invite(acme, "cy@example.org")

    found = invitations.list_for("bo@example.org", now=NOW)

    assert [one.organization.slug for one in found] == ["acme", "other"]
    assert invitations.list_for("bo@example.org", now=NOW + DAY) == []
