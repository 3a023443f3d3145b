"""The list of tasks."""

import csv
import html
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from blueprints.dashboard.doing import count_runs, make_task
from blueprints.dashboard.forms_read import HOSTILE, live
from conftest import audit_entries, count_queries, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import delete, select

from taskbadger.blueprints.dashboard.tasks import bulk, list_page
from taskbadger.caches import TimedCache
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import SavedView, Task
from taskbadger.process import process_of
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks import exports, write
from taskbadger.services.tasks.search import counts, plan

LIST = "/a/acme/tasks/"


def shown(text: str) -> list[str]:
    """Return the names of the rows of a page."""
    return re.findall(r"data-row-link\s+href=\"[^\"]*\">([^<]*)</a>", text)


def statuses() -> dict[str, str]:
    db.session.rollback()
    found = {row.name: row.status for row in db.session.scalars(select(Task))}
    db.session.rollback()
    return found


@pytest.fixture
def viewer(app: Flask) -> WebClient:
    return browser_for(app, make_member("vi@example.org", "viewer"))


def update(project: ProjectRef, task_id: str, **changes: Any) -> None:
    """Change a task."""
    write.update_task(project, task_id, changes, now=utcnow(), actor=Actor("key", "ci"))
    db.session.commit()


def test_list_shows_the_tasks_of_all_projects(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "import", ago=5, status="processing", value=40, tags={"env": "prod"})
    make_task(make_project("acme", "worker"), "export", queue="high")
    make_task(make_project("other", "web"), "foreign")

    response = web.get(LIST)

    assert (response.status_code, shown(response.text)) == (200, ["export", "import"])
    assert '<progress value="40" max="100"' in response.text
    assert 'href="/a/acme/tasks/?q=tag:env:prod"' in response.text
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?q=status:error", ["broken"]),
        ("?q=name:im*&project=web", ["import"]),
        ("?project=worker", ["export"]),
        ("?q=nothing", []),
    ],
)
def test_url_narrows_the_list(
    web: WebClient, project: ProjectRef, query: str, names: list[str]
) -> None:
    make_task(project, "import", ago=5)
    make_task(project, "broken", ago=6, status="error")
    make_task(make_project("acme", "worker"), "export")

    assert shown(web.get(LIST + query).text) == names


def test_problem_of_a_search_is_shown_where_it_is(web: WebClient, project: ProjectRef) -> None:
    make_task(project)

    page = web.get(LIST + "?q=import+staus:error").text

    assert "At character 8:" in page
    assert "<mark>staus:error</mark>" in page
    assert shown(page) == []


def test_tabs_count_and_replace_the_status(web: WebClient, project: ProjectRef) -> None:
    for status in ("error", "error", "processing", "success"):
        make_task(project, status=status)

    page = web.get(LIST + "?q=job+status:error").text

    counts = re.findall(r'data-key="tab-(\w+)">\w+<span class="tab-count">([^<]*)', page)
    assert counts == [
        ("All", "4"),
        ("Running", "1"),
        ("Pending", "0"),
        ("Failed", "2"),
        ("Stale", "0"),
        ("Success", "1"),
        ("Cancelled", "0"),
    ]
    assert 'href="/a/acme/tasks/?q=job+status:running"' in page
    assert re.search(r'status:error"\s+aria-current="page"\s+data-key="tab-Failed"', page)


def test_counts_beyond_the_cap_are_short(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "COUNT_CAP", 2)
    for _ in range(3):
        make_task(project)

    assert '<span class="tab-count">2+</span>' in web.get(LIST).text
    assert list_page._count_text(10_000, at_least=True) == "10k+"


def test_pages_lead_to_each_other(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_page, "PAGE_SIZE", 2)
    for number in range(5):
        make_task(project, f"job {number}", ago=number)

    first = web.get(LIST + "?q=job").text
    older = re.findall(r'rel="next"\s+href="([^"]*)"', first)[0].replace("&amp;", "&")
    second = web.get(older).text
    newer = re.findall(r'rel="prev"\s+href="([^"]*)"', second)[0].replace("&amp;", "&")

    assert shown(first) == ["job 0", "job 1"]
    assert shown(second) == ["job 2", "job 3"]
    assert shown(web.get(newer).text) == ["job 0", "job 1"]
    assert "data-anchor" not in second


@pytest.mark.parametrize(
    "cursor", ["nonsense", Cursor(("yesterday", "x")).write(), Cursor(("1", "2", "3")).write()]
)
def test_page_that_is_not_known_leads_to_the_newest(
    web: WebClient, project: ProjectRef, cursor: str
) -> None:
    make_task(project)

    response = web.get(LIST + f"?q=job&cursor={cursor}")

    assert (response.status_code, response.location) == (302, LIST + "?q=job")
    assert "That page does not exist." in web.get(response.location).text


def test_bad_anchor_and_foreign_project_are_not_found(web: WebClient, project: ProjectRef) -> None:
    make_project("other", "secret")

    assert web.get(LIST + "?project=secret").status_code == 404
    assert live(web, LIST, anchor="nonsense").status_code == 404


def test_empty_list_says_what_to_do(web: WebClient, project: ProjectRef) -> None:
    assert "No tasks yet" in web.get(LIST).text
    make_task(project)
    assert "No matching tasks" in web.get(LIST + "?q=nothing").text


def test_hostile_text_is_escaped(web: WebClient, project: ProjectRef) -> None:
    make_task(project, HOSTILE, queue=HOSTILE, tags={HOSTILE: HOSTILE})

    page = web.get(LIST, query_string={"q": HOSTILE}).text

    assert "<script>alert" not in page
    assert "<img" not in page


def test_open_page_gets_304_after_at_most_two_look_ups_of_tasks(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project)
    etag = live(web, LIST).headers["ETag"]

    with count_queries() as statements:
        again = live(web, LIST, etag)

    assert (again.status_code, again.data) == (304, b"")
    assert len([one for one in statements if "FROM task" in one]) <= 1


@pytest.mark.usefixtures("fresh_versions")
def test_open_page_sees_a_change(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, status="processing", value=1)
    first = live(web, LIST)
    update(project, task_id, value=77)

    second = live(web, LIST, first.headers["ETag"])

    assert second.status_code == 200
    assert '<progress value="77"' in second.text
    assert "<html" not in second.text
    assert "csrf_token" not in second.text


def test_run_time_of_a_running_task_goes_on(web: WebClient, project: ProjectRef) -> None:
    task_id = make_task(project, ago=70, status="processing")
    make_task(project, ago=70)

    running = [web.get(LIST).text, live(web, LIST).text]
    update(project, task_id, status="success")
    ended = web.get(LIST).text

    cell = r'data-label="for"><span class="num" data-since="[^"]*Z">1 min'
    for page in running:
        assert (len(re.findall(cell, page)), page.count("data-since")) == (1, 1)
    assert "data-since" not in ended


def test_failed_tasks_say_why_and_others_do_not(web: WebClient, project: ProjectRef) -> None:
    error = {"data": json.dumps({"exception": "KeyError: <'a'>"})}
    make_task(project, "broken", ago=30, status="error", **error)
    mended = make_task(project, "mended", ago=20, status="error", **error)
    update(project, mended, status="success")
    make_task(project, "silent", ago=10, status="error")

    for page in (web.get(LIST).text, web.get(f"{LIST}?q=status:error").text):
        whys = re.findall(r'<small class="why [^>]*>([^<]*)</small>', page)
        assert [html.unescape(why) for why in whys] == ["KeyError: <'a'>"]


def test_page_of_pending_tasks_says_how_long_the_oldest_has_waited(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "started", ago=9000, status="processing")
    oldest = make_task(project, "job", ago=7300)
    young = make_task(make_project("acme", "worker"), "young job", ago=70)

    def told(query: str) -> list[tuple[str, str]]:
        text = " ".join(web.get(f"{LIST}?q={query}").text.split())
        return re.findall(r'waiting for <a href="([^"]*)"><span [^>]*>([^<]*)<', text)

    assert told("status:pending") == [(f"{LIST}{oldest}/", "2 h 1 min")]
    assert [href for href, _ in told("status:pending&project=worker")] == [f"{LIST}{young}/"]
    assert told("") == told("status:pending gone") == []


def test_running_tasks_show_what_is_usual(web: WebClient, project: ProjectRef) -> None:
    for _ in range(3):
        ended = make_task(project, "import", ago=230, status="processing")
        update(project, ended, status="success")
    count_runs()
    make_task(project, "import", ago=70, status="processing")
    make_task(project, "new", ago=70, status="processing")

    [running] = re.findall(r"usually ([^<]*)<", web.get(LIST).text)

    assert running in ("3.7 min", "3.8 min", "3.9 min")


def test_finished_task_shows_its_outcome_and_no_progress(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "fine", status="success", value=25)
    make_task(project, "broken", status="error", value=62)

    assert re.findall(r'<progress value="(\d+)"', web.get(LIST).text) == ["62"]


@pytest.mark.usefixtures("fresh_versions")
def test_newcomers_wait_above_the_anchor(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "old", ago=5)
    anchor = re.findall(r'data-anchor="([^"]*)"', web.get(LIST).text)[0]
    make_task(project, "new")

    page = live(web, LIST, anchor=anchor).text

    assert shown(page) == ["old"]
    assert "1 new — show" in page
    assert shown(live(web, LIST).text) == ["new", "old"]


def test_first_poll_of_an_opened_list_is_a_304(web: WebClient, project: ProjectRef) -> None:
    for number in range(3):
        make_task(project, f"job {number}")
    page = web.get(LIST).text
    [etag] = re.findall(r'data-etag="([^"]+)"', page)
    [anchor] = re.findall(r'data-anchor="([^"]+)"', page)

    assert live(web, LIST, f'"{etag}"', anchor).status_code == 304


@pytest.mark.usefixtures("fresh_versions")
def test_open_list_gets_its_rows_again_only_when_one_of_them_changed(
    app: Flask, web: WebClient, project: ProjectRef
) -> None:
    task_id = make_task(project, "old", ago=5, status="processing")
    anchor = re.findall(r'data-anchor="([^"]*)"', web.get(LIST).text)[0]
    first = live(web, LIST, anchor=anchor)
    make_task(project, "new")

    newcomer = live(web, LIST, first.headers["ETag"], anchor)
    update(project, task_id, value=50)
    changed = live(web, LIST, newcomer.headers["ETag"], anchor)
    process_of(app).counts.clear()
    update(project, task_id, value=50)
    counted = live(web, LIST, changed.headers["ETag"], anchor)

    assert 'id="tasks"' in first.text
    assert "1 new — show" in newcomer.text
    assert 'id="tasks"' not in newcomer.text
    assert "data-moving" in newcomer.text
    assert shown(changed.text) == ["old"]
    assert 'id="tabs"' not in changed.text
    assert 'id="tabs"' in counted.text


@pytest.mark.usefixtures("fresh_versions")
def test_newcomers_are_counted_only_so_far(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_page, "NEWCOMERS", 2)
    make_task(project, "old", ago=5)
    anchor = re.findall(r'data-anchor="([^"]*)"', web.get(LIST).text)[0]
    for _ in range(2):
        make_task(project, "new")
    first = live(web, LIST, anchor=anchor)
    make_task(project, "newest")

    assert "2+ new — show" in first.text
    assert live(web, LIST, first.headers["ETag"], anchor).status_code == 304


def test_open_pages_share_an_answer_but_not_across_roles(
    app: Flask,
    web: WebClient,
    viewer: WebClient,
    project: ProjectRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine two seconds may pass between two requests.
    monkeypatch.setattr(process_of(app), "versions", TimedCache(60.0))
    make_task(project)
    other = browser_for(web.client.application, make_member("bo@example.org", "owner"))
    first = live(web, LIST)

    with count_queries() as statements:
        second = live(other, LIST)

    assert second.data == first.data
    assert [one for one in statements if "FROM task" in one] == []
    assert "data-select-page" in first.text
    assert "data-select-page" not in live(viewer, LIST).text


def test_queries_of_a_page_do_not_grow_with_its_rows(web: WebClient, project: ProjectRef) -> None:
    numbers = []
    for count in (1, 5):
        for _ in range(count):
            make_task(project, tags={"a": "b"})
        with count_queries() as statements:
            web.get(LIST)
        numbers.append(len(statements))

    assert numbers[0] == numbers[1] <= 9


def test_selected_tasks_are_cancelled(web: WebClient, project: ProjectRef) -> None:
    first, second = make_task(project, "a", status="processing"), make_task(project, "b")
    make_task(project, "c")

    response = web.post(LIST + "cancel", {"task": [first, second], "q": "job", "all": ""})

    assert (response.status_code, response.location) == (303, "/a/acme/tasks/?q=job")
    assert statuses() == {"a": "cancelled", "b": "cancelled", "c": "pending"}
    [entry] = db.session.scalars(audit_entries())
    assert (entry.verb, entry.subject, entry.detail) == (
        "task.cancel",
        "2 tasks",
        f"2 selected: {first}, {second}",
    )
    db.session.rollback()
    assert "Cancelled 2 tasks" in web.get(LIST).text


def test_all_matching_tasks_are_cancelled_in_batches(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CANCEL_BATCH", 2)
    for number in range(5):
        make_task(project, f"job {number}", ago=number)
    make_task(project, "other")
    make_task(project, "job done", status="success")

    web.post(LIST + "cancel", {"q": "job", "all": "1"})

    expected = {f"job {number}": "cancelled" for number in range(5)}
    assert statuses() == {**expected, "other": "pending", "job done": "success"}


def hidden(page: str, name: str) -> str:
    """Return the value of a hidden field of a page."""
    return re.findall(rf'type="hidden" name="{name}" value="([^"]*)"', page)[0]


def test_newcomers_that_wait_are_not_cancelled_with_all_that_match(
    app: Flask, web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_of(app), "versions", TimedCache(0.0))
    monkeypatch.setattr(process_of(app), "counts", TimedCache(0.0))
    for number in range(3):
        make_task(project, f"old {number}", ago=5 + number)
    anchor = re.findall(r'data-anchor="([^"]*)"', web.get(LIST).text)[0]
    make_task(project, "new")

    page = live(web, LIST, anchor=anchor).text
    web.post(LIST + "cancel", {"all": "1", "newest": hidden(page, "newest")})

    assert 'data-matching="3"' in page
    assert statuses() == {"new": "pending", **{f"old {n}": "cancelled" for n in range(3)}}


def test_all_that_match_from_a_later_page_are_those_of_its_time(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_page, "PAGE_SIZE", 1)
    for number in range(3):
        make_task(project, f"old {number}", ago=5 + number)
    older = re.findall(r'rel="next"\s+href="([^"]*)"', web.get(LIST).text)[0]
    newest = hidden(web.get(older).text, "newest")
    make_task(project, "new", ago=-1)

    web.post(LIST + "cancel", {"all": "1", "newest": newest})

    assert statuses() == {"new": "pending", **{f"old {n}": "cancelled" for n in range(3)}}
    assert web.post(LIST + "cancel", {"all": "1", "newest": "x"}).status_code == 404


@pytest.mark.parametrize("chosen", ["all", "selected"])
def test_each_cancellation_is_a_transaction_of_its_own(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    transactions: list[Any] = []
    cancel = write.cancel_task

    def note(*arguments: Any, **options: Any) -> None:
        transactions.append(db.session().get_transaction())
        cancel(*arguments, **options)

    monkeypatch.setattr(write, "cancel_task", note)
    found = [make_task(project, f"job {number}") for number in range(3)]

    web.post(LIST + "cancel", {"all": "1"} if chosen == "all" else {"task": found})

    assert set(statuses().values()) == {"cancelled"}
    assert len({id(one) for one in transactions}) == 3


def test_long_cancellation_stops_and_says_so(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "CANCEL_BATCH", 2)
    monkeypatch.setattr(bulk, "CANCEL_SECONDS", -1)
    for number in range(3):
        make_task(project, f"job {number}", ago=number)

    web.post(LIST + "cancel", {"q": "", "all": "1"})

    assert "Cancelled 2 tasks. There are more" in web.get(LIST).text
    assert sorted(statuses().values()) == ["cancelled", "cancelled", "pending"]


@pytest.mark.parametrize("search", ["status:error", "staus:x"])
def test_nothing_is_cancelled_where_nothing_can_be(
    web: WebClient, project: ProjectRef, search: str
) -> None:
    make_task(project, "a", status="error")
    make_task(project, "b")

    web.post(LIST + "cancel", {"q": search, "all": "1"})

    assert statuses() == {"a": "error", "b": "pending"}
    web.post(LIST + "cancel", {"q": "", "all": ""})
    assert web.get(LIST).text.count("No task was cancelled") == 2


def test_viewer_may_look_and_export_but_not_change(viewer: WebClient, project: ProjectRef) -> None:
    task = make_task(project)

    assert viewer.get(LIST).status_code == 200
    assert viewer.get(LIST + "export.csv").status_code == 200
    for path in ("cancel", "views", "views/1/delete"):
        assert viewer.post(LIST + path, {"task": task, "all": "1"}).status_code == 403
    assert statuses() == {"job": "pending"}


def test_export_streams_what_matches(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "=1+1", status="error")
    make_task(project, "fine")

    response = web.get(LIST + "export.csv?q=status:error")

    assert response.headers["Content-Disposition"] == 'attachment; filename="tasks-acme.csv"'
    rows = list(csv.DictReader(io.StringIO(response.data.decode("utf-8-sig"), newline="")))
    assert [row["name"] for row in rows] == ["'=1+1"]
    assert web.get(LIST + "export.jsonl").text.count("\n") == 2
    assert web.get(LIST + "export.xls").status_code == 404
    assert web.get(LIST + "export.csv?q=staus:x").status_code == 400


def exported(web: WebClient, **form: Any) -> list[str]:
    """Return the names in an export of what is selected."""
    text = web.post(LIST + "export.jsonl", form).text
    return [json.loads(line)["name"] for line in text.splitlines()]


def test_selected_tasks_are_exported(web: WebClient, project: ProjectRef) -> None:
    found = [make_task(project, name, ago=5) for name in ("a", "b", "c")]
    foreign = make_task(make_project("other", "web"), "foreign")
    newest = hidden(web.get(LIST).text, "newest")
    make_task(project, "new")

    ticked = exported(web, task=[found[0], found[2], foreign, "nonsense"], all="", q="b")

    assert sorted(ticked) == ["a", "c"]
    assert sorted(exported(web, all="1", newest=newest)) == ["a", "b", "c"]
    assert exported(web, all="1", newest=newest, q="b") == ["b"]
    nothing = web.post(LIST + "export.csv", {"all": "", "q": "b"})
    assert (nothing.status_code, nothing.location) == (303, LIST + "?q=b")
    assert "no tasks are selected" in web.get(LIST).text


@pytest.mark.parametrize(("role", "token"), [("admin", "hunter2"), ("member", "••••••")])
def test_export_shows_secrets_to_those_who_may_make_keys(
    app: Flask, project: ProjectRef, role: str, token: str
) -> None:
    make_task(project, data='{"token":"hunter2"}')
    browser = browser_for(app, make_member("bo@example.org", role))

    line = browser.get(LIST + "export.jsonl").text

    assert json.loads(line)["data"] == {"token": token}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_export_is_sent_as_it_is_read(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(exports, "PAGE_SIZE", 1)
    for _ in range(3):
        make_task(project)

    with count_queries() as statements:
        response = web.get(f"{LIST}export.{kind}", buffered=False)
        parts = response.iter_encoded()
        next(parts)
        begun = len([one for one in statements if "FROM task" in one])
        rest = len(list(parts))
    searches = [one for one in statements if "FROM task" in one]

    assert begun <= 2 < len(searches)
    assert rest == (3 if kind == "csv" else 2)


def test_views_are_saved_listed_and_deleted(web: WebClient, project: ProjectRef) -> None:
    web.post(LIST + "views", {"name": HOSTILE[:80], "q": "status:error", "project": "web"})

    page = web.get(LIST).text
    assert "/a/acme/tasks/?q=status:error&amp;project=web" in page
    assert "<script>alert" not in page
    [view] = db.session.scalars(select(SavedView))
    db.session.rollback()
    assert web.post(LIST + f"views/{view.id}/delete").status_code == 303
    assert list(db.session.scalars(select(SavedView))) == []
    db.session.rollback()
    assert web.post(LIST + "views", {"name": ""}).status_code == 400


def test_view_that_is_deleted_at_once_has_been_saved(
    app: Flask, web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = db.session.commit

    def commit_and_lose() -> None:
        commit()
        with ThreadPoolExecutor(1) as another:
            another.submit(delete_views).result()

    def delete_views() -> None:
        with app.app_context():
            db.session.execute(delete(SavedView))
            commit()
            db.session.remove()

    monkeypatch.setattr(db.session, "commit", commit_and_lose)

    answer = web.post(LIST + "views", {"name": "Failures", "q": "status:error"})

    assert (answer.status_code, answer.location) == (303, LIST + "?q=status:error")


def test_page_says_how_far_it_looked(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_SCAN", 2)
    monkeypatch.setattr(plan, "MIN_SCAN", 2)
    for number in range(4):
        make_task(project, f"job {number}", ago=number, queue="rare" if number == 3 else "")

    page = web.get(LIST + "?q=queue:rare").text

    assert "found no match" in page
    further = re.findall(r'href="([^"]*)">Search further back', page)[0].replace("&amp;", "&")
    assert shown(web.get(further).text) == ["job 3"]


@pytest.mark.usefixtures("fresh_versions")
def test_change_that_the_list_does_not_show_costs_no_new_page(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "shown", status="error")
    other = make_task(project, "other")
    first = live(web, LIST + "?q=name:shown")
    update(project, other, value=5)

    second = live(web, LIST + "?q=name:shown", first.headers["ETag"])
    with count_queries() as statements:
        third = live(web, LIST + "?q=name:shown", second.headers["ETag"])

    assert (second.status_code, third.status_code) == (304, 304)
    assert second.headers["ETag"] != first.headers["ETag"]
    assert len([one for one in statements if "FROM task" in one]) == 1


def test_open_page_that_sends_an_empty_version_gets_all(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "shown")

    assert shown(live(web, LIST, '""').text) == ["shown"]


def test_open_lists_of_other_states_share_the_counts(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "failed", status="error")
    make_task(project, "done", status="success")
    live(web, LIST)

    with count_queries() as statements:
        failed = live(web, LIST + "?q=status:error").text

    assert [one for one in statements if "count(" in one.lower() and "FROM task" in one] == []
    assert shown(failed) == ["failed"]
    assert '<span class="tab-count">2</span>' in failed
