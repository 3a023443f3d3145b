"""The endpoints of incidents, and the tasks of one."""

from datetime import timedelta
from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from incidents import (
    NOW,
    after,
    events,
    get_incident,
    make_event,
    make_failure,
    make_incident,
    make_kind,
)
from managing import DENIED, NOT_FOUND, audited, conflict, manager, walk
from sqlalchemy import insert, text
from watching import Watch

from taskbadger.clock import to_wire, utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure

AT = "2026-11-28T12:00:00.000000Z"


@pytest.fixture
def admin(app: Flask, project: ProjectRef) -> ApiClient:
    return manager(app)


def shown(number: int, **values: Any) -> dict[str, Any]:
    """Return an incident of the name ``import`` as the API shows it."""
    return {
        "id": number,
        "project": "web",
        "name": "import",
        "monitor": None,
        "opened": AT,
        "closed": None,
        "runs": 1,
        "failures": [],
        "acknowledged": None,
        "acknowledged_by": None,
        "snoozed": None,
        "snoozed_until": None,
        **values,
    }


def test_incidents_are_listed_newest_first(admin: ApiClient, project: ProjectRef) -> None:
    monitor = Watch(project).monitor.id
    kind = make_kind(project, "ValueError: no")
    first = make_incident(project, closed_at=NOW, acknowledged_at=NOW, acknowledged_by="x")
    make_failure(project, kind, first)
    second = make_incident(project, None, monitor_id=monitor, bad_slots=3)

    assert admin.get("/incidents/").json == {
        "next": None,
        "previous": None,
        "results": [
            shown(second, name=None, monitor=str(monitor), runs=3),
            shown(first, closed=AT, failures=[kind], acknowledged=AT, acknowledged_by="x"),
        ],
    }


def test_list_is_filtered(admin: ApiClient, project: ProjectRef) -> None:
    monitor = Watch(project).monitor.id
    closed = make_incident(project, closed_at=NOW)
    failing = make_incident(project, None, monitor_id=monitor)
    shop = make_incident(make_project(slug="shop"), "export")

    def ids(query: str) -> list[int]:
        return [one["id"] for one in admin.get(f"/incidents/?{query}").json["results"]]

    assert ids("state=open") == [shop, failing]
    assert ids("state=closed") == [closed]
    assert ids("project=shop&name=export") == [shop]
    assert ids(f"monitor={monitor}") == [failing]
    assert ids("name=none") == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("state=ajar", ("state", "invalid_choice", '"ajar" is not a valid choice.')),
        ("monitor=x", ("monitor", "invalid", "“x” is not a valid UUID.")),
        ("name=%00", ("name", "invalid", "Null characters are not allowed.")),
        ("page_size=0", ("page_size", "invalid", "A whole number above 0 is required.")),
    ],
)
def test_wrong_parameters_are_errors(
    admin: ApiClient, query: str, error: tuple[str, str, str]
) -> None:
    answer = admin.get(f"/incidents/?{query}")

    assert (answer.status_code, answer.json) == (400, wrong(error))


def test_list_is_walked_in_pages(admin: ApiClient, project: ProjectRef) -> None:
    made = [make_incident(project, f"name {number}") for number in range(7)]

    assert walk(admin, "/incidents/", "id") == made[::-1]


def test_incident_is_shown_with_its_timeline(admin: ApiClient, project: ProjectRef) -> None:
    number = make_incident(project)
    make_event(number, "opened", task_id="AZ3cE1Jmf2uZ0Jf7rYvM3w")
    make_event(number, "acknowledged", actor="anna@example.com", detail="x")

    assert admin.get(f"/incidents/{number}/").json == shown(
        number,
        timeline=[
            {
                "created": AT,
                "kind": "opened",
                "actor": None,
                "detail": "",
                "task": "AZ3cE1Jmf2uZ0Jf7rYvM3w",
            },
            {
                "created": AT,
                "kind": "acknowledged",
                "actor": "anna@example.com",
                "detail": "x",
                "task": None,
            },
        ],
    )


def test_incident_is_acknowledged_by_the_key(admin: ApiClient, project: ProjectRef) -> None:
    number = make_incident(project)

    answer = admin.post(f"/incidents/{number}/acknowledge/")

    row = get_incident(number)
    assert row.acknowledged_at is not None
    moment = to_wire(row.acknowledged_at)
    event = {
        "created": moment,
        "kind": "acknowledged",
        "actor": "terraform",
        "detail": "",
        "task": None,
    }
    assert (answer.status_code, answer.json) == (
        200,
        shown(number, acknowledged=moment, acknowledged_by="terraform", timeline=[event]),
    )
    assert audited() == [("key", "terraform", "incident.acknowledge", "import")]


@pytest.mark.parametrize("has_end", [False, True])
def test_incident_is_snoozed(admin: ApiClient, project: ProjectRef, has_end: bool) -> None:
    number = make_incident(project)
    until = to_wire(utcnow() + timedelta(hours=1)) if has_end else None

    answer = admin.post(f"/incidents/{number}/snooze/", {"until": until})

    row = get_incident(number)
    assert row.snoozed_at is not None
    assert answer.status_code == 200
    assert {**answer.json, "timeline": []} == shown(
        number, snoozed=to_wire(row.snoozed_at), snoozed_until=until, timeline=[]
    )
    assert audited() == [("key", "terraform", "incident.snooze", "import")]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ("until", "required", "This field is required.")),
        (
            {"until": "2020-01-01T00:00:00Z"},
            ("until", "invalid", "This time is not in the future."),
        ),
        (
            {"until": "soon"},
            (
                "until",
                "invalid",
                "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z.",
            ),
        ),
    ],
)
def test_snooze_says_what_is_wrong(
    admin: ApiClient, project: ProjectRef, body: Any, error: tuple[str, str, str]
) -> None:
    answer = admin.post(f"/incidents/{make_incident(project)}/snooze/", body)

    assert (answer.status_code, answer.json) == (400, wrong(error))
    assert events() == []


@pytest.mark.parametrize(
    ("path", "body"), [("acknowledge", None), ("snooze", {"until": None})], ids=["ack", "snooze"]
)
def test_closed_incident_is_a_conflict(
    admin: ApiClient, project: ProjectRef, path: str, body: Any
) -> None:
    number = make_incident(project, closed_at=NOW)

    answer = admin.post(f"/incidents/{number}/{path}/", body)

    assert (answer.status_code, answer.json) == (409, conflict("The incident is closed."))
    assert events() == []


@pytest.mark.parametrize("path", ["", "acknowledge/", "snooze/"])
def test_incident_of_others_is_not_there(admin: ApiClient, project: ProjectRef, path: str) -> None:
    foreign = make_incident(make_project("globex"))

    for wanted in (str(foreign), "999999", "x", "9" * 30):
        answer = admin.open(
            "POST" if path else "GET",
            f"/incidents/{wanted}/{path}",
            **({"json": {"until": None}} if path == "snooze/" else {}),
        )
        assert (answer.status_code, answer.json) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("slug", "scopes", "method", "path"),
    [
        ("web", "admin", "GET", "/incidents/"),
        (None, "ingest", "GET", "/incidents/"),
        (None, "read", "POST", "/incidents/{}/acknowledge/"),
        (None, "ingest,read", "POST", "/incidents/{}/snooze/"),
    ],
)
def test_key_without_the_right_is_denied(
    app: Flask, project: ProjectRef, slug: str | None, scopes: str, method: str, path: str
) -> None:
    number = make_incident(project)
    body = {"json": {"until": None}} if "snooze" in path else {}

    answer = manager(app, slug=slug, scopes=scopes).open(method, path.format(number), **body)

    assert (answer.status_code, answer.json) == (403, DENIED)
    assert events() == []


@pytest.mark.parametrize("rows", [1, 100])
def test_number_of_statements_is_pinned(admin: ApiClient, project: ProjectRef, rows: int) -> None:
    for place in range(rows):
        number = make_incident(project, f"name {place}")
        make_event(number, "opened")
    admin.get("/incidents/")

    counts = {}
    for method, path, body in (
        ("GET", "/incidents/", None),
        ("GET", f"/incidents/{number}/", None),
        ("POST", f"/incidents/{number}/acknowledge/", None),
        ("POST", f"/incidents/{number}/snooze/", {"until": None}),
    ):
        with count_queries() as statements:
            assert admin.open(method, path, json=body).status_code == 200
        counts[f"{method} {path.strip('/').rpartition('/')[2]}"] = len(statements)

    assert list(counts.values()) == [2, 3, 8, 8]


# The tasks of an incident


def test_tasks_of_an_incident_are_listed(api: ApiClient, project: ProjectRef) -> None:
    kind, number = make_kind(project, "x"), make_incident(project)
    other = make_incident(project, "other")
    made = [make_failure(project, kind, number, now=after(seconds=place)) for place in range(5)]
    elsewhere = make_failure(project, kind, other, now=after(seconds=9))
    make_failure(project, kind, None)
    shop = make_project(slug="shop")
    make_failure(shop, make_kind(shop, "x"), number)

    def ids(query: str) -> list[str]:
        return [one["id"] for one in api.get(f"/tasks/?{query}").json["results"]]

    assert ids(f"incident={number}") == made[::-1]
    assert ids(f"incident={number},{other}") == [elsewhere, *made[::-1]]
    assert ids(f"incident={number}&status=success") == []
    assert ids("incident=999999") == []
    pages = []
    url: str | None = f"/tasks/?incident={number}&page_size=2"
    while url is not None:
        page = api.get(url.removeprefix("http://localhost")).json
        pages.append([one["id"] for one in page["results"]])
        url = page["next"]
    assert pages == [made[::-1][:2], made[::-1][2:4], made[::-1][4:]]


def test_tasks_of_an_incident_are_found_among_many(
    api: ApiClient, project: ProjectRef, backend: str
) -> None:
    kind, number = make_kind(project, "x"), make_incident(project)
    tasks = [api.create()["id"] for _ in range(60)]
    db.session.execute(
        insert(Failure),
        [
            {"task_id": task, "kind_id": kind, "failed_at": NOW, "incident_id": number, "news": ""}
            for task in tasks[:30]
        ],
    )
    db.session.commit()
    db.session.execute(text("ANALYZE"))
    db.session.commit()

    with count_queries() as statements:
        found = api.get(f"/tasks/?incident={number}&page_size=10").json["results"]

    assert [one["id"] for one in found] == tasks[:30][::-1][:10]
    assert len(statements) == 1
