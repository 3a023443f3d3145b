"""Failures that wait for a retry count for the rate and the quiet period once that is over."""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from alerting import update
from conftest import count_queries, make_project
from delivering import make_webhook, prove
from flask import Flask
from holding import (
    HOUR,
    MINUTE,
    NOW,
    WEBHOOK,
    State,
    alert,
    claim,
    decide,
    deliveries,
    fail,
    finish,
    make_window,
    work,
)
from simultaneous import at_once
from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing, GlobalAction, Task
from taskbadger.services.alerts import global_actions, settling
from taskbadger.services.delivery import claims, dead_letters
from taskbadger.services.delivery.claims import Claimed

pytestmark = pytest.mark.usefixtures("receiving")
SECOND = timedelta(seconds=1)
COMBINED = "combined into a later message"


@pytest.fixture
def receiving(project: ProjectRef) -> None:
    """The webhook that global actions tell."""
    make_webhook(project, "ops")


def heal(project: ProjectRef, number: int, at: datetime) -> str:
    """Let a run fail that succeeds a second later; return the id of its last attempt."""
    run = f"run {number}"
    fail(project, at, name="healed", external_id=run)
    return fail(project, at + SECOND, name="healed", external_id=run, status="success")


def held_back() -> list[bool]:
    db.session.commit()
    return list(db.session.scalars(select(Firing.held_back).order_by(Firing.id)))


def test_run_that_was_tried_again_begins_no_quiet_period(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=3600)
    again = heal(project, 1, NOW)
    fail(project, NOW + 20 * SECOND, name="real")

    assert work(NOW + MINUTE) == []
    assert work(NOW + 80 * SECOND) == [("real", 0)]
    assert [one.held_by for one in deliveries()] == [
        f"retried by {again}, which succeeded",
        None,
    ]
    action = db.session.scalars(select(GlobalAction)).one()
    assert (action.quiet_until, action.held_back) == (NOW + 80 * SECOND + HOUR, 0)


def test_quiet_period_tells_at_its_end_only_of_runs_that_were_not_tried_again(
    project: ProjectRef,
) -> None:
    alert(project, wait_for_retry=60, quiet_period=3600)
    fail(project, name="first")
    assert work(NOW + MINUTE) == [("first", 0)]
    end = NOW + MINUTE + HOUR
    heal(project, 1, NOW + 2 * MINUTE)
    fail(project, NOW + 3 * MINUTE, name="second")
    heal(project, 2, NOW + 4 * MINUTE)
    fail(project, NOW + 5 * MINUTE, name="third")
    heal(project, 3, NOW + 6 * MINUTE)

    for minute in range(3, 10):
        assert work(NOW + minute * MINUTE) == []
    assert work(end - SECOND) == []
    assert work(end) == [("third", 1)]
    assert held_back() == [False, False, True, False, True, False]


def test_quiet_period_in_which_all_runs_were_tried_again_tells_nothing(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=3600)
    fail(project, name="first")
    work(NOW + MINUTE)
    for number in range(3):
        heal(project, number, NOW + (2 + number) * MINUTE)

    assert work(NOW + 2 * HOUR) == []
    fail(project, NOW + 2 * HOUR, name="real")
    assert work(NOW + 2 * HOUR + MINUTE) == [("real", 0)]


def test_run_that_was_tried_again_does_not_count_for_the_rate(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=3, within=600)
    for number in range(4):
        heal(project, number, NOW + number * SECOND)
    fail(project, NOW + 10 * SECOND, name="first")
    fail(project, NOW + 11 * SECOND, name="second")

    assert work(NOW + 2 * MINUTE) == []
    fail(project, NOW + 3 * MINUTE, name="third")
    fail(project, NOW + 3 * MINUTE + SECOND, name="fourth")

    assert work(NOW + 5 * MINUTE) == [("third", 0)]
    reasons = [one.held_by for one in deliveries()]
    assert [reason for reason in reasons if "retried" not in (reason or "")] == [
        "the rate of 3 within 10 min was not reached",
        "the rate of 3 within 10 min was not reached",
        None,
        "the rate of 3 within 10 min had been told already",
    ]


def test_run_that_was_tried_again_does_not_swallow_the_next_of_a_rate(project: ProjectRef) -> None:
    """The failure with which the rate would have been reached was tried again."""
    alert(project, wait_for_retry=60, at_least=2, within=600)
    fail(project, name="first")
    heal(project, 1, NOW + SECOND)
    fail(project, NOW + 2 * SECOND, name="second")

    assert work(NOW + 2 * MINUTE) == [("second", 0)]


def test_rate_and_quiet_period_go_together(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=2, within=120, quiet_period=3600)
    for minute in (0, 1, 10, 11):
        fail(project, NOW + minute * MINUTE, name=f"job {minute}")

    sent = [work(NOW + minute * MINUTE) for minute in (2, 12)]

    assert sent == [[("job 1", 0)], []]
    assert work(NOW + 2 * MINUTE + HOUR) == [("job 11", 0)]


def test_other_points_than_failures_count_at_once(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=600, trigger="error,success")
    fail(project, name="failed")
    fail(project, NOW + SECOND, name="done", status="success")

    assert work(NOW + SECOND) == [("done", 0)]
    assert work(NOW + MINUTE) == []
    assert work(NOW + SECOND + 10 * MINUTE) == [("failed", 0)]


def test_all_channels_are_told_the_same(project: ProjectRef) -> None:
    make_webhook(project, "two")
    channels = [WEBHOOK, {"integration": "webhook:two", "config": {}}]
    alert(project, wait_for_retry=60, quiet_period=600, channels=channels)
    for second, name in enumerate(("first", "second", "third")):
        fail(project, NOW + second * SECOND, name=name)
    heal(project, 1, NOW + 3 * SECOND)

    assert work(NOW + 2 * MINUTE) == [("first", 0)] * 2
    assert work(NOW + HOUR) == [("third", 1)] * 2
    again = deliveries()[-1].held_by
    assert sorted((one.state, one.held_by) for one in deliveries()) == sorted(
        [("delivered", None)] * 4 + [("dropped", COMBINED)] * 2 + [("dropped", again)] * 2
    )


def test_workers_that_claim_the_channels_of_a_firing_at_once_count_it_once(
    app: Flask, project: ProjectRef
) -> None:
    make_webhook(project, "two")
    channels = [WEBHOOK, {"integration": "webhook:two", "config": {}}]
    for number in range(5):
        name = f"job {number}"
        action_id = alert(
            project,
            wait_for_retry=60,
            quiet_period=600,
            name_pattern=name,
            channels=channels,
        )
        fail(project, name=name)
        one, other = claim(NOW + MINUTE)
        ready: list[Claimed | None] = []

        def settle(claimed: Claimed, ready: list[Claimed | None] = ready) -> None:
            ready.append(decide(claimed, NOW + MINUTE))

        at_once(app, partial(settle, one), partial(settle, other))

        assert {each.id for each in ready if each} == {one.id, other.id}
        action = db.session.get_one(GlobalAction, action_id, populate_existing=True)
        assert (action.quiet_until, action.held_back) == (NOW + 11 * MINUTE, 0)
        for each in (one, other):
            finish(each)


def test_worker_that_dies_between_claim_and_decision_counts_nothing(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=2, within=600, quiet_period=600)
    fail(project, name="first")
    fail(project, NOW + SECOND, name="second")
    assert claim(NOW + 2 * MINUTE)  # By a worker that dies.

    assert work(NOW + 2 * MINUTE) == []
    assert work(NOW + 2 * MINUTE + claims.LEASE) == [("second", 0)]


def test_lost_lease_sends_nothing(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=600)
    fail(project)
    [first] = claim(NOW + MINUTE)
    [second] = claim(NOW + MINUTE + claims.LEASE)
    now = NOW + MINUTE + claims.LEASE

    assert decide(first, now) is None
    ready = decide(second, now)

    assert ready is not None
    assert ready.waits_for_retry is False
    assert [one.state for one in deliveries()] == ["sending"]


def test_message_that_is_replayed_is_not_counted_again(project: ProjectRef) -> None:
    """The other channel of the firing was turned off when it was decided about."""
    make_webhook(project, "two")
    channels = [WEBHOOK, {"integration": "webhook:two", "config": {}}]
    action_id = alert(project, wait_for_retry=60, quiet_period=600, channels=channels)
    fail(project)
    dead_letters.give_up(project.organization_id, "webhook:two", error="off", now=NOW)
    db.session.commit()
    assert work(NOW + MINUTE) == [("job", 0)]

    dead_letters.replay_channel(
        project.organization_id, "webhook:two", actor=SERVER, now=NOW + 2 * MINUTE
    )
    db.session.commit()

    assert work(NOW + 2 * MINUTE) == [("job", 0)]
    action = db.session.get_one(GlobalAction, action_id, populate_existing=True)
    assert (action.quiet_until, action.held_back) == (NOW + 11 * MINUTE, 0)


def test_message_that_is_decided_about_late_keeps_the_rate_of_now(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=2, within=60, trigger="error,success")
    fail(project, name="early")
    fail(project, NOW + HOUR, name="done", status="success")
    assert work(NOW + HOUR) == []

    fail(project, NOW + HOUR + SECOND, name="done again", status="success")

    assert work(NOW + HOUR + SECOND) == [("done again", 0)]


@pytest.mark.parametrize("wait", [0, 60])
def test_message_at_the_end_of_a_window_begins_a_quiet_period(
    project: ProjectRef, wait: int
) -> None:
    make_webhook(project, "two")
    channels = [WEBHOOK, {"integration": "webhook:two", "config": {}}]
    alert(project, quiet_period=600, wait_for_retry=wait, channels=channels)
    make_window(project)
    fail(project, name="first")
    assert work(NOW + MINUTE) == []
    assert work(NOW + HOUR) == [("first", 0)] * 2

    fail(project, NOW + HOUR + MINUTE, name="second")

    assert work(NOW + HOUR + MINUTE + wait * SECOND) == []
    assert work(NOW + HOUR + 10 * MINUTE - SECOND) == []
    assert work(NOW + HOUR + 10 * MINUTE) == [("second", 0)] * 2


def test_window_begins_no_quiet_period_of_a_rule_without_one(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60)
    make_window(project)
    fail(project)
    assert work(NOW + MINUTE) == []

    assert work(NOW + HOUR) == [("job", 0)]
    db.session.rollback()
    assert db.session.scalars(select(GlobalAction.quiet_until)).all() == [None]


def test_window_that_ends_within_a_quiet_period_leaves_its_end(project: ProjectRef) -> None:
    alert(project, quiet_period=7200)
    make_window(project)
    for minute in (0, 1, 2):
        fail(project, NOW + minute * MINUTE, name=f"job {minute}")
    assert work(NOW + 2 * MINUTE) == []

    assert work(NOW + HOUR) == [("job 0", 0)]
    assert work(NOW + 2 * HOUR - SECOND) == []
    assert work(NOW + 2 * HOUR) == [("job 2", 1)]


@pytest.mark.parametrize("most", [3, 4, 500])
def test_many_are_decided_about_together_in_their_order(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However many are decided about at a time, also with a part of a firing's messages."""
    monkeypatch.setattr(settling, "_AT_ONCE", most)
    make_webhook(project, "two")
    channels = [WEBHOOK, {"integration": "webhook:two", "config": {}}]
    alert(project, wait_for_retry=60, at_least=2, within=5, quiet_period=600, channels=channels)
    for second in (0, 1, 20, 21, 40, 41, 42):
        fail(project, NOW + second * SECOND, name=f"job {second}")
    heal(project, 1, NOW + 43 * SECOND)
    now = NOW + 3 * MINUTE

    assert work(now) == [("job 1", 0)] * 2
    assert work(now + 10 * MINUTE) == [("job 41", 1)] * 2
    assert held_back() == [False, False, False, True, False, True, *[False] * 2]


def test_message_that_was_claimed_before_its_turn_waits_for_those_before_it(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_AT_ONCE", 1)
    alert(project, wait_for_retry=60, quiet_period=600)
    fail(project, name="first")
    fail(project, NOW + SECOND, name="second")
    prove(db.session.scalars(select(Delivery.destination).limit(1)).one())
    now = NOW + 2 * MINUTE
    claimed = {(Message.from_json(one.message).task or {})["name"]: one for one in claim(now)}

    assert decide(claimed["second"], now) is None
    ready = decide(claimed["first"], now)

    assert ready is not None
    finish(ready)
    assert work(now) == []
    assert work(now + 10 * MINUTE) == [("second", 0)]


def test_storm_is_decided_about_with_a_few_statements(project: ProjectRef) -> None:
    counts = []
    for number in (2, 40):
        place = project if number == 2 else make_project("other")
        if place is not project:
            make_webhook(place, "ops")
        alert(place, wait_for_retry=60, at_least=2, within=600, quiet_period=600)
        for each in range(number):
            fail(place, NOW + each * SECOND)
        now = NOW + HOUR
        [claimed] = claim(now, 1)
        with count_queries() as statements:
            decide(claimed, now)
        counts.append(len(statements))
        db.session.query(Delivery).delete()
        db.session.commit()

    assert counts[1] - counts[0] <= 1


def test_message_of_a_deleted_task_is_sent(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=600)
    fail(project)
    db.session.query(Task).delete()
    db.session.commit()

    assert work(NOW + MINUTE) == [("job", 0)]


def test_message_is_settled_by_the_settings_of_that_time(project: ProjectRef) -> None:
    action_id = alert(project, wait_for_retry=60, quiet_period=600)
    fail(project, name="first")
    fail(project, NOW + SECOND, name="second")
    changes: Any = {"quiet_period": 0}
    global_actions.update_global_action(
        project.organization_id, action_id, changes, actor=SERVER, now=NOW + SECOND
    )
    db.session.commit()

    assert work(NOW + 2 * MINUTE) == [("first", 0), ("second", 0)]


def test_settled_message_in_a_window_is_told_at_its_end(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=2, within=600)
    make_window(project)
    for second in range(4):
        fail(project, NOW + second * SECOND, name=f"job {second}")

    assert work(NOW + 2 * MINUTE) == []
    assert work(NOW + HOUR) == [("job 1", 0)]
    assert deliveries()[1] == State("delivered", "was held by ‹deploy›", None)


def test_message_that_is_sent_again_is_not_counted_again(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, at_least=2, within=600)
    fail(project, name="first")
    second = fail(project, NOW + SECOND, name="second")
    assert work(NOW + MINUTE) == []
    [claimed] = claim(NOW + 2 * MINUTE)
    assert decide(claimed, NOW + 2 * MINUTE) is not None
    db.session.query(Delivery).filter_by(id=claimed.id).update(
        {"state": "waiting", "token": None, "attempts": 1, "next_attempt_at": NOW + 3 * MINUTE}
    )
    db.session.commit()
    update(project, second, NOW + 2 * MINUTE, value=1)

    assert work(NOW + 3 * MINUTE) == [("second", 0)]


def test_held_message_says_what_its_firing_said(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, quiet_period=600)
    fail(project, name="first")
    fail(project, NOW + SECOND, name="second")
    work(NOW + 2 * MINUTE)

    db.session.commit()
    row = db.session.scalars(select(Delivery).order_by(Delivery.id.desc())).first()

    assert row is not None
    message = Message.from_json(row.message)
    assert (row.state, row.next_attempt_at) == ("waiting", NOW + 12 * MINUTE)
    assert (message.id, message.title, message.held_back) == (row.id, "second: error", 0)
