"""What a session is worth, route by route: nothing once it is dead, and none is taken over."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import httpx2
import pytest
from blueprints.dashboard.forms_read import live
from blueprints.dashboard.routes import method_of, page_rules, path_of
from conftest import empty_database
from flask import Flask
from oidc_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from people import PASSWORD, WebClient, browser_for, invite, make_member
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from taskbadger.blueprints.dashboard.access import PUBLIC
from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain.keys import digest
from taskbadger.extensions import db
from taskbadger.models import Organization, User, UserSession

NEW_PASSWORD = "another horse staple"


def sign_out(browser: WebClient) -> None:
    assert browser.post("/sign-out").status_code == 303


def change_password(browser: WebClient) -> None:
    form = {"current": PASSWORD, "password": NEW_PASSWORD}
    assert browser.post("/account/password", form).status_code == 303


def change_password_elsewhere(browser: WebClient) -> None:
    user = db.session.scalars(select(User)).one()
    change_password(browser_for(browser.client.application, user))


def end_elsewhere(browser: WebClient) -> None:
    session = db.session.scalars(select(UserSession.id)).one()
    user = db.session.scalars(select(User)).one()
    other = browser_for(browser.client.application, user)
    assert other.post(f"/account/sessions/{session}/end").status_code == 303


def disable(_browser: WebClient) -> None:
    db.session.execute(update(User).values(disabled=utcnow()))
    db.session.commit()


def leave_idle(_browser: WebClient) -> None:
    db.session.execute(update(UserSession).values(last_seen=utcnow() - timedelta(days=30)))
    db.session.commit()


def let_expire(_browser: WebClient) -> None:
    db.session.execute(update(UserSession).values(expires=utcnow() - timedelta(seconds=1)))
    db.session.commit()


DEATHS = [
    sign_out,
    change_password,
    change_password_elsewhere,
    end_elsewhere,
    disable,
    leave_idle,
    let_expire,
]


@pytest.mark.parametrize("die", DEATHS)
def test_every_page_is_closed_to_a_dead_session(
    app: Flask, die: Callable[[WebClient], None]
) -> None:
    browser = browser_for(app, make_member())
    cookie = browser.client.get_cookie(COOKIE)
    assert cookie is not None
    assert browser.get("/account").status_code == 200
    die(browser)
    browser.client.set_cookie(COOKIE, cookie.value)
    token = {"X-CSRFToken": browser.token()}
    rules = [rule for rule, role in page_rules(app) if role != PUBLIC]

    for rule in rules:
        for headers in (token, {**token, "X-Live": "1"}):
            answer = browser.open(method_of(rule), path_of(rule), headers=headers)
            assert (answer.status_code, answer.location.split("?")[0]) == (303, "/sign-in"), rule


def test_open_page_of_a_dead_session_is_led_to_sign_in(app: Flask) -> None:
    make_member()

    answer = live(browser_for(app), "/a/acme/")

    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/a/acme/")
    # The browser follows with the same headers.
    door = live(browser_for(app), answer.location)
    assert (door.status_code, "<h1>Sign in</h1>" in door.text) == (200, True)


def by_password(browser: WebClient) -> TestResponse:
    make_member("grace@example.org")
    return browser.post("/sign-in", {"email": "grace@example.org", "password": PASSWORD})


def by_set_up(browser: WebClient) -> TestResponse:
    empty_database()
    form = {"email": "grace@example.org", "organization": "Acme", "project": "Web"}
    return browser.post("/set-up", {**form, "name": "Grace", "password": NEW_PASSWORD})


def by_invitation(browser: WebClient) -> TestResponse:
    disable(browser)  # Whoever is signed in joins as who they are.
    organization = db.session.scalars(select(Organization)).one()
    token = invite(organization, "grace@example.org", "viewer")
    form = {"name": "Grace", "password": NEW_PASSWORD}
    return browser.post(f"/invitation?token={token}", form)


def by_changing_the_password(browser: WebClient) -> TestResponse:
    return browser.post("/account/password", {"current": PASSWORD, "password": NEW_PASSWORD})


def by_single_sign_on(browser: WebClient) -> TestResponse:
    make_member("ada@example.org")
    back = httpx2.get(browser.get("/sign-in/oidc").location, trust_env=False).headers["Location"]
    return browser.get(f"{urlsplit(back).path}?{urlsplit(back).query}")


WAYS_IN: dict[str, Callable[[WebClient], TestResponse]] = {
    "dashboard.sign_in_with_password": by_password,
    "dashboard.set_up_owner": by_set_up,
    "dashboard.accept_invitation": by_invitation,
    "dashboard.change_password": by_changing_the_password,
    "dashboard.finish_sign_on": by_single_sign_on,
}
"""The routes that begin a session."""

LET_NOBODY_IN = {
    "dashboard.sign_in",
    "dashboard.sign_out",
    "dashboard.set_up",
    "dashboard.invitation",
    "dashboard.begin_sign_on",
    "incident_links.open_incident_link",
    "incident_links.use_incident_link",
    "digest_links.digest_link",
    "digest_links.unsubscribe",
    "public.task",
    "public.badge",
    "public.name",
    "public.name_badge",
    "public.monitor",
    "public.monitor_badge",
}
"""The other routes that are open to strangers."""


def session_cookies(answer: TestResponse) -> list[str]:
    """Return the values of the session's cookie that an answer sets."""
    found = [one.partition(";")[0] for one in answer.headers.getlist("Set-Cookie")]
    return [value for name, _, value in (one.partition("=") for one in found) if name == COOKIE]


@pytest.mark.parametrize("endpoint", WAYS_IN)
def test_every_way_in_leaves_nothing_of_what_the_browser_had(
    make_app: Callable[..., Flask], endpoint: str
) -> None:
    with running_provider() as provider:
        app = make_app(
            OIDC_ISSUER=provider.url, OIDC_CLIENT_ID=CLIENT_ID, OIDC_CLIENT_SECRET=CLIENT_SECRET
        )
        browser = browser_for(app, make_member("mallory@example.org"))
        planted = browser.client.get_cookie(COOKIE)
        with app.app_context(), browser.client.session_transaction() as state:
            state["planted"] = "by somebody else"

        answer = WAYS_IN[endpoint](browser)

    assert answer.status_code == 303, answer.text
    [cookie] = session_cookies(answer)
    assert planted is not None
    assert cookie != planted.value
    assert db.session.scalars(select(UserSession.digest)).all() == [digest(cookie)]
    with app.app_context(), browser.client.session_transaction() as state:
        assert set(state) <= {"_flashes"}


def test_sign_out_leaves_nothing_of_what_the_browser_had(app: Flask) -> None:
    browser = browser_for(app, make_member())
    with app.app_context(), browser.client.session_transaction() as state:
        state["planted"] = "by somebody else"

    answer = browser.post("/sign-out")

    assert session_cookies(answer) == [""]
    assert db.session.scalars(select(UserSession)).all() == []
    with app.app_context(), browser.client.session_transaction() as state:
        assert dict(state) == {}


def test_every_open_route_lets_somebody_in_as_tested_or_nobody(app: Flask) -> None:
    make_member()
    browser = browser_for(app)
    token = {"X-CSRFToken": browser.token()}
    rules = {rule.endpoint: rule for rule, role in page_rules(app) if role == PUBLIC}

    assert rules.keys() - WAYS_IN.keys() == LET_NOBODY_IN
    for endpoint in LET_NOBODY_IN:
        rule = rules[endpoint]
        answer = browser.open(method_of(rule), path_of(rule), headers=token)
        assert [one for one in session_cookies(answer) if one] == [], rule
