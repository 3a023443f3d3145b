"""People for tests: users with a role, and browsers signed in as them."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from conftest import FIXTURES
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Organization, User
from taskbadger.services.organizations import organizations
from taskbadger.services.people import invitations, members, passwords, sessions, users

PASSWORD = "correct horse battery"
CSRF = "0123456789abcdef0123456789abcdef01234567"
_HASH = passwords.hash_password(PASSWORD)


def make_member(
    email: str = "ada@example.org", role: str | None = "owner", organization: str = "acme"
) -> User:
    """Return a user with PASSWORD and a role in *organization*; no member if *role* is None."""
    now = utcnow()
    user = users.ensure_user(email, now=now)
    user.password_hash = _HASH
    if role is not None:
        parent = organizations.ensure_organization(organization, actor=FIXTURES, now=now)
        members.put_member(user, parent, role, actor=FIXTURES, now=now)
    db.session.commit()
    return user


def invite(organization: Organization, email: str, role: str = "member") -> str:
    """Invite somebody for a day; return the token of the invitation."""
    token = invitations.invite(
        organization,
        email=email,
        role=role,
        lasting=timedelta(days=1),
        actor=SERVER,
        actor_role="owner",
        now=utcnow(),
    )
    db.session.commit()
    return token


def session_cookie(user: User) -> str:
    """Sign *user* in; return the value of the cookie COOKIE."""
    token = sessions.start(user, idle=timedelta(hours=1), now=utcnow())
    db.session.commit()
    return token


@dataclass
class WebClient:
    """A browser without scripts: cookies, and the CSRF token sent with every form."""

    client: FlaskClient

    def open(self, method: str, path: str, **options: Any) -> TestResponse:
        """Send a request in a new context, without a lock held while it runs."""
        db.session.rollback()
        with self.client.application.app_context():
            return self.client.open(path, method=method, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.open("GET", path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form."""
        return self.open("POST", path, data={**(data or {}), "csrf_token": self.token()}, **options)

    def token(self) -> str:
        """Return a CSRF token that the server accepts from this browser."""
        app = self.client.application
        with app.app_context(), self.client.session_transaction() as state:
            state["csrf_token"] = CSRF
        made = URLSafeTimedSerializer(app.secret_key, salt="wtf-csrf-token").dumps(CSRF)
        assert isinstance(made, str)
        return made


def headers_of(answer: TestResponse) -> list[tuple[str, str]]:
    """Return the headers, without those that differ from answer to answer."""
    return sorted(
        pair for pair in answer.headers.items() if pair[0] not in ("Date", "X-Request-ID")
    )


def browser_for(app: Flask, user: User | None = None) -> WebClient:
    """Return a browser of *app*, signed in as *user*."""
    client = app.test_client()
    if user is not None:
        client.set_cookie(COOKIE, session_cookie(user))
    return WebClient(client)
