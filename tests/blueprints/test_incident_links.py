"""The signed links of messages, from the mail to the page and its button."""

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
import time_machine
from blueprints.dashboard.forms_read import words
from conftest import SECRET_KEY, audit_entries
from flask import Flask
from incidents import events, get_incident, make_incident
from people import WebClient, browser_for
from receivers import SmtpReceiver
from sqlalchemy import func, select

from taskbadger.channels import Message
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.incident_links import IncidentLink, write_token
from taskbadger.extensions import db
from taskbadger.models import RequestCount, UsedLink
from taskbadger.schemas.incidents import incident_url, show_incident
from taskbadger.services.delivery import outbox
from taskbadger.services.people import attempts
from taskbadger.worker import steps

PAGE = "/public/incidents/"
NAME = "nightly <import> & co"


@pytest.fixture
def number(project: ProjectRef) -> int:
    """An open incident with three failed runs."""
    return make_incident(project, NAME, opened_at=utcnow() - timedelta(hours=1), runs=3)


@pytest.fixture
def anyone(app: Flask) -> WebClient:
    return browser_for(app)


def token_for(number: int, operation: str = "acknowledge", **options: Any) -> str:
    values = {"person": "anna@example.com", "message_id": "d1", "key": SECRET_KEY, **options}
    link = IncidentLink(operation, number, values["person"], values["message_id"])
    return write_token(link, values["key"], now=utcnow())


def path_to(token: str) -> str:
    return f"{PAGE}?token={quote(token)}"


def title(page: str) -> str:
    return words(re.findall(r"<h1>(.*?)</h1>", page)[0])


def counts() -> list[int]:
    """Return how much is written: by people, about links, and by limits."""
    tables = (UsedLink, RequestCount)
    found = [db.session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
    return [*found, len(events()), len(db.session.scalars(audit_entries()).all())]


def queue_mail(project: ProjectRef, number: int, to: str) -> None:
    row = get_incident(number)
    message = Message(
        id="",
        kind="task.failing",
        created=utcnow(),
        organization=project.organization,
        project=project.slug,
        title="it is failing",
        url=incident_url("http://localhost", project.organization, number),
        incident=show_incident(row, project=project.slug, failures=()),
    )
    outbox.queue(
        message,
        organization_id=project.organization_id,
        integration="email",
        config={"to": to},
        now=utcnow(),
    )
    db.session.commit()


@pytest.fixture
def mailed(
    make_app: Callable[..., Flask], project: ProjectRef, number: int
) -> tuple[dict[str, dict[str, str]], WebClient]:
    """The links of the mails that the worker sent about the incident, by recipient and label."""
    queue_mail(project, number, "anna@example.com,bob@example.com")
    with SmtpReceiver() as smtp:
        app = make_app(
            SMTP_URL=smtp.url, MAIL_FROM="badger@example.com", BASE_URL="http://localhost"
        )
        with app.app_context():
            [claimed] = steps.claim(5)
            steps.send(claimed)
        mails = smtp.wait(2)
    found = {
        mail.recipients[0]: dict(re.findall(r"^(Acknowledge|Snooze): (\S+)$", mail.text, re.M))
        for mail in mails
    }
    return found, browser_for(app)


def test_mail_of_each_person_acknowledges_in_their_name(
    mailed: tuple[dict[str, dict[str, str]], WebClient], number: int
) -> None:
    links, browser = mailed
    url = links["bob@example.com"]["Acknowledge"]
    page = browser.get(url).text
    assert title(page) == "Acknowledge this incident?"
    assert "sent to bob@example.com" in words(page)
    token = html.unescape(re.findall(r'name="token" value="([^"]*)"', page)[0])

    answer = browser.post(PAGE, {"token": token})

    assert (answer.status_code, title(answer.text)) == (200, "You are on it")
    assert get_incident(number).acknowledged_by == "bob@example.com"
    assert events() == [("acknowledged", "bob@example.com", "")]


def test_scanner_that_follows_every_link_twice_changes_nothing(
    mailed: tuple[dict[str, dict[str, str]], WebClient], number: int
) -> None:
    links, browser = mailed
    urls = [url for own in links.values() for url in own.values()]
    before = counts()
    assert len(urls) == 4

    for url in urls * 2:
        for method in ("GET", "HEAD", "OPTIONS"):
            assert browser.open(method, url).status_code == 200

    row = get_incident(number)
    assert counts() == before
    assert (row.acknowledged_at, row.snoozed_at) == (None, None)
    for url in urls:
        assert title(browser.get(url).text).endswith("this incident?")


def test_page_says_what_it_will_do_with_one_button(anyone: WebClient, number: int) -> None:
    page = anyone.get(path_to(token_for(number))).text

    assert re.findall(r"<button>(.*?)</button>", page) == ["Acknowledge"]
    assert "nightly <import> & co acme / web is failing since" in words(page)
    assert "3 failed runs." in words(page)
    assert "sent to anna@example.com, and acts in that name. It works once." in words(page)
    assert f'href="/a/acme/incidents/{number}/"' in page
    assert "<import>" not in page


@pytest.mark.parametrize(
    ("choice", "lasts"),
    [("1", timedelta(hours=1)), ("4", timedelta(hours=4)), ("change", None)],
)
def test_link_snoozes_as_chosen(
    anyone: WebClient, number: int, choice: str, lasts: timedelta | None
) -> None:
    token = token_for(number, "snooze")
    page = anyone.get(path_to(token)).text
    assert re.findall(r"<button>(.*?)</button>", page) == ["Snooze"]
    assert re.findall(r'type="radio" name="for" value="(\w+)"( checked)?', page) == [
        ("1", " checked"),
        ("4", ""),
        ("tomorrow", ""),
        ("change", ""),
    ]

    answer = anyone.post(PAGE, {"token": token, "for": choice})

    row = get_incident(number)
    assert (answer.status_code, title(answer.text)) == (200, "Snoozed")
    assert row.snoozed_at is not None
    assert row.snoozed_until == (None if lasts is None else row.snoozed_at + lasts)


def test_tomorrow_is_that_of_the_visitor(anyone: WebClient, project: ProjectRef) -> None:
    with time_machine.travel("2026-03-28T22:30:00Z", tick=False):
        number = make_incident(project, NAME, opened_at=utcnow())
        token = token_for(number, "snooze")
        anyone.post(PAGE, {"token": token, "for": "tomorrow", "zone": "Europe/Berlin"})

    until = get_incident(number).snoozed_until
    assert until is not None
    assert until.isoformat() == "2026-03-29T06:00:00+00:00"


def test_snooze_without_a_choice_is_an_error_and_the_link_stays(
    anyone: WebClient, number: int
) -> None:
    token = token_for(number, "snooze")

    answer = anyone.post(PAGE, {"token": token, "for": "ever"})

    assert (answer.status_code, "Choose for how long." in answer.text) == (400, True)
    assert events() == []
    assert anyone.post(PAGE, {"token": token, "for": "1"}).status_code == 200


def test_used_link_says_so(anyone: WebClient, number: int) -> None:
    token = token_for(number)
    anyone.post(PAGE, {"token": token})

    for answer in (anyone.get(path_to(token)), anyone.post(PAGE, {"token": token})):
        assert (answer.status_code, title(answer.text)) == (410, "This link was used")
        assert "This one, sent to anna@example.com, was used" in words(answer.text)
        assert "<form" not in answer.text
    assert len(events()) == 1


def test_expired_link_says_so(anyone: WebClient, number: int) -> None:
    token = token_for(number)

    with time_machine.travel(utcnow() + timedelta(hours=73)):
        for answer in (anyone.get(path_to(token)), anyone.post(PAGE, {"token": token})):
            assert (answer.status_code, title(answer.text)) == (410, "This link has expired")
    assert events() == []


def test_link_of_a_closed_incident_says_so(anyone: WebClient, project: ProjectRef) -> None:
    number = make_incident(project, NAME, closed_at=utcnow())
    token = token_for(number)

    for answer in (anyone.get(path_to(token)), anyone.post(PAGE, {"token": token})):
        assert (answer.status_code, title(answer.text)) == (410, "This incident is over")
        assert "nothing left to acknowledge" in words(answer.text)
    assert events() == []


@pytest.mark.parametrize("kind", ["", "forged", "other key", "cut", "%ED%A0%80"])
def test_forged_link_says_so(anyone: WebClient, number: int, kind: str) -> None:
    tokens = {
        "other key": token_for(number, key="x" * 40),
        "cut": token_for(number)[:-3],
    }
    token = tokens.get(kind, kind)

    for answer in (anyone.get(f"{PAGE}?token={token}"), anyone.post(PAGE, {"token": token})):
        assert (answer.status_code, title(answer.text)) == (404, "This link is not valid")
        assert NAME not in html.unescape(answer.text)
    assert events() == []


def test_new_secret_key_ends_links(
    make_app: Callable[..., Flask], anyone: WebClient, number: int
) -> None:
    token = token_for(number)
    rotated = browser_for(make_app(SECRET_KEY="another-secret-for-tests-0123456789-abcdef"))

    assert anyone.get(path_to(token)).status_code == 200
    assert rotated.get(path_to(token)).status_code == 404


def test_uses_are_limited_like_attempts_to_sign_in(
    anyone: WebClient, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PER_ADDRESS", 3)
    statuses = [anyone.post(PAGE, {"token": "forged"}).status_code for _ in range(4)]

    answer = anyone.post(PAGE, {"token": token_for(number)})

    assert statuses == [404, 404, 404, 429]
    assert (answer.status_code, "Retry-After" in answer.headers) == (429, True)
    assert events() == []


def test_link_is_kept_from_search_engines_caches_and_other_sites(
    anyone: WebClient, number: int
) -> None:
    headers = anyone.get(path_to(token_for(number))).headers

    assert (headers["Cache-Control"], headers["Referrer-Policy"], headers["X-Robots-Tag"]) == (
        "no-store",
        "no-referrer",
        "noindex, nofollow",
    )


def test_form_without_the_token_of_its_page_is_refused(app: Flask, number: int) -> None:
    answer = app.test_client().post(PAGE, data={"token": token_for(number)})

    assert answer.status_code == 400
    assert events() == []
