"""What a digest says about messages that were not delivered."""

from datetime import datetime, timedelta

import pytest
from conftest import count_queries, make_project
from delivering import message
from plans import plan_of
from services.digests.reading import HOME, NOW, ago, lines, scope_of
from sqlalchemy import update

from taskbadger.domain.digests import Entry
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.delivery import outbox
from taskbadger.services.digests import deliveries


def add(project: ProjectRef, state: str, finished: datetime | None, **fields: object) -> str:
    """Add a delivery that has come to a *state*; return its id."""
    queued = outbox.queue(
        message(title=f"{state} message"),
        organization_id=project.organization_id,
        integration="webhook:ops",
        config={},
        now=ago(days=2),
    )
    values = {"state": state, "finished": finished, "next_attempt_at": None, **fields}
    db.session.execute(update(Delivery).where(Delivery.id == queued).values(values))
    db.session.commit()
    return str(queued)


def test_dead_deliveries_of_the_period_are_listed(project: ProjectRef) -> None:
    first = add(project, "dead", ago(days=1), attempts=10, error="It answered 500.")
    last = add(project, "dead", NOW - timedelta(microseconds=1), attempts=1)
    for state, finished in (
        ("dead", ago(days=1, microseconds=1)),
        ("dead", NOW),
        ("dismissed", ago(hours=1)),
        ("delivered", ago(hours=1)),
        ("waiting", None),
    ):
        add(project, state, finished)
    add(make_project("other"), "dead", ago(hours=1))
    add(project, "dead", ago(hours=1), kind="test")

    found = deliveries.read_dead(scope_of(project))

    assert (found.title, found.count) == ("Undelivered alerts", 2)
    assert list(found.entries) == [
        Entry(
            "dead message",
            "webhook:ops, given up Mon 23 Nov 07:59 after 1 try",
            f"{HOME}/alerts/deliveries/{last}/",
        ),
        Entry(
            "dead message",
            "webhook:ops, given up Sun 22 Nov 08:00 after 10 tries: It answered 500.",
            f"{HOME}/alerts/deliveries/{first}/",
        ),
    ]


def test_dropped_and_held_messages_are_counted(project: ProjectRef) -> None:
    for _ in range(3):
        add(project, "dropped", ago(hours=1), held_by="retried")
    add(project, "dropped", ago(days=3), held_by="retried")
    add(project, "waiting", None, held_by="held by ‹night›")
    add(project, "waiting", None)

    found = deliveries.read_held(scope_of(project))

    assert list(found.entries) == [
        Entry(
            "3 messages dropped",
            "not sent, because there was no reason to any more",
            f"{HOME}/alerts/deliveries/?state=dropped",
        ),
        Entry(
            "1 message held back",
            "sent when nothing holds them back any more",
            f"{HOME}/alerts/deliveries/?state=waiting",
        ),
    ]


def test_nothing_is_said_of_what_went_well(project: ProjectRef) -> None:
    add(project, "delivered", ago(hours=1))

    assert lines(deliveries.read_dead(scope_of(project))) == []
    assert lines(deliveries.read_held(scope_of(project))) == []


@pytest.mark.parametrize("count", [1, 40])
def test_deliveries_cost_two_queries(project: ProjectRef, count: int) -> None:
    for _ in range(count):
        add(project, "dead", ago(hours=1))
    scope = scope_of(project)

    with count_queries() as statements:
        deliveries.read_dead(scope)
        deliveries.read_held(scope)

    assert len(statements) == 2


def test_what_was_not_delivered_is_found_by_an_index(project: ProjectRef) -> None:
    scope = scope_of(project)

    assert "ix_delivery_given_up" in plan_of(lambda: deliveries.read_dead(scope))
    held = plan_of(lambda: deliveries.read_held(scope))
    assert "ix_delivery_given_up" in held
    assert "Seq Scan" not in held
