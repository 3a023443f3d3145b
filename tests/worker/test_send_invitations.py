"""Mails of invitations: by a worker, to a real mail server."""

import re
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from flask import Flask
from people import WebClient, browser_for, make_member
from receivers import ReceivedMail, SmtpReceiver
from sqlalchemy import delete, select, update
from worker.test_send_digests import claim_and_send, work

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Invitation

HERE = "https://tasks.example.com"
PASSWORD = "correct horse battery"
SETTINGS = "/a/acme/settings"
FORM = {"email": "grace@example.org", "role": "viewer", "days": "7"}
MakeApp = Callable[..., Flask]


def invite(app: Flask) -> str:
    """Invite Grace; return the page that follows."""
    web = browser_for(app, make_member())
    made = web.post(
        f"{SETTINGS}/invitations/",
        FORM,
        base_url="https://localhost",
        headers={"Referer": "https://localhost/"},
    )
    assert made.status_code == 200, made.text
    return made.text


def send_all(app: Flask) -> None:
    while work(app, claim_and_send):
        pass


def outcomes() -> list[tuple[str, str | None]]:
    db.session.rollback()
    db.session.expire_all()
    return [(row.state, row.held_by) for row in db.session.scalars(select(Delivery))]


def link_of(mail: ReceivedMail) -> str:
    """Return the path of the mail's link."""
    url = re.findall(r"Join: (\S+)", mail.text)[0]
    assert url.startswith(f"{HERE}/invitation?token=")
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_invited_person_joins_with_the_link_of_the_mail(
    project: ProjectRef, make_app: MakeApp
) -> None:
    with SmtpReceiver() as smtp:
        app = make_app(SMTP_URL=smtp.url, BASE_URL=HERE)
        page = invite(app)
        send_all(app)
    [mail] = smtp.mails
    guest = WebClient(app.test_client())

    joined = guest.post(link_of(mail), {"password": PASSWORD})
    again = WebClient(app.test_client()).get(link_of(mail))

    assert "A mail with a link is on its way to grace@example.org." in " ".join(page.split())
    assert re.search(rf"<code>{HERE}/invitation\?token=[\w-]{{43,}}</code>", page)
    assert mail.recipients == ["grace@example.org"]
    assert str(mail.message["Subject"]) == "You are invited to acme (acme)"
    assert "Invited by: ada@example.org\n" in mail.text
    assert "Role: viewer\n" in mail.text
    assert (joined.status_code, joined.location) == (303, "/a/acme/")
    assert again.status_code == 404
    assert outcomes() == [("delivered", None)]


def test_nothing_that_is_stored_or_shown_opens_the_invitation(
    project: ProjectRef, make_app: MakeApp
) -> None:
    with SmtpReceiver() as smtp:
        app = make_app(SMTP_URL=smtp.url, BASE_URL=HERE)
        page = invite(app)
        send_all(app)
    token = link_of(smtp.mails[0]).partition("token=")[2]
    shown = re.findall(r"token=([\w-]{43,})</code>", page)[0]
    delivery = db.session.scalars(select(Delivery)).one()
    stored = f"{delivery.message} {delivery.config} {delivery.key}"

    looked_at = browser_for(app, make_member("eve@example.org", "viewer"))
    text = looked_at.get(
        f"/a/acme/alerts/deliveries/{delivery.id}/", base_url="https://localhost"
    ).text

    for secret in (token, shown):
        assert secret not in stored
        assert secret not in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (delete(Invitation), "the invitation was withdrawn"),
        (update(Invitation).values(used=utcnow()), "the invitation was accepted"),
        (
            update(Invitation).values(expires=utcnow() - timedelta(hours=1)),
            "the invitation has expired",
        ),
    ],
    ids=["withdrawn", "accepted", "expired"],
)
def test_invitation_that_is_over_is_not_mailed(
    project: ProjectRef, make_app: MakeApp, change: object, reason: str
) -> None:
    with SmtpReceiver() as smtp:
        app = make_app(SMTP_URL=smtp.url, BASE_URL=HERE)
        invite(app)
        db.session.execute(change)  # type: ignore[call-overload]  # Any statement will do.
        db.session.commit()
        send_all(app)

    assert (smtp.mails, outcomes()) == ([], [("dropped", reason)])


def test_mail_waits_for_a_mail_server_that_is_away(project: ProjectRef, make_app: MakeApp) -> None:
    away = make_app(SMTP_URL="smtp://127.0.0.1:9", BASE_URL=HERE)
    invite(away)
    send_all(away)
    assert outcomes() == [("waiting", None)]

    with SmtpReceiver() as smtp:
        db.session.execute(update(Delivery).values(next_attempt_at=utcnow()))
        db.session.commit()
        send_all(make_app(SMTP_URL=smtp.url, BASE_URL=HERE))

    assert len(smtp.mails) == 1
    assert outcomes() == [("delivered", None)]


@pytest.mark.parametrize("known", [{"BASE_URL": HERE}, {"SMTP_URL": "smtp://127.0.0.1:9"}])
def test_without_a_mail_server_or_an_address_of_its_own_nothing_is_mailed(
    project: ProjectRef, make_app: MakeApp, known: dict[str, str]
) -> None:
    page = invite(make_app(**known))

    assert "Copy the link now. It will not be shown again." in page
    assert outcomes() == []


def test_worker_that_does_not_know_its_address_waits(
    project: ProjectRef, make_app: MakeApp
) -> None:
    with SmtpReceiver() as smtp:
        invite(make_app(SMTP_URL=smtp.url, BASE_URL=HERE))
        send_all(make_app(SMTP_URL=smtp.url))

    assert (smtp.mails, outcomes()) == ([], [("waiting", None)])
    error = db.session.scalars(select(Delivery.error)).one()
    assert error == "The server does not know its own address, so it cannot send links."
