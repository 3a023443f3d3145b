"""What is not yours is not there: every endpoint of the route table, with every wrong key."""

from datetime import timedelta
from typing import Any

import pytest
from answers import AUTHENTICATION_FAILED, NOT_AUTHENTICATED, NOT_FOUND, problem
from blueprints.dashboard.routes import is_door_api
from conftest import FIXTURES, ApiClient, make_key, make_project
from flask import Flask
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import Action, ApiKey, Task, TaskEvent
from taskbadger.services.organizations import keys

OPEN = ("/api/schema.json", "/api/docs")
"""What anyone may read."""
EMAIL = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}


@pytest.fixture
def victim(api: ApiClient) -> dict[str, str]:
    """What would show: a task of ``acme/web`` with an action, as values of URLs."""
    task = api.create(name="secret", tags={"a": "b"}, actions=[EMAIL])
    action = (api.get(f"/tasks/{task['id']}/actions/").json or [])[0]
    return {"task": task["id"], "action": str(action["id"])}


def endpoints(app: Flask, victim: dict[str, str], *, projects_only: bool) -> list[tuple[str, str]]:
    """Return method and path of every endpoint below ``/api/`` that needs a key."""
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.rule.startswith("/api/") or rule.rule.rstrip("/") in OPEN:
            continue
        if is_door_api(rule):  # The tests of each door have their own.
            continue
        if projects_only and "project_slug" not in rule.arguments:
            continue
        task_level = rule.endpoint.startswith("tasks.")
        values = {
            "organization_slug": "acme",
            "project_slug": "web",
            "task_id": victim["task"],
            "id": victim["task"] if task_level else victim["action"],
        }
        path = rule.rule
        for name in rule.arguments:
            path = path.replace(f"<{name}>", values.get(name, "web"))
        assert "<" not in path, f"{rule.rule}: say what stands for its arguments"
        methods = sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
        found += [(method, path) for method in methods]
    return found


def stand() -> list[Any]:
    counts = [select(func.count()).select_from(table) for table in (Task, Action, TaskEvent)]
    found = [db.session.scalar(count) for count in counts]
    found += db.session.execute(select(Task.version, Task.status)).one()
    db.session.rollback()
    return found


def bad_key(kind: str) -> str | None:
    """Return a key that does not open ``acme/web``."""
    now = utcnow()
    if kind == "another project's":
        return make_key(slug="other")
    if kind == "another organization's project's":
        return make_key("rival", "web")
    if kind == "another organization's":
        return make_key("rival", None)
    if kind == "expired":
        return make_key(expires=now - timedelta(seconds=1))
    if kind == "revoked":
        key = make_key(name="revoked")
        row = db.session.scalars(select(ApiKey).where(ApiKey.name == "revoked")).one()
        keys.revoke_key(row, actor=FIXTURES, now=now)
        db.session.commit()
        return key
    return {"none": None, "malformed": "a/b c", "unknown": "0123456789ab.secret"}[kind]


@pytest.mark.parametrize(
    ("kind", "status", "code", "detail"),
    [
        ("another project's", 404, *NOT_FOUND),
        ("another organization's project's", 404, *NOT_FOUND),
        ("another organization's", 404, *NOT_FOUND),
        ("expired", 401, *AUTHENTICATION_FAILED),
        ("revoked", 401, *AUTHENTICATION_FAILED),
        ("malformed", 401, *AUTHENTICATION_FAILED),
        ("unknown", 401, *AUTHENTICATION_FAILED),
        ("none", 401, *NOT_AUTHENTICATED),
    ],
)
def test_no_endpoint_answers_a_wrong_key(
    app: Flask,
    api: ApiClient,
    victim: dict[str, str],
    kind: str,
    status: int,
    code: str,
    detail: str,
) -> None:
    api.key = bad_key(kind)
    before = stand()
    # A key of another project belongs to the organization: what is the organization's is another
    # question, which scopes answer.
    asked = endpoints(app, victim, projects_only=kind == "another project's")

    answers = {
        (method, path): (answer.status_code, answer.json)
        for method, path in asked
        for answer in [api.open(method, path, **({"json": {}} if method != "GET" else {}))]
    }

    assert answers == dict.fromkeys(asked, (status, problem(code, detail)))
    assert stand() == before
    assert len(asked) >= 24


def test_ids_of_another_project_are_unknown_in_ones_own(
    app: Flask, api: ApiClient, victim: dict[str, str]
) -> None:
    make_project(slug="other")
    stranger = ApiClient(app.test_client(), make_key(slug="other"), "/api/acme/other")
    before = stand()
    asked = [
        (method, path.replace("/web/", "/other/"))
        for method, path in endpoints(app, victim, projects_only=True)
        if victim["task"] in path
    ]

    for method, path in asked:
        answer = stranger.open(method, path, **({"json": EMAIL} if method != "GET" else {}))
        if method == "PUT" and "actions" not in path:
            answer = stranger.open(method, path, json={"name": "mine"})
        assert (method, path, answer.json) == (method, path, problem(*NOT_FOUND))
    assert len(asked) >= 20
    assert stand() == before


def test_action_of_another_task_is_unknown(api: ApiClient, victim: dict[str, str]) -> None:
    own = api.create()

    for method in ("GET", "PUT", "PATCH", "DELETE"):
        path = f"/tasks/{own['id']}/actions/{victim['action']}/"
        answer = api.open(method, path, **({"json": EMAIL} if method != "GET" else {}))
        assert (answer.status_code, answer.json) == (404, problem(*NOT_FOUND))


def test_lists_hold_the_tasks_of_their_project_alone(
    app: Flask, api: ApiClient, victim: dict[str, str]
) -> None:
    make_project(slug="other")
    other = ApiClient(app.test_client(), make_key(slug=None), "/api/acme/other")
    own = other.create(name="secret", tags={"a": "b"})
    empty = {"next": None, "previous": None, "results": []}

    for query in ("", "?search=secret", "?name=secret", "?tag=a:b", "?status=pending"):
        listed = other.get(f"/tasks/{query}").json
        assert listed == {"next": None, "previous": None, "results": [own]}
    assert other.get(f"/tasks/?parent={victim['task']}").json == empty


def test_parent_of_another_project_does_not_exist(
    app: Flask, api: ApiClient, victim: dict[str, str]
) -> None:
    make_project(slug="other")
    other = ApiClient(app.test_client(), make_key(slug="other"), "/api/acme/other")
    unknown = other.post(json={"name": "job", "parent": "A" * 22})

    answer = other.post(json={"name": "job", "parent": victim["task"]})

    assert unknown.status_code == answer.status_code == 400
    assert answer.text == unknown.text.replace("A" * 22, victim["task"])


def test_cursor_of_another_project_shows_nothing_of_it(
    app: Flask, api: ApiClient, victim: dict[str, str]
) -> None:
    api.create(name="second")
    url = (api.get("/tasks/?page_size=1").json or {})["next"]
    make_project(slug="other")
    other = ApiClient(app.test_client(), make_key(slug="other"), "/api/acme/other")

    answer = other.get(url.removeprefix("http://localhost").replace("/web/", "/other/"))

    assert answer.json == {"next": None, "previous": None, "results": []}
