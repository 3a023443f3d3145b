"""What fired: its messages, and what is deleted meanwhile or afterwards."""

import json
import threading
from typing import Any

import pytest
from alerting import MAIL, NOW, after, create, firings, make_global_action, queued, update
from flask import Flask
from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Task
from taskbadger.services.alerts import global_actions
from taskbadger.services.tasks import write


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


def test_message_says_why_the_task_failed(project: ProjectRef) -> None:
    make_global_action(project, trigger="error,50,success")
    task_id = create(project, status="error", data=json.dumps({"exception": "KeyError: 'a'"}))
    update(project, task_id, after(seconds=1), status="processing", value=50)
    update(project, task_id, after(seconds=2), status="success")

    assert errors_told() == ["KeyError: 'a'", None, None]


@pytest.mark.parametrize(
    ("mark", "fields", "error"),
    [
        (write.mark_stale, {"stale_timeout": 600}, "No update for 10 min"),
        (
            write.mark_overdue,
            {"max_runtime": 900},
            "Stopped by the server: ran longer than 15 min",
        ),
    ],
)
def test_message_says_what_the_server_did(
    project: ProjectRef, mark: Any, fields: dict[str, int], error: str
) -> None:
    make_global_action(project, trigger="stale,error")
    task_id = create(project, status="processing", **fields)

    mark(project, [task_id], now=after(hours=1))

    assert errors_told() == [error]


def errors_told() -> list[str | None]:
    """Why tasks failed, as messages say."""
    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.firing_id)).all()
    return [Message.from_json(one.message).error for one in found]


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


def test_deleted_task_takes_its_firings_but_not_its_deliveries(project: ProjectRef) -> None:
    task_id = create(project, status="error", actions=[{"trigger": "error", **MAIL}])
    db.session.execute(db.text("DELETE FROM task"))
    db.session.commit()

    assert (firings(), queued()) == ([], [("email", "error")])
    assert Message.from_json(db.session.scalars(select(Delivery)).one().message).task["id"] == (
        task_id
    )
