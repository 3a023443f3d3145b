"""The public pages and badges of names and monitors: they show the latest run."""

import re
import xml.etree.ElementTree as ET
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from blueprints.public_names import ANY_NAMES
from conftest import count_queries, make_project
from flask import Flask, url_for
from people import WebClient, browser_for, headers_of
from sqlalchemy import update
from watching import Watch, at, sweep

from taskbadger.blueprints.dashboard.sharing import write_part
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.monitors import manage
from taskbadger.services.tasks import write

CI = Actor("key", "secret key name")
NAMES = "/public/acme/web/names"
NAME = f"{NAMES}/import/"
BADGE = f"{NAME}badge.svg"


@pytest.fixture
def anyone(app: Flask) -> WebClient:
    return browser_for(app)


def make_task(project: ProjectRef, name: str = "import", **data: Any) -> str:
    monitor_id = data.pop("monitor_id", None)
    task = write.create_task(
        project, {"name": name, **data}, now=utcnow(), actor=CI, monitor_id=monitor_id
    )
    db.session.commit()
    return str(task.id)


def change(project: ProjectRef, task_id: str, **data: Any) -> None:
    write.update_task(project, task_id, data, now=utcnow(), actor=CI)
    db.session.commit()


def show(project: ProjectRef, **settings: bool) -> None:
    db.session.execute(update(Project).where(Project.id == project.id).values(**settings))
    db.session.commit()


def words_of(anyone: WebClient, path: str) -> list[str]:
    """Return the two texts of a badge, without the time."""
    label, words = texts_of(anyone, path)
    return [label, re.sub(r" since \d{4}-\d\d-\d\d \d\d:\d\d UTC$", "", words)]


def texts_of(anyone: WebClient, path: str) -> list[str]:
    answer = anyone.get(path)
    assert answer.status_code == 200
    parts = ET.fromstring(answer.data).iter()
    return [one.text or "" for one in parts if one.tag.endswith("}text")]


def test_page_and_badge_of_a_name_show_its_latest_run(
    anyone: WebClient, project: ProjectRef
) -> None:
    make_task(project, status="error")
    make_task(project, "other", status="error")
    make_task(make_project("acme", "worker"), status="error")
    latest = make_task(project, status="processing", value=40)

    page = anyone.get(NAME).text

    assert '<progress value="40"' in page
    assert re.findall(r"<h1>([^<]*)</h1>", page) == ["import"]
    assert "#i-error" not in page
    assert words_of(anyone, BADGE) == ["import", "processing 40%"]
    change(project, latest, status="success")
    assert words_of(anyone, BADGE) == ["import", "success"]
    make_task(project)
    assert words_of(anyone, BADGE) == ["import", "pending"]


@pytest.mark.parametrize(
    ("data", "since"),
    [
        ({"status": "success"}, "ended"),
        ({"status": "processing"}, "started"),
        ({}, "created"),
    ],
)
def test_page_says_since_when(
    anyone: WebClient, project: ProjectRef, data: dict[str, Any], since: str
) -> None:
    now = utcnow()
    times = {"created": now - timedelta(hours=3), "started": now - timedelta(hours=2), "ended": now}
    task = write.create_task(project, {"name": "import"}, now=times["created"], actor=CI)
    if data:
        running = {"status": "processing"}
        write.update_task(project, task.id, running, now=times["started"], actor=CI)
        write.update_task(project, task.id, data, now=times["ended"], actor=CI)
    db.session.commit()

    page = anyone.get(NAME).text

    shown = re.search(r'since\s*<time datetime="([^"]*)"', page)
    assert shown
    assert shown[1][:19] == times[since].isoformat()[:19]
    words = f"{data.get('status', 'pending')} since {times[since]:%Y-%m-%d %H:%M} UTC"
    assert texts_of(anyone, BADGE) == ["import", words]


def test_page_of_a_name_shows_only_what_the_project_lets_show(
    anyone: WebClient, project: ProjectRef
) -> None:
    make_task(
        project,
        status="error",
        queue="hidden queue",
        external_id="hidden id",
        tags={"env": "shown tag"},
        data='{"note":"shown data","password":"hidden password","exception":"shown error"}',
    )
    watch = Watch(project, fields={"task_name": "import"})
    monitor = f"/public/monitors/{watch.monitor.id}/"
    make_task(
        project,
        status="error",
        tags={"env": "shown tag"},
        data='{"note":"shown data","password":"hidden password"}',
    )
    hidden = ("hidden queue", "hidden id", "hidden password", "secret key name", "ops@example.com")
    for settings, shown in (
        ({"public_pages": True}, []),
        ({"public_tags": True}, ["shown tag"]),
        ({"public_data": True}, ["shown tag", "shown data"]),
    ):
        show(project, **settings)
        for path in (NAME, monitor):
            page = anyone.get(path).text

            assert [words for words in ("shown tag", "shown data") if words in page] == shown
            assert [words for words in hidden if words in page] == []


def test_unknown_and_disabled_look_the_same(anyone: WebClient, project: ProjectRef) -> None:
    closed = make_project("acme", "closed")
    make_task(closed, status="error")
    watch = Watch(closed)
    watch.run("12:00")
    show(closed, public_pages=False)
    make_task(project)

    paths = [
        "/public/acme/closed/names/import/",
        "/public/acme/web/names/nothing/",
        "/public/acme/nothing/names/import/",
        "/public/other/web/names/import/",
        "/public/acme/web/names/Import/",
        f"/public/monitors/{watch.monitor.id}/",
        "/public/monitors/00000000-0000-0000-0000-000000000000/",
        "/public/monitors/nonsense/",
        "/public/tasks/nonsense/",
    ]
    for rest in ("", "badge.svg"):
        answers = [anyone.get(f"{path}{rest}") for path in paths]
        assert {one.status_code for one in answers} == {404}
        assert len({one.data for one in answers}) == 1
        assert len({str(headers_of(one)) for one in answers}) == 1


@pytest.mark.parametrize("name", ANY_NAMES)
def test_any_name_has_a_page_and_a_badge(anyone: WebClient, project: ProjectRef, name: str) -> None:
    make_task(project, name, status="success")
    make_task(project, "decoy", status="error")

    for part in (write_part(name), quote(name, safe="")):
        page = anyone.get(f"{NAMES}/{part}/")
        badge = anyone.get(f"{NAMES}/{part}/badge.svg")

        assert (page.status_code, badge.status_code) == (200, 200)
        assert "success" in page.text
        assert "success" in badge.text
        assert not re.search(r"<script>alert|<img", page.text + badge.text)


def test_generated_addresses_are_those_to_copy(app: Flask) -> None:
    with app.test_request_context():
        for name in ANY_NAMES:
            assert url_for("public.name", organization="acme", project="web", name=name) == (
                f"{NAMES}/{write_part(name)}/"
            )


@pytest.mark.parametrize("of", ["name", "monitor"])
def test_headers_are_those_of_a_task(anyone: WebClient, project: ProjectRef, of: str) -> None:
    watch = Watch(project, fields={"task_name": "import"})
    task = f"/public/tasks/{make_task(project, status='processing')}/"
    path = NAME if of == "name" else f"/public/monitors/{watch.monitor.id}/"

    for rest in ("", "badge.svg"):
        told, expected = anyone.get(path + rest).headers, anyone.get(task + rest).headers

        assert dict(told).keys() == dict(expected).keys()
        assert {name for name, value in told.items() if expected[name] != value} <= {
            "Content-Length",
            "Date",
            "ETag",
            "X-Request-ID",
        }
    etag = anyone.get(f"{path}badge.svg").headers["ETag"]
    assert anyone.get(f"{path}badge.svg", headers={"If-None-Match": etag}).status_code == 304


def test_open_page_follows_the_latest_run(anyone: WebClient, project: ProjectRef) -> None:
    first = make_task(project, status="processing", value=1)

    def ask(etag: str | None = None) -> Any:
        headers = {"X-Live": "1"} | ({"If-None-Match": etag} if etag else {})
        return anyone.get(NAME, headers=headers)

    etag = ask().headers["ETag"]
    assert ask(etag).status_code == 304
    change(project, first, value=77)
    assert '<progress value="77"' in ask(etag).text
    make_task(project, status="processing", value=5)
    assert '<progress value="5"' in ask(etag).text
    show(project, public_pages=False)
    assert ask(etag).status_code == 404


def test_page_of_a_monitor_shows_its_health_and_its_latest_run(
    anyone: WebClient, project: ProjectRef
) -> None:
    watch = Watch(project, fields={"name": "Nightly import"})
    path = f"/public/monitors/{watch.monitor.id}/"
    badge = f"{path}badge.svg"

    assert "No runs yet" in anyone.get(path).text
    assert words_of(anyone, badge) == ["Nightly import", "no runs yet"]
    watch.run("12:00", "success")
    assert words_of(anyone, badge) == ["Nightly import", "success"]
    sweep("13:02")
    assert words_of(anyone, badge) == ["Nightly import", "failing"]
    assert texts_of(anyone, badge)[1] == "failing since 2026-06-01 13:02 UTC"
    page = anyone.get(path).text
    assert "failing" in page
    assert re.search(r'since\s*<time datetime="2026-06-01T13:02', page)
    watch.run("13:30", "processing")
    assert words_of(anyone, badge) == ["Nightly import", "failing"]
    watch.run("14:00", "error")
    assert words_of(anyone, badge) == ["Nightly import", "error"]
    watch.edit("14:10", status="paused")
    assert words_of(anyone, badge) == ["Nightly import", "paused"]
    manage.delete_monitor(project, watch.monitor.id, now=at("14:20"), actor=CI)
    db.session.commit()
    assert anyone.get(badge).status_code == 404


def test_latest_run_is_found_in_one_statement(anyone: WebClient, project: ProjectRef) -> None:
    for _ in range(3):
        make_task(project)
    path = NAME
    etag = anyone.get(path, headers={"X-Live": "1"}).headers["ETag"]

    with count_queries() as statements:
        anyone.get(path, headers={"X-Live": "1", "If-None-Match": etag})

    assert len(statements) == 1


def test_slug_of_another_organization_opens_nothing(anyone: WebClient, project: ProjectRef) -> None:
    make_task(make_project("other", "web"), "foreign")
    db.session.execute(update(Organization).where(Organization.slug == "other").values(name="Acme"))
    db.session.commit()

    assert anyone.get(f"{NAMES}/foreign/").status_code == 404
