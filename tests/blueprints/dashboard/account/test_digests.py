"""Digests on the account page: the choice, the time zone, and the preview that equals the mail."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from conftest import audit_entries, count_queries, make_project
from delivering import claim_and_send
from flask import Flask
from people import browser_for, make_member
from receivers import SmtpReceiver
from services.digests.members import settings_of, subscribe
from services.digests.reading import add_incident
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.digests import next_due
from taskbadger.extensions import db
from taskbadger.models import Membership, User
from taskbadger.services.digests import sending
from taskbadger.worker import steps

HERE = "https://tasks.example.com"
MakeApp = Callable[..., Flask]
NOW = utcnow()


@pytest.fixture
def member(app: Flask) -> Membership:
    """Ada, who gets no digests yet."""
    [membership] = make_member().memberships
    return membership


def zone() -> str:
    db.session.rollback()
    return db.session.scalars(select(User.timezone)).one()


def audited() -> list[tuple[str, str, str]]:
    db.session.rollback()
    entries = db.session.scalars(audit_entries()).all()
    return [(one.actor_name, one.verb, one.detail) for one in entries]


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_digest_is_chosen_for_each_organization(app: Flask, member: Membership) -> None:
    path = f"/account/digests/{member.id}"

    with time_machine.travel(NOW, tick=False):
        browser = browser_for(app, member.user)
        on = browser.post(path, {"digest": "weekly"})
        chosen = settings_of(member.id)
        page = browser.get("/account")
        off = browser.post(f"{path}?of=acme", {"digest": "off"})

    assert (on.status_code, on.location) == (303, "/account")
    assert (off.status_code, off.location) == (303, "/account?of=acme")
    assert chosen == ("weekly", next_due("weekly", "UTC", after=NOW), None)
    assert '<option value="weekly" selected>' in page.text
    assert "acme: weekly digest." in page.text
    assert settings_of(member.id) == ("off", None, None)
    ada, verb = "ada@example.org", "member.change-digest"
    assert audited() == [
        (ada, verb, "digest: off → weekly"),
        (ada, verb, "digest: weekly → off"),
    ]


def test_time_zone_is_that_of_the_person(app: Flask, member: Membership) -> None:
    browser = browser_for(app, member.user)

    answer = browser.post("/account/timezone", {"timezone": " Asia/Tokyo "})
    page = browser.get("/account")

    assert (answer.status_code, answer.location) == (303, "/account")
    assert zone() == "Asia/Tokyo"
    assert 'value="Asia/Tokyo" required' in " ".join(page.text.split())
    assert "Digests are sent at 08:00 in Asia/Tokyo." in page.text
    detail = "timezone: UTC → Asia/Tokyo"
    assert audited() == [("ada@example.org", "user.change-timezone", detail)]


@pytest.mark.parametrize(
    ("timezone", "message"),
    [
        ("Mars/Olympus", "“Mars/Olympus” is unknown; use an IANA name"),
        ("", "This field"),
        ("x" * 65, "64 characters"),
    ],
)
def test_wrong_time_zone_is_refused(
    app: Flask, member: Membership, timezone: str, message: str
) -> None:
    answer = browser_for(app, member.user).post("/account/timezone", {"timezone": timezone})

    assert answer.status_code == 400
    assert message.replace("“", "&#34;").replace("”", "&#34;") in answer.text
    assert zone() == "UTC"


@pytest.mark.parametrize("digest", ["hourly", ""])
def test_wrong_choice_is_refused(app: Flask, member: Membership, digest: str) -> None:
    path = f"/account/digests/{member.id}"

    answer = browser_for(app, member.user).post(path, {"digest": digest})

    assert answer.status_code == 400
    assert settings_of(member.id) == ("off", None, None)


def test_membership_of_somebody_else_does_not_exist(app: Flask, member: Membership) -> None:
    browser = browser_for(app, make_member("bob@example.org"))
    path = f"/account/digests/{member.id}"

    answers = [
        browser.post(path, {"digest": "daily"}),
        browser.get(f"{path}/"),
        browser.get(f"{path}/mail"),
        browser.get(f"/account/digests/{2**31}/"),
        browser.post(f"/account/digests/{10**30}", {"digest": "daily"}),
    ]

    assert [answer.status_code for answer in answers] == [404] * 5
    assert settings_of(member.id) == ("off", None, None)


def test_account_page_says_why_no_digest_comes(
    app: Flask, make_app: MakeApp, member: Membership
) -> None:
    with_mail = make_app(SMTP_URL="smtp://127.0.0.1:9")
    [unreachable] = make_member("eve@example").memberships

    without = browser_for(app, member.user).get("/account").text
    reachable = browser_for(with_mail, member.user).get("/account").text
    other = browser_for(with_mail, unreachable.user)
    refused = other.post(f"/account/digests/{unreachable.id}", {"digest": "daily"})

    assert "This server has no mail server, so no digests are sent." in without
    assert "no mail server" not in reachable
    assert "No mail can be sent to eve@example." in other.get("/account").text
    assert refused.status_code == 400
    assert "No mail can be sent to eve@example." in refused.text


def test_preview_equals_the_mail(make_app: MakeApp) -> None:
    project = make_project()
    member = subscribe(NOW - timedelta(days=2))
    add_incident(project, NOW - timedelta(hours=2), runs=3)
    with SmtpReceiver() as smtp:
        app = make_app(SMTP_URL=smtp.url, BASE_URL=HERE)
        path = f"/account/digests/{member.id}/"
        with time_machine.travel(NOW, tick=False):
            browser = browser_for(app, member.user)
            shown, page = browser.get(f"{path}mail"), browser.get(path)
        draft = sending.write_due(member.id, now=NOW, base_url=HERE)
        assert draft is not None
        assert sending.queue(draft, now=NOW)
        db.session.commit()
        with app.app_context():
            steps.run_safely(claim_and_send)
        [mail] = smtp.mails

    assert "Daily digest: 1 failing (acme)" in page.text
    assert shown.text.rstrip() == mail.html.rstrip()
    [text] = re.findall(r"<pre[^>]*>(.*?)</pre>", page.text, re.DOTALL)
    assert text.replace("&#34;", '"').strip() == mail.text.strip()
    assert str(mail.message["Subject"]) == "Daily digest: 1 failing (acme)"


def test_preview_for_who_gets_none_is_a_daily_one(app: Flask, member: Membership) -> None:
    browser = browser_for(app, member.user)

    page = words(browser.get(f"/account/digests/{member.id}/").text)

    assert "You get no digests of acme. This is what a daily one would say now." in page
    assert "This server has no mail server, so none is sent." in page
    assert "Daily digest: nothing happened (acme)" in page
    assert settings_of(member.id) == ("off", None, None)


def test_preview_says_when_the_next_one_is_due(make_app: MakeApp) -> None:
    member = subscribe(NOW, "weekly", zone="Europe/Berlin")
    app = make_app(SMTP_URL="smtp://127.0.0.1:9")

    page = words(browser_for(app, member.user).get(f"/account/digests/{member.id}/").text)

    assert "This is what your weekly digest of acme would say now." in page
    assert "at 08:00 in Europe/Berlin." in page


def test_preview_costs_the_same_however_much_there_is(app: Flask) -> None:
    project = make_project()
    member = subscribe(NOW)
    counts = []
    for number in (0, 30):
        for each in range(number):
            add_incident(project, NOW, name=f"job {each}")
        with time_machine.travel(NOW, tick=False):
            browser, path = browser_for(app, member.user), f"/account/digests/{member.id}/mail"
            with count_queries() as statements:
                shown = browser.get(path).text
        counts.append((len(statements), "and 10 more" in shown))

    assert counts == [(12, False), (12, True)]
