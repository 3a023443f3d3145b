"""Counting attempts to deliver for good, for metrics."""

from datetime import timedelta

import pytest
from conftest import make_project
from delivering import NOW, SECOND, TIMED_OUT, make_webhook, queue
from sqlalchemy import delete, select

from taskbadger.channels import DeliveryError
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import DeliveryAttempt, DeliveryCursor, DeliveryTotal, Organization
from taskbadger.services.delivery import claims, outcomes
from taskbadger.services.stats import delivery_counts

LATER = NOW + timedelta(minutes=1)


def attempt(project: ProjectRef, error: DeliveryError | None = None) -> None:
    """Queue a message, and try once to deliver it."""
    [claimed] = claims.claim_one(queue(project), now=NOW)
    assert outcomes.finish(claimed, error, started=NOW - SECOND, now=NOW)
    db.session.commit()


def count() -> int:
    batches = 0
    while (batch := delivery_counts.read_batch(now=LATER)) is not None:
        assert delivery_counts.count_batch(batch, now=LATER)
        db.session.commit()
        batches += 1
    db.session.rollback()
    return batches


def counted(project: ProjectRef | None) -> dict[tuple[str, str], int]:
    owner = project and project.organization_id
    query = select(DeliveryTotal).where(DeliveryTotal.organization_id == owner)
    found = {(row.kind, row.outcome): row.attempts for row in db.session.scalars(query)}
    db.session.rollback()
    return found


@pytest.fixture(autouse=True)
def webhook(project: ProjectRef) -> None:
    make_webhook(project, "ops")


def test_attempts_are_counted_once_for_their_organization_and_the_server(
    project: ProjectRef,
) -> None:
    stranger = make_project("globex")
    make_webhook(stranger, "ops")
    attempt(project)
    attempt(project)
    attempt(stranger)
    assert count() == 1
    attempt(project, TIMED_OUT)
    assert count() == 1
    assert count() == 0

    delivered, failed = ("task", "delivered"), ("task", "failed")
    assert counted(project) == {delivered: 2, failed: 1}
    assert counted(stranger) == {delivered: 1}
    assert counted(None) == {delivered: 3, failed: 1}


def test_counts_of_the_server_outlive_attempts_and_organizations(project: ProjectRef) -> None:
    attempt(project)
    count()
    db.session.execute(delete(DeliveryAttempt))
    db.session.execute(delete(Organization))
    db.session.commit()
    count()

    assert counted(project) == {}
    assert counted(None) == {("task", "delivered"): 1}


def test_batch_is_counted_by_one_worker_only(project: ProjectRef) -> None:
    attempt(project)
    batches = [delivery_counts.read_batch(now=LATER) for _ in range(2)]

    taken = [batch and delivery_counts.count_batch(batch, now=LATER) for batch in batches]
    db.session.commit()

    assert taken == [True, False]
    assert counted(None) == {("task", "delivered"): 1}


def test_missing_attempt_is_waited_for_while_it_may_come(project: ProjectRef) -> None:
    attempt(project)
    count()
    attempt(project)
    newest = db.session.scalars(select(DeliveryAttempt).order_by(DeliveryAttempt.id.desc())).first()
    assert newest is not None
    db.session.delete(newest)
    db.session.commit()
    db.session.execute(DeliveryAttempt.__table__.insert().values(_like(newest)))
    db.session.commit()

    assert delivery_counts.read_batch(now=NOW) is None
    assert delivery_counts.counted_until() == NOW - SECOND
    count()
    assert delivery_counts.counted_until() is None
    assert counted(None) == {("task", "delivered"): 2}


def _like(attempt: DeliveryAttempt) -> dict[str, object]:
    """Return the values of an attempt like this one, as if another was not committed yet."""
    names = ("delivery_id", "number", "started", "duration_ms")
    return {"id": attempt.id + 1, **{name: getattr(attempt, name) for name in names}}


def test_ids_that_begin_again_are_counted(project: ProjectRef) -> None:
    attempt(project)
    count()
    db.session.execute(delete(DeliveryAttempt))
    db.session.execute(DeliveryCursor.__table__.update().values(attempt_id=2**40))
    db.session.commit()

    assert count() == 1
    assert db.session.scalars(select(DeliveryCursor.attempt_id)).one() == 0


def test_many_attempts_are_counted_in_batches(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_counts, "BATCH", 2)
    for _ in range(3):
        attempt(project)

    assert count() == 2
    assert counted(project) == {("task", "delivered"): 3}
