"""The pages of maintenance windows: list, form, buttons that silence, and where they show."""

import re
from datetime import timedelta
from typing import Any

import pytest
from blueprints.dashboard.doing import assert_same_queries, make_task
from blueprints.dashboard.forms_read import (
    ESCAPED,
    HOSTILE,
    field_errors,
    live,
    rows,
    trail,
    value_of,
    words,
)
from conftest import count_queries, make_project
from flask import Flask
from holding import make_many_windows, make_window
from people import WebClient, browser_for, make_member
from watching import Watch

from taskbadger.blueprints.dashboard.alerts.windows import _until
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow
from taskbadger.process import current_process
from taskbadger.services.windows import manage

WINDOWS = "/a/acme/alerts/windows/"
HOUR = timedelta(hours=1)
FORM = {
    "name": "deploy",
    "form": "once",
    "starts": "2030-07-01T08:00",
    "ends": "2030-07-01T09:30",
    "timezone": "Europe/Paris",
    "name_pattern": "^nightly-",
}
RECURRING = {
    "name": "backup",
    "form": "recurring",
    "schedule": "0 2 * * 0",
    "duration": "1h30",
    "timezone": "Europe/Paris",
}


def only() -> dict[str, object]:
    """Return the set fields of the only window."""
    db.session.rollback()
    db.session.expire_all()
    window = db.session.query(MaintenanceWindow).one()
    return {name: value for name, value in manage.fields_of(window).items() if value}


def active(project: ProjectRef, **fields: Any) -> int:
    now = utcnow()
    return make_window(project, now, **{"starts": now - HOUR, "ends": now + HOUR, **fields})


def test_windows_are_listed_by_state(web: WebClient, project: ProjectRef) -> None:
    now = utcnow()
    make_window(project, now, name="over", starts=now - 2 * HOUR, ends=now - HOUR)
    make_window(project, now, name="coming", starts=now + HOUR, ends=now + 2 * HOUR, project="web")
    active(project, name_pattern="^nightly-")
    make_window(make_project("other"), now, name="foreign")

    page = web.get(WINDOWS).text

    assert rows(page) == ["deploy", "coming", "over"]
    text = words(page)
    for part in (
        "tasks whose name starts with “nightly-”",
        "the project web",
        "everything",
        "active ends in 59 min",
    ):
        assert part in text
    assert "planned starts in 59 min" in text
    assert text.count("End now") == 1


def test_empty_list_says_what_windows_do(web: WebClient, project: ProjectRef) -> None:
    assert "No windows yet" in web.get(WINDOWS).text
    assert "No window is over" in web.get(f"{WINDOWS}?state=over").text


def test_list_takes_as_many_queries_for_50_as_for_one(web: WebClient, project: ProjectRef) -> None:
    monitor_id = str(Watch(project).monitor.id)

    def make(number: int) -> None:
        make_window(project, utcnow(), name=f"window {number}", monitor=monitor_id)

    assert_same_queries(web, WINDOWS, make, max_queries=9)


def test_windows_that_are_over_come_in_pages(web: WebClient, project: ProjectRef) -> None:
    now = utcnow()
    for number in range(54):
        make_window(project, now, name=f"w{number}", starts=now - 2 * HOUR, ends=now - HOUR)

    newest = [f"w{number}" for number in range(53, -1, -1)]
    first = web.get(f"{WINDOWS}?state=over").text
    second = web.get(href(first, "next")).text

    assert (rows(first), rows(second)) == (newest[:50], newest[50:])
    assert rows(web.get(href(second, "prev")).text) == newest[:50]
    both = web.get(WINDOWS).text
    assert rows(both) == newest[:10]
    assert f'href="{WINDOWS}?state=over"' in both


def test_windows_to_come_come_in_pages(web: WebClient, project: ProjectRef) -> None:
    now = utcnow()
    for number in range(53):
        start = now + HOUR + timedelta(minutes=number)
        make_window(project, now, name=f"w{number}", starts=start, ends=now + 9 * HOUR)
    make_window(project, now, name="over", starts=now - 2 * HOUR, ends=now - HOUR)

    by_start = [f"w{number}" for number in range(53)]
    first = web.get(WINDOWS).text
    second = web.get(href(first, "next")).text

    assert (rows(first), rows(second)) == ([*by_start[:50], "over"], by_start[50:])
    assert rows(web.get(href(second, "prev")).text) == by_start[:50]


def href(page: str, rel: str) -> str:
    [found] = re.findall(f'rel="{rel}" href="([^"]*)"', page)
    return str(found).replace("&amp;", "&")


@pytest.mark.parametrize(
    ("query", "number"), [("", 50 + 10), ("?state=over", 50), ("?state=nope", 50 + 10)]
)
def test_list_of_ten_thousand_windows_shows_the_first(
    web: WebClient, project: ProjectRef, query: str, number: int
) -> None:
    make_many_windows(project, 10_000, utcnow())

    with count_queries() as statements:
        page = web.get(WINDOWS + query).text

    assert len(rows(page)) == number
    assert len(statements) <= 9
    assert 'rel="next"' in page


def test_pages_say_in_one_line_how_many_windows_are_active(
    web: WebClient, project: ProjectRef
) -> None:
    task = f"/a/acme/tasks/{make_task(project)}/"
    later = utcnow() + timedelta(hours=6)
    active(project, name="long", ends=later)
    for number in range(11):
        active(project, name=f"w{number}")

    text = words(web.get("/a/acme/").text)
    etag = live(web, task).headers["ETag"]
    active(project, name="one more")
    current_process().forget()
    after = words(live(web, task, etag).text)

    assert text.count("no messages are sent") == 1
    assert "In 12 maintenance windows, the last of which, long, ends in 5 h" in text
    assert "In 13 maintenance windows, the last of which, long," in after


@pytest.mark.parametrize("query", ["?cursor=x", "?state=over&cursor=bnwxfDI", "?cursor=bnwx"])
def test_wrong_cursor_is_not_found(web: WebClient, project: ProjectRef, query: str) -> None:
    assert web.get(WINDOWS + query).status_code == 404


def test_window_is_made_from_a_form_by_the_clocks_of_its_zone(
    web: WebClient, project: ProjectRef
) -> None:
    answer = web.post(f"{WINDOWS}new/", FORM | {"schedule": "ignored", "duration": "x"})

    assert (answer.status_code, answer.location) == (303, WINDOWS)
    assert only() == {
        "name": "deploy",
        "name_pattern": "^nightly-",
        "starts": "2030-07-01T06:00:00Z",
        "ends": "2030-07-01T07:30:00Z",
        "timezone": "Europe/Paris",
    }
    assert [entry[:3] for entry in trail()] == [("ada@example.org", "window.create", "deploy")]


def test_recurring_window_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
    monitor_id = str(Watch(project).monitor.id)

    web.post(f"{WINDOWS}new/", RECURRING | {"starts": "x", "monitor": monitor_id})

    assert only() == {
        "name": "backup",
        "monitor": "web/nightly",
        "schedule": "0 2 * * 0",
        "duration": 5400,
        "timezone": "Europe/Paris",
    }


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"name": ""}, "name", "This field may not be blank."),
        ({"ends": "2030-07-01T08:00"}, "ends", "It must end after it starts."),
        ({"ends": ""}, "ends", "Give starts and ends together."),
        ({"starts": "tomorrow"}, "starts", "Datetime has wrong format."),
        ({"timezone": "Mars/Base"}, "timezone", "is unknown"),
        ({"name_pattern": "("}, "name_pattern", "Not a valid RE2"),
        ({"project": "web"}, "name_pattern", "Give at most one of"),
        (RECURRING | {"duration": ""}, "duration", "Give schedule and duration together."),
        (RECURRING | {"schedule": "often"}, "schedule", "a schedule has five"),
        (RECURRING | {"duration": "8 days"}, "duration", "At most 7 days."),
    ],
)
def test_wrong_field_keeps_what_was_typed(
    web: WebClient, project: ProjectRef, changes: dict[str, str], field: str, problem: str
) -> None:
    answer = web.post(f"{WINDOWS}new/", FORM | changes)

    assert answer.status_code == 400
    assert problem in field_errors(answer.text)[field]
    assert value_of(answer.text, "name") == (FORM | changes)["name"]
    assert db.session.query(MaintenanceWindow).all() == []


def test_form_shows_what_is_saved_and_saving_it_changes_nothing(
    web: WebClient, project: ProjectRef
) -> None:
    web.post(f"{WINDOWS}new/", FORM)
    before = only()
    path = f"{WINDOWS}{db.session.query(MaintenanceWindow).one().id}/"
    page = web.get(path).text

    shown = {name: value_of(page, name) for name in ("name", "starts", "ends", "timezone")}
    assert shown == {name: FORM[name] for name in shown}
    web.post(path, FORM)
    assert only() == before
    web.post(path, RECURRING)
    assert only()["schedule"] == "0 2 * * 0"
    assert [entry[1] for entry in trail()] == ["window.create", "window.change"]


def test_active_window_is_ended_and_one_is_deleted(web: WebClient, project: ProjectRef) -> None:
    window_id = active(project)

    web.post(f"{WINDOWS}{window_id}/end", {})
    again = web.post(f"{WINDOWS}{window_id}/end", {}, follow_redirects=True)
    web.post(f"{WINDOWS}{window_id}/delete", {})

    assert "This window is not active." in again.text
    assert db.session.query(MaintenanceWindow).all() == []
    verbs = [entry[1] for entry in trail()]
    assert verbs == ["window.create", "window.change", "window.delete"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, {"name": "Silence of everything"}),
        ({"name": "a.b"}, {"name": "Silence of a.b", "name_pattern": r"^a\.b$"}),
        ({"monitor": "nightly"}, {"name": "Silence of nightly", "monitor": "web/nightly"}),
    ],
)
def test_button_silences_for_an_hour(
    web: WebClient, project: ProjectRef, form: dict[str, str], expected: dict[str, str]
) -> None:
    monitor_id = str(Watch(project).monitor.id)
    if "monitor" in form:
        form = {"monitor": monitor_id}
    before = utcnow()

    answer = web.post(f"{WINDOWS}silence", {"for": "1", **form})

    assert (answer.status_code, answer.location) == (303, WINDOWS)
    window = db.session.query(MaintenanceWindow).one()
    assert window.starts is not None
    assert window.ends == window.starts + HOUR
    assert before <= window.starts <= utcnow()
    found = only()
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("form", [{"for": "9"}, {}, {"for": "1", "monitor": "x"}])
def test_button_that_no_page_has_is_not_found(
    web: WebClient, project: ProjectRef, form: dict[str, str]
) -> None:
    assert web.post(f"{WINDOWS}silence", form).status_code == 404
    assert db.session.query(MaintenanceWindow).all() == []


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("UTC", "2026-05-04 23:59", "2026-05-05 08:00"),
        ("", "2026-05-04 00:00", "2026-05-05 08:00"),
        ("Mars/Base", "2026-05-04 00:00", "2026-05-05 08:00"),
        ("Europe/Paris", "2026-05-04 23:59", "2026-05-06 06:00"),
        ("America/New_York", "2026-03-07 12:00", "2026-03-08 12:00"),
    ],
)
def test_tomorrow_is_that_of_the_time_zone(zone: str, now: str, expected: str) -> None:
    def utc(text: str) -> Any:
        return utcnow().fromisoformat(f"{text}+00:00")

    assert _until("tomorrow", zone, utc(now)) == utc(expected)


def test_active_window_shows_on_the_pages_of_what_it_covers(
    web: WebClient, project: ProjectRef
) -> None:
    monitor = Watch(project).monitor
    task_id = make_task(project, "nightly")
    other = make_task(project, "other")
    pages = {
        "overview": "/a/acme/",
        "monitor": f"/a/acme/monitors/{monitor.id}/",
        "name": "/a/acme/names/web/?name=nightly",
        "other name": "/a/acme/names/web/?name=other",
        "task": f"/a/acme/tasks/{task_id}/",
        "other task": f"/a/acme/tasks/{other}/",
    }

    def shown() -> set[str]:
        return {
            name
            for name, path in pages.items()
            if "In the maintenance window" in web.get(path).text
        }

    assert shown() == set()
    window_id = active(project)
    assert shown() == set(pages)
    for changes, expected in (
        ({"name_pattern": "nightly"}, {"overview", "name", "task"}),
        ({"name_pattern": "", "monitor": str(monitor.id)}, {"overview", "monitor"}),
    ):
        data: Any = changes
        manage.update_window(project.organization_id, window_id, data, actor=SERVER, now=utcnow())
        db.session.commit()
        assert shown() == expected


def test_open_page_learns_of_a_window(web: WebClient, project: ProjectRef) -> None:
    make_task(project)
    for path in ("/a/acme/", WINDOWS):
        first = web.get(path, headers={"X-Live": "1"})
        same = web.get(path, headers={"X-Live": "1", "If-None-Match": first.headers["ETag"]})
        assert same.status_code == 304
    active(project, name="sudden")
    current_process().forget()

    assert "sudden" in web.get(WINDOWS, headers={"X-Live": "1"}).text
    assert "sudden" in web.get("/a/acme/", headers={"X-Live": "1"}).text


def test_hostile_name_is_escaped(web: WebClient, project: ProjectRef) -> None:
    active(project, name=HOSTILE)
    make_task(project)

    for path in (WINDOWS, "/a/acme/"):
        page = web.get(path).text
        assert HOSTILE not in page
        assert ESCAPED in page


def test_viewer_sees_windows_and_changes_none(app: Flask, project: ProjectRef) -> None:
    window_id = active(project)
    viewer = browser_for(app, make_member("vi@example.org", "viewer"))

    page = viewer.get(WINDOWS).text
    answers = [
        viewer.post(f"{WINDOWS}{path}", {"for": "1"}).status_code
        for path in ("new/", f"{window_id}/", f"{window_id}/end", f"{window_id}/delete", "silence")
    ]

    assert "deploy everything" in words(page)
    assert ("End now" in page, "Silence everything" in page, rows(page)) == (False, False, [])
    assert answers == [403] * 5


def test_window_of_another_organization_is_not_found(web: WebClient, project: ProjectRef) -> None:
    window_id = active(make_project("other"))

    answers = [web.get(f"{WINDOWS}{window_id}/"), web.get(f"{WINDOWS}x/")]
    answers += [web.post(f"{WINDOWS}{window_id}/{verb}", {}) for verb in ("", "end", "delete")]

    assert [answer.status_code for answer in answers] == [404] * 5
