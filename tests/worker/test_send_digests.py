"""Digests from the sweep to a real mail server, and what programs do with their links."""

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import SECRET_KEY, count_queries
from delivering import claim_and_send
from flask import Flask
from people import browser_for
from receivers import ReceivedMail, SmtpReceiver
from services.digests.members import settings_of, subscribe
from services.digests.reading import add_incident, add_kind
from simultaneous import at_once
from sqlalchemy import select, update

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery, Membership
from taskbadger.services.digests import sending, settings
from taskbadger.worker import digests, steps
from taskbadger.worker.left_out import LeftOut

HERE = "https://tasks.example.com/badger"
MakeApp = Callable[..., Flask]


@pytest.fixture(autouse=True)
def nobody_left_out() -> None:
    """The other database of the tests has the same ids."""
    digests.unsent = LeftOut[int]()


def due_member(email: str = "ada@example.org") -> Membership:
    """Return a member whose daily digest has been due for a minute."""
    member = subscribe(utcnow() - timedelta(days=2), email=email)
    make_due(member.id)
    return member


def make_due(membership_id: int) -> None:
    moment = utcnow() - timedelta(minutes=1)
    db.session.execute(
        update(Membership).where(Membership.id == membership_id).values(next_digest_at=moment)
    )
    db.session.commit()


def work(app: Flask, step: Callable[[], object] = digests.send_digests) -> object:
    """Let a worker of *app* take a step."""
    db.session.rollback()
    with app.app_context():
        return steps.run_safely(step)


def outcomes() -> list[tuple[str, str | None]]:
    """Return the state of each digest, and why it was dropped."""
    db.session.rollback()
    db.session.expire_all()
    rows = db.session.scalars(select(Delivery).where(Delivery.kind == "digest")).all()
    return [(row.state, row.held_by) for row in rows]


def deliver(make_app: MakeApp, change: Callable[[], object] = lambda: None) -> list[ReceivedMail]:
    """Queue what is due, do *change*, send what was queued; return the mails."""
    with SmtpReceiver() as smtp:
        app = make_app(SMTP_URL=smtp.url, BASE_URL=HERE)
        work(app)
        change()
        db.session.commit()
        while work(app, claim_and_send):
            pass
        return smtp.mails


def test_digest_that_is_due_arrives(project: ProjectRef, make_app: MakeApp) -> None:
    add_incident(project, utcnow() - timedelta(hours=2), runs=3)
    member = due_member()

    [mail] = deliver(make_app)

    assert mail.recipients == ["ada@example.org"]
    assert str(mail.message["Subject"]) == "Daily digest: 1 failing (acme)"
    assert mail.text.startswith("Daily digest: 1 failing\n\nacme, ")
    assert outcomes() == [("delivered", None)]
    frequency, due, last = settings_of(member.id)
    assert frequency == "daily"
    assert due is not None
    assert last is not None
    assert due > utcnow() >= last


def test_without_a_mail_server_nothing_is_queued(project: ProjectRef, make_app: MakeApp) -> None:
    due_member()

    with count_queries() as statements:
        more = work(make_app(BASE_URL=HERE))

    assert (more, statements, outcomes()) == (False, [], [])


def test_idle_turn_asks_one_question(project: ProjectRef, make_app: MakeApp) -> None:
    subscribe(utcnow())
    app = make_app(SMTP_URL="smtp://127.0.0.1:9")
    db.session.rollback()

    with app.app_context(), writing(), count_queries() as statements:
        assert digests.send_digests() is False
        db.session.remove()

    asked = [each for each in statements if "clock_timestamp" not in each]
    assert len(asked) == 1


def test_several_workers_send_it_once(app: Flask, project: ProjectRef, make_app: MakeApp) -> None:
    for number in range(5):
        due_member(f"{number}@example.org")
    apps = [make_app(SMTP_URL="smtp://127.0.0.1:9", BASE_URL=HERE) for _ in range(3)]

    at_once(app, *[lambda each=each: work(each) for each in apps])

    assert outcomes() == [("waiting", None)] * 5


def turn_off(member: Membership) -> None:
    settings.change_digest(member, "off", actor=SERVER, now=utcnow())


def test_digest_is_not_sent_to_who_has_turned_it_off(
    project: ProjectRef, make_app: MakeApp
) -> None:
    member = due_member()

    mails = deliver(make_app, lambda: turn_off(member))

    assert (mails, outcomes()) == ([], [("dropped", "digests were turned off")])


def test_one_that_fails_stops_no_other(
    project: ProjectRef, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = due_member("bad@example.org"), due_member("good@example.org")
    write_due = sending.write_due

    def fail(membership_id: int, **options: Any) -> Any:
        if membership_id == bad.id:
            raise RuntimeError("boom")
        return write_due(membership_id, **options)

    monkeypatch.setattr(sending, "write_due", fail)

    [mail] = deliver(make_app)

    assert mail.recipients == [good.user.email]
    assert digests.unsent.ids() == [bad.id]


def links_of(mail: ReceivedMail) -> list[str]:
    """Return the paths of the links in a mail, as its readers' programs find them."""
    found = {*re.findall(r"https://\S+", mail.text), *re.findall(r'href="([^"]+)"', mail.html)}
    return sorted(link.replace("&amp;", "&").removeprefix(HERE) for link in found)


def test_programs_that_follow_links_change_nothing(project: ProjectRef, make_app: MakeApp) -> None:
    hours_ago = utcnow() - timedelta(hours=2)
    kind = add_kind(project, hours_ago, hours_ago)
    incident = add_incident(project, hours_ago)
    member = due_member()
    [mail] = deliver(make_app)
    before = settings_of(member.id)
    stranger, own = browser_for(make_app()), browser_for(make_app(), member.user)

    paths = links_of(mail)
    answers = {
        (who, path, method): browser.open(method, path, follow_redirects=True).status_code
        for who, browser in (("stranger", stranger), ("own", own))
        for path in paths
        for method in ("GET", "HEAD", "GET", "HEAD")
    }

    assert [urlsplit(path).path for path in paths] == [
        f"/a/acme/failures/{kind.id}/",
        f"/a/acme/incidents/{incident.id}/",
        "/account",
        "/public/digests/",
    ]
    assert set(answers.values()) == {200}
    assert settings_of(member.id) == before


def test_mail_program_unsubscribes_with_one_click(project: ProjectRef, make_app: MakeApp) -> None:
    member = due_member()
    [mail] = deliver(make_app)
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    url = str(mail.message["List-Unsubscribe"]).strip("<>").removeprefix(HERE)

    app = make_app(SECRET_KEY=SECRET_KEY)
    answers = [
        browser_for(app).open("POST", url, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert settings_of(member.id) == ("off", None, None)


def test_state_of_the_outbox_has_no_link(project: ProjectRef, make_app: MakeApp) -> None:
    due_member()
    deliver(make_app)

    [text] = db.session.scalars(select(Delivery.message)).all()

    assert json.loads(text)["links"] is None
    assert "token" not in text
