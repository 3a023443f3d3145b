"""Single sign-on, against a real provider on a port of its own."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from flask import Flask
from joserfc.jwk import RSAKey
from oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider
from people import WebClient, browser_for, invite, make_member
from sqlalchemy import select
from werkzeug.test import TestResponse

from taskbadger.caches import TimedCache
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Identity, Membership, Organization, User
from taskbadger.process import process_of
from taskbadger.services.people import invitations, users


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def browser(make_app: Callable[..., Flask], provider: OidcProvider) -> WebClient:
    """A browser of a server that trusts the provider."""
    return browser_for(
        make_app(
            OIDC_ISSUER=provider.url, OIDC_CLIENT_ID=CLIENT_ID, OIDC_CLIENT_SECRET=CLIENT_SECRET
        )
    )


def sign_on(browser: WebClient, path: str = "/sign-in/oidc") -> TestResponse:
    """Walk from our redirect through the provider and back; return our last answer."""
    begun = browser.get(path)
    assert begun.status_code == 303, begun.text
    away = begun.location
    back = httpx2.get(away, trust_env=False).headers["Location"]
    return browser.get(urlsplit(back).path + "?" + urlsplit(back).query)


def identities() -> list[tuple[str, str]]:
    query = select(Identity.subject, User.email).join(User, User.id == Identity.user_id)
    return [(row.subject, row.email) for row in db.session.execute(query)]


def test_user_with_the_verified_address_is_signed_in(browser: WebClient) -> None:
    make_member("ada@example.org")

    done = sign_on(browser, "/sign-in/oidc?next=/account")

    assert (done.status_code, done.location) == (303, "/account")
    assert "ada@example.org" in browser.get("/account").text
    assert identities() == [("person-17", "ada@example.org")]


def test_linked_user_stays_the_same_when_their_address_changes(
    browser: WebClient, provider: OidcProvider
) -> None:
    make_member("ada@example.org")
    make_member("grace@example.org")
    sign_on(browser)

    provider.person["email"] = "grace@example.org"
    again = browser_for(browser.client.application)
    sign_on(again)

    assert "ada@example.org" in again.get("/account").text
    assert identities() == [("person-17", "ada@example.org")]


def test_invited_person_becomes_a_member_without_a_password(browser: WebClient) -> None:
    make_member("owner@example.org")
    invite(db.session.scalars(select(Organization)).one(), "ada@example.org", "viewer")

    done = sign_on(browser)

    assert done.status_code == 303
    member = db.session.scalar(
        select(Membership).join(Membership.user).where(User.email == "ada@example.org")
    )
    assert member is not None
    assert (member.role, member.user.name, member.user.password_hash) == ("viewer", "Ada L.", None)
    assert invitations.list_for("ada@example.org", now=utcnow()) == []


def test_stranger_is_turned_away(browser: WebClient) -> None:
    make_member("owner@example.org")

    done = sign_on(browser)

    assert done.status_code == 403
    assert "ada@example.org has not been invited to this server." in done.text
    assert browser.get("/account").status_code == 303
    assert identities() == []


def test_disabled_user_is_turned_away(browser: WebClient) -> None:
    user = make_member("ada@example.org")
    users.disable_user(user, actor=SERVER, now=utcnow())
    db.session.commit()

    assert sign_on(browser).status_code == 403
    assert browser.get("/account").status_code == 303


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email_verified": "true"},
        {"email": None},
        {"nonce": "another"},
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"sub": None},
    ],
    ids=str,
)
def test_token_that_is_not_right_lets_nobody_in(
    browser: WebClient, provider: OidcProvider, claims: dict[str, Any]
) -> None:
    make_member("ada@example.org")
    provider.claims = claims

    assert sign_on(browser).status_code == 403
    assert browser.get("/account").status_code == 303


def test_token_of_another_key_lets_nobody_in(browser: WebClient, provider: OidcProvider) -> None:
    make_member("ada@example.org")
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "one"})

    assert sign_on(browser).status_code == 403
    assert browser.get("/account").status_code == 303


def test_answer_to_another_browser_lets_nobody_in(browser: WebClient) -> None:
    make_member("ada@example.org")
    victim = browser_for(browser.client.application)
    away = browser.get("/sign-in/oidc").location
    back = urlsplit(httpx2.get(away, trust_env=False).headers["Location"])

    stolen = victim.get(f"{back.path}?{back.query}")
    victim.get("/sign-in/oidc")
    replayed = victim.get(f"{back.path}?{back.query}")

    assert (stolen.status_code, replayed.status_code) == (403, 403)


def test_answer_works_once(browser: WebClient) -> None:
    make_member("ada@example.org")
    away = browser.get("/sign-in/oidc").location
    back = urlsplit(httpx2.get(away, trust_env=False).headers["Location"])

    first = browser.get(f"{back.path}?{back.query}")
    second = browser.get(f"{back.path}?{back.query}")

    assert (first.status_code, second.status_code) == (303, 403)


def test_answer_with_a_state_of_other_letters_is_refused(browser: WebClient) -> None:
    browser.get("/sign-in/oidc")

    assert browser.get("/sign-in/oidc/callback?code=x&state=%C3%A9").status_code == 403


def test_refusal_of_the_provider_is_reported(browser: WebClient) -> None:
    make_member("ada@example.org")
    browser.get("/sign-in/oidc")

    assert browser.get("/sign-in/oidc/callback?error=access_denied").status_code == 403


def test_description_of_another_issuer_is_not_followed(
    browser: WebClient, provider: OidcProvider
) -> None:
    provider.issuer = "https://evil.example"

    assert browser.get("/sign-in/oidc").status_code == 403


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_description_that_is_not_complete_is_reported(
    browser: WebClient, provider: OidcProvider, name: str
) -> None:
    provider.left_out = name

    answer = browser.get("/sign-in/oidc")

    assert answer.status_code == 403
    assert f"The identity provider does not publish its {name}." in answer.text


@pytest.mark.parametrize(("seconds", "times"), [(600.0, 1), (0.0, 4)])
def test_description_is_read_again_only_after_a_while(
    browser: WebClient, provider: OidcProvider, seconds: float, times: int
) -> None:
    process_of(browser.client.application).identity_providers = TimedCache(seconds)
    make_member("ada@example.org")

    answers = [sign_on(browser).status_code for _ in range(2)]

    assert (answers, provider.described) == ([303, 303], times)


def test_description_that_was_wrong_is_read_again(
    browser: WebClient, provider: OidcProvider
) -> None:
    provider.issuer = "https://evil.example"
    refused = browser.get("/sign-in/oidc").status_code
    provider.issuer = None

    assert (refused, browser.get("/sign-in/oidc").status_code) == (403, 303)


def test_sign_in_page_offers_it_only_where_it_is_set(browser: WebClient, app: Flask) -> None:
    make_member("ada@example.org")
    without = browser_for(app)

    assert "Single sign-on" in browser.get("/sign-in").text
    assert "Single sign-on" not in without.get("/sign-in").text
    assert without.get("/sign-in/oidc").status_code == 404


def test_provider_that_is_away_is_reported(make_app: Callable[..., Flask]) -> None:
    browser = browser_for(make_app(OIDC_ISSUER="http://127.0.0.1:1", OIDC_CLIENT_ID=CLIENT_ID))

    answer = browser.get("/sign-in/oidc")

    assert answer.status_code == 403
    assert "cannot be reached" in answer.text
