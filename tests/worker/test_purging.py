"""The steps that delete expired rows: every kind of them, and no others."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from conftest import FIXTURES, make_project
from flask import Flask
from sqlalchemy import func, select

from taskbadger.channels import Message
from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import Base, db
from taskbadger.models import (
    AuditEntry,
    Delivery,
    Destination,
    FormDraft,
    IdempotencyRecord,
    Invitation,
    MaintenanceWindow,
    QueueStat,
    RequestCount,
    RunStat,
    UsedLink,
    User,
    UserSession,
)
from taskbadger.services.delivery import outbox
from taskbadger.services.organizations import audit
from taskbadger.worker import purging, sweeps

DAY = timedelta(days=1)
Make = Callable[[ProjectRef, datetime, str], Base]
"""Makes a row of a moment, with a text that makes it unique."""


def audit_entry(place: ProjectRef, at: datetime, text: str) -> Base:
    values = {"actor_type": "user", "actor_name": text, "verb": "test", "subject": text}
    return AuditEntry(organization_id=place.organization_id, created=at, **values)


def delivery(place: ProjectRef, at: datetime, text: str) -> Base:
    message = Message(id="", kind="test", created=at, organization="acme", title=text)
    return Delivery(
        id=ids.new_id(at),
        organization_id=place.organization_id,
        kind="test",
        integration="email",
        config="{}",
        destination=text,
        message=message.to_json(),
        state="delivered",
        created=at,
        finished=at,
    )


def draft(_: ProjectRef, at: datetime, text: str) -> Base:
    return FormDraft(digest=text, person=text, action="/", fields="{}", created=at)


def record(place: ProjectRef, at: datetime, text: str) -> Base:
    answer: dict[str, Any] = {"body_digest": "", "status": 201, "response": "{}"}
    return IdempotencyRecord(project_id=place.id, key=text, created=at, **answer)


def invitation(place: ProjectRef, at: datetime, text: str) -> Base:
    values = {"email": text, "role": "member", "invited_by": "ada@example.org"}
    return Invitation(
        organization_id=place.organization_id, digest=text, created=at, expires=at, **values
    )


def window(place: ProjectRef, at: datetime, text: str) -> Base:
    return MaintenanceWindow(
        organization_id=place.organization_id,
        name=text,
        starts=at,
        ends=at,
        starts_at=None,
        created=at,
        updated=at,
    )


def queue_stat(place: ProjectRef, at: datetime, text: str) -> Base:
    return QueueStat(project_id=place.id, queue=text, start=at)


def run_stat(seconds: int) -> Make:
    def make(place: ProjectRef, at: datetime, text: str) -> Base:
        return RunStat(project_id=place.id, seconds=seconds, name=text, start=at, last=at)

    return make


def session(_: ProjectRef, at: datetime, text: str) -> Base:
    user = User(email=text, created=at)
    later = at + 1000 * DAY
    return UserSession(user=user, digest=text, created=at, last_seen=at, expires=later)


PARTS: list[tuple[str, Make, timedelta]] = [
    ("purge", audit_entry, 400 * DAY),
    ("purge", delivery, 30 * DAY),
    ("purge", record, DAY),
    ("purge", queue_stat, timedelta(hours=25)),
    ("purge", run_stat(60), 3 * DAY),
    ("purge", run_stat(3600), 35 * DAY),
    ("purge", run_stat(86400), 400 * DAY),
    ("purge", lambda _, at, text: RequestCount(subject=text, window=int(at.timestamp())), DAY),
    ("purge_slowly", draft, DAY),
    ("purge_slowly", invitation, 90 * DAY),
    ("purge_slowly", window, 400 * DAY),
    ("purge_slowly", session, 14 * DAY),
    ("purge_slowly", lambda _, at, text: UsedLink(digest=text, used_at=at), 90 * DAY),
    ("purge_slowly", lambda _, at, text: Destination(key=text, seen=at), 90 * DAY),
]
MARGIN = timedelta(minutes=10)


@pytest.mark.parametrize(("step", "make", "kept"), PARTS)
def test_expired_rows_are_deleted_and_no_others(
    project: ProjectRef, step: str, make: Make, kept: timedelta
) -> None:
    now = utcnow()
    db.session.query(AuditEntry).delete()
    old, young = (make(project, now - kept + m, str(m)) for m in (-MARGIN, MARGIN))
    db.session.add_all([old, young])
    db.session.commit()
    model = type(old)
    keys = [column.key for column in model.__table__.primary_key.columns]
    key = {name: getattr(young, name) for name in keys}
    db.session.rollback()

    runs = [getattr(purging, step)() for _ in range(2)]

    left = db.session.scalars(select(model)).all()
    assert [{name: getattr(one, name) for name in keys} for one in left] == [key]
    assert runs == [True, False]


def test_destination_with_something_to_send_is_remembered(project: ProjectRef) -> None:
    now = utcnow()
    waiting = delivery(project, now, "busy")
    assert isinstance(waiting, Delivery)
    waiting.state, waiting.finished, waiting.next_attempt_at = "waiting", None, now
    db.session.add_all([waiting, *(Destination(key=key, seen=now - 99 * DAY) for key in KEYS)])
    db.session.commit()

    assert outbox.purge_destinations(now=now) == 1

    assert db.session.scalars(select(Destination.key)).all() == ["busy"]


KEYS = ("busy", "idle")


def test_recurring_window_stays(project: ProjectRef) -> None:
    at = utcnow() - 999 * DAY
    row = window(project, at, "nightly")
    assert isinstance(row, MaintenanceWindow)
    row.starts, row.ends, row.schedule, row.duration = None, None, "0 3 * * *", 60
    row.starts_at = row.ends_at = utcnow()
    db.session.add(row)
    db.session.commit()

    assert not purging.purge_slowly()

    assert db.session.scalar(select(func.count()).select_from(MaintenanceWindow)) == 1


@pytest.mark.parametrize(("days", "left"), [(0, 2), (7, 1)])
def test_operator_says_how_long_the_audit_log_is_kept(
    make_app: Callable[..., Flask], days: int, left: int
) -> None:
    app = make_app(AUDIT_RETENTION_DAYS=days)
    place, now = make_project(), utcnow()
    db.session.query(AuditEntry).delete()
    for ago in (6, 100):
        audit.record(FIXTURES, place.organization_id, "test", "x", now=now - ago * DAY)
        db.session.flush()
    db.session.commit()

    with app.app_context():
        purging.purge()

    assert db.session.scalar(select(func.count()).select_from(AuditEntry)) == left


def test_entries_are_deleted_a_few_at_once_oldest_first(project: ProjectRef) -> None:
    now = utcnow()
    db.session.query(AuditEntry).delete()
    for number in range(5):
        at = now - (9 - number) * DAY
        audit.record(FIXTURES, project.organization_id, "test", str(number), now=at)
        db.session.flush()
    db.session.commit()

    deleted = [audit.purge(kept=6 * DAY, now=now, limit=2) for _ in range(3)]

    assert deleted == [2, 1, 0]
    assert db.session.scalars(select(AuditEntry.subject)).all() == ["3", "4"]


def test_steps_are_among_the_sweeps() -> None:
    assert (purging.purge, 60.0) in sweeps.SWEEPS
    assert (purging.purge_slowly, 600.0) in sweeps.SWEEPS
