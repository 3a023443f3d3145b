"""Outcomes: what an attempt means for the delivery, its receiver and its channel."""

import json
from datetime import timedelta
from typing import Any

import pytest
from delivering import (
    NOW,
    SECOND,
    TIMED_OUT,
    claim,
    finish,
    get,
    queue,
)
from sqlalchemy import select, update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from taskbadger.channels import DeliveryError
from taskbadger.domain import retries
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    ChannelConfig,
    Delivery,
    Destination,
    Membership,
    User,
)
from taskbadger.services.delivery import (
    channels,
    lists,
    outcomes,
    sending,
)
from taskbadger.worker import steps


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
    (attempt,) = lists.list_attempts(queued)
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
    assert [attempt.number for attempt in lists.list_attempts(queued)] == list(range(1, 11))


def test_permanent_error_is_final_and_says_nothing_about_the_receiver(
    project: ProjectRef, webhook: ChannelConfig
) -> None:
    queued = queue(project)
    gone = DeliveryError("Gone.", error_class="http_status", permanent=True, status=410)

    finish(claim()[0], gone)

    assert (get(queued).state, get(queued).error) == ("dead", "Gone.")
    assert lists.list_attempts(queued)[0].status == 410
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
    assert [one.error for one in lists.list_attempts(queued)] == ["badly"]
