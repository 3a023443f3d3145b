"""What a window holds back at sending, and when it lets go."""

from datetime import timedelta
from typing import Any

import pytest
from alerting import update
from conftest import count_queries, make_project
from delivering import TIMED_OUT, claim_and_send, make_webhook
from holding import (
    HOUR,
    KEY,
    MINUTE,
    NOW,
    WEBHOOK,
    State,
    alert,
    claim,
    decide,
    deliveries,
    fail,
    make_window,
    work,
)
from services.incidents.happening import follow, tell
from simultaneous import at_once
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Delivery, DeliveryAttempt, Task
from taskbadger.services.delivery import claims, held, outbox, outcomes
from taskbadger.services.monitors import manage as monitors
from taskbadger.services.tasks import write
from taskbadger.services.windows import manage

pytestmark = pytest.mark.usefixtures("webhook")

DEPLOY = "held by ‹deploy›"


def test_message_in_a_window_waits_until_it_ends(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    fail(project, NOW + MINUTE)

    assert work(NOW + MINUTE) == []
    assert deliveries() == [State("waiting", DEPLOY, NOW + HOUR)]
    assert work(NOW + HOUR - MINUTE) == []
    assert work(NOW + HOUR) == [("job", 0)]
    assert deliveries() == [State("delivered", "was held by ‹deploy›", None)]
    # It was no attempt.
    assert (db.session.query(Delivery).one().attempts, db.session.query(DeliveryAttempt).all()) == (
        0,
        [],
    )


def test_own_action_of_a_task_is_held_too(project: ProjectRef) -> None:
    make_window(project)
    fail(project, actions=[{"trigger": "error", **WEBHOOK}])

    assert (work(NOW), work(NOW + HOUR)) == ([], [("job", 0)])


@pytest.mark.parametrize(
    ("scope", "held_names"),
    [
        ({}, ["job", "nightly", "watched", "elsewhere"]),
        ({"project": "web"}, ["job", "nightly", "watched"]),
        ({"name_pattern": "^night"}, ["nightly"]),
        ({"monitor": "watched"}, ["watched"]),
    ],
)
def test_window_holds_back_what_it_covers(
    project: ProjectRef, scope: dict[str, str], held_names: list[str]
) -> None:
    alert(project)
    watch = Watch(project, fields={"action": []})
    if "monitor" in scope:
        scope = {"monitor": str(watch.monitor.id)}
    make_window(project, **scope)
    for name in ("job", "nightly"):
        fail(project, name=name)
    fail(project, name="watched", monitor_id=watch.monitor.id)
    fail(make_project(slug="api"), name="elsewhere")

    sent = [name for name, _ in work(NOW)]

    assert sorted([*sent, *held_names]) == ["elsewhere", "job", "nightly", "watched"]


def test_message_about_a_deleted_task_is_held_by_what_it_says(project: ProjectRef) -> None:
    alert(project)
    make_window(project, project="web", name="project")
    make_window(project, name_pattern="^night", name="names", starts=NOW, ends=NOW + 2 * HOUR)
    fail(project)
    fail(project, NOW + timedelta(seconds=1), name="nightly")
    db.session.query(Task).delete()
    db.session.commit()

    assert work(NOW + timedelta(seconds=1)) == []
    assert [one.held_by for one in deliveries()] == ["held by ‹project›", "held by ‹names›"]
    assert work(NOW + 3 * HOUR) == [("job", 0), ("nightly", 0)]


@pytest.mark.parametrize("kind", ["test", "channel_disabled", "digest"])
def test_other_kinds_of_messages_are_never_held(project: ProjectRef, kind: str) -> None:
    make_window(project)
    alert(project)
    fail(project)
    db.session.query(Delivery).update({"kind": kind})
    db.session.commit()
    [claimed] = claim(NOW)

    assert held.is_affected(claimed, clock=lambda: NOW) is False


def test_test_of_a_channel_is_sent_in_a_window(project: ProjectRef, webhook: ChannelConfig) -> None:
    make_window(project)
    outbox.queue_test(webhook, now=NOW)
    db.session.commit()
    [claimed] = claim(NOW)

    assert decide(claimed, NOW) == claimed


def test_window_that_covers_nothing_now_costs_one_statement(project: ProjectRef) -> None:
    alert(project)
    make_window(project, starts=NOW + HOUR, ends=NOW + 2 * HOUR)
    fail(project)
    [claimed] = claim(NOW)

    with count_queries() as statements:
        is_affected = held.is_affected(claimed, clock=lambda: NOW)

    assert (is_affected, len(statements)) == (False, 1)


def change(window_id: int, project: ProjectRef, **changes: Any) -> None:
    manage.update_window(
        project.organization_id,
        window_id,
        changes,
        actor=SERVER,
        now=NOW + MINUTE,  # type: ignore[arg-type]  # as keywords
    )
    db.session.commit()


@pytest.mark.parametrize("way", ["deleted", "ended", "moved", "narrowed"])
def test_what_a_changed_window_no_longer_covers_is_sent_at_once(
    project: ProjectRef, way: str
) -> None:
    alert(project)
    window_id = make_window(project)
    fail(project)
    work(NOW)

    if way == "deleted":
        manage.delete_window(project.organization_id, window_id, actor=SERVER, now=NOW + MINUTE)
        db.session.commit()
    elif way == "ended":
        change(window_id, project, ends=NOW + MINUTE)
    elif way == "moved":
        change(window_id, project, starts=NOW + HOUR, ends=NOW + 2 * HOUR)
    else:
        change(window_id, project, name_pattern="other")

    assert work(NOW + MINUTE) == [("job", 0)]


def test_what_a_changed_window_still_covers_waits_for_its_new_end(project: ProjectRef) -> None:
    alert(project)
    window_id = make_window(project)
    fail(project)
    work(NOW)

    change(window_id, project, ends=NOW + 2 * HOUR, name="long deploy")

    assert work(NOW + MINUTE) == []
    assert deliveries() == [State("waiting", "held by ‹long deploy›", NOW + 2 * HOUR)]


def test_what_another_window_holds_is_left_to_it(project: ProjectRef) -> None:
    alert(project)
    window_id = make_window(project)
    make_window(project, name="night", starts=NOW, ends=NOW + 2 * HOUR, name_pattern="nightly")
    fail(project)
    fail(project, NOW + timedelta(seconds=1), name="nightly")
    work(NOW + timedelta(seconds=1))

    manage.delete_window(project.organization_id, window_id, actor=SERVER, now=NOW + MINUTE)
    db.session.commit()

    assert work(NOW + MINUTE) == [("job", 0)]
    assert deliveries()[1] == State("waiting", "held by ‹night›", NOW + 2 * HOUR)


def test_lost_lease_changes_nothing(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    fail(project)
    [first] = claim(NOW)
    [second] = claim(NOW + claims.LEASE)

    assert decide(first, NOW + claims.LEASE) is None
    assert [one.state for one in deliveries()] == ["sending"]
    assert decide(second, NOW + claims.LEASE) is None
    assert deliveries() == [State("waiting", DEPLOY, NOW + HOUR)]


def test_worker_that_died_before_it_decided_loses_nothing(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    for number in range(5):
        fail(project, NOW + timedelta(seconds=number))
    assert claim(NOW + MINUTE)  # By a worker that dies.

    assert work(NOW + MINUTE + claims.LEASE) == []
    assert deliveries() == [State("waiting", DEPLOY, NOW + HOUR)] * 5
    assert claim(NOW + HOUR)  # By another one that dies.
    assert work(NOW + HOUR + claims.LEASE) == [("job", 4)]
    assert [one.state for one in deliveries()] == [*["dropped"] * 4, "delivered"]


def test_change_of_a_window_and_a_decision_do_not_miss_each_other(
    app: Any, project: ProjectRef
) -> None:
    alert(project)
    for number in range(10):
        name = f"deploy {number}"
        window_id = make_window(project, name=name)
        fail(project)
        [claimed] = claim(NOW)
        at_once(
            app,
            lambda claimed=claimed: held.decide(claimed, now=NOW),
            lambda window_id=window_id: manage.delete_window(
                project.organization_id, window_id, actor=SERVER, now=NOW
            ),
        )
        # It was not held back, or is due again.
        assert deliveries()[-1].next_attempt_at in (NOW, NOW + claims.LEASE)
        db.session.query(Delivery).delete()
        db.session.commit()


def test_worker_sends_nothing_in_a_window(project: ProjectRef) -> None:
    now = utcnow()
    make_window(project, now)
    actions = [{"trigger": "error", **WEBHOOK}]
    write.create_task(
        project, {"name": "job", "status": "error", "actions": actions}, now=now, actor=KEY
    )
    db.session.commit()

    assert any(claim_and_send() for _ in range(5))  # None, if the clock seems to have jumped.
    assert not claim_and_send()

    assert deliveries() == [State("waiting", DEPLOY, now + HOUR)]


def test_retry_that_falls_into_a_window_waits_too(project: ProjectRef) -> None:
    alert(project)
    fail(project)
    db.session.query(Delivery).update({"attempts": 2})
    db.session.commit()
    make_window(project, NOW + MINUTE)

    assert work(NOW + MINUTE) == []
    assert work(NOW + MINUTE + HOUR) == [("job", 0)]


def test_firing_in_a_window_is_recorded_as_ever(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    make_webhook(project, "other")
    task_id = fail(project, status="processing")

    update(project, task_id, NOW + timedelta(seconds=1), status="error")

    assert [one.state for one in deliveries()] == ["waiting"]


def test_deleted_monitor_lets_go_of_what_its_windows_held(project: ProjectRef) -> None:
    alert(project)
    monitor = Watch(project, fields={"action": []}).monitor
    make_window(project, monitor=str(monitor.id))
    fail(project, monitor_id=monitor.id)
    assert work(NOW) == []

    monitors.delete_monitor(project, monitor.id, now=NOW + MINUTE, actor=SERVER)
    db.session.commit()

    assert work(NOW + MINUTE) == [("job", 0)]


@pytest.mark.parametrize("mode", ["every", "incident"])
def test_message_that_fails_again_after_a_window_is_held_by_nothing(
    project: ProjectRef, mode: str
) -> None:
    alert(project, mode=mode)
    fail(project)
    follow()
    tell()
    db.session.query(Delivery).update({"attempts": 2})
    db.session.commit()
    window_id = make_window(project, NOW + MINUTE)
    assert work(NOW + MINUTE) == []
    end = NOW + MINUTE + HOUR
    [claimed] = claim(end)

    ready = decide(claimed, end)

    assert ready is not None
    outcomes.finish(ready, TIMED_OUT, started=end, now=end)
    db.session.commit()
    [after_window] = deliveries()
    assert after_window.held_by == "was held by ‹deploy›"
    # A change of the window does not make it due.
    manage.delete_window(project.organization_id, window_id, actor=SERVER, now=end)
    db.session.commit()
    assert deliveries() == [after_window]


def test_message_of_a_deleted_task_was_held(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    fail(project)
    assert work(NOW) == []
    db.session.query(Task).delete()
    db.session.commit()

    assert work(NOW + HOUR) == [("job", 0)]
    assert deliveries() == [State("delivered", "was held by ‹deploy›", None)]
