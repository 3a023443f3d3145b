"""Which commits send a hint."""

from pathlib import Path
from typing import Any

import pytest
from conftest import settings
from flask import Flask
from sqlalchemy import select

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.process import process_of
from taskbadger.services.tasks import write
from taskbadger.worker import hinting
from taskbadger.worker.hints import Courier, Datagram, Notifier

KEY = Actor("key", "ci")
ACTION = {"trigger": "error", "integration": "email", "config": {"to": "ops@example.com"}}


@pytest.fixture
def hints(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The hints that the application sends."""
    sent: list[list[str]] = []
    monkeypatch.setattr(process_of(app), "send_hint", sent.append)
    return sent


def fail_task(project: ProjectRef, actions: list[dict[str, Any]]) -> None:
    fields = {"name": "job", "status": "error", "actions": actions}
    write.create_task(project, fields, now=utcnow(), actor=KEY)


def test_commit_that_queued_deliveries_sends_one_hint(
    project: ProjectRef, hints: list[list[str]]
) -> None:
    fail_task(project, [ACTION])
    fail_task(project, [ACTION])
    before_commit = list(hints)
    db.session.commit()

    queued = sorted(db.session.scalars(select(Delivery.id)))
    assert before_commit == []
    assert [sorted(ids) for ids in hints] == [queued]
    assert len(queued) == 2


def test_commit_that_queued_nothing_sends_no_hint(
    project: ProjectRef, hints: list[list[str]]
) -> None:
    fail_task(project, [])
    db.session.commit()

    assert hints == []


def test_rollback_forgets_what_was_queued(project: ProjectRef, hints: list[list[str]]) -> None:
    fail_task(project, [ACTION])
    db.session.rollback()
    fail_task(project, [])
    db.session.commit()

    assert hints == []


def test_each_database_has_its_transport(app: Flask) -> None:
    send_hint: Any = hinting.make_send_hint(app)

    if db.engine.dialect.name == "postgresql":
        assert isinstance(send_hint.__self__, Courier)
        assert isinstance(send_hint.__self__._send_hint.__self__, Notifier)
    else:
        assert isinstance(send_hint.__self__, Datagram)


def test_with_a_broker_the_ids_go_there(tmp_path: Path) -> None:
    app = create_app(
        settings(DATABASE_URL=f"sqlite:///{tmp_path}/test.db", BROKER_URL="redis://127.0.0.1:1/0")
    )
    send_hint: Any = hinting.make_send_hint(app)

    publish = send_hint.__self__._send_hint

    assert publish.__module__ == "taskbadger.worker.celery"
