"""The pages of incidents: the list, one with its timeline, and what people do about it."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.doing import assert_same_queries, count_runs, make_task
from blueprints.dashboard.forms_read import ESCAPED, HOSTILE, live, trail, words
from blueprints.dashboard.test_whole_rows import cells
from conftest import make_project
from flask import Flask
from incidents import (
    events,
    get_incident,
    make_event,
    make_failure,
    make_incident,
    make_kind,
)
from people import WebClient, browser_for, make_member
from sqlalchemy import insert, select, update
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.incidents import EVENTS
from taskbadger.extensions import db
from taskbadger.models import Failure, Incident

LIST = "/a/acme/incidents/"
ADA = "ada@example.org"
pytestmark = pytest.mark.usefixtures("fresh_versions")


def ago(**span: float) -> Any:
    return utcnow() - timedelta(**span)


def listed(page: str, after: str = "<h1") -> list[int]:
    """Return the ids of the rows of the first table after a text."""
    table = page.partition(after)[2].partition("</table>")[0]
    return [int(text) for text in re.findall(rf'data-row-link\s+href="{LIST}(\d+)/"', table)]


# The list


def test_open_incidents_come_first_and_then_those_closed_lately(
    web: WebClient, project: ProjectRef
) -> None:
    closed = make_incident(project, "import", opened_at=ago(hours=5), closed_at=ago(hours=3))
    monitor = make_incident(
        project,
        None,
        monitor_id=Watch(project).monitor.id,
        bad_slots=2,
        opened_at=ago(hours=2),
        snoozed_at=utcnow(),
    )
    name = make_incident(
        project, "export", opened_at=ago(minutes=3), runs=1200, acknowledged_by=ADA
    )
    make_incident(make_project("globex"), "foreign")

    page = web.get(LIST).text

    assert (listed(page), listed(page, "Closed lately")) == ([name, monitor], [closed])
    assert cells(page) == [
        ["export", "failing", "3 min ago", "3 min", "1,200", ADA],
        ["nightly monitor", "failing snoozed", "2 h ago", "2 h", "2", "–"],
    ]
    assert cells(page, "Closed lately") == [["import", "closed", "5 h ago", "2 h", "1", "–"]]
    assert re.findall(r'Open<span class="tab-count">(\d+)', page) == ["2"]


def test_nothing_fails_says_so(web: WebClient, project: ProjectRef) -> None:
    assert "Nothing is failing" in web.get(LIST).text
    assert "No closed incidents" in web.get(f"{LIST}?state=closed").text
    assert "No matching incidents" in web.get(f"{LIST}?q=none").text


def test_list_is_narrowed_by_state_project_and_text(web: WebClient, project: ProjectRef) -> None:
    closed = make_incident(project, "Import", closed_at=utcnow())
    opened = make_incident(project, "export")
    shop = make_incident(make_project(slug="shop"), "import of shop")

    def ask(query: str) -> list[int]:
        return listed(web.get(f"{LIST}?{query}").text)

    assert ask("state=closed") == [closed]
    assert ask("project=shop") == [shop]
    assert ask("q=EXP") == [opened]
    assert ask("q=import&state=closed") == [closed]
    assert ask("state=nope") == [shop, opened]
    page = web.get(f"{LIST}?project=web&q=exp").text
    assert "tab-count" not in page
    assert f'href="{LIST}?project=web&amp;q=exp&amp;state=closed"' in page


@pytest.mark.parametrize("state", ["", "closed"])
def test_list_has_pages(web: WebClient, project: ProjectRef, state: str) -> None:
    closed_at = utcnow() if state else None
    made = [make_incident(project, f"name {place}", closed_at=closed_at) for place in range(53)]

    first = web.get(f"{LIST}?state={state}&project=web").text
    [older] = re.findall(r'rel="next" href="([^"]*)"', first)
    second = web.get(older.replace("&amp;", "&")).text

    assert (listed(first), listed(second)) == (made[:2:-1], made[2::-1])
    assert "project=web" in older
    assert 'rel="prev"' in second


def test_first_of_ten_thousand_open_incidents_are_shown(
    web: WebClient, project: ProjectRef
) -> None:
    rows = [
        {
            "organization_id": project.organization_id,
            "project_id": project.id,
            "name": f"name {place}",
            "opened_at": utcnow(),
            "runs": 1,
            "bad_slots": 0,
            "notified": False,
        }
        for place in range(10_000)
    ]
    db.session.execute(insert(Incident), rows)
    db.session.commit()

    page = web.get(LIST).text

    assert len(listed(page)) == 50
    assert '<span class="tab-count">1,000' in page


@pytest.mark.parametrize("path", ["", "?state=closed", "?q=name"])
def test_list_takes_as_many_queries_for_many(
    web: WebClient, project: ProjectRef, path: str
) -> None:
    def make(place: int) -> None:
        make_incident(project, f"name {place}")
        make_incident(project, f"name {place}", closed_at=utcnow())

    assert_same_queries(web, LIST + path, make, max_queries=7)


def test_open_list_learns_of_what_changes(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project)
    etag = live(web, LIST).headers["ETag"]
    assert live(web, LIST, etag).status_code == 304

    for change in (
        lambda: web.post(f"{LIST}{number}/acknowledge"),
        lambda: web.post(f"{LIST}{number}/snooze", {"for": "4"}),
        lambda: make_incident(project, "another"),
    ):
        change()
        answer = live(web, LIST, etag)
        assert answer.status_code == 200
        etag = answer.headers["ETag"]


# One incident


def test_incident_of_a_name_is_shown_with_everything(web: WebClient, project: ProjectRef) -> None:
    with time_machine.travel(utcnow(), tick=False):
        began = ago(minutes=90)
        number = make_incident(project, "import", opened_at=began, runs=3)
        kind = make_kind(project, "ValueError: no", place="job.py, load", count=7)
        task = make_failure(project, kind, number)
        make_event(number, "opened", created=began, task_id=task)
        make_event(number, "told", created=ago(minutes=80), detail="slack:ops")
        make_event(number, "acknowledged", created=ago(minutes=1), actor="bob@example.com")

        page = web.get(f"{LIST}{number}/").text

    text = words(page)
    assert "import is failing: ValueError: no (3 failed runs since" in text
    assert "Nobody is on it yet." in text
    assert cells(page, "Kinds of failures")[0][0] == "ValueError: no job.py, load"
    assert cells(page, "Kinds of failures")[0][3] == "7"
    assert f'href="/a/acme/tasks/{task}/"' in page
    assert f'href="/a/acme/tasks/?q=incident:{number}">All tasks that failed in it</a>' in page
    assert f'data-row-link href="/a/acme/tasks/{task}/"' in " ".join(
        web.get(f"/a/acme/tasks/?q=incident:{number}").text.split()
    )
    timeline = page.partition("Timeline</h2>")[2].partition("</section>")[0]
    told = [words(item).strip() for item in re.findall(r"<li.*?</li>", timeline, re.DOTALL)]
    assert [re.split(r" \d{4}-", item)[0] for item in told] == [
        "Began to fail task",
        "Told slack:ops",
        "Acknowledged by bob@example.com",
    ]
    assert 'href="/a/acme/names/web/?name=import"' in page


def test_incident_of_a_monitor_is_shown(web: WebClient, project: ProjectRef) -> None:
    monitor = Watch(project).monitor.id
    number = make_incident(project, None, monitor_id=monitor, bad_slots=2)

    page = web.get(f"{LIST}{number}/").text

    assert "nightly is failing (2 failed or missed runs since" in words(page)
    assert f'href="/a/acme/monitors/{monitor}/"' in page
    assert "Kinds of failures" not in page


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        ("recovered", "import recovered after 2 h 5 min, 14 failed runs."),
        ("went_quiet", "import had no failure for long, after 2 h 5 min, 14 failed runs."),
    ],
)
def test_closed_incident_says_how_it_ended(
    web: WebClient, project: ProjectRef, last: str, sentence: str
) -> None:
    began = ago(hours=3)
    number = make_incident(
        project, opened_at=began, closed_at=began + timedelta(hours=2, minutes=5), runs=14
    )
    make_event(number, last)

    page = web.get(f"{LIST}{number}/").text

    assert sentence in words(page)
    assert not re.findall(r"<button[^>]*formaction", page)


def test_every_event_has_words(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project)
    for kind in (*EVENTS, "from_a_later_version"):
        make_event(number, kind)

    page = web.get(f"{LIST}{number}/").text

    assert [kind for kind in EVENTS if "_" in kind and kind in page] == []
    assert "from_a_later_version" in page


def test_incident_of_others_is_not_found(web: WebClient, project: ProjectRef) -> None:
    foreign = make_incident(make_project("globex"))

    for wanted in (str(foreign), "999999", "x", "9" * 30):
        assert web.get(f"{LIST}{wanted}/").status_code == 404
        for change in ("acknowledge", "unacknowledge", "snooze", "unsnooze"):
            answer = web.post(f"{LIST}{wanted}/{change}", {"for": "1"})
            assert answer.status_code == 404
    assert events() == []


def test_hostile_text_is_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project, HOSTILE, acknowledged_by=HOSTILE, acknowledged_at=utcnow())
    make_failure(project, make_kind(project, HOSTILE, HOSTILE), number, HOSTILE)
    make_event(number, "told", detail=HOSTILE, actor=HOSTILE)

    for path in (LIST, f"{LIST}{number}/"):
        page = web.get(path).text
        assert "<script>alert" not in page
        assert ESCAPED in page


def test_incident_says_why_in_the_words_of_its_latest_run(
    web: WebClient, project: ProjectRef
) -> None:
    number = make_incident(project)
    kind = make_kind(project, "access denied for key ‹number›")
    for key in (41, 42):
        task = make_failure(project, kind, number, now=ago(seconds=50 - key))
        failed = update(Failure).where(Failure.task_id == task)
        db.session.execute(failed.values(error=f"access denied for key {key}"))
    db.session.commit()

    page = web.get(f"{LIST}{number}/").text

    assert "import is failing: access denied for key 42 (1 failed run since" in words(page)
    whys = re.findall(r'<small class="why[^>]*>([^<]*)<', page)
    assert whys == ["access denied for key 42", "access denied for key 41"]


def test_incident_takes_as_many_queries_for_many(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project)

    def make(place: int) -> None:
        make_event(number, "told")
        make_failure(project, make_kind(project, f"kind {place}"), number, now=utcnow())

    assert_same_queries(web, f"{LIST}{number}/", make, max_queries=11)


# What people do


def test_incident_is_acknowledged_taken_over_and_given_back(
    web: WebClient, app: Flask, project: ProjectRef
) -> None:
    number = make_incident(project)
    path = f"{LIST}{number}/"

    page = web.post(f"{path}acknowledge", follow_redirects=True).text
    assert f"{ADA} is on it since" in words(page)
    bob = browser_for(app, make_member("bob@example.org", "member"))
    page = bob.post(f"{path}acknowledge", follow_redirects=True).text
    assert "bob@example.org is on it since" in words(page)
    page = web.post(f"{path}unacknowledge", follow_redirects=True).text
    assert "Nobody is on it yet." in words(page)

    assert events() == [
        ("acknowledged", ADA, ""),
        ("acknowledged", "bob@example.org", ""),
        ("unacknowledged", ADA, "was bob@example.org"),
    ]
    assert [entry[:3] for entry in trail()] == [
        (ADA, "incident.acknowledge", "import"),
        ("bob@example.org", "incident.acknowledge", "import"),
        (ADA, "incident.unacknowledge", "import"),
    ]


@pytest.mark.parametrize(
    ("choice", "zone", "until"),
    [
        ("1", "", "2026-03-28T23:30:00+00:00"),
        ("4", "", "2026-03-29T02:30:00+00:00"),
        ("tomorrow", "", "2026-03-29T08:00:00+00:00"),
        ("tomorrow", "Europe/Berlin", "2026-03-29T06:00:00+00:00"),
        ("tomorrow", "Gone/Away", "2026-03-29T08:00:00+00:00"),
        ("change", "Europe/Berlin", None),
    ],
)
def test_incident_is_snoozed_as_chosen_and_woken(
    app: Flask, project: ProjectRef, choice: str, zone: str, until: str | None
) -> None:
    with time_machine.travel("2026-03-28T22:30:00Z", tick=False):
        web = browser_for(app, make_member())
        number = make_incident(project, opened_at=utcnow())
        page = web.post(
            f"{LIST}{number}/snooze", {"for": choice, "zone": zone}, follow_redirects=True
        ).text
        found = get_incident(number).snoozed_until
        web.post(f"{LIST}{number}/unsnooze")

    assert (found and found.isoformat()) == until
    assert f"Snoozed until {'it changes' if until is None else until[:10]}" in words(page)
    assert get_incident(number).snoozed_at is None
    assert [event[0] for event in events()] == ["snoozed", "snooze_ended"]


def test_snooze_without_a_choice_is_an_error(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project)

    answer = web.post(f"{LIST}{number}/snooze", {"for": "ever"})

    assert (answer.status_code, "Choose for how long." in answer.text) == (400, True)
    assert events() == []


@pytest.mark.parametrize("change", ["acknowledge", "unacknowledge", "snooze", "unsnooze"])
def test_closed_incident_stays_as_it_is(web: WebClient, project: ProjectRef, change: str) -> None:
    number = make_incident(project, closed_at=utcnow())

    page = web.post(f"{LIST}{number}/{change}", {"for": "1"}, follow_redirects=True).text

    assert "The incident is closed." in words(page)
    assert events() == []


def test_viewer_sees_incidents_and_changes_nothing(app: Flask, project: ProjectRef) -> None:
    viewer = browser_for(app, make_member("vi@example.org", "viewer"))
    number = make_incident(project)

    page = viewer.get(f"{LIST}{number}/").text

    assert "formaction" not in page
    assert viewer.post(f"{LIST}{number}/acknowledge").status_code == 403
    assert events() == []


def test_open_page_learns_of_what_changes(web: WebClient, project: ProjectRef) -> None:
    number = make_incident(project)
    path = f"{LIST}{number}/"
    etag = live(web, path).headers["ETag"]
    assert live(web, path, etag).status_code == 304
    changes: list[Callable[[], object]] = [
        lambda: web.post(f"{path}acknowledge"),
        lambda: web.post(f"{path}snooze", {"for": "change"}),
        lambda: make_event(number, "told", detail="slack:ops"),
        lambda: make_failure(project, make_kind(project, "new"), number),
    ]

    for change in changes:
        change()
        answer = live(web, path, etag)
        assert answer.status_code == 200
        etag = answer.headers["ETag"]


# Other pages


def test_monitor_leads_to_its_incidents(web: WebClient, project: ProjectRef) -> None:
    monitor = Watch(project).monitor.id
    number = make_incident(project, None, monitor_id=monitor, acknowledged_by=ADA)

    page = web.get(f"/a/acme/monitors/{monitor}/").text

    assert page.count(f'href="{LIST}{number}/"') == 2
    assert f"1 failed or missed run; {ADA} is on it." in words(page)


def test_name_leads_to_its_open_incident(web: WebClient, project: ProjectRef) -> None:
    make_task(project, "import", status="success")
    count_runs()
    path = "/a/acme/names/web/?name=import"
    etag = live(web, path).headers["ETag"]
    assert "Failing since" not in web.get(path).text

    number = make_incident(project, runs=3, opened_at=ago(hours=1), acknowledged_by=ADA)

    page = live(web, path, etag).text
    assert f'href="{LIST}{number}/"' in page
    assert f"Failing since 1 h ago: 3 failed runs; {ADA} is on it." in words(page)


def test_overview_shows_open_incidents_with_who_is_on_it(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "export", status="error")
    count_runs()
    [followed] = db.session.scalars(select(Incident.id))
    name = make_incident(project, opened_at=ago(hours=1), runs=3, acknowledged_by=ADA)
    monitor = make_incident(project, None, monitor_id=Watch(project).monitor.id)
    make_incident(project, "old", closed_at=utcnow())

    page = web.get("/a/acme/").text

    assert listed(page, "Failing now") == [monitor, name, followed]
    rows = cells(page, "Failing now")
    assert [row[:3] for row in rows] == [
        ["nightly monitor, 1 run", "failing", "nobody"],
        ["import 3 runs", "failing", ADA],
        ["export 1 run", "failing", "nobody"],
    ]


def test_overview_counts_incidents_that_it_does_not_show(
    web: WebClient, project: ProjectRef
) -> None:
    make_task(project, "import")
    for place in range(7):
        make_incident(project, f"name {place}")

    page = web.get("/a/acme/").text

    assert len(listed(page, "Failing now")) == 5
    assert f'<a href="{LIST}">All open incidents</a>' in page
