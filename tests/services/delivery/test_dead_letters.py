"""Deliveries that failed: replay, retry now, dismiss, and what each leaves in the audit log."""

from datetime import timedelta

import pytest
from blueprints.dashboard.forms_read import trail
from conftest import make_project
from delivering import NOW, claim, finish, get, make_webhook, queue
from sqlalchemy import select, update

from taskbadger.channels import DeliveryError, Message
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    Destination,
)
from taskbadger.models.delivery import DEAD, DISMISSED, WAITING
from taskbadger.services.delivery import (
    dead_letters,
    lists,
    outbox,
)

PLUGIN = Actor("server", "pager plug-in")


def make_delivery(
    place: ProjectRef, state: str = DEAD, *, kind: str = "task", attempts: int = 3
) -> str:
    """Queue an e-mail, and give it a past; return its id."""
    message = Message(id="", kind=kind, created=NOW, organization="acme", title="job")
    queued = outbox.queue(
        message,
        organization_id=place.organization_id,
        integration="email",
        config={"to": "ops@example.com"},
        now=NOW,
    )
    assert queued is not None
    row = db.session.get_one(Delivery, queued)
    row.state, row.attempts = state, attempts
    row.next_attempt_at = NOW + timedelta(hours=1) if state == WAITING else None
    db.session.commit()
    return queued


def states(*ids: str) -> list[tuple[str, int]]:
    db.session.expire_all()
    rows = [db.session.get_one(Delivery, delivery_id) for delivery_id in ids]
    return [(row.state, row.attempts) for row in rows]


def test_plain_calls_leave_their_entries(project: ProjectRef) -> None:
    number = project.organization_id
    replayed, hurried = make_delivery(project), make_delivery(project, WAITING)
    dismissed = make_delivery(project)

    dead_letters.replay(number, replayed, actor=PLUGIN, now=NOW)
    dead_letters.retry_now(number, hurried, actor=PLUGIN, now=NOW)
    dead_letters.dismiss(number, dismissed, actor=PLUGIN, now=NOW)
    db.session.commit()

    assert trail() == [
        ("pager plug-in", "delivery.replay", replayed, ""),
        ("pager plug-in", "delivery.hurry", hurried, ""),
        ("pager plug-in", "delivery.dismiss", dismissed, ""),
    ]
    assert states(replayed, hurried, dismissed) == [(WAITING, 0), (WAITING, 3), (DISMISSED, 3)]


def test_calls_for_many_leave_one_entry_that_counts_them(project: ProjectRef) -> None:
    number = project.organization_id
    for _ in range(2):
        make_delivery(project)
    make_delivery(project, kind="test")

    assert dead_letters.replay_channel(number, "email", actor=PLUGIN, now=NOW) == 2
    db.session.commit()
    make_delivery(project)
    assert dead_letters.dismiss_all(number, actor=PLUGIN, now=NOW) == 1
    db.session.commit()

    assert trail() == [
        ("pager plug-in", "delivery.replay-all", "email", "2 deliveries"),
        ("pager plug-in", "delivery.dismiss-all", "all channels", "1 delivery"),
    ]


def test_calls_that_change_nothing_leave_no_entry(project: ProjectRef) -> None:
    number = project.organization_id
    waiting, dismissed = make_delivery(project, WAITING, attempts=0), make_delivery(project)
    dead_letters.dismiss(number, dismissed, actor=PLUGIN, now=NOW)
    db.session.commit()

    with pytest.raises(dead_letters.CannotReplay):
        dead_letters.replay(number, waiting, actor=PLUGIN, now=NOW)
    with pytest.raises(dead_letters.NotRetrying):
        dead_letters.retry_now(number, waiting, actor=PLUGIN, now=NOW)
    with pytest.raises(dead_letters.CannotDismiss):
        dead_letters.dismiss(number, dismissed, actor=PLUGIN, now=NOW)
    assert dead_letters.replay_channel(number, "email", actor=PLUGIN, now=NOW) == 0
    assert dead_letters.dismiss_all(number, "email", actor=PLUGIN, now=NOW) == 0
    db.session.commit()

    assert [entry[1] for entry in trail()] == ["delivery.dismiss"]


def test_deliveries_of_another_organization_are_not_found(project: ProjectRef) -> None:
    foreign = make_delivery(make_project("globex"))

    for change in (dead_letters.replay, dead_letters.retry_now, dead_letters.dismiss):
        with pytest.raises(NotFound):
            change(project.organization_id, foreign, actor=PLUGIN, now=NOW)

    assert dead_letters.dismiss_all(project.organization_id, actor=PLUGIN, now=NOW) == 0
    assert states(foreign) == [(DEAD, 3)]


def test_dead_delivery_can_be_replayed(project: ProjectRef, webhook: ChannelConfig) -> None:
    queued = queue(project)
    finish(claim()[0], DeliveryError("Gone.", error_class="http_status", permanent=True))

    dead_letters.replay(project.organization_id, queued, actor=SERVER, now=NOW)
    db.session.commit()

    (again,) = claim()
    assert (again.id, again.attempts) == (queued, 1)
    finish(again)
    assert [attempt.number for attempt in lists.list_attempts(queued)] == [1, 1]
    with pytest.raises(dead_letters.CannotReplay):
        dead_letters.replay(project.organization_id, queued, actor=SERVER, now=NOW)


def test_delivery_of_another_organization_cannot_be_replayed(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    foreign = make_project("globex", "web")

    with pytest.raises(NotFound):
        dead_letters.replay(foreign.organization_id, queued, actor=SERVER, now=NOW)


def test_all_dead_deliveries_of_a_channel_are_replayed_at_once(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    make_webhook(project, "other")
    gone = DeliveryError("Gone.", error_class="http_status", permanent=True)
    for integration in ("webhook:ops", "webhook:ops", "webhook:other"):
        queue(project, integration)
        finish(claim()[0], gone)
    waiting = queue(project, at=NOW + timedelta(days=1))

    count = dead_letters.replay_channel(
        project.organization_id, "webhook:ops", actor=SERVER, now=NOW
    )
    db.session.commit()

    assert count == 2
    states = db.session.execute(
        select(Delivery.integration, Delivery.state).order_by(Delivery.integration, Delivery.state)
    ).all()
    assert [tuple(row) for row in states] == [
        ("webhook:ops", "waiting"),
        ("webhook:ops", "waiting"),
        ("webhook:ops", "waiting"),
        ("webhook:other", "dead"),
    ]
    assert get(waiting).next_attempt_at == NOW + timedelta(days=1)


def test_deliveries_with_the_channel_and_the_error_of_one_are_replayed(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    alike, other = [make_delivery(project) for _ in range(2)], make_delivery(project)
    foreign = make_delivery(make_project("globex", "web"))
    for delivery_id in (*alike, foreign):
        db.session.get_one(Delivery, delivery_id).error = "Refused."
    db.session.commit()
    number = project.organization_id

    count = dead_letters.replay_cause(number, alike[0], actor=SERVER, now=NOW)
    with pytest.raises(NotFound):
        dead_letters.replay_cause(number, foreign, actor=SERVER, now=NOW)

    assert count == 2
    assert states(*alike, other, foreign) == [(WAITING, 0), (WAITING, 0), (DEAD, 3), (DEAD, 3)]


def test_replay_tries_a_receiver_that_is_left_alone(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    finish(claim()[0], DeliveryError("Gone.", error_class="http_status", permanent=True))
    db.session.execute(update(Destination).values(hold_until=NOW + timedelta(hours=5)))
    db.session.commit()

    dead_letters.replay(project.organization_id, queued, actor=SERVER, now=NOW)
    db.session.commit()

    assert [one.id for one in claim()] == [queued]
