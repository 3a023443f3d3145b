"""The public page of a task, and its badge."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from people import WebClient, browser_for, headers_of
from sqlalchemy import update

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.tasks import write

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>]]>&\x1b"
CI = Actor("key", "secret key name")
MISSING = "AZHAkAAAcACAAAAAAAAAAA"


def make_task(project: ProjectRef, name: str = "import", **data: Any) -> str:
    task = write.create_task(project, {"name": name, **data}, now=utcnow(), actor=CI)
    db.session.commit()
    return str(task.id)


def show(project: ProjectRef, **settings: bool) -> None:
    db.session.execute(update(Project).where(Project.id == project.id).values(**settings))
    db.session.commit()


@pytest.fixture
def anyone(app: Flask) -> WebClient:
    return browser_for(app)


def test_page_shows_only_what_the_project_lets_show(anyone: WebClient, project: ProjectRef) -> None:
    task_id = make_task(
        project,
        status="processing",
        value=40,
        queue="hidden queue",
        external_id="hidden id",
        tags={"env": "shown tag"},
        data='{"note":"shown data","password":"hidden password"}',
    )
    always_hidden = ("hidden queue", "hidden id", "hidden password", "secret key name", "ada@")
    for settings, shown in (
        ({"public_pages": True}, ()),
        ({"public_tags": True}, ("shown tag",)),
        ({"public_data": True}, ("shown tag", "shown data")),
    ):
        show(project, **settings)
        page = anyone.get(f"/public/tasks/{task_id}/").text

        assert '<progress value="40"' in page
        assert [words for words in ("shown tag", "shown data") if words in page] == list(shown)
        assert [words for words in always_hidden if words in page] == []


@pytest.mark.parametrize("number", ["1e400", "9" * 5000])
def test_page_shows_numbers_as_they_were_sent(
    anyone: WebClient, project: ProjectRef, number: str
) -> None:
    task_id = make_task(project, data=number)
    show(project, public_data=True)

    assert f">{number}</span>" in anyone.get(f"/public/tasks/{task_id}/").text


def test_page_stays_out_of_search_engines_caches_and_referrers(
    anyone: WebClient, project: ProjectRef
) -> None:
    response = anyone.get(f"/public/tasks/{make_task(project)}/")

    assert [
        response.headers[name] for name in ("X-Robots-Tag", "Cache-Control", "Referrer-Policy")
    ] == ["noindex, nofollow", "no-store", "no-referrer"]
    assert "Set-Cookie" not in response.headers


def test_unknown_and_disabled_look_the_same(anyone: WebClient, project: ProjectRef) -> None:
    other = make_project("acme", "closed")
    task_id = make_task(other, status="error")
    show(other, public_pages=False)

    for path in ("", "badge.svg"):
        answers = [
            anyone.get(f"/public/tasks/{one}/{path}") for one in (task_id, MISSING, "nonsense")
        ]
        assert {one.status_code for one in answers} == {404}
        assert len({one.data for one in answers}) == 1
        assert len({str(headers_of(one)) for one in answers}) == 1


def test_open_page_is_live_and_learns_when_it_is_closed(
    anyone: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, status="processing", value=1)
    url = f"/public/tasks/{task_id}/"
    etag = anyone.get(url, headers={"X-Live": "1"}).headers["ETag"]

    def ask() -> Any:
        return anyone.get(url, headers={"X-Live": "1", "If-None-Match": etag})

    assert ask().status_code == 304
    write.update_task(project, task_id, {"value": 77}, now=utcnow(), actor=CI)
    db.session.commit()
    assert '<progress value="77"' in ask().text
    show(project, public_pages=False)
    assert ask().status_code == 404


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"status": "processing", "value": 40}, "processing 40%"),
        ({"status": "pre_processing"}, "pre-processing"),
        ({"status": "success", "value": 100}, "success"),
        ({"status": "error", "value": 7}, "error 7%"),
        ({}, "pending"),
    ],
)
def test_badge_tells_status_and_percentage(
    anyone: WebClient, project: ProjectRef, data: dict[str, Any], words: str
) -> None:
    response = anyone.get(f"/public/tasks/{make_task(project, **data)}/badge.svg")

    texts = [one.text for one in ET.fromstring(response.data).iter() if one.tag.endswith("}text")]
    assert (response.status_code, texts) == (200, ["import", words])
    assert response.mimetype == "image/svg+xml"
    assert response.headers["Cache-Control"] == "public, max-age=10"
    assert response.headers["X-Robots-Tag"] == "noindex, nofollow"


def test_unchanged_badge_is_answered_with_304(anyone: WebClient, project: ProjectRef) -> None:
    url = f"/public/tasks/{make_task(project)}/badge.svg"
    etag = anyone.get(url).headers["ETag"]

    assert anyone.get(url, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("name", [HOSTILE, "x" * 255, "データ取込み", "\u202eabc", "a\u0001b"])
def test_badge_and_page_take_any_name(anyone: WebClient, project: ProjectRef, name: str) -> None:
    task_id = make_task(project, name)

    badge = anyone.get(f"/public/tasks/{task_id}/badge.svg")
    page = anyone.get(f"/public/tasks/{task_id}/").text

    root = ET.fromstring(badge.data)
    assert {one.tag.rpartition("}")[2] for one in root.iter()} <= {
        "svg",
        "title",
        "clipPath",
        "rect",
        "g",
        "text",
    }
    assert not re.search(r"<script>alert|<img", page)
