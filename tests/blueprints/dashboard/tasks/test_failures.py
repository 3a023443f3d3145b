"""The failures of an organization, one of them, and what they say on other pages."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from blueprints.dashboard.doing import CI, assert_same_queries, make_task
from blueprints.dashboard.forms_read import HOSTILE, live, rows, trail, words
from conftest import make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import delete, insert, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FailureKind, Task
from taskbadger.services.tasks import write

LIST = "/a/acme/failures/"
TRACE = """\
Traceback (most recent call last):
  File "/app/jobs/run.py", line 9, in main
    load(path)
  File "/usr/lib/python3.12/json/__init__.py", line 346, in loads
    return _default_decoder.decode(s)
ValueError: no row 17 at https://ada:hunter2@db/"""


def fail(project: ProjectRef, text: str = "boom", *, ago: float = 0, **fields: Any) -> str:
    data = json.dumps({"exception": text})
    return make_task(project, ago=ago, **{"status": "error", "data": data, **fields})


def kind_id(title: str = "boom") -> int:
    return db.session.scalars(select(FailureKind.id).where(FailureKind.title == title)).one()


def states() -> dict[str, str]:
    db.session.rollback()
    rows = db.session.execute(select(FailureKind.title, FailureKind.state))
    return {row.title: row.state for row in rows}


def change(web: WebClient, *titles: str, **form: Any) -> str:
    values = {"failure": [str(kind_id(title)) for title in titles], "to": "", "span": "", **form}
    return web.post(f"{LIST}change", values, follow_redirects=True).text


# The list


def test_failures_are_listed_by_the_latest(web: WebClient, project: ProjectRef) -> None:
    fail(make_project("acme", "worker"), "bang", ago=60, name="mail")
    fail(project, TRACE)
    fail(project, TRACE)
    fail(make_project("rival", "web"), "secret")

    page = web.get(LIST).text

    title = "ValueError: no row ‹number› at ‹url›"
    assert rows(page) == [title, "bang"]
    cells = re.findall(r"(?s)<td.*?</td>", page.partition("<tbody")[2].partition("</tbody>")[0])
    told = [" ".join(words(cell).split()) for cell in cells]
    assert [re.sub(r"\d+ s ago|just now", "now", cell) for cell in told] == [
        *("", f"{title} run.py, main", "job", "web", "2", "", "open", "now"),
        *("", "bang", "mail", "worker", "1", "", "open", "1 min ago"),
    ]
    trend = ", ".join([*["0"] * 13, "2"])
    assert f'aria-label="Failures per day: {trend}"' in page


def test_filters_choose_what_is_listed(web: WebClient, project: ProjectRef) -> None:
    for text in ("first", "second", "third"):
        fail(project, text)
    fail(make_project("acme", "worker"), "fourth")
    change(web, "first", to="resolved")
    change(web, "second", to="ignored")

    assert sorted(rows(web.get(LIST).text)) == ["fourth", "third"]
    assert rows(web.get(f"{LIST}?state=resolved").text) == ["first"]
    assert rows(web.get(f"{LIST}?state=ignored").text) == ["second"]
    assert len(rows(web.get(f"{LIST}?state=all").text)) == 4
    assert rows(web.get(f"{LIST}?q=THI").text) == ["third"]
    assert rows(web.get(f"{LIST}?project=worker").text) == ["fourth"]
    assert rows(web.get(f"{LIST}?state=nonsense&project=web").text) == ["third"]
    assert "No matching failures" in web.get(f"{LIST}?q=nothing").text


def test_nothing_has_failed_yet(web: WebClient) -> None:
    assert "No open failures" in web.get(LIST).text


def test_pages_of_the_list_lead_on_and_back(web: WebClient, project: ProjectRef) -> None:
    words = [f"{a}{b}" for a in "abcdefgh" for b in "ijklmnop"]
    for number, word in enumerate(words):
        fail(project, word, ago=1000 - number)

    first = web.get(f"{LIST}?state=all").text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text
    newer = html.unescape(re.findall(r'rel="prev" href="([^"]*)"', second)[0])

    assert rows(first) + rows(second) == words[::-1]
    assert rows(web.get(newer).text) == rows(first)
    assert "state=all" in older


def test_list_takes_as_many_queries_for_many_as_for_one(
    web: WebClient, project: ProjectRef
) -> None:
    def make(number: int) -> None:
        fail(project, f"{'abcdefghij'[number % 10]}{'klmnop'[number // 10]}")

    assert_same_queries(web, LIST, make, max_queries=9)


def test_list_of_ten_thousand_kinds_is_fast(web: WebClient, project: ProjectRef) -> None:
    task_id, now = fail(project), utcnow()
    db.session.execute(
        insert(FailureKind),
        [
            {
                "project_id": project.id,
                "name": f"job {number // 300}",
                "fingerprint": f"{number:032x}",
                "title": f"kind {number}",
                "place": "",
                "cause": "error",
                "count": 1,
                "first_seen": now,
                "last_seen": now - timedelta(seconds=number + 1),
                "sample_task": task_id,
                "state": "open",
            }
            for number in range(10_000)
        ],
    )
    db.session.commit()

    began = utcnow()
    page = web.get(LIST).text

    assert rows(page)[:2] == ["boom", "kind 0"]
    assert len(rows(page)) == 50
    assert utcnow() - began < timedelta(seconds=2)


def test_open_list_hears_of_new_failures_and_states(web: WebClient, project: ProjectRef) -> None:
    fail(project)
    etag = live(web, LIST).headers["ETag"]
    assert live(web, LIST, etag).status_code == 304

    fail(project)
    assert ">2</td>" in live(web, f"{LIST}?state=all").text
    change(web, "boom", to="ignored")
    assert "No open failures" in web.get(LIST).text


# Changes


def test_one_and_many_are_resolved_ignored_and_opened(web: WebClient, project: ProjectRef) -> None:
    for text in ("first", "second", "third"):
        fail(project, text)

    assert "Resolved 2 failures." in change(web, "first", "second", to="resolved")
    assert states() == {"first": "resolved", "second": "resolved", "third": "open"}
    assert "Ignored 1 failure." in change(web, "third", to="ignored", span="24")
    until = db.session.scalars(
        select(FailureKind.ignored_until).where(FailureKind.id == kind_id("third"))
    ).one()
    assert until is not None
    assert abs(until - utcnow() - timedelta(days=1)) < timedelta(minutes=1)
    assert "Opened 3 failures." in change(web, "first", "second", "third", to="open")
    assert set(states().values()) == {"open"}
    assert [(who, verb, subject) for who, verb, subject, _ in trail()] == [
        ("ada@example.org", "failure.change", "2 failures"),
        ("ada@example.org", "failure.change", "job: third"),
        ("ada@example.org", "failure.change", "3 failures"),
    ]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "Choose what to do with the selected failures."),
        ({"to": "gone"}, "Choose what to do with the selected failures."),
        ({"to": "ignored", "span": "5"}, "Choose what to do with the selected failures."),
        ({"to": "resolved", "failure": []}, "No failure was selected."),
        ({"to": "resolved", "failure": ["x", "-1", "9" * 40]}, "No failure was selected."),
    ],
)
def test_form_that_says_nothing_changes_nothing(
    web: WebClient, project: ProjectRef, form: dict[str, Any], message: str
) -> None:
    fail(project)

    assert message in change(web, "boom", **form)
    assert (states(), trail()) == ({"boom": "open"}, [])


def test_failures_of_others_are_not_changed(web: WebClient, project: ProjectRef) -> None:
    fail(make_project("rival", "web"), "secret")

    assert "No failure was selected." in change(web, "secret", to="resolved")
    assert states() == {"secret": "open"}
    assert web.get(f"{LIST}{kind_id('secret')}/").status_code == 404


def test_viewer_reads_and_changes_nothing(app: Flask, project: ProjectRef) -> None:
    fail(project)
    viewer = browser_for(app, make_member("eve@example.org", "viewer"))

    for page in (viewer.get(LIST).text, viewer.get(f"{LIST}{kind_id()}/").text):
        assert "boom" in page
        assert 'name="to"' not in page
        assert 'name="failure"' not in page
    answer = viewer.post(f"{LIST}change", {"failure": str(kind_id()), "to": "resolved"})
    assert (answer.status_code, states()) == (403, {"boom": "open"})


def test_change_leads_back_to_where_it_was_made(web: WebClient, project: ProjectRef) -> None:
    fail(project)
    form = {"failure": str(kind_id()), "to": "resolved", "span": ""}

    listed = web.post(f"{LIST}change", {**form, "q": "bo", "state": "all", "project": "web"})
    alone = web.post(f"{LIST}change", {**form, "from": "page"})

    assert listed.headers["Location"] == f"{LIST}?state=all&q=bo&project=web"
    assert alone.headers["Location"] == f"{LIST}{kind_id()}/"


# One


def test_page_of_a_failure_tells_all_of_it(web: WebClient, project: ProjectRef) -> None:
    fail(project, TRACE, ago=3600, tags={"version": "1.2", "env": "prod"})
    last = fail(project, TRACE, tags={"version": "1.3"})
    number = db.session.scalars(select(FailureKind.id)).one()

    page = web.get(f"{LIST}{number}/").text

    text = " ".join(words(page).split())
    assert "<h1>ValueError: no row ‹number› at ‹url›</h1>" in page
    assert "ValueError: no row 17 at https://ada:••••••@db/" in text
    assert "hunter2" not in page
    assert "<details><summary>1 library frame</summary><pre>  File &#34;/usr/lib" in page
    assert '<pre class="own">  File &#34;/app/jobs/run.py&#34;, line 9, in main' in page
    assert f'href="/a/acme/tasks/{last}/">the task that failed last</a>' in page
    assert "run.py, main" in text
    assert page.count("data-row-link") == 2
    versions = page.partition("<h2>Versions</h2>")[2].partition("</section>")[0]
    assert re.findall(r"<bdi>([^<]*)</bdi></dt><dd class=\"num\">(\d+)", versions) == [
        ("1.2", "1"),
        ("1.3", "1"),
    ]
    assert page.count("data-chart ") == 1


def test_tasks_of_a_failure_come_in_pages(web: WebClient, project: ProjectRef) -> None:
    task_ids = [fail(project, ago=100 - number) for number in range(25)]

    first = web.get(f"{LIST}{kind_id()}/").text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text

    found = re.findall(r'data-row-link\s+href="/a/acme/tasks/([^/]*)/"', first + second)
    assert found == task_ids[::-1]


def test_failure_whose_tasks_are_gone_is_still_told(web: WebClient, project: ProjectRef) -> None:
    fail(project)
    db.session.execute(delete(Task))
    db.session.commit()

    page = web.get(f"{LIST}{kind_id()}/").text

    assert "The task that failed last was deleted" in page
    assert "All tasks with this failure were deleted" in page


@pytest.mark.parametrize("number", ["0", "x", "9" * 30])
def test_unknown_failure_is_not_found(web: WebClient, number: str) -> None:
    assert web.get(f"{LIST}{number}/").status_code == 404


def test_page_says_until_when_and_since_when(web: WebClient, project: ProjectRef) -> None:
    fail(project, ago=60)
    change(web, "boom", to="ignored", span="24")
    page = words(web.get(f"{LIST}{kind_id()}/").text)
    assert "ignored until in 23 h" in " ".join(page.split())

    change(web, "boom", to="resolved")
    fail(project)
    page = words(web.get(f"{LIST}{kind_id()}/").text)
    assert "open back since" in " ".join(page.split())


def test_hostile_failure_is_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    task_id = fail(project, HOSTILE, name=HOSTILE, tags={"version": HOSTILE})
    number = db.session.scalars(select(FailureKind.id)).one()

    for path in (LIST, f"{LIST}{number}/", f"/a/acme/tasks/{task_id}/"):
        page = web.get(path).text
        assert "<script>alert" not in page
        assert "onerror=alert(2)>" not in page.replace("&gt;", "")


# Other pages


def panel(web: WebClient, task_id: str) -> str:
    """Return what the page of a task says of its error."""
    page = web.get(f"/a/acme/tasks/{task_id}/").text
    region = page.partition('<div id="error" data-live>')[2].partition('<div id="standing"')[0]
    return " ".join(words(region).split())


def test_page_of_a_failed_task_says_why_at_the_top(web: WebClient, project: ProjectRef) -> None:
    fail(project, TRACE, ago=120)
    told = panel(web, fail(project, TRACE))

    assert told.startswith("ValueError: no row 17 at https://ada:••••••@db/ Traceback (most")
    assert told.endswith("2 failures of this kind since 2 min ago")


def test_own_causes_are_told_in_words(web: WebClient, project: ProjectRef) -> None:
    late = make_task(project, ago=7200, status="processing", stale_timeout=600)
    long = make_task(
        project, ago=7200, status="processing", max_runtime=900, data='{"exception":"half"}'
    )
    write.mark_stale(project, [late], now=utcnow())
    write.mark_overdue(project, [long], now=utcnow())
    db.session.commit()

    since = "1 failure of this kind since just now"
    assert panel(web, late) == f"No update for 10 min {since}"
    assert panel(web, long) == f"Stopped by the server: ran longer than 15 min half {since}"
    silent = make_task(project, status="error")
    assert panel(web, silent) == f"The task sent no details of its error. {since}"
    assert panel(web, make_task(project, status="stale")).startswith("Stale")


def test_task_that_has_not_failed_has_no_error(web: WebClient, project: ProjectRef) -> None:
    resumed = fail(project)
    write.update_task(project, resumed, {"status": "processing"}, now=utcnow(), actor=CI)
    db.session.commit()

    assert panel(web, resumed) == ""
    assert panel(web, make_task(project, data='{"exception":"x"}')) == ""


def test_failed_task_without_a_kind_still_says_why(web: WebClient, project: ProjectRef) -> None:
    task_id = fail(project)
    db.session.execute(delete(FailureKind))
    db.session.commit()

    assert panel(web, task_id) == "boom"


def test_open_page_of_a_task_hears_of_its_kind(web: WebClient, project: ProjectRef) -> None:
    task_id = fail(project)
    path = f"/a/acme/tasks/{task_id}/"
    etag = live(web, path).headers["ETag"]
    assert live(web, path, etag).status_code == 304

    change(web, "boom", to="ignored")

    assert " ignored" in words(web.get(path).text)
    assert live(web, f"{path}?", etag).status_code == 200


def test_page_of_a_name_lists_its_latest_failures(web: WebClient, project: ProjectRef) -> None:
    for number, text in enumerate(("ab", "bc", "cd", "de", "ef", "fg")):
        fail(project, text, ago=60 - number, name="import")
    fail(project, "other")

    page = web.get("/a/acme/names/web/?name=import").text

    block = page.partition('<div id="failures"')[2].partition(
        '<section class="card flush" id="runs"'
    )[0]
    assert rows(block) == ["fg", "ef", "de", "cd", "bc"]
    assert 'href="/a/acme/failures/?state=all&amp;project=web&amp;q=import"' in block
    fine = make_task(project, name="fine", status="success")
    assert fine
    assert "<h2>Failures</h2>" not in web.get("/a/acme/names/web/?name=fine").text
