"""Users: the first owner, passwords, and disabled accounts."""

from datetime import timedelta

import pytest
from conftest import audit_entries, make_project
from flask import Flask
from people import make_member, session_cookie
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Membership, Project, User
from taskbadger.services.organizations import organizations
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.people import sessions, users

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
