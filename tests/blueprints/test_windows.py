"""The endpoints of maintenance windows: whole responses, each error, and the number of queries."""

from datetime import timedelta
from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from holding import make_many_windows
from managing import DENIED, NOT_FOUND, audited, manager, walk, without
from sqlalchemy import select
from watching import Watch

from taskbadger.clock import to_wire, utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow

ONCE = {"name": "deploy", "starts": "2030-05-04T03:00:00Z", "ends": "2030-05-04T04:00:00Z"}
NIGHTLY = {"name": "night", "schedule": "0 2 * * *", "duration": 3600, "timezone": "Europe/Paris"}
SHOWN = {
    "name": "deploy",
    "project": None,
    "monitor": None,
    "name_pattern": "",
    "starts": "2030-05-04T03:00:00.000000Z",
    "ends": "2030-05-04T04:00:00.000000Z",
    "schedule": None,
    "duration": None,
    "timezone": "UTC",
    "active": False,
    "next_start": "2030-05-04T03:00:00.000000Z",
}
UNKNOWN = ("id", "created", "updated")


def test_window_is_made_read_and_listed(admin: ApiClient) -> None:
    made = admin.post("/windows/", ONCE)

    assert (made.status_code, without(made.json, *UNKNOWN)) == (201, SHOWN)
    assert admin.get(f"/windows/{made.json['id']}/").json == made.json
    assert admin.get("/windows/").json == {"next": None, "previous": None, "results": [made.json]}
    assert audited() == [("key", "terraform", "window.create", "deploy")]


def test_recurring_window_says_when_it_starts_next(admin: ApiClient) -> None:
    made = admin.post("/windows/", NIGHTLY)

    assert made.status_code == 201
    shown = without(made.json, *UNKNOWN, "active", "next_start")
    expected = without({**SHOWN, **NIGHTLY, "starts": None, "ends": None}, "active", "next_start")
    assert shown == expected
    assert to_wire(utcnow()) < made.json["next_start"] < to_wire(utcnow() + timedelta(days=2))


def test_window_that_is_active_says_so(admin: ApiClient) -> None:
    now = utcnow()
    times = {"starts": to_wire(now - timedelta(hours=1)), "ends": to_wire(now + timedelta(hours=1))}

    made = admin.post("/windows/", {"name": "now", **times}).json

    assert (made["active"], made["next_start"]) == (True, None)


def test_window_covers_a_project_a_monitor_or_names(admin: ApiClient, project: ProjectRef) -> None:
    monitor = str(Watch(project).monitor.id)
    scopes: list[dict[str, Any]] = [
        {"project": "web"},
        {"monitor": monitor},
        {"name_pattern": "^nightly-"},
    ]

    made = [admin.post("/windows/", {**ONCE, **scope}).json for scope in scopes]

    assert [without(one, *UNKNOWN) for one in made] == [{**SHOWN, **scope} for scope in scopes]
    assert admin.get("/windows/").json["results"] == made[::-1]


def test_change_touches_what_it_names(admin: ApiClient) -> None:
    made = admin.post("/windows/", ONCE).json
    path = f"/windows/{made['id']}/"
    changes = {"name": "longer", "ends": "2030-05-04T05:00:00.000000Z", "project": "web"}

    changed = admin.patch(path, changes)
    recurring = {"starts": None, "ends": None, "schedule": "@daily", "duration": 60}
    again = admin.patch(path, recurring)

    assert (changed.status_code, without(changed.json, *UNKNOWN)) == (200, {**SHOWN, **changes})
    assert {name: again.json[name] for name in recurring} == recurring
    assert admin.get(path).json == again.json
    verbs = [entry[2] for entry in audited()]
    assert verbs == ["window.create", "window.change", "window.change"]


def test_deleted_window_is_gone(admin: ApiClient) -> None:
    path = f"/windows/{admin.post('/windows/', ONCE).json['id']}/"

    answers = [admin.delete(path).status_code for _ in range(2)]

    assert answers == [204, 404]
    assert admin.get("/windows/").json["results"] == []
    assert [entry[2] for entry in audited()] == ["window.create", "window.delete"]


BOTH = "Give either starts and ends, or schedule and duration, not both."


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": None}, ("name", "null", "This field may not be null.")),
        ({"ends": ONCE["starts"]}, ("ends", "invalid", "It must end after it starts.")),
        ({"ends": None}, ("ends", "required", "Give starts and ends together.")),
        (
            {"starts": None, "ends": None},
            ("starts", "required", "Give starts and ends, or schedule and duration."),
        ),
        ({"schedule": "@daily", "duration": 60}, ("duration", "invalid", BOTH)),
        (
            {"starts": None, "ends": None, "schedule": "* * * * *", "duration": 60},
            (
                "duration",
                "invalid",
                "It must be shorter than the shortest time between two starts of the next 366 "
                "days: 60 seconds.",
            ),
        ),
        (
            {"duration": 604801},
            ("duration", "max_value", "Ensure this value is less than or equal to 604800."),
        ),
        (
            {"timezone": "Mars/Base"},
            (
                "timezone",
                "invalid",
                'timezone: "Mars/Base" is unknown; use an IANA name such as Europe/Paris or UTC.',
            ),
        ),
        (
            {"project": "none"},
            ("project", "does_not_exist", "There is no project “none” in this organization."),
        ),
        (
            {"monitor": "none"},
            ("monitor", "does_not_exist", "There is no monitor “none” in this organization."),
        ),
        (
            {"project": "web", "name_pattern": "x"},
            (
                "name_pattern",
                "invalid",
                "Give at most one of project, monitor and name_pattern.",
            ),
        ),
    ],
)
def test_wrong_value_changes_nothing(
    admin: ApiClient, changes: dict[str, Any], error: tuple[str, str, str]
) -> None:
    made = admin.post("/windows/", ONCE).json

    answers = [
        admin.post("/windows/", {**ONCE, **changes}),
        admin.patch(f"/windows/{made['id']}/", changes),
    ]

    expected = (400, wrong(error))
    assert [(answer.status_code, answer.json) for answer in answers] == [expected] * 2
    assert admin.get("/windows/").json["results"] == [made]


def test_windows_of_others_are_not_found(app: Flask, admin: ApiClient) -> None:
    make_project("other")
    made = manager(app, "other").post("/windows/", ONCE).json

    answers = [
        admin.open(method, f"/windows/{made['id']}/", json={})
        for method in ("GET", "PATCH", "DELETE")
    ]

    assert [(answer.status_code, answer.json) for answer in answers] == [(404, NOT_FOUND)] * 3
    assert admin.get("/windows/").json["results"] == []


@pytest.mark.parametrize("text", ["0", "-1", "x", "99999999999"])
def test_id_that_names_nothing_is_not_found(admin: ApiClient, text: str) -> None:
    answer = admin.get(f"/windows/{text}/")

    assert (answer.status_code, answer.json) == (404, NOT_FOUND)


def test_key_that_only_reads_changes_nothing(app: Flask, admin: ApiClient) -> None:
    made = admin.post("/windows/", ONCE).json
    reader = manager(app, scopes="read")

    answers = [
        reader.post("/windows/", ONCE),
        reader.patch(f"/windows/{made['id']}/", {"name": "x"}),
        reader.delete(f"/windows/{made['id']}/"),
    ]

    assert [(answer.status_code, answer.json) for answer in answers] == [(403, DENIED)] * 3
    assert reader.get("/windows/").json["results"] == [made]


def test_list_is_walked_in_pages_with_the_same_queries(admin: ApiClient) -> None:
    counts = []
    for more in (1, 99):
        for number in range(more):
            admin.post("/windows/", {**ONCE, "name": str(number), "project": "web"})
        db.session.rollback()
        with count_queries() as statements:
            page = admin.get("/windows/").json["results"]
        counts.append((len(page), len(statements)))

    assert [rows for rows, _ in counts] == [1, 100]
    assert counts[0][1] == counts[1][1]
    found = walk(admin, "/windows/", "id")
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 100


def test_ten_thousand_windows_are_listed_in_pages(admin: ApiClient, project: ProjectRef) -> None:
    now = utcnow()
    make_many_windows(project, 10_000, now)
    newest = sorted(db.session.scalars(select(MaintenanceWindow.id)), reverse=True)

    first = admin.get("/windows/").json["results"]
    seen, path = [], "/windows/?page_size=1000"
    while path:
        page = admin.get(path.removeprefix("http://localhost")).json
        seen += [shown["id"] for shown in page["results"]]
        path = page["next"]

    assert seen == newest
    assert [shown["id"] for shown in first] == newest[:100]
    # In turn active, recurring, to come, and over.
    assert [shown["active"] for shown in first[:4]] == [True, False, False, False]
    tomorrow = to_wire(now + timedelta(days=1))
    minute = to_wire((now + timedelta(days=1)).replace(second=0, microsecond=0))
    assert [shown["next_start"] for shown in first[:4]] == [None, minute, tomorrow, None]
