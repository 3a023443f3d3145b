"""Links in messages: they start with the server's address, whatever changed the task or monitor."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from conftest import ApiClient
from flask import Flask
from people import browser_for, make_member
from sqlalchemy import select, update
from watching import Watch, at

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Slot, Task
from taskbadger.services.alerts import global_actions
from taskbadger.services.tasks import write
from taskbadger.worker import sweeps

MAIL = {"integration": "email", "config": {"to": "ops@example.com"}}
ANY_END = "pending,processing,stale,error,cancelled"
HERE = "http://localhost"
SETTING = "https://tasks.example.com/badger"


@pytest.fixture
def task_id(project: ProjectRef) -> str:
    """A task that runs, made before anybody is notified of changes."""
    made = write.create_task(
        project,
        {"name": "job", "status": "processing", "stale_timeout": 60, "max_runtime": 60},
        now=utcnow(),
        actor=Actor("key", "ci"),
    )
    data: Any = {"name": "all", "trigger": ANY_END, "channels": [MAIL]}
    global_actions.create_global_action(project.organization_id, data, actor=SERVER, now=utcnow())
    db.session.commit()
    return made.id


def links() -> list[str | None]:
    """Return the links of the messages, oldest first."""
    db.session.rollback()
    db.session.expire_all()
    query = select(Delivery.message).order_by(Delivery.created)
    return [json.loads(text)["url"] for text in db.session.scalars(query)]


API: dict[str, Callable[[ApiClient, str], object]] = {
    "create": lambda api, _: api.create(name="other"),
    "PATCH": lambda api, task_id: api.patch(f"/tasks/{task_id}/", {"status": "error"}),
    "PUT": lambda api, task_id: api.put(f"/tasks/{task_id}/", {"name": "job", "status": "error"}),
    "DELETE": lambda api, task_id: api.delete(f"/tasks/{task_id}/"),
    "batch": lambda api, task_id: api.post(
        "/tasks/batch/", {"operations": [{"op": "cancel", "id": task_id}]}
    ),
}


@pytest.mark.parametrize("name", API)
def test_links_of_the_api_start_with_where_it_was_called(
    api: ApiClient, task_id: str, name: str
) -> None:
    API[name](api, task_id)

    (link,) = links()
    assert link is not None
    assert link.startswith(f"{HERE}/a/acme/tasks/")


@pytest.mark.parametrize("path", ["tasks/{task}/cancel", "tasks/cancel"])
def test_links_of_pages_start_with_where_they_are(app: Flask, task_id: str, path: str) -> None:
    browser_for(app, make_member()).post(f"/a/acme/{path.format(task=task_id)}", {"task": task_id})

    assert links() == [f"{HERE}/a/acme/tasks/{task_id}/"]


@pytest.mark.parametrize(
    ("column", "step"), [("stale_at", sweeps.mark_stale), ("overdue_at", sweeps.mark_overdue)]
)
def test_links_of_the_worker_start_with_the_setting(
    make_app: Callable[..., Flask], task_id: str, column: str, step: Callable[[], bool]
) -> None:
    other = make_app(BASE_URL=f"{SETTING}/")
    db.session.execute(update(Task).values({column: utcnow() - timedelta(seconds=1)}))
    db.session.commit()

    with other.app_context():
        step()

    assert links() == [f"{SETTING}/a/acme/tasks/{task_id}/"]


def test_links_of_the_worker_are_relative_without_the_setting(task_id: str) -> None:
    db.session.execute(update(Task).values(stale_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()

    sweeps.mark_stale()

    assert links() == [f"/a/acme/tasks/{task_id}/"]


def test_links_of_monitors_start_with_what_their_callers_say(
    project: ProjectRef, make_app: Callable[..., Flask]
) -> None:
    watch = Watch(project)
    watch.run("11:40", "success")
    write.create_task(
        project,
        {"name": "job", "status": "error"},
        now=at("12:00"),
        actor=Actor("key", "ci"),
        monitor_id=watch.monitor.id,
        base_url=HERE,
    )
    db.session.commit()
    by_task = links()
    watch.run("13:00", "success")
    db.session.execute(update(Slot).values(deadline_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()

    with make_app(BASE_URL=SETTING).app_context():
        sweeps.close_slots()

    path = f"/a/acme/monitors/{watch.monitor.id}/"
    assert by_task == [HERE + path]
    assert links()[1:] == [None, SETTING + path]
