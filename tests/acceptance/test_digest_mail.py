"""A digest by mail: what a scanner, a person and a mail program do with its links, over HTTP."""

import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import settings
from faults.killing import WRITER, make_place
from flask import Flask
from processes import SECRET_KEY, serve, wait_until
from receivers import ReceivedMail, SmtpReceiver
from services.digests.members import subscribe
from sqlalchemy import Row, select, update
from test_serving import is_ready
from visiting import press, scan

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import AuditEntry, Incident, Membership, User
from taskbadger.services.tasks import write

PERSON, PROGRAM, OTHER = "person@example.com", "program@example.com", "other@example.com"
BASE_URL = "https://badger.example"
"""Of the proxy before the server, as mail programs require https; here, nothing is between."""
LINK = re.compile(re.escape(BASE_URL) + r"/[^\s\"<>]*")


def prepare(app: Flask) -> None:
    """Let a task fail, and the digests of three members be due soon."""
    with app.app_context():
        now, project = utcnow(), make_place()
        task = {"name": "import", "status": "error", "data": '{"exception": "ValueError: boom"}'}
        write.create_task(project, task, now=now, actor=WRITER)
        for email in (PERSON, PROGRAM, OTHER):
            subscribe(now, email=email, organization="load")
        db.session.commit()
        wait_until(lambda: rows_of(Incident.id), "an incident")
        db.session.execute(update(Membership).values(next_digest_at=utcnow()))
        db.session.commit()
        db.session.remove()


def rows_of(*columns: Any) -> list[Row[Any]]:
    found = list(db.session.execute(select(*columns).order_by(*columns)))
    db.session.rollback()
    return found


def state(app: Flask) -> dict[str, list[Row[Any]]]:
    """Return what a link could change."""
    with app.app_context():
        found = {
            "members": rows_of(Membership.id, Membership.digest),
            "incidents": rows_of(Incident.id, Incident.acknowledged_by, Incident.snoozed_at),
            "audit": rows_of(AuditEntry.id),
        }
        db.session.remove()
    return found


def digests(app: Flask) -> dict[str, str]:
    """Return how often each member gets a digest."""
    with app.app_context():
        query = select(User.email, Membership.digest).join(Membership.user)
        found = {row.email: row.digest for row in db.session.execute(query)}
        db.session.remove()
    return found


def links_of(mail: ReceivedMail) -> set[str]:
    """Return every link of a mail, in its text, its HTML and its headers."""
    headers = str(mail.message["List-Unsubscribe"])
    return {link.replace("&amp;", "&") for link in LINK.findall(mail.text + mail.html + headers)}


def unsubscribe_link(mail: ReceivedMail) -> str:
    """Return the one that people see."""
    [link] = {link for link in LINK.findall(mail.text) if "/public/" in link}
    return link


def unsubscribe_as_program(mail: ReceivedMail, root: str) -> int:
    """Send what RFC 8058 tells mail programs to send; return the status."""
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    [link] = LINK.findall(str(mail.message["List-Unsubscribe"]))
    body = urllib.parse.urlencode({"List-Unsubscribe": "One-Click"}).encode()
    request = urllib.request.Request(link.replace(BASE_URL, root), data=body)
    with urllib.request.urlopen(request, timeout=30) as response:
        return int(response.status)


def test_links_of_a_digest_unsubscribe_people_and_programs_but_not_scanners(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    url = new_database()
    app = create_app(settings(DATABASE_URL=url, SECRET_KEY=SECRET_KEY))
    with SmtpReceiver() as post:
        variables = {
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_SECRET_KEY": SECRET_KEY,
            "TASKBADGER_SMTP_URL": post.url,
            "TASKBADGER_BASE_URL": BASE_URL,
        }
        with serve(tmp_path, **variables) as server:
            wait_until(lambda: is_ready(server), "a server")
            prepare(app)
            mails = {mail.recipients[0]: mail for mail in post.wait(3, seconds=60)}
            assert "ValueError: boom" in mails[PERSON].text

            before = state(app)
            links = {link for mail in mails.values() for link in links_of(mail)}
            for link in links:
                scan(link.replace(BASE_URL, server.address))
            assert state(app) == before

            page = press(unsubscribe_link(mails[PERSON]).replace(BASE_URL, server.address))
            status = unsubscribe_as_program(mails[PROGRAM], server.address)
            after = digests(app)
            with app.app_context():
                db.engine.dispose()

    assert len(links) > len(mails)  # Those to pages, too.
    assert PERSON in page
    assert status == 200
    assert after == {PERSON: "off", PROGRAM: "off", OTHER: "daily"}
