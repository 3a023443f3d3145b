"""What fired: quiet periods, and what is deleted meanwhile or afterwards."""

import json
import threading

import pytest
from alerting import MAIL, NOW, after, create, firings, make_global_action, queued, update
from flask import Flask
from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Task
from taskbadger.services.alerts import global_actions


@pytest.mark.parametrize("quiet_period", [0, 600])
def test_change_survives_that_its_global_action_is_deleted_meanwhile(
    app: Flask, project: ProjectRef, quiet_period: int
) -> None:
    global_action_id = make_global_action(project, quiet_period=quiet_period)
    task_id = create(project)
    failures: list[Exception] = []

    def fail_task() -> None:
        with app.app_context():
            try:
                update(project, task_id, after(seconds=1), status="error")
            except Exception as error:
                failures.append(error)

    global_actions.delete_global_action(
        project.organization_id, global_action_id, actor=SERVER, now=NOW
    )
    changing = threading.Thread(target=fail_task)
    changing.start()
    changing.join(0.3)
    db.session.commit()
    changing.join()

    assert (failures, queued()) == ([], [])
    assert db.session.scalars(select(Task.status)).all() == ["error"]


def test_quiet_period_holds_back_and_notifies_at_its_end(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    for minutes in (0, 1, 2, 3):
        create(project, now=after(minutes=minutes), name=f"job {minutes}", status="error")

    db.session.commit()
    first, summary = db.session.scalars(select(Delivery).order_by(Delivery.created)).all()
    assert first.next_attempt_at == NOW
    assert Message.from_json(first.message).held_back == 0
    assert summary.next_attempt_at == after(minutes=10)
    message = Message.from_json(summary.message)
    assert (message.id, message.title, message.held_back) == (summary.id, "job 3: error", 2)
    assert [firing.held_back for firing in firings()] == [False, True, True, True]


def test_message_that_waits_for_the_end_of_a_quiet_period_follows_a_corrected_address(
    project: ProjectRef,
) -> None:
    global_action_id = make_global_action(project, quiet_period=600)
    for minutes in (0, 1):
        create(project, now=after(minutes=minutes), status="error")

    corrected = {"channels": [{**MAIL, "config": {"to": "b@example.org"}}]}
    global_actions.update_global_action(
        project.organization_id, global_action_id, corrected, actor=SERVER, now=after(minutes=2)
    )
    create(project, now=after(minutes=3), status="error")

    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.created)).all()
    assert [(json.loads(one.config), one.destination) for one in found] == [
        ({"to": "a@example.com"}, "email:example.com"),
        ({"to": "b@example.org"}, "email:example.org"),
    ]


def test_message_at_the_end_of_a_quiet_period_begins_the_next(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    for minutes in (0, 1, 11, 19, 30):
        create(project, now=after(minutes=minutes), name=f"job {minutes}", status="error")

    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.next_attempt_at)).all()
    titles = [(Message.from_json(one.message).title, one.next_attempt_at) for one in found]
    assert titles == [
        ("job 0: error", NOW),
        ("job 1: error", after(minutes=10)),
        ("job 19: error", after(minutes=20)),
        ("job 30: error", after(minutes=30)),
    ]


def test_quiet_period_without_anything_held_back_ends_silently(project: ProjectRef) -> None:
    make_global_action(project, quiet_period=600)

    create(project, now=NOW, status="error")
    create(project, now=after(minutes=11), status="error")

    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.created)).all()
    assert [one.next_attempt_at for one in found] == [NOW, after(minutes=11)]


def test_deleted_task_takes_its_firings_but_not_its_deliveries(project: ProjectRef) -> None:
    task_id = create(project, status="error", actions=[{"trigger": "error", **MAIL}])
    db.session.execute(db.text("DELETE FROM task"))
    db.session.commit()

    assert (firings(), queued()) == ([], [("email", "error")])
    assert Message.from_json(db.session.scalars(select(Delivery)).one().message).task["id"] == (
        task_id
    )
