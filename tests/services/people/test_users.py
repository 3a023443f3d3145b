"""Users: the first owner, passwords, and disabled and deleted accounts."""

from datetime import timedelta

import pytest
from conftest import audit_entries, make_project
from flask import Flask
from incidents import make_incident
from people import make_member, session_cookie
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import Base, db
from taskbadger.models import (
    FormDraft,
    Identity,
    Incident,
    Membership,
    Project,
    User,
    UserSession,
)
from taskbadger.services.incidents import handling
from taskbadger.services.organizations import organizations
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.people import drafts, members, sessions, users

PLUGIN = Actor("plugin", "importer")
NOW = utcnow()
HOUR = timedelta(hours=1)


def set_up(slug: str = "") -> User:
    return users.set_up(
        email=" Ada@Example.org ",
        name="Ada",
        password_hash="hash",
        organization=NewProject("Acme Ltd", slug),
        project=NewProject("Web shop", ""),
        now=NOW,
    )


def entries() -> list[tuple[str, str, str, str]]:
    db.session.flush()
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def test_first_user_owns_a_new_organization(app: Flask) -> None:
    assert users.needs_set_up()

    user = set_up()

    assert not users.needs_set_up()
    assert (user.email, user.name, user.password_hash) == ("ada@example.org", "Ada", "hash")
    [membership] = db.session.scalars(select(Membership))
    assert (membership.user_id, membership.role) == (user.id, "owner")
    assert [one.slug for one in organizations.list_organizations()] == ["acme-ltd"]
    assert db.session.scalars(select(Project.slug)).all() == ["web-shop"]
    assert entries() == [
        ("ada@example.org", "organization.create", "acme-ltd", "Acme Ltd"),
        ("ada@example.org", "project.create", "web-shop", "Web shop"),
        ("ada@example.org", "server.set-up", "ada@example.org", "owner"),
    ]


def test_first_user_owns_the_organizations_that_exist(app: Flask) -> None:
    make_project("acme")
    make_project("other")

    set_up()

    assert [one.slug for one in organizations.list_organizations()] == ["acme", "other"]
    assert db.session.scalars(select(Membership.role)).all() == ["owner", "owner"]
    assert entries() == [("ada@example.org", "server.set-up", "ada@example.org", "owner")] * 2


def test_second_set_up_is_refused(app: Flask) -> None:
    make_member("bo@example.org", None)

    with pytest.raises(users.AlreadySetUp):
        set_up()


def test_malformed_slug_is_refused(app: Flask) -> None:
    with pytest.raises(ValidationFailed):
        set_up("Not A Slug")


def test_user_is_found_and_created_whatever_the_case(app: Flask) -> None:
    made = users.ensure_user(" Ada@Example.ORG", now=NOW, name="Ada")

    assert users.ensure_user("ada@example.org", now=NOW, name="Other") is made
    assert users.find_user("ADA@example.org ") is made
    assert users.find_user("bo@example.org") is None
    assert (made.email, made.name, made.password_hash) == ("ada@example.org", "Ada", None)


def test_plain_calls_end_sessions_and_leave_an_entry(app: Flask) -> None:
    user = make_member("ada@example.org")
    tokens = []
    for change in (
        lambda: users.change_password(user, "new hash", actor=PLUGIN, now=NOW),
        lambda: users.disable_user(user, actor=PLUGIN, now=NOW),
    ):
        tokens.append(session_cookie(user))
        assert sessions.find(tokens[-1], "", idle=HOUR, now=utcnow()) is not None
        change()
        db.session.commit()
    assert (user.password_hash, user.disabled) == ("new hash", NOW)

    users.enable_user(user, actor=PLUGIN, now=NOW)
    db.session.commit()

    assert user.disabled is None
    assert [sessions.find(token, "", idle=HOUR, now=utcnow()) for token in tokens] == [None, None]
    assert entries() == [
        ("importer", f"user.{verb}", "ada@example.org", "")
        for verb in ("change-password", "disable", "enable")
    ]


def test_deleted_user_leaves_nothing_but_their_name(app: Flask) -> None:
    make_member("owner@example.org")
    project = make_project()
    user = make_member("eve@example.org", "owner")
    others = [count(model) for model in PERSONAL]
    session_cookie(user)
    user.timezone = "Europe/Paris"
    for key in ("new key", "old key"):
        drafts.keep(drafts.mark_of(user.id, key), "/a/", {"name": ["typed"]}, now=NOW)
    db.session.add(Identity(user_id=user.id, issuer="x", subject="y", created=NOW))
    number = make_incident(project)
    actor = Actor("user", user.email)
    handling.acknowledge(project.organization_id, number, actor=actor, now=NOW)
    db.session.commit()

    users.delete_user(user, secret_keys=("new key", "old key"), actor=actor, now=NOW)
    db.session.commit()

    assert others[0] == 2
    assert [count(model) for model in PERSONAL] == [1, 1, 0, 0, 0]
    assert db.session.get_one(Incident, number).acknowledged_by == "eve@example.org"
    assert entries()[-1] == ("eve@example.org", "user.delete", "eve@example.org", "")


PERSONAL = (User, Membership, UserSession, Identity, FormDraft)


def count(model: type[Base]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def delete(user: User) -> None:
    users.delete_user(user, secret_keys=("key",), actor=SERVER, now=NOW)


def test_last_owner_of_organizations_is_not_deleted(app: Flask) -> None:
    user = make_member("ada@example.org")
    make_member("ada@example.org", "owner", "beta")
    make_member("ada@example.org", "member", "gamma")
    make_member("bob@example.org", "owner")
    make_member("bob@example.org", "member", "beta")
    make_member("off@example.org", "owner", "beta").disabled = NOW
    db.session.commit()

    with pytest.raises(members.LastOwner, match=r"^No other owner would be left in: beta\. "):
        delete(user)
    db.session.rollback()

    assert count(User) == 3


def test_last_user_of_the_server_is_not_deleted(app: Flask) -> None:
    """Whoever came next would own what is there."""
    user = make_member("ada@example.org", role=None)

    with pytest.raises(users.LastUser):
        delete(user)
