"""Messages that are held back while what fired is deleted, turned off or changed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from alerting import make_global_action
from conftest import ApiClient, make_project
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
    make_window,
    work,
)
from simultaneous import at_once

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, GlobalAction, Task
from taskbadger.services.alerts import global_actions, pacing
from taskbadger.services.delivery import claims

pytestmark = pytest.mark.usefixtures("webhook")
SECOND = timedelta(seconds=1)
OFF = "its alert rule was turned off"
DELETED = "its alert rule was deleted"


def change(project: ProjectRef, number: int, **changes: Any) -> None:
    global_actions.update_global_action(
        project.organization_id,
        number,
        changes,  # type: ignore[arg-type]  # as keywords
        actor=SERVER,
        now=NOW,
    )
    db.session.commit()


def delete(project: ProjectRef, number: int, now: datetime = NOW + SECOND) -> None:
    global_actions.delete_global_action(project.organization_id, number, actor=SERVER, now=now)
    db.session.commit()


Holder = Callable[[ProjectRef], int]


def by_retry(project: ProjectRef) -> int:
    """Hold a message back until NOW + HOUR by the wait for a retry."""
    number = alert(project, wait_for_retry=3600)
    fail(project)
    return number


def by_window(project: ProjectRef) -> int:
    """Hold a message back until NOW + HOUR by a window."""
    number = alert(project)
    make_window(project)
    fail(project)
    assert work(NOW) == []
    return number


def by_quiet_period(project: ProjectRef) -> int:
    """Hold a message back until NOW + HOUR by a quiet period."""
    number = alert(project, quiet_period=3600)
    fail(project)
    assert work(NOW) == [("job", 0)]
    fail(project, NOW + SECOND)
    return number


HOLDERS = pytest.mark.parametrize("hold", [by_retry, by_window, by_quiet_period])


@HOLDERS
def test_what_is_held_is_not_sent_if_its_global_action_is_turned_off(
    project: ProjectRef, hold: Holder
) -> None:
    change(project, hold(project), enabled=False)

    assert work(NOW + HOUR) == []
    assert deliveries()[-1] == State("dropped", OFF, None)


@HOLDERS
def test_what_is_held_is_sent_if_its_global_action_is_on_again(
    project: ProjectRef, hold: Holder
) -> None:
    number = hold(project)
    change(project, number, enabled=False)
    change(project, number, enabled=True)

    assert work(NOW + HOUR) == [("job", 0)]


@HOLDERS
def test_what_is_held_is_dropped_when_its_global_action_is_deleted(
    project: ProjectRef, hold: Holder
) -> None:
    delete(project, hold(project))

    assert deliveries()[-1] == State("dropped", DELETED, None)
    assert work(NOW + 2 * HOUR) == []


@HOLDERS
def test_what_is_held_is_sent_as_it_fired_if_its_global_action_was_changed(
    project: ProjectRef, hold: Holder
) -> None:
    change(project, hold(project), trigger="success", name_pattern="other", name="renamed")

    assert work(NOW + HOUR) == [("job", 0)]


@HOLDERS
def test_what_was_claimed_when_its_global_action_is_deleted_is_not_sent(
    project: ProjectRef, hold: Holder
) -> None:
    number = hold(project)
    [claimed] = claim(NOW + HOUR)
    delete(project, number, NOW + HOUR)

    assert decide(claimed, NOW + HOUR) is None
    assert deliveries()[-1] == State("dropped", DELETED, None)


@HOLDERS
def test_what_is_held_is_not_sent_if_its_global_action_is_deleted_before_it_is_locked(
    project: ProjectRef, hold: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = hold(project)
    [claimed] = claim(NOW + HOUR)
    lock = pacing.lock

    def lock_late(global_action_id: int) -> object:
        global_actions.delete_global_action(
            project.organization_id, number, actor=SERVER, now=NOW + HOUR
        )
        return lock(global_action_id)

    monkeypatch.setattr(pacing, "lock", lock_late)

    assert decide(claimed, NOW + HOUR) is None
    assert deliveries()[-1] == State("dropped", DELETED, None)


def test_quiet_period_whose_message_was_not_sent_begins_no_other(project: ProjectRef) -> None:
    number = by_quiet_period(project)
    change(project, number, enabled=False)
    assert work(NOW + HOUR) == []
    change(project, number, enabled=True)

    fail(project, NOW + HOUR + MINUTE, name="next")

    assert work(NOW + HOUR + MINUTE) == [("next", 0)]


def test_window_combines_nothing_into_what_was_turned_off(project: ProjectRef) -> None:
    make_window(project)
    off = alert(project)
    alert(project)
    fail(project)
    fail(project, NOW + SECOND)
    assert work(NOW + SECOND) == []
    change(project, off, enabled=False)

    assert work(NOW + HOUR) == [("job", 1)]
    assert sorted(one.held_by or "" for one in deliveries()) == [
        "combined into a later message",
        OFF,
        OFF,
        "was held by ‹deploy›",
    ]


def test_message_of_an_action_that_was_cancelled_in_a_window_is_not_sent(
    project: ProjectRef,
) -> None:
    make_window(project)
    fail(project, actions=[{"trigger": "error", **WEBHOOK}])
    assert work(NOW) == []
    db.session.query(Action).update({"status": "cancelled"})
    db.session.commit()

    assert work(NOW + HOUR) == []
    assert deliveries() == [State("dropped", "its action was cancelled", None)]


def test_what_was_not_held_is_sent_though_its_global_action_is_gone(project: ProjectRef) -> None:
    number = alert(project)
    fail(project)
    delete(project, number)

    assert work(NOW + MINUTE) == [("job", 0)]


def test_what_was_tried_before_is_sent_though_its_global_action_is_off(project: ProjectRef) -> None:
    """It may have reached some of its recipients."""
    number = by_retry(project)
    db.session.query(Delivery).update({"attempts": 1})
    change(project, number, enabled=False)

    assert work(NOW + HOUR) == [("job", 0)]


def test_held_message_of_a_deleted_task_knows_its_global_action(project: ProjectRef) -> None:
    number = by_window(project)
    db.session.query(Task).delete()
    db.session.commit()
    delete(project, number)

    assert work(NOW + HOUR) == []
    assert deliveries() == [State("dropped", DELETED, None)]


@pytest.mark.parametrize("where", ["same organization", "another organization"])
def test_message_of_a_deleted_global_action_is_not_one_of_a_later_one_with_its_id(
    project: ProjectRef, where: str
) -> None:
    """SQLite gives the ids of deleted rows again."""
    number = by_window(project)
    db.session.query(Task).delete()
    db.session.commit()
    delete(project, number)
    is_other = where == "another organization"
    place = make_project("globex") if is_other else project
    later = make_global_action(place, NOW - HOUR if is_other else NOW + SECOND)
    db.session.query(GlobalAction).filter_by(id=later).update({"id": number})
    db.session.commit()

    assert work(NOW + HOUR) == []
    assert deliveries() == [State("dropped", DELETED, None)]


def test_change_that_fires_while_its_global_action_is_deleted_sends_nothing(
    app: Flask, project: ProjectRef
) -> None:
    for _ in range(5):
        number = alert(project, wait_for_retry=3600)
        at_once(
            app,
            lambda: fail(project),
            lambda number=number: delete(project, number),
        )

    assert work(NOW + HOUR) == []
    assert {one.held_by for one in deliveries()} <= {DELETED}


def test_worker_that_died_before_it_dropped_a_message_is_followed_by_another(
    project: ProjectRef,
) -> None:
    number = by_retry(project)
    change(project, number, enabled=False)
    assert claim(NOW + HOUR)  # By a worker that dies.

    assert work(NOW + HOUR + claims.LEASE) == []
    assert deliveries() == [State("dropped", OFF, None)]


def test_task_says_what_became_of_its_message(api: ApiClient, project: ProjectRef) -> None:
    deleted = alert(project, wait_for_retry=3600, name="deleted")
    off = alert(project, wait_for_retry=3600, name="off")
    task_id = fail(project)
    delete(project, deleted)
    change(project, off, enabled=False)
    work(NOW + HOUR)

    found = api.get(f"/tasks/{task_id}/alerts/").json

    def shown(number: int, name: str, condition: str, why: str) -> tuple[object, ...]:
        dropped = [("webhook:ops", "dropped", why)]
        return "global_action", number, name, "error", ["webhook:ops"], [condition], dropped

    assert [
        (
            *(each[field] for field in ("kind", "id", "name", "trigger", "integrations")),
            each["conditions"],
            [
                (sent["integration"], sent["state"], sent["held_by"])
                for sent in each["fired"][0]["deliveries"]
            ],
        )
        for each in found
    ] == [
        shown(off, "off", "It is turned off.", OFF),
        shown(deleted, "deleted", "It was deleted.", DELETED),
    ]
