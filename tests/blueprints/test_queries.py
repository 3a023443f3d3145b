"""How many statements each endpoint sends: the same for 1 and for 100 rows."""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import ApiClient, count_queries
from flask import Flask
from watching import Watch
from werkzeug.test import TestResponse

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db

EMAIL = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
Call = Callable[[ApiClient, str, str], TestResponse]


def call(method: str, path: str, **options: Any) -> Call:
    return lambda api, task, action: api.open(
        method, path.format(task=task, action=action), **options
    )


ENDPOINTS: dict[str, tuple[Call, int]] = {
    "task_list": (call("GET", "/tasks/"), 1),
    "task_list filtered": (
        call("GET", "/tasks/?status=pending&search=j&tag=a:b&name=job&page_size=50"),
        1,
    ),
    "task_get": (call("GET", "/tasks/{task}/"), 1),
    "task_create": (call("POST", "/tasks/", json={"name": "job"}), 2),
    "task_partial_update": (call("PATCH", "/tasks/{task}/", json={"name": "new"}), 2),
    "task_partial_update of state": (
        call("PATCH", "/tasks/{task}/", json={"status": "post_processing"}),
        4,
    ),
    "task_partial_update to a failure": (
        call("PATCH", "/tasks/{task}/", json={"status": "error"}),
        6,
    ),
    "task_create of a failure": (
        call("POST", "/tasks/", json={"name": "job", "status": "error"}),
        4,
    ),
    "task_update": (call("PUT", "/tasks/{task}/", json={"name": "new"}), 2),
    "task_cancel": (call("DELETE", "/tasks/{task}/"), 4),
    "task_events": (call("GET", "/tasks/{task}/events/"), 2),
    "action_list": (call("GET", "/tasks/{task}/actions/"), 2),
    "action_create": (call("POST", "/tasks/{task}/actions/", json=EMAIL), 2),
    "action_get": (call("GET", "/tasks/{task}/actions/{action}/"), 2),
    "action_update": (call("PUT", "/tasks/{task}/actions/{action}/", json=EMAIL), 3),
    "action_partial_update": (
        call("PATCH", "/tasks/{task}/actions/{action}/", json={"trigger": "error"}),
        3,
    ),
    "action_cancel": (call("DELETE", "/tasks/{task}/actions/{action}/"), 3),
}


def fill(api: ApiClient, rows: int) -> tuple[str, str]:
    """Make so many tasks; the last has so many actions and entries of history."""
    for _ in range(rows - 1):
        api.create(tags={"a": "b"})
    task = api.create(tags={"a": "b"}, actions=[EMAIL] * rows)
    path = f"/tasks/{task['id']}/"
    for number in range(rows - 1):
        api.patch(path, json={"status": ["processing", "pending"][number % 2]})
    action = (api.get(f"{path}actions/").json or [])[0]
    return task["id"], str(action["id"])


WRITES = [name for name in ENDPOINTS if name.startswith(("task_create", "task_partial_update"))]


@pytest.mark.parametrize("name", WRITES)
def test_monitor_of_another_name_costs_no_statement(
    app: Flask, api: ApiClient, project: ProjectRef, name: str
) -> None:
    Watch(project, fields={"task_name": "watched"})
    task, action = fill(api, 1)
    send, expected = ENDPOINTS[name]
    db.session.rollback()

    with count_queries() as statements:
        send(api, task, action)

    assert len(statements) == expected, "\n\n".join(statements)


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("rows", [1, 100])
def test_number_of_statements_is_pinned(app: Flask, api: ApiClient, name: str, rows: int) -> None:
    task, action = fill(api, rows)
    send, expected = ENDPOINTS[name]
    db.session.rollback()

    with count_queries() as statements:
        answer = send(api, task, action)

    assert answer.status_code in (200, 201, 204), answer.text
    assert len(statements) == expected, "\n\n".join(statements)
