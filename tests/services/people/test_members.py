"""Members, their roles, and the last owner."""

import pytest
from conftest import FIXTURES, audit_entries
from flask import Flask
from people import make_member
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.errors import NotFound, PermissionDenied, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Membership, Organization
from taskbadger.services.organizations import organizations
from taskbadger.services.people import members, users
from taskbadger.services.people.members import LastOwner

PLUGIN = Actor("plugin", "importer")
NOW = utcnow()


def acme() -> Organization:
    return organizations.ensure_organization("acme", actor=FIXTURES, now=NOW)


def member_of(email: str) -> Membership:
    return next(one for one in members.list_members(acme().id) if one.user.email == email)


def entries() -> list[tuple[str, str, str, str]]:
    db.session.flush()
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def test_plain_calls_leave_an_entry_for_each_change(app: Flask) -> None:
    make_member("ada@example.org", "owner")
    bo = users.ensure_user("bo@example.org", now=NOW)

    member = members.put_member(bo, acme(), None, actor=PLUGIN, now=NOW)
    members.put_member(bo, acme(), None, actor=PLUGIN, now=NOW)
    members.put_member(bo, acme(), "admin", actor=PLUGIN, now=NOW)
    members.change_role(member, "admin", actor=PLUGIN, actor_role="owner", now=NOW)
    members.remove_member(member, actor=PLUGIN, actor_role="owner", now=NOW)

    assert entries() == [
        ("importer", "member.add", "bo@example.org", "member"),
        ("importer", "member.change-role", "bo@example.org", "role: member → admin"),
        ("importer", "member.remove", "bo@example.org", ""),
    ]
    assert [one.user.email for one in members.list_members(acme().id)] == ["ada@example.org"]


def test_first_member_becomes_the_owner(app: Flask) -> None:
    ada = users.ensure_user("ada@example.org", now=NOW)

    assert members.put_member(ada, acme(), None, actor=PLUGIN, now=NOW).role == "owner"


@pytest.mark.parametrize(
    ("actor_role", "before", "after"),
    [("admin", "owner", "member"), ("admin", "member", "owner"), ("member", "viewer", "member")],
)
def test_role_above_ones_own_is_neither_given_nor_taken(
    app: Flask, actor_role: str, before: str, after: str
) -> None:
    make_member("ada@example.org", "owner")
    make_member("bo@example.org", before)
    member = member_of("bo@example.org")

    with pytest.raises(PermissionDenied):
        members.change_role(member, after, actor=PLUGIN, actor_role=actor_role, now=NOW)

    assert member.role == before
    assert entries() == []


def test_last_owner_stays(app: Flask) -> None:
    make_member("ada@example.org", "owner")
    disabled = make_member("old@example.org", "owner")
    disabled.disabled = NOW
    ada = member_of("ada@example.org")

    with pytest.raises(LastOwner):
        members.leave(ada, actor=PLUGIN, now=NOW)
    with pytest.raises(LastOwner):
        members.change_role(ada, "member", actor=PLUGIN, actor_role="owner", now=NOW)
    with pytest.raises(LastOwner):
        members.remove_member(ada, actor=PLUGIN, actor_role="owner", now=NOW)
    assert entries() == []

    make_member("bo@example.org", "owner")
    members.leave(ada, actor=PLUGIN, now=NOW)
    assert entries() == [("importer", "member.remove", "ada@example.org", "")]


def test_unknown_role_is_refused(app: Flask) -> None:
    user = users.ensure_user("ada@example.org", now=NOW)

    with pytest.raises(ValidationFailed):
        members.add_member(user, acme(), "king", actor=PLUGIN, now=NOW)

    assert db.session.scalars(select(Membership)).all() == []
    assert entries() == []


def test_member_of_another_organization_is_not_found(app: Flask) -> None:
    make_member("ada@example.org", organization="other")
    theirs = db.session.scalars(select(Membership)).one()

    assert members.find_member(theirs.organization_id, theirs.id) is theirs
    for number, member_id in ((acme().id, theirs.id), (theirs.organization_id, theirs.id + 1)):
        with pytest.raises(NotFound):
            members.find_member(number, member_id)


def test_pages_of_members_are_oldest_first(app: Flask) -> None:
    for email in ("c@example.org", "a@example.org", "b@example.org"):
        make_member(email)
    make_member("x@example.org", organization="other")

    first = members.page_of_members(acme().id, None, 2)
    rest = members.page_of_members(acme().id, first.next, 2)

    assert [one.user.email for one in first.rows] == ["c@example.org", "a@example.org"]
    assert [one.user.email for one in rest.rows] == ["b@example.org"]


def test_memberships_of_a_user_are_by_name_of_the_organization(app: Flask) -> None:
    organizations.ensure_organization("z", actor=FIXTURES, now=NOW, name="Alpha")
    organizations.ensure_organization("a", actor=FIXTURES, now=NOW, name="Beta")
    for slug in ("a", "z"):
        user = make_member("ada@example.org", "viewer", slug)
    make_member("bo@example.org", organization="other")

    found = members.list_memberships(user.id)

    assert [(one.organization.name, one.role) for one in found] == [
        ("Alpha", "viewer"),
        ("Beta", "viewer"),
    ]
