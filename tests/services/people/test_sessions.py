"""Who a cookie belongs to, and what they are in the organization of a page."""

from datetime import timedelta

import pytest
from conftest import count_queries
from flask import Flask
from people import make_member, session_cookie
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import User, UserSession
from taskbadger.services.people import sessions
from taskbadger.services.people.sessions import Member, Visit

HOUR = timedelta(hours=1)


@pytest.fixture
def ada(app: Flask) -> User:
    """The owner of ``acme``."""
    return make_member()


def find(token: str, organization: str = "acme") -> Visit | None:
    return sessions.find(token, organization, idle=HOUR, now=utcnow())


def test_visit_tells_who_it_is_and_what_they_are_here(ada: User) -> None:
    token = session_cookie(ada)
    membership = ada.memberships[0]
    organization = membership.organization

    with count_queries() as statements:
        visit = find(token)

    assert len(statements) == 1
    assert visit is not None
    assert (visit.user_id, visit.email) == (ada.id, "ada@example.org")
    assert visit.member == Member(membership.id, "owner", organization.id, "acme", "acme")


@pytest.mark.parametrize("organization", ["other", "missing", ""])
def test_stranger_to_an_organization_is_known_but_no_member(ada: User, organization: str) -> None:
    make_member("grace@example.org", organization="other")

    visit = find(session_cookie(ada), organization)

    assert visit is not None
    assert visit.member is None


@pytest.mark.parametrize("end", ["signed out", "disabled", "idle", "too old"])
def test_session_that_ended_is_no_visit(ada: User, end: str) -> None:
    token = session_cookie(ada)
    session = db.session.scalars(select(UserSession)).one()
    if end == "signed out":
        sessions.end(token)
    elif end == "disabled":
        ada.disabled = utcnow()
    elif end == "idle":
        session.last_seen = utcnow() - HOUR
    else:
        session.expires = utcnow()
    db.session.commit()

    assert find(token) is None
    assert find("another token") is None


def test_visit_is_looked_up_while_another_transaction_writes(ada: User) -> None:
    token = session_cookie(ada)
    ada.name = "Ada"
    db.session.flush()

    assert find(token) is not None
