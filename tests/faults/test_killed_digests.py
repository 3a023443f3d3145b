"""Workers killed while digests are due: each member gets one, and repetitions carry the same id."""

import random
import secrets
import time
from datetime import timedelta
from pathlib import Path

import pytest
from faults.killing import Crew
from faults.test_killed_workers import KILLS, WORKER, app_of, own_database, variables_of
from flask import Flask
from receivers import SmtpReceiver
from services.digests.members import subscribe
from sqlalchemy import func, select, update

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import Delivery, Membership

MEMBERS = 120
SECONDS = 120.0

__all__ = ["own_database"]

pytestmark = pytest.mark.timeout(300 + 5 * KILLS)


def fill(app: Flask) -> set[str]:
    """Let digests of many members come due one after the other; return the addresses."""
    now, found = utcnow(), set()
    with app.app_context():
        for number in range(MEMBERS):
            email = f"member-{number}@example.org"
            member = subscribe(now - timedelta(days=2), email=email)
            due = now + timedelta(seconds=number / 10)
            db.session.execute(
                update(Membership).where(Membership.id == member.id).values(next_digest_at=due)
            )
            found.add(email)
        db.session.commit()
    return found


def count_left(app: Flask) -> int:
    """Return how many digests are still due, or not yet delivered."""
    with app.app_context():
        due = select(func.count()).where(Membership.last_digest_at.is_(None))
        waiting = select(func.count()).where(Delivery.state != "delivered")
        left = sum(db.session.scalar(query) or 0 for query in (due, waiting))
        db.session.remove()
    return left


def test_killed_workers_send_each_digest_once(own_database: str, tmp_path: Path) -> None:
    secret = secrets.token_hex(32)
    app = app_of(own_database, secret)
    expected = fill(app)
    with SmtpReceiver() as smtp:
        variables = {**variables_of(own_database, secret), "TASKBADGER_SMTP_URL": smtp.url}
        with Crew([WORKER] * 3, variables, tmp_path) as crew:
            for _ in range(KILLS):
                time.sleep(random.uniform(0.5, 1.5))
                crew.kill_one()
            deadline = time.monotonic() + SECONDS
            while (left := count_left(app)) and time.monotonic() < deadline:
                time.sleep(0.2)
        mails = list(smtp.mails)

    with app.app_context():
        keys = db.session.scalars(select(Delivery.key)).all()
        db.session.remove()  # The engine closes only what was given back.
        db.engine.dispose()
    ids = {(mail.recipients[0], str(mail.message["Message-ID"])) for mail in mails}
    assert (left, crew.kills) == (0, KILLS)
    assert (len(keys), len(set(keys))) == (MEMBERS, MEMBERS)
    assert {recipient for recipient, _ in ids} == expected
    assert len(ids) == MEMBERS  # Whoever got it twice got the same one.
