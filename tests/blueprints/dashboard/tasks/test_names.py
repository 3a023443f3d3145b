"""Names and one name."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from blueprints.dashboard.doing import count_runs
from blueprints.dashboard.forms_read import HOSTILE, live, words
from conftest import count_queries, make_project
from flask import Flask
from people import WebClient

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.stats import names as service
from taskbadger.services.tasks import write

NAMES = "/a/acme/names/"


def run(
    project: ProjectRef,
    name: str,
    status: str = "success",
    took: float = 2,
    ago: timedelta = timedelta(),
) -> None:
    actor, now = Actor("key", "ci"), utcnow() - ago
    task = write.create_task(
        project,
        {"name": name, "status": "processing"},
        now=now - timedelta(seconds=took),
        actor=actor,
    )
    write.update_task(project, task.id, {"status": status}, now=now, actor=actor)
    db.session.commit()


def rows(page: str) -> list[Any]:
    return re.findall(r'data-row-link\s+href="([^"]*)">([^<]*)</a>', page)


def test_names_are_listed_with_how_they_fare(web: WebClient, project: ProjectRef) -> None:
    run(project, "import")
    run(project, "import", "error")
    run(make_project("acme", "worker"), "mail")
    run(make_project("other", "web"), "foreign")
    count_runs()

    page = web.get(NAMES).text

    assert rows(page) == [
        ("/a/acme/names/web/?name=import", "import"),
        ("/a/acme/names/worker/?name=mail", "mail"),
    ]
    assert "50.0%" in page
    assert "100%" in page
    assert [name for _, name in rows(web.get(NAMES + "?q=MAI").text)] == ["mail"]
    assert [name for _, name in rows(web.get(NAMES + "?project=web").text)] == ["import"]


def test_percentiles_say_that_they_are_not_exact(web: WebClient, project: ProjectRef) -> None:
    for minutes in (15, 20):
        run(project, "import", took=minutes * 60)
    count_runs()

    for page in (web.get(NAMES).text, web.get(NAMES + "web/?name=import").text):
        assert "≈ 15 min" in page
        assert "≈ 19 min" in page
        [tip] = re.findall(r'<details class="menu tip">(.*?)</details>', page, re.DOTALL)
        assert "About p50 and p95" in tip
        assert "accurate to within 5 %" in tip


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (60, 120, "↑95% longer than in the week before"),
        (120, 60, "↓49% shorter than in the week before"),
        (60, 62, None),
    ],
)
def test_names_say_how_p95_has_changed(
    web: WebClient, project: ProjectRef, before: int, now: int, said: str | None
) -> None:
    for days, took in ((10, before), (1, now)):
        for _ in range(5):
            run(project, "import", took=took, ago=timedelta(days=days))
    count_runs()

    for page in (web.get(NAMES).text, web.get(NAMES + "web/?name=import").text):
        shown = re.search(r'class="trend.*?</span></span>', page, re.DOTALL)
        assert (words(f"<p {shown[0]}") if shown else None) == said


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("", ["mail", "import", "backup", "draft"]),
        ("-runs", ["mail", "import", "backup", "draft"]),
        ("name", ["backup", "draft", "import", "mail"]),
        ("success", ["import", "mail", "backup", "draft"]),
        ("-success", ["mail", "backup", "import", "draft"]),
        ("-p95", ["backup", "mail", "import", "draft"]),
        ("-last", ["draft", "backup", "import", "mail"]),
        ("nonsense", ["mail", "import", "backup", "draft"]),
    ],
)
def test_names_are_sorted_by_what_the_address_says(
    web: WebClient, project: ProjectRef, sort: str, order: list[str]
) -> None:
    for name, status, took in (
        *[("mail", "success", 10)] * 3,
        *[("import", "error", 5)] * 2,
        ("backup", "success", 90),
        ("draft", "cancelled", 1),
    ):
        run(project, name, status, took)
    count_runs()

    page = web.get(NAMES + f"?sort={sort}").text

    assert [name for _, name in rows(page)] == order


def test_headers_lead_to_the_other_direction_and_keep_the_search(
    web: WebClient, project: ProjectRef
) -> None:
    run(project, "import")
    count_runs()

    page = web.get(NAMES + "?q=imp&sort=-p95").text

    head = page.partition("<thead>")[2].partition("</thead>")[0]
    assert [html.unescape(href) for href in re.findall(r'class="sort"\s+href="([^"]*)"', head)] == [
        f"{NAMES}?q=imp{sort}"
        for sort in ("&sort=name", "", "&sort=success", "&sort=-p50", "&sort=p95", "&sort=-last")
    ]
    assert re.findall(r'aria-sort="(\w+)"[^>]*>\s*<a[^>]*>(\w+)', head) == [("descending", "p95")]
    assert '<input type="hidden" name="sort" value="-p95">' in page


def test_empty_pages_say_so(web: WebClient, project: ProjectRef) -> None:
    assert "No runs yet" in web.get(NAMES).text
    assert "No matching names" in web.get(NAMES + "?q=x").text


def test_more_names_than_are_listed_are_announced(
    web: WebClient, project: ProjectRef, monkeypatch: Any
) -> None:
    monkeypatch.setattr(service, "MAX_NAMES", 1)
    for name in ("a", "b"):
        run(project, name)
    count_runs()

    assert "names with the most runs" in web.get(NAMES).text


def test_one_name_shows_charts_and_runs(web: WebClient, project: ProjectRef) -> None:
    run(project, "import", took=5)
    run(project, "import", "error", took=50)
    run(project, "other")
    count_runs()

    page = web.get(NAMES + "web/?name=import").text

    assert page.count("data-chart ") == 3
    assert [name for _, name in rows(page)] == ["error without details"]
    assert page.count("data-row-link") == 3
    assert "1 failed" in page


def test_name_whose_runs_have_not_ended_is_shown(web: WebClient, project: ProjectRef) -> None:
    actor = Actor("key", "ci")
    write.create_task(project, {"name": "new"}, now=utcnow(), actor=actor)
    db.session.commit()

    assert "No finished runs yet" in web.get(NAMES + "web/?name=new").text


def test_unknown_names_are_not_found(web: WebClient, project: ProjectRef) -> None:
    make_project("other", "secret")

    for path in ("web/", "web/?name=x", "secret/?name=x", "nope/?name=x"):
        assert web.get(NAMES + path).status_code == 404


def test_hostile_name_is_escaped_and_its_link_works(web: WebClient, project: ProjectRef) -> None:
    run(project, HOSTILE)
    count_runs()

    page = web.get(NAMES).text
    href = html.unescape(re.findall(r'data-row-link\s+href="([^"]*)"', page)[0])
    own = web.get(href)

    assert "<script>alert" not in page + own.text
    assert "<img" not in page + own.text
    assert own.status_code == 200


def test_open_page_gets_304(app: Flask, web: WebClient, project: ProjectRef) -> None:
    run(project, "import")
    count_runs()
    for path in (NAMES, NAMES + "web/?name=import"):
        etag = live(web, path).headers["ETag"]
        with count_queries() as statements:
            again = live(web, path, etag)

        assert again.status_code == 304
        looked = [one for one in statements if "FROM task" in one or "run_stat" in one]
        assert len(looked) <= 2
