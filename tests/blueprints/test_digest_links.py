"""The page to unsubscribe: for people, for mail programs, and for whoever follows links."""

from urllib.parse import urlencode

import pytest
from conftest import SECRET_KEY, audit_entries
from flask import Flask
from people import WebClient, browser_for
from services.digests.members import settings_of, subscribe
from werkzeug.test import TestResponse

from taskbadger.clock import utcnow
from taskbadger.domain.digest_links import DigestLink, write_token
from taskbadger.extensions import db
from taskbadger.models import Membership

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def member(app: Flask) -> Membership:
    """A member who gets a daily digest."""
    return subscribe(utcnow())


@pytest.fixture
def stranger(app: Flask) -> WebClient:
    """A browser in which nobody is signed in."""
    return browser_for(app)


def path_of(member: Membership, key: str = SECRET_KEY) -> str:
    token = write_token(DigestLink(member.organization_id, member.user_id), key)
    return f"/public/digests/?{urlencode({'token': token})}"


def is_on(member: Membership) -> bool:
    return settings_of(member.id)[0] == "daily"


def says(answer: TestResponse, status: int, words: str) -> bool:
    return answer.status_code == status and words in " ".join(answer.text.split())


def test_page_says_what_its_button_does_and_changes_nothing(
    stranger: WebClient, member: Membership
) -> None:
    path = path_of(member)

    for method in ("GET", "HEAD", "GET", "HEAD", "OPTIONS"):
        answer = stranger.open(method, path)
        assert answer.status_code == 200
        if method == "GET":
            assert says(answer, 200, "ada@example.org gets a daily digest of acme.")
            assert "Turn these digests off</button>" in answer.text
    assert is_on(member)


def test_button_turns_digests_off_without_a_sign_in(
    stranger: WebClient, member: Membership
) -> None:
    path = path_of(member)

    first, second, page = stranger.post(path), stranger.post(path), stranger.get(path)

    for answer in (first, second, page):
        assert says(answer, 200, "ada@example.org gets no digests of acme.")
        assert "<button" not in answer.text
    assert not is_on(member)
    [entry] = db.session.scalars(audit_entries()).all()
    assert (entry.actor_type, entry.actor_name, entry.verb, entry.detail) == (
        "link",
        "ada@example.org",
        "member.change-digest",
        "digest: daily → off",
    )


def test_mail_program_needs_neither_page_nor_cookie(
    stranger: WebClient, member: Membership
) -> None:
    answer = stranger.open("POST", path_of(member), data=ONE_CLICK)

    assert answer.status_code == 200
    assert not is_on(member)


@pytest.mark.parametrize("data", [{}, {"List-Unsubscribe": "no"}, {"csrf_token": "x"}])
def test_other_forms_need_the_token_of_the_page(
    stranger: WebClient, member: Membership, data: dict[str, str]
) -> None:
    answer = stranger.open("POST", path_of(member), data=data)

    assert says(answer, 400, "The form has expired.")
    assert is_on(member)


def test_one_click_opens_no_other_form(stranger: WebClient) -> None:
    assert stranger.open("POST", "/sign-out", data=ONE_CLICK).status_code == 400


@pytest.mark.parametrize("path", ["/public/digests/", "/public/digests/?token=x.y", "foreign"])
def test_link_that_is_not_ours_does_nothing(
    stranger: WebClient, member: Membership, path: str
) -> None:
    if path == "foreign":
        path = path_of(member, "another key, as long as this one")

    for answer in (
        stranger.get(path),
        stranger.post(path),
        stranger.open("POST", path, data=ONE_CLICK),
    ):
        assert says(answer, 404, "This link does not work")
        assert "acme" not in answer.text
    assert is_on(member)


def test_link_of_who_left_works_no_longer(stranger: WebClient, member: Membership) -> None:
    path = path_of(member)
    db.session.delete(member)
    db.session.commit()

    assert says(stranger.get(path), 404, "This link does not work")


def test_page_is_neither_indexed_nor_told_to_others(
    stranger: WebClient, member: Membership
) -> None:
    answer = stranger.get(path_of(member))

    assert answer.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
