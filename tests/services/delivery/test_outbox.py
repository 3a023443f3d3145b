"""The outbox: what is queued, once, and what happens to it in the end."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from conftest import FIXTURES, count_queries
from delivering import NOW, SECOND, claim, finish, message, queue
from flask import Flask
from sqlalchemy import select

from taskbadger.channels import DeliveryError
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    DeliveryAttempt,
)
from taskbadger.process import process_of
from taskbadger.services.delivery import (
    dead_letters,
    outbox,
)
from taskbadger.services.delivery.outbox import Outgoing
from taskbadger.services.organizations import organizations


@pytest.fixture
def hints(app: Flask) -> Iterator[list[list[str]]]:
    """The hints that a worker gets."""
    sent: list[list[str]] = []
    before = process_of(app).send_hint
    process_of(app).send_hint = sent.append
    yield sent
    process_of(app).send_hint = before


def test_key_is_queued_once(project: ProjectRef) -> None:
    def queue_incident() -> str | None:
        return outbox.queue(
            message(kind="monitor_failing"),
            organization_id=project.organization_id,
            integration="email",
            config={"to": "a@example.com"},
            now=NOW,
            key="incident 1 failing email",
        )

    first = queue_incident()
    second = queue_incident()
    db.session.commit()

    assert (first is None, second) == (False, None)
    assert db.session.scalars(select(Delivery.key)).all() == ["incident 1 failing email"]


def test_many_messages_are_queued_by_one_statement_each_once(
    project: ProjectRef, hints: list[list[str]]
) -> None:
    def outgoing(number: int) -> Outgoing:
        to = {"to": "a@example.com"}
        key = f"incident {number}"
        return Outgoing(message(), project.organization_id, "email", to, key)

    outbox.queue_all([outgoing(1), outgoing(2)], now=NOW)
    db.session.commit()
    with count_queries() as statements:
        outbox.queue_all([outgoing(2), outgoing(3), outgoing(4)], now=NOW)
        db.session.commit()
    outbox.queue_all([], now=NOW)
    db.session.commit()
    rows = db.session.scalars(select(Delivery).order_by(Delivery.key)).all()

    assert len(statements) == 1
    assert [row.key for row in rows] == [f"incident {number}" for number in (1, 2, 3, 4)]
    assert [json.loads(row.message)["id"] for row in rows] == [row.id for row in rows]
    assert {row.next_attempt_at for row in rows} == {NOW}
    assert [set(hint) for hint in hints] == [
        {row.id for row in rows[:2]},
        {row.id for row in rows[2:]},
    ]


def test_messages_that_wait_and_those_that_do_not_are_each_due_in_their_own_time(
    app: Flask, project: ProjectRef, hints: list[list[str]]
) -> None:
    """The clock of the web server is an hour ahead; with SQLite there is no other clock."""
    ahead = utcnow() + timedelta(hours=1)
    base = ahead if db.engine.dialect.name == "sqlite" else utcnow()
    waits = [60, 0, 900, 0, 60]

    outbox.queue_all(
        [
            Outgoing(message(), project.organization_id, "email", {}, str(place), None, wait)
            for place, wait in enumerate(waits)
        ],
        now=ahead,
    )
    db.session.commit()

    rows = db.session.scalars(select(Delivery).order_by(Delivery.key)).all()
    late = [(row.next_attempt_at - base).total_seconds() for row in rows if row.next_attempt_at]
    assert late == pytest.approx(waits, abs=10)
    assert [row.waits_for_retry for row in rows] == [wait > 0 for wait in waits]
    assert [sorted(hint) for hint in hints] == [sorted([rows[1].id, rows[3].id])]


def test_old_deliveries_are_purged_with_their_attempts(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    old = queue(project)
    finish(claim()[0])
    waiting = queue(project, at=NOW + timedelta(days=99))

    count = outbox.purge(now=NOW + outbox.KEPT + SECOND)
    db.session.commit()

    assert count == 1
    assert db.session.scalars(select(Delivery.id)).all() == [waiting]
    assert db.session.scalars(select(DeliveryAttempt)).all() == []
    assert old != waiting


def test_purge_leaves_what_is_replayed_meanwhile(
    app: Flask, project: ProjectRef, webhook: ChannelConfig
) -> None:
    delivery_id = queue(project)
    finish(claim()[0], DeliveryError("Gone.", error_class="http_status", permanent=True))
    later = NOW + outbox.KEPT + SECOND

    def purge() -> None:
        with app.app_context():
            outbox.purge(now=later)
            db.session.commit()

    dead_letters.replay(project.organization_id, delivery_id, actor=SERVER, now=later)
    purging = threading.Thread(target=purge)
    purging.start()
    purging.join(0.3)
    db.session.commit()
    purging.join()

    assert db.session.scalars(select(Delivery.state)).all() == ["waiting"]


def test_commit_hints_to_the_worker_and_rollback_does_not(
    project: ProjectRef, hints: list[list[str]]
) -> None:
    def queue_now() -> str:
        queued = outbox.queue(
            message(),
            organization_id=project.organization_id,
            integration="email",
            config={"to": "a@example.com"},
            now=NOW,
        )
        assert queued is not None
        return queued

    queue_now()
    db.session.rollback()
    kept = queue_now()
    db.session.commit()
    db.session.commit()

    assert hints == [[kept]]


def test_organization_that_is_deleted_takes_its_deliveries(project: ProjectRef) -> None:
    queue(project, "email")
    organization = organizations.ensure_organization("acme", actor=FIXTURES, now=NOW)
    db.session.execute(db.text("DELETE FROM organization WHERE id = :id"), {"id": organization.id})
    db.session.commit()

    assert db.session.scalars(select(Delivery.id)).all() == []
