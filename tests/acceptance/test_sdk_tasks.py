"""What the latest official SDK does with tasks and actions, and how it meets refusals."""

from collections.abc import Callable
from typing import Any

import pytest
from acceptance.live import LiveProject, LiveServer, with_times
from conftest import FIXTURES
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Organization
from taskbadger.services.organizations import keys, organizations, projects


def part(task: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: task[name] for name in names}


def refusal(seen: list[Any]) -> tuple[Any, ...]:
    """Return exception, status, and each error's code and field; details are free to be helpful."""
    kind, status, body = seen
    return (kind, status, *((error["code"], error["attr"]) for error in body["errors"]))


def test_every_field_and_a_parent_are_kept(run_sdk: Callable[..., Any], live: LiveProject) -> None:
    seen = run_sdk("tasks.py", "fields")

    parent, child, late = live.tasks()
    assert [with_times(task) for task in seen["tasks"]] == [
        with_times(task) for task in (parent, child, late)
    ]
    assert part(parent, "parent", "queue", "external_id", "value_max") == {
        "parent": None,
        "queue": "mail",
        "external_id": "job-1",
        "value_max": 100,
    }
    names = ("parent", "queue", "external_id", "status", "value", "value_max", "data", "tags")
    assert part(child, *names, "max_runtime", "stale_timeout") == {
        "parent": parent["id"],
        "queue": "web",
        "external_id": "job-2",
        "status": "processing",
        "value": 0,
        "value_max": 3,
        "data": {"k": "v"},
        "tags": {"env": "prod", "n": "1"},
        "max_runtime": 30,
        "stale_timeout": 20,
    }
    assert part(late, *names) == {
        "parent": parent["id"],
        "queue": "late",
        "external_id": "job-3",
        "status": "post_processing",
        "value": 50,
        "value_max": 100,
        "data": None,
        "tags": {},
    }
    assert live.statuses(late["id"]) == ["pending", "pre_processing", "post_processing"]
    assert seen["children"] == [late["id"], child["id"]]
    assert refusal(seen["grandchild"]) == ("UnexpectedStatus", 400, ("invalid", "parent"))


def test_pages_visit_every_task_once_there_and_back(run_sdk: Callable[..., Any]) -> None:
    seen = run_sdk("tasks.py", "pages")

    newest_first = seen["made"][::-1]
    there = [newest_first[0:2], newest_first[2:4], newest_first[4:5]]
    assert seen["there"] == there
    assert seen["back"] == [there[1], there[0]]


def test_scope_before_create_and_track_reach_the_server(
    run_sdk: Callable[..., Any], live: LiveProject
) -> None:
    raised = run_sdk("tasks.py", "scopes")

    assert raised == "lost"
    scoped, outer, inner = live.tasks()
    names = ("name", "status", "data", "tags", "parent", "value_max")
    everywhere = {"release": "1.2", "checked": "yes"}
    assert part(scoped, *names) == {
        "name": "scoped",
        "status": "pending",
        "data": {"own": 1, "request": "r-1"},
        "tags": {**everywhere, "own": "t", "user": "u-1"},
        "parent": None,
        "value_max": 100,
    }
    assert part(outer, *names) == {
        "name": "outer",
        "status": "error",
        "data": {"exception": "lost"},
        "tags": {**everywhere, "kind": "tracked"},
        "parent": None,
        "value_max": 100,
    }
    assert part(inner, *names) == {
        "name": "inner",
        "status": "success",
        "data": None,
        "tags": everywhere,
        "parent": outer["id"],
        "value_max": 7,
    }


def test_refusals_become_the_exceptions_of_the_sdk(
    run_sdk: Callable[..., Any], live: LiveProject
) -> None:
    seen = run_sdk("tasks.py", "errors")

    assert seen.pop("wrong key") == ["Unauthorized", "Authentication failed"]
    assert seen.pop("wrong key, safely") is None
    assert {name: refusal(found) for name, found in seen.items()} == {
        "blank name": ("UnexpectedStatus", 400, ("blank", "name")),
        "bad values": (
            "UnexpectedStatus",
            400,
            ("min_value", "value"),
            ("min_value", "max_runtime"),
        ),
        "unknown task": ("UnexpectedStatus", 404, ("not_found", None)),
        "unknown monitor": (
            "UnexpectedStatus",
            400,
            ("does_not_exist", "X-TASKBADGER-MONITOR"),
        ),
        "bad cursor": ("UnexpectedStatus", 404, ("not_found", None)),
        "other project": ("UnexpectedStatus", 404, ("not_found", None)),
    }
    assert [task["name"] for task in live.tasks()] == ["errors"]


def add_monitor(server: LiveServer, live: LiveProject) -> str:
    """Make a monitor as an administrator; return its id."""
    with server.app.app_context():
        now = utcnow()
        organization = organizations.ensure_organization(live.organization, actor=FIXTURES, now=now)
        project = projects.ensure_project(organization, live.slug, actor=FIXTURES, now=now)
        _, key = keys.create_key(
            organization, project, actor=SERVER, name="admin", now=now, scopes="admin"
        )
        db.session.commit()
        db.session.remove()
    made = live.request(
        "POST",
        "/monitors/",
        json={"name": "nightly", "type": "interval", "interval": 3600},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def test_tasks_belong_to_the_monitor_that_they_name(
    run_sdk: Callable[..., Any],
    run_cli: Callable[..., Any],
    live: LiveProject,
    live_server: LiveServer,
) -> None:
    monitor = add_monitor(live_server, live)

    run_sdk("tasks.py", "monitors", monitor)
    done = run_cli("run", "from the shell", "--monitor-id", monitor, "--", "true")

    assert done.returncode == 0, done.stderr
    assert [(task["name"], task["status"]) for task in live.tasks(monitor=monitor)] == [
        ("created", "success"),
        ("tracked", "success"),
        ("from the shell", "success"),
    ]


@pytest.mark.parametrize("kind", ["project key", "bare secret", "organization key"])
def test_each_kind_of_key_opens_the_project(
    run_sdk: Callable[..., Any], live: LiveProject, kind: str
) -> None:
    text = {
        "project key": live.key,
        "bare secret": live.secret,
        "organization key": live.organization_key,
    }[kind]
    slugs = {"LIVE_ORG": live.organization, "LIVE_SLUG": live.slug}

    made = run_sdk("tasks.py", "keys", LIVE_KEY=text, **slugs)

    assert [task["id"] for task in live.tasks()] == [made]


def add_webhook(server: LiveServer, live: LiveProject, slug: str) -> None:
    now = utcnow()
    with server.app.app_context():
        organization = db.session.scalar(
            select(Organization.id).where(Organization.slug == live.organization)
        )
        db.session.add(
            ChannelConfig(
                organization_id=organization,
                kind="webhook",
                slug=slug,
                name=slug,
                config='{"url": "http://127.0.0.1:9/"}',
                created=now,
                updated=now,
            )
        )
        db.session.commit()
        db.session.remove()


def test_actions_are_added_changed_and_cancelled(
    run_sdk: Callable[..., Any], live: LiveProject, live_server: LiveServer
) -> None:
    add_webhook(live_server, live, "ops")

    seen = run_sdk("actions.py")

    path = f"/tasks/{seen['task']}/actions/"
    rows = ("trigger", "integration", "config", "status")
    mail = ("error,75%", "email", {"to": "me@example.com,you@example.com"}, "active")
    webhook = ("success", "webhook:ops", {}, "active")
    third = ("*/10", "email", {"to": "third@example.com"}, "active")
    assert [tuple(part(row, *rows).values()) for row in seen["listed"]] == [mail, webhook, third]
    assert {row["task"] for row in seen["listed"]} == {seen["task"]}
    assert seen["got"] == seen["listed"][2]
    assert tuple(part(seen["patched"], *rows).values()) == ("*/20%", *third[1:])
    fourth = ("stale", "email", {"to": "fourth@example.com"}, "active")
    assert tuple(part(seen["put"], *rows).values()) == fourth
    assert (seen["cancelled"], seen["cancelled task"]) == (204, 204)
    assert [tuple(part(row, *rows).values()) for row in live.read(path)] == [
        mail,
        webhook,
        (*fourth[:3], "cancelled"),
    ]
    assert part(live.read(f"/tasks/{seen['task']}/"), "name", "value", "status") == {
        "name": "put",
        "value": 3,
        "status": "cancelled",
    }
    assert refusal(seen["refused"]) == (
        "UnexpectedStatus",
        400,
        ("invalid", "actions.0.trigger"),
    )
