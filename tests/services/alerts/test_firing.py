"""Firing through the real door: what changes of tasks queue, exactly once."""

import json
from typing import Any

import pytest
from alerting import KEY, MAIL, NOW, after, create, firings, make_global_action, queued, update
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from simultaneous import at_once, numbered
from sqlalchemy import select

from taskbadger.channels import Message, SendContext
from taskbadger.channels.http import dump
from taskbadger.channels.webhook import payload
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Task
from taskbadger.outbound import Sender
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import reads
from taskbadger.services.tasks import write as task_writes


def points() -> list[str]:
    return [json.loads(firing.reason)["point"] for firing in firings()]


def make_webhook(project: ProjectRef, slug: str = "ops") -> None:
    channels.create_channel(
        project.organization_id,
        "webhook",
        slug,
        slug,
        {"url": "http://127.0.0.1:9/hook"},
        actor=SERVER,
        context=SendContext(http=Sender.allowing(("127.0.0.0/8",))),
        now=NOW,
    )
    db.session.commit()


@pytest.mark.parametrize(
    ("trigger", "changes", "fired"),
    [
        (
            "*/30%",
            [{"value": value} for value in (0, 10, 30, 59, 60, 89, 90, 100)],
            ["0", "30", "60", "90"],
        ),
        (
            "success,error,stale",
            [{"status": "processing"}, {"status": "error"}, {"status": "success"}],
            ["error", "success"],
        ),
        ("95%,250,error", [{"value": 94}, {"value": 95}, {"status": "error"}], ["95", "error"]),
        ("20,40,80", [{"value": 0}, {"value": 90}], ["80"]),
        ("100,success", [{"value": 100, "status": "success"}], ["success"]),
        ("50", [{"value": 60}, {"value": 40}, {"value": 50}], ["50", "50"]),
        ("stale", [{"data": "1"}, {}, {"tags": {"a": "b"}}], []),
    ],
)
def test_pinned_examples_fire_as_the_contract_says(
    api: ApiClient, trigger: str, changes: list[dict[str, Any]], fired: list[str]
) -> None:
    task = api.create(actions=[{"trigger": trigger, **MAIL}])

    for change in changes:
        assert api.patch(f"/tasks/{task['id']}/", json=change).status_code == 200

    reached = [str(json.loads(firing.reason)["reached"]) for firing in firings()]
    assert reached == fired
    assert [integration for integration, _ in queued()] == ["email"] * len(fired)


@pytest.mark.parametrize("number", ["9" * 5000, "-1e400"])
def test_data_that_python_has_no_number_for_fires_and_is_sent(
    api: ApiClient, project: ProjectRef, number: str
) -> None:
    make_webhook(project)
    body = f"""{{"name": "job", "data": {{"n": {number}}},
        "actions": [{{"trigger": "error", "integration": "webhook:ops", "config": {{}}}}]}}"""
    api.post(data=body, content_type="application/json")
    task_id = db.session.scalar(select(Task.id))

    answer = api.patch(f"/tasks/{task_id}/", json={"status": "error"})

    assert answer.status_code == 200
    db.session.commit()
    [delivery] = db.session.scalars(select(Delivery))
    sent = json.loads(dump(payload(Message.from_json(delivery.message))))
    assert sent["data"]["task"]["data"] == {"n": number}


def test_value_past_250_fires_that_point_of_the_pinned_example(api: ApiClient) -> None:
    task = api.create(value_max=1000, actions=[{"trigger": "95%,250,error", **MAIL}])

    api.patch(f"/tasks/{task['id']}/", json={"value": 251})

    assert points() == ["250"]


def test_creation_fires_what_it_reaches(api: ApiClient) -> None:
    api.create(status="error", actions=[{"trigger": "error", **MAIL}])

    assert queued() == [("email", "error")]


def test_message_shows_the_task_as_it_was_at_the_moment_of_the_change(api: ApiClient) -> None:
    task = api.create(data={"n": 1.0}, actions=[{"trigger": "50%", **MAIL}])
    path = f"/tasks/{task['id']}/"
    reached = api.patch(path, json={"value": 50}).json
    api.patch(path, json={"value": 99, "data": None})

    delivery = db.session.scalars(select(Delivery)).one()
    message = Message.from_json(delivery.message)
    assert message.task == reached
    assert message.id == delivery.id
    assert message.title == "job: pending at 50 %"
    assert message.url == reached["url"]
    assert message.action == {"id": message.action["id"], "trigger": "50%", **MAIL}
    assert message.reasons == (
        {"point": "50%", "kind": "percent", "reached": 50, "before": None, "after": 50},
    )


def test_cancelled_action_does_not_fire(api: ApiClient) -> None:
    task = api.create(actions=[{"trigger": "error", **MAIL}, {"trigger": "success", **MAIL}])
    path = f"/tasks/{task['id']}/actions/"
    first = api.get(path).json[0]["id"]
    assert api.delete(f"{path}{first}/").status_code == 204

    api.patch(f"/tasks/{task['id']}/", json={"status": "error"})

    assert queued() == []


def test_refused_update_fires_nothing(api: ApiClient) -> None:
    task = api.create(actions=[{"trigger": "error", **MAIL}])

    response = api.patch(
        f"/tasks/{task['id']}/",
        json={"status": "error", "actions": [{"trigger": "x", **MAIL}]},
    )

    assert response.status_code == 400
    assert (queued(), firings()) == ([], [])


def test_eight_writers_at_once_fire_each_reached_point_once(
    app: Flask, project: ProjectRef
) -> None:
    task_id = create(project, actions=[{"trigger": "*/10", **MAIL}], value_max=400)
    make_global_action(project, trigger="*/20")

    def write(first: int) -> None:
        for value in range(first, 200, 8):
            current = reads.lock_task(project, task_id).value or 0
            fields = {"value": max(current, value)}
            task_writes.update_task(project, task_id, fields, now=utcnow(), actor=KEY)
            db.session.commit()

    at_once(app, *numbered(8, write))

    reached: dict[bool, list[int]] = {True: [], False: []}
    for firing in firings():
        reached[firing.action_id is None].append(json.loads(firing.reason)["reached"])
    assert reached[False] == sorted(set(reached[False]))
    assert reached[True] == sorted(set(reached[True]))
    assert (reached[False][-1], reached[True][-1]) == (190, 180)


def test_ping_asks_nothing_more_of_the_database(api: ApiClient) -> None:
    plain = api.create()
    acting = api.create(actions=[{"trigger": "error", **MAIL}])

    def queries(task: dict[str, Any], change: dict[str, Any]) -> int:
        db.session.rollback()
        with count_queries() as statements:
            assert api.patch(f"/tasks/{task['id']}/", json=change).status_code == 200
        return len(statements)

    base = queries(plain, {"data": 1})
    assert queries(acting, {"data": 2}) == base
    with_status = queries(plain, {"status": "processing"})
    assert queries(acting, {"status": "processing"}) == with_status + 1


def test_global_action_fires_for_the_tasks_that_its_filters_let_through(
    project: ProjectRef,
) -> None:
    other = make_project(slug="batch")
    foreign = make_project("globex", "web")
    make_webhook(project)
    hook = {"integration": "webhook:ops", "config": {}}
    make_global_action(project, name_pattern="^nightly ", project="web", channels=[MAIL, hook])

    for place in (project, other, foreign):
        create(place, name="nightly import", status="error")
        create(place, name="the nightly import", status="error")

    assert queued() == [("email", "error"), ("webhook:ops", "error")]


def test_disabled_global_action_does_not_fire(project: ProjectRef) -> None:
    global_action_id = make_global_action(project)
    global_actions.update_global_action(
        project.organization_id, global_action_id, {"enabled": False}, actor=SERVER, now=NOW
    )
    db.session.commit()

    create(project, status="error")

    assert queued() == []


def test_new_global_action_counts_from_the_next_change(project: ProjectRef) -> None:
    task_id = create(project)
    make_global_action(project)

    update(project, task_id, after(seconds=1), status="error")

    assert queued() == [("email", "error")]
