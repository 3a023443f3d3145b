"""Firing through the real door: what changes of tasks queue, exactly once."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from simultaneous import at_once, numbered
from sqlalchemy import select

from taskbadger.channels import Message, SendContext
from taskbadger.channels.http import dump
from taskbadger.channels.webhook import payload
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing, Task
from taskbadger.outbound import Sender
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import reads
from taskbadger.services.tasks import write as task_writes

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
MAIL = {"integration": "email", "config": {"to": "a@example.com"}}


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def queued() -> list[tuple[str, str]]:
    """Every delivery's integration and trigger point, by firing and integration."""
    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.firing_id, Delivery.integration))
    return [(one.integration, Message.from_json(one.message).trigger or "") for one in found]


def points() -> list[str]:
    return [json.loads(firing.reason)["point"] for firing in firings()]


def firings() -> list[Firing]:
    db.session.commit()
    return list(db.session.scalars(select(Firing).order_by(Firing.id)))


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


def make_global_action(place: ProjectRef, **fields: Any) -> int:
    made = global_actions.create_global_action(
        place.organization_id,
        {"name": "all errors", "trigger": "error", "channels": [MAIL], **fields},
        actor=SERVER,
        now=NOW,
    )
    global_action_id = made.id
    db.session.commit()
    return global_action_id


def create(project: ProjectRef, now: datetime = NOW, **fields: Any) -> str:
    made = task_writes.create_task(project, {"name": "job", **fields}, now=now, actor=KEY)
    db.session.commit()
    return str(made.id)


def update(project: ProjectRef, task_id: str, now: datetime, **fields: Any) -> None:
    task_writes.update_task(project, task_id, fields, now=now, actor=KEY)
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


def test_new_global_action_counts_from_the_next_change(project: ProjectRef) -> None:
    task_id = create(project)
    make_global_action(project)

    update(project, task_id, after(seconds=1), status="error")

    assert queued() == [("email", "error")]


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
