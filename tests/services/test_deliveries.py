"""Deliveries: who may send what and when, and what an outcome means."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskbadger.channels import DeliveryError, Message, SendContext
from taskbadger.domain import retries
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    DeliveryAttempt,
    Destination,
    Membership,
    User,
)
from taskbadger.outbound import Sender
from taskbadger.services import accounts, channels, claims, deliveries, outcomes, sending
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.claims import Claimed
from taskbadger.worker import steps

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
TIMED_OUT = DeliveryError("The receiver did not answer in time.", error_class="timeout")
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_chance", lambda: 0.5)


@pytest.fixture
def webhook(project: ProjectRef) -> ChannelConfig:
    return make_webhook(project, "ops")


def make_webhook(project: ProjectRef, slug: str) -> ChannelConfig:
    made = channels.create_channel(
        project.organization_id,
        "webhook",
        slug,
        slug,
        {"url": f"http://127.0.0.1:9/{slug}"},
        context=SendContext(http=Sender.allowing(("127.0.0.0/8",))),
        now=NOW,
    )
    db.session.commit()
    return made


def message(**fields: Any) -> Message:
    values = {"id": "", "kind": "task", "created": NOW, "organization": "acme", "title": "job"}
    return Message(**{**values, **fields})


def queue(
    project: ProjectRef, integration: str = "webhook:ops", now: datetime = NOW, **options: Any
) -> str:
    queued = deliveries.queue(
        message(),
        organization_id=project.organization_id,
        integration=integration,
        config={},
        **{"now": now, "at": now, **options},
    )
    db.session.commit()
    assert queued is not None
    return queued


def claim(limit: int = 100, now: datetime = NOW) -> list[Claimed]:
    found = claims.claim(claims.list_receivers(now=now), limit, now=now)
    db.session.commit()
    return found


def finish(claimed: Claimed, error: DeliveryError | None = None, now: datetime = NOW) -> bool:
    written = outcomes.finish(claimed, error, started=now - SECOND, now=now)
    db.session.commit()
    return written


def get(delivery_id: str) -> Delivery:
    db.session.commit()
    db.session.expire_all()
    return db.session.get_one(Delivery, delivery_id)


def prove(key: str) -> None:
    db.session.merge(Destination(key=key, proven=True, failures=0, seen=NOW))
    db.session.commit()


@pytest.fixture
def proven(project: ProjectRef, webhook: ChannelConfig) -> str:
    """The destination of the webhook, which has taken messages before."""
    key = get(queue(project, at=NOW + timedelta(days=99))).destination
    prove(key)
    return key


def test_delivery_is_claimed_by_one_worker_only(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)

    assert [one.id for one in claim()] == [queued]
    assert claim() == []
    row = get(queued)
    assert (row.state, row.next_attempt_at) == ("sending", NOW + claims.LEASE)


def test_delivery_is_not_claimed_before_its_time(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queue(project, at=NOW + SECOND)

    assert claim() == []
    assert len(claim(now=NOW + SECOND)) == 1


def test_lease_that_ended_lets_another_worker_send(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    (first,) = claim()
    late = NOW + claims.LEASE

    (second,) = claim(now=late)

    assert (second.id, second.attempts, second.crashes) == (queued, 1, 1)
    assert json.loads(second.message)["id"] == queued
    assert not finish(first, now=late)
    assert get(queued).state == "sending"
    assert finish(second, now=late)
    assert get(queued).state == "delivered"
    assert [attempt.number for attempt in deliveries.list_attempts(queued)] == [1]


def test_success_is_written_down(project: ProjectRef, webhook: ChannelConfig) -> None:
    queued = queue(project)

    finish(claim()[0])

    row = get(queued)
    assert (row.state, row.attempts, row.next_attempt_at, row.finished, row.error) == (
        "delivered",
        1,
        None,
        NOW,
        None,
    )
    (attempt,) = deliveries.list_attempts(queued)
    assert (attempt.started, attempt.duration_ms) == (NOW - SECOND, 1000)
    assert (attempt.status, attempt.error_class) == (None, None)


def test_failures_follow_the_schedule_to_the_dead_letter(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    now = NOW
    waits = []
    for _ in range(len(retries.SCHEDULE)):
        db.session.execute(update(Destination).values(hold_until=None))
        (claimed,) = claim(now=now)
        finish(claimed, TIMED_OUT, now=now)
        due = get(queued).next_attempt_at
        if due is not None:
            waits.append(due - now)
            now = due

    row = get(queued)
    assert waits == list(retries.SCHEDULE[1:])
    assert (row.state, row.attempts, row.error_class, row.finished) == (
        "dead",
        10,
        "timeout",
        now,
    )
    assert [attempt.number for attempt in deliveries.list_attempts(queued)] == list(range(1, 11))


def test_permanent_error_is_final_and_says_nothing_about_the_receiver(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    gone = DeliveryError("Gone.", error_class="http_status", permanent=True, status=410)

    finish(claim()[0], gone)

    assert (get(queued).state, get(queued).error) == ("dead", "Gone.")
    assert deliveries.list_attempts(queued)[0].status == 410
    assert db.session.scalars(select(Destination.failures)).all() == [0]


def test_retry_after_holds_everything_for_that_receiver(
    project: ProjectRef, webhook: ChannelConfig, proven: str
) -> None:
    first, _ = queue(project), queue(project)
    busy = DeliveryError("Busy.", error_class="http_status", status=429, retry_after=90)

    finish(claim(1)[0], busy)

    assert get(first).next_attempt_at == NOW + timedelta(seconds=90)
    assert claim(now=NOW + timedelta(seconds=89)) == []
    assert len(claim(now=NOW + timedelta(seconds=90))) == 1


def test_what_is_left_of_a_partial_success_is_sent_next(project: ProjectRef) -> None:
    queued = queue(project, "email", at=NOW)
    error = DeliveryError("One is left.", error_class="smtp", remaining={"to": "b@example.com"})
    (claimed,) = claim()

    finish(claimed, error)

    assert json.loads(get(queued).config) == {"to": "b@example.com"}


def test_new_receiver_gets_one_at_a_time_until_it_took_one(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    for _ in range(10):
        queue(project)

    (first,) = claim()
    assert claim() == []
    finish(first)

    assert len(claim()) == 4
    assert claim() == []


def test_receiver_gets_four_at_once_whoever_claims(
    app: Flask, project: ProjectRef, proven: str
) -> None:
    for _ in range(10):
        queue(project)

    found = [claim(3), claim(3), claim(3)]

    assert [len(one) for one in found] == [3, 1, 0]


def test_receivers_share_the_turns(project: ProjectRef) -> None:
    for slug in ("a", "b", "c"):
        make_webhook(project, slug)
        prove(get(queue(project, f"webhook:{slug}", at=NOW + timedelta(days=1))).destination)
    for _ in range(20):
        queue(project, "webhook:a")
    queue(project, "webhook:b", now=NOW + SECOND)
    queue(project, "webhook:c", now=NOW + SECOND)

    found = [one.integration for one in claim(4, now=NOW + SECOND)]

    assert sorted(found) == ["webhook:a", "webhook:a", "webhook:b", "webhook:c"]


def test_receiver_that_works_goes_before_those_that_fail(project: ProjectRef) -> None:
    for slug in ("bad", "good", "new"):
        make_webhook(project, slug)
        key = get(queue(project, f"webhook:{slug}", now=NOW)).destination
        if slug != "new":
            db.session.add(
                Destination(key=key, proven=slug == "good", failures=3 * (slug == "bad"), seen=NOW)
            )
        db.session.commit()

    order = [claim(1)[0].integration for _ in range(3)]

    assert order == ["webhook:good", "webhook:new", "webhook:bad"]


def test_five_failures_in_a_row_leave_a_receiver_alone_until_its_next_step(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    for _ in range(8):
        queue(project)
    for _ in range(5):
        (claimed,) = claim()
        finish(claimed, TIMED_OUT)

    assert claim(now=NOW + timedelta(seconds=299)) == []
    later = NOW + timedelta(seconds=300)
    (probe,) = claim(now=later)
    finish(probe, TIMED_OUT, now=later)
    assert claim(now=later + timedelta(seconds=1799)) == []
    (probe,) = claim(now=later + timedelta(seconds=1800))
    finish(probe, now=later + timedelta(seconds=1801))
    assert len(claim(now=later + timedelta(seconds=1801))) == 4


def test_deleted_channel_ends_in_the_dead_letter(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    channels.delete_channel(webhook)
    db.session.commit()

    assert steps.deliver()

    row = get(queued)
    assert (row.state, row.error_class) == ("dead", "no_channel")


def test_channel_that_is_turned_off_gets_nothing(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    channels.set_enabled(webhook, enabled=False, now=NOW)
    db.session.commit()

    steps.deliver()

    assert (get(queued).state, get(queued).error_class) == ("dead", "channel_disabled")


def test_config_that_no_longer_fits_ends_in_the_dead_letter(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    webhook.config = "{}"
    db.session.commit()
    queued = queue(project)

    steps.deliver()

    assert (get(queued).state, get(queued).error_class) == ("dead", "bad_config")


def test_delivery_that_kills_its_workers_is_given_up(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    db.session.execute(update(Delivery).values(crashes=sending.MOST_CRASHES))
    db.session.commit()

    steps.deliver()

    assert (get(queued).state, get(queued).error_class) == ("dead", "crash")


def test_mail_without_a_mail_server_waits_visibly(project: ProjectRef) -> None:
    queued = queue(project, "email", at=NOW)
    db.session.execute(update(Delivery).values(config='{"to": "a@example.com"}'))
    db.session.commit()

    steps.deliver()

    row = get(queued)
    assert (row.state, row.attempts, row.error_class) == ("waiting", 1, "not_configured")
    assert row.error == "Set TASKBADGER_SMTP_URL to send e-mails."


def test_dead_delivery_can_be_replayed(project: ProjectRef, webhook: ChannelConfig) -> None:
    queued = queue(project)
    finish(claim()[0], DeliveryError("Gone.", error_class="http_status", permanent=True))

    deliveries.replay(project.organization_id, queued, now=NOW)
    db.session.commit()

    (again,) = claim()
    assert (again.id, again.attempts) == (queued, 1)
    finish(again)
    assert [attempt.number for attempt in deliveries.list_attempts(queued)] == [1, 1]
    with pytest.raises(deliveries.NotDead):
        deliveries.replay(project.organization_id, queued, now=NOW)


def test_delivery_of_another_organization_cannot_be_replayed(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    foreign = make_project("globex", "web")

    with pytest.raises(NotFound):
        deliveries.replay(foreign.organization_id, queued, now=NOW)


def test_all_dead_deliveries_of_a_channel_are_replayed_at_once(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    make_webhook(project, "other")
    gone = DeliveryError("Gone.", error_class="http_status", permanent=True)
    for integration in ("webhook:ops", "webhook:ops", "webhook:other"):
        queue(project, integration)
        finish(claim()[0], gone)
    waiting = queue(project, at=NOW + timedelta(days=1))

    count = deliveries.replay_channel(project.organization_id, "webhook:ops", now=NOW)
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


def test_replay_tries_a_receiver_that_is_left_alone(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    finish(claim()[0], DeliveryError("Gone.", error_class="http_status", permanent=True))
    db.session.execute(update(Destination).values(hold_until=NOW + timedelta(hours=5)))
    db.session.commit()

    deliveries.replay(project.organization_id, queued, now=NOW)
    db.session.commit()

    assert [one.id for one in claim()] == [queued]


def test_channel_is_turned_off_after_five_days_of_failures(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    for number, role in enumerate(("owner", "admin", "member")):
        user = User(email=f"{role}@example.com", created=NOW)
        db.session.add(user)
        db.session.flush()
        db.session.add(
            Membership(
                user_id=user.id,
                organization_id=project.organization_id,
                role=role,
                created=NOW + number * SECOND,
            )
        )
    for _ in range(3):
        queue(project)
    finish(claim()[0], TIMED_OUT)
    late = NOW + channels.FAILING_FOR
    db.session.execute(update(Destination).values(hold_until=None))
    db.session.commit()

    finish(claim(now=late)[0], TIMED_OUT, now=late)

    db.session.commit()
    db.session.refresh(webhook)
    assert webhook.disabled == late
    rows = db.session.scalars(select(Delivery).order_by(Delivery.kind, Delivery.created)).all()
    assert [(row.kind, row.integration, row.state) for row in rows] == [
        ("channel_disabled", "email", "waiting"),
        ("task", "webhook:ops", "dead"),
        ("task", "webhook:ops", "dead"),
        ("task", "webhook:ops", "dead"),
    ]
    assert json.loads(rows[0].config) == {"to": "admin@example.com,owner@example.com"}


def test_success_in_between_keeps_a_channel_on(project: ProjectRef, webhook: ChannelConfig) -> None:
    for _ in range(3):
        queue(project)
    finish(claim()[0], TIMED_OUT)
    finish(claim(1, now=NOW + SECOND)[0], now=NOW + SECOND)
    late = NOW + channels.FAILING_FOR

    finish(claim(1, now=late)[0], TIMED_OUT, now=late)

    db.session.refresh(webhook)
    assert (webhook.disabled, webhook.failing_since) == (None, late)


def test_test_message_gets_one_attempt_and_does_not_open_the_circuit(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = deliveries.queue_test(webhook, now=NOW)
    db.session.commit()

    finish(claim()[0], TIMED_OUT)

    assert (get(queued).state, get(queued).kind) == ("dead", "test")
    assert db.session.scalars(select(Destination.failures)).all() == [0]
    db.session.refresh(webhook)
    assert webhook.failing_since is None


def test_new_url_of_a_channel_is_where_waiting_deliveries_go(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    before = get(queued).destination
    context = SendContext(http=Sender.allowing(("127.0.0.0/8",)))
    channels.update_channel(
        webhook, config={"url": "http://127.0.0.1:10/new"}, context=context, now=NOW
    )
    deliveries.redirect(webhook)
    db.session.commit()

    assert get(queued).destination != before
    assert get(queued).destination.startswith("webhook:127.0.0.1:10/")


def test_key_is_queued_once(project: ProjectRef) -> None:
    def queue_incident() -> str | None:
        return deliveries.queue(
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


def test_ids_are_published_once_and_again_when_nobody_came(
    project: ProjectRef, proven: str
) -> None:
    queued = {queue(project) for _ in range(3)}

    def publish(seconds: float) -> set[str]:
        now = NOW + timedelta(seconds=seconds)
        found = claims.take_for_publishing(claims.list_receivers(now=now), 100, now=now)
        db.session.commit()
        return set(found)

    assert [publish(0), publish(1), publish(31)] == [queued, set(), queued]


def test_published_delivery_is_claimed_by_its_id_once(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)

    found = [claims.claim_one(queued, now=NOW) for _ in range(2)]
    db.session.commit()

    assert [[one.id for one in each] for each in found] == [[queued], []]


def test_outcome_is_written_down_although_no_connection_was_free_at_first(
    project: ProjectRef, webhook: ChannelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued = queue(project)
    [claimed] = claim()
    really_finish, faults = outcomes.finish, [PoolTimeout("full"), PoolTimeout("full")]

    def finish_late(*arguments: Any, **options: Any) -> bool:
        if faults:
            raise faults.pop()
        return really_finish(*arguments, **options)

    monkeypatch.setattr(outcomes, "finish", finish_late)
    monkeypatch.setattr(steps, "_FINISH_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(sending, "attempt", lambda *_: None)
    steps.send(claimed)

    assert (faults, get(queued).state) == ([], "delivered")


def test_error_with_a_nul_is_written_down_without_it(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    [claimed] = claim()

    assert finish(claimed, DeliveryError("bad\x00ly", error_class="plug-in"))

    assert get(queued).error == "badly"
    assert [one.error for one in deliveries.list_attempts(queued)] == ["badly"]


def test_old_deliveries_are_purged_with_their_attempts(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    old = queue(project)
    finish(claim()[0])
    waiting = queue(project, at=NOW + timedelta(days=99))

    count = deliveries.purge(now=NOW + deliveries.KEPT + SECOND)
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
    later = NOW + deliveries.KEPT + SECOND

    def purge() -> None:
        with app.app_context():
            deliveries.purge(now=later)
            db.session.commit()

    deliveries.replay(project.organization_id, delivery_id, now=later)
    purging = threading.Thread(target=purge)
    purging.start()
    purging.join(0.3)
    db.session.commit()
    purging.join()

    assert db.session.scalars(select(Delivery.state)).all() == ["waiting"]


@pytest.fixture
def pokes(app: Flask) -> Iterator[list[list[str]]]:
    """What the worker was told."""
    told: list[list[str]] = []
    before = app.extensions["taskbadger_poke"]
    app.extensions["taskbadger_poke"] = told.append
    yield told
    app.extensions["taskbadger_poke"] = before


def test_commit_tells_the_worker_and_rollback_does_not(
    project: ProjectRef, pokes: list[list[str]]
) -> None:
    def queue_now() -> str:
        queued = deliveries.queue(
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

    assert pokes == [[kept]]


def test_organization_that_is_deleted_takes_its_deliveries(project: ProjectRef) -> None:
    queue(project, "email")
    organization = accounts.ensure_organization("acme", now=NOW)
    db.session.execute(db.text("DELETE FROM organization WHERE id = :id"), {"id": organization.id})
    db.session.commit()

    assert db.session.scalars(select(Delivery.id)).all() == []
