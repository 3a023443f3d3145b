"""How to send tasks: for a new organization, and later; the first key and the demo task."""

import re

import pytest
from blueprints.dashboard.doing import CI, make_task
from blueprints.dashboard.forms_read import live, words
from conftest import end_demo_tasks, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import select

from taskbadger.blueprints.dashboard.guide import demo
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import AuditEntry, Task, TaskEvent

OVERVIEW = "/a/acme/"
GUIDE = "/a/acme/how-to/"
pytestmark = pytest.mark.usefixtures("fresh_versions")


def anchor_of(page: str) -> str:
    return re.findall(r'data-anchor="([^"]*)"', page)[0]


@pytest.mark.parametrize("path", [OVERVIEW, GUIDE])
def test_new_organization_is_shown_how_to_begin(
    web: WebClient, project: ProjectRef, path: str
) -> None:
    page = web.get(path).text

    assert "Send your first task" in page
    assert "http://localhost/api/acme/web/tasks/" in page
    assert "YOUR-KEY" in page
    assert "Waiting for the first task" in words(page)
    assert 'href="/api/docs/">its documentation' in page


def test_guide_stays_for_those_who_have_tasks(web: WebClient, project: ProjectRef) -> None:
    make_task(project)

    page = web.get(GUIDE).text

    assert "<h1>How to send tasks</h1>" in page
    assert "Waiting for the next task" in words(page)
    for place in ("", "settings/", "settings/keys/"):
        assert f'href="{GUIDE}">How to send tasks</a>' in web.get(OVERVIEW + place).text


def test_guide_is_filled_in_for_the_project_that_is_asked_for(
    web: WebClient, project: ProjectRef
) -> None:
    make_project("acme", "alpha")

    assert "/api/acme/alpha/tasks/" in web.get(GUIDE).text
    assert "/api/acme/web/tasks/" in web.get(f"{GUIDE}?project=web").text


def test_organization_without_a_project_is_told_so(web: WebClient, app: Flask) -> None:
    assert "No project yet" in web.get(OVERVIEW).text


@pytest.mark.parametrize("path", [OVERVIEW, GUIDE])
def test_line_turns_green_when_the_first_task_arrives(
    web: WebClient, project: ProjectRef, path: str
) -> None:
    waiting = live(web, path, anchor="")
    make_task(project, "mine")

    page = live(web, path, anchor="", etag=waiting.headers["ETag"])

    assert "Waiting for the first task" in words(waiting.text)
    assert re.search(r"Your task has arrived:\s+<a [^>]*>mine</a>", page.text)
    assert anchor_of(page.text) == ""
    # It stays green, whatever comes next.
    make_task(project, "next")
    assert live(web, path, anchor="", etag=page.headers["ETag"]).status_code == 304


def test_line_turns_green_for_a_task_that_is_newer_than_the_page(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "old", ago=60)
    anchor = anchor_of(web.get(GUIDE).text)
    waiting = live(web, GUIDE, anchor=anchor)

    assert "Waiting for the next task" in words(waiting.text)
    assert live(web, GUIDE, anchor=anchor, etag=waiting.headers["ETag"]).status_code == 304
    make_task(project, "new")
    assert (
        "Your task has arrived"
        in live(web, GUIDE, anchor=anchor, etag=waiting.headers["ETag"]).text
    )


def test_first_key_is_shown_once_and_filled_in(
    web: WebClient, project: ProjectRef, app: Flask
) -> None:
    response = web.post(GUIDE, {"project": "web"})

    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    key = re.findall(r"token=&#34;([^&]+)&#34;", response.text)[0]
    answer = app.test_client().get(
        "/api/acme/web/tasks/", headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 200
    assert key not in web.get(OVERVIEW).text
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.verb == "key.create"))
    assert key not in entry.detail
    db.session.rollback()


def test_demo_task_runs_after_it_was_made_and_ends_by_itself(
    web: WebClient, project: ProjectRef
) -> None:
    response = web.post(f"{GUIDE}demo-task", {"project": "web"})

    [task] = db.session.scalars(select(Task))
    # Should the process end before it: the worker lets nothing run longer than that.
    assert (task.name, task.max_runtime) == ("demo task", 30)
    assert response.location == f"/a/acme/tasks/{task.id}/"
    assert "We are simulating a run" in web.get(response.location).text
    end_demo_tasks()
    db.session.expire_all()
    assert (task.status, task.value) == ("success", 100)
    events = db.session.scalars(select(TaskEvent).order_by(TaskEvent.id))
    assert [one.status for one in events if one.type != "progress"] == [
        "pending",
        "processing",
        "success",
    ]
    db.session.rollback()


def test_cancelled_demo_task_stays_cancelled(
    web: WebClient,
    project: ProjectRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "STEP_SECONDS", 0.3)
    response = web.post(f"{GUIDE}demo-task", {"project": "web"})

    assert web.post(f"{response.location}cancel").status_code == 303
    end_demo_tasks()

    assert [task.status for task in db.session.scalars(select(Task))] == ["cancelled"]
    db.session.rollback()


def test_demo_task_that_is_gone_is_left(app: Flask, project: ProjectRef) -> None:
    assert demo.STEPS > 1
    db.session.rollback()

    demo._play(app, project, "AZ2Z0000000000000000", CI)

    assert list(db.session.scalars(select(Task))) == []
    db.session.rollback()


@pytest.mark.parametrize(("role", "allowed"), [("viewer", (403, 403)), ("member", (403, 303))])
def test_roles_decide_who_may_begin(
    app: Flask, project: ProjectRef, role: str, allowed: tuple[int, int]
) -> None:
    browser = browser_for(app, make_member("bo@example.org", role))

    assert browser.get(OVERVIEW).status_code == 200
    found = [browser.post(path, {"project": "web"}) for path in (GUIDE, GUIDE + "demo-task")]
    assert tuple(one.status_code for one in found) == allowed
    assert ("Make a key" in browser.get(GUIDE).text) is False
