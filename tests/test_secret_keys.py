"""A new secret key: what the old one has signed is accepted as long as it is named."""

from collections.abc import Callable

import pytest
from conftest import SECRET_KEY
from flask import Flask
from people import PASSWORD, browser_for, make_member

from taskbadger.domain import digest_links, incident_links, invitation_links
from taskbadger.domain.digest_links import DigestLink
from taskbadger.domain.keys import digest
from taskbadger.errors import SettingsError
from taskbadger.process import process_of
from taskbadger.settings import Settings

NEW = "another-secret-for-tests-0123456789-zyxwvut"
OTHER = "a-third-secret-for-tests-0123456789-mnopqrs"
MakeApp = Callable[..., Flask]


@pytest.mark.parametrize(
    ("old", "status"), [((SECRET_KEY,), 303), ((OTHER, SECRET_KEY), 303), ((), 400)]
)
def test_forms_that_were_open_are_accepted(
    app: Flask, make_app: MakeApp, old: tuple[str, ...], status: int
) -> None:
    before = browser_for(app)
    token = before.token()
    cookie = before.client.get_cookie("taskbadger_state")
    assert cookie is not None
    make_member()

    after = browser_for(make_app(SECRET_KEY=NEW, SECRET_KEY_OLD=old))
    after.client.set_cookie("taskbadger_state", cookie.value)
    form = {"email": "ada@example.org", "password": PASSWORD, "csrf_token": token}

    assert after.client.post("/sign-in", data=form).status_code == status


def test_links_that_were_sent_are_accepted(app: Flask, make_app: MakeApp) -> None:
    link = DigestLink(3, 7)
    token = digest_links.write_token(link, SECRET_KEY)
    mailed = invitation_links.write_token(digest("token"), SECRET_KEY)
    keys = process_of(make_app(SECRET_KEY=NEW, SECRET_KEY_OLD=(SECRET_KEY,))).settings.secret_keys

    assert keys == (SECRET_KEY, NEW)
    assert digest_links.read_token(token, keys) == link
    assert invitation_links.digest_of(mailed, keys) == digest("token")
    with pytest.raises(digest_links.InvalidLink):
        digest_links.read_token(token, (NEW,))
    with pytest.raises(incident_links.InvalidLink):
        incident_links.read_token(token, keys)


def test_what_is_signed_now_is_signed_with_the_new_key(app: Flask, make_app: MakeApp) -> None:
    rotated = browser_for(make_app(SECRET_KEY=NEW, SECRET_KEY_OLD=(SECRET_KEY,)))
    token = rotated.token()
    cookie = rotated.client.get_cookie("taskbadger_state")
    assert cookie is not None

    later = browser_for(make_app(SECRET_KEY=NEW))
    later.client.set_cookie("taskbadger_state", cookie.value)
    form = {"email": "nobody@example.org", "password": "wrong", "csrf_token": token}

    assert "The form has expired" not in later.client.post("/sign-in", data=form).text


def test_old_keys_are_read_from_the_environment_and_checked() -> None:
    variables = {
        "TASKBADGER_SECRET_KEY": NEW,
        "TASKBADGER_SECRET_KEY_OLD": f"{OTHER}, {SECRET_KEY}",
    }

    assert Settings.from_env(variables).secret_keys == (OTHER, SECRET_KEY, NEW)
    with pytest.raises(SettingsError, match="TASKBADGER_SECRET_KEY_OLD must have at least 32"):
        Settings.from_env({**variables, "TASKBADGER_SECRET_KEY_OLD": "short"})
