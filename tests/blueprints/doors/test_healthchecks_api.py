"""The management API of Healthchecks: each case is in its documentation, or is what ours adds."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from conftest import (
    FIXTURES,
    NO_DATABASE,
    ApiClient,
    audit_entries,
    count_queries,
    make_key,
    make_project,
    settings,
)
from flask import Flask
from flask.testing import FlaskClient
from gunicorn.http.errors import InvalidChunkSize
from simultaneous import at_once, numbered
from sqlalchemy import select, update
from watching import close_due_slots
from werkzeug.exceptions import BadRequest
from werkzeug.test import TestResponse

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Organization, Ping, Slot, Task
from taskbadger.services.pings import check_changes, checks

Call = Callable[..., TestResponse]
CONSTANTS = {
    "manual_resume": True,
    "methods": "",
    "subject": "",
    "subject_fail": "",
    "start_kw": "",
    "success_kw": "",
    "failure_kw": "",
    "filter_subject": False,
    "filter_body": False,
    "filter_http_body": False,
    "filter_default_fail": False,
}


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def caller(client: FlaskClient, key: str | None) -> Call:
    def call(method: str, path: str, **options: Any) -> TestResponse:
        db.session.rollback()
        headers = {} if key is None else {"X-Api-Key": key}
        headers |= options.pop("headers", {})
        url = path if path.startswith("/") else f"/api/v3/{path}"
        with client.application.app_context():
            return client.open(url, method=method, headers=headers, **options)

    return call


@pytest.fixture
def call(client: FlaskClient, project: ProjectRef) -> Call:
    """Call the API with a key that may do everything."""
    return caller(client, make_key(scopes="admin"))


@pytest.fixture
def read(client: FlaskClient, project: ProjectRef) -> Call:
    """Call the API with a key that only reads."""
    return caller(client, make_key(scopes="read"))


@pytest.fixture
def create(call: Call) -> Callable[..., dict[str, Any]]:
    """Create a check."""

    def make(**fields: Any) -> dict[str, Any]:
        answer = call("POST", "checks/", json=fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json
        return made

    return make


Create = Callable[..., dict[str, Any]]


def without_address(check: dict[str, Any]) -> dict[str, Any]:
    left_out = ("uuid", "ping_url", "update_url", "pause_url", "resume_url", "badge_url")
    return {name: value for name, value in check.items() if name not in left_out}


def monitor_of(check: dict[str, Any]) -> Monitor:
    db.session.rollback()
    query = select(Monitor).where(Monitor.ping_id == UUID(check["uuid"]))
    return db.session.scalars(query.execution_options(populate_existing=True)).one()


def error(answer: TestResponse) -> tuple[int, str]:
    assert set(answer.json) == {"error"}
    return answer.status_code, answer.json["error"]


# Creating


def test_check_has_the_defaults_of_healthchecks(create: Create, project: ProjectRef) -> None:
    check = create(name="Backups", tags="prod www", desc="Runs at night", timeout=3600, grace=60)

    code = check["uuid"]
    assert without_address(check) == {
        "name": "Backups",
        "slug": "backups",
        "tags": "prod www",
        "desc": "Runs at night",
        "grace": 60,
        "n_pings": 0,
        "status": "new",
        "started": False,
        "last_ping": None,
        "next_ping": None,
        **CONSTANTS,
        "channels": "",
        "timeout": 3600,
    }
    assert {name: url for name, url in check.items() if name.endswith("_url")} == {
        "badge_url": check["badge_url"],
        "ping_url": f"http://localhost/ping/{code}",
        "update_url": f"http://localhost/api/v3/checks/{code}",
        "pause_url": f"http://localhost/api/v3/checks/{code}/pause",
        "resume_url": f"http://localhost/api/v3/checks/{code}/resume",
    }
    monitor = monitor_of(check)
    fields = ("type", "interval", "anchor", "start_grace", "max_runtime", "targets", "description")
    assert [getattr(monitor, name) for name in fields] == [
        "interval", 3600, "end", 60, 60, "[]", "Runs at night",
    ]  # fmt: skip
    assert str(monitor.id) not in (code, check["ping_url"])


def test_check_of_nothing_has_a_name(create: Create) -> None:
    first, second, third = create(), create(name="", slug="", desc=""), create(slug="db-backup")

    shown = [
        [each[name] for name in ("name", "slug", "timeout", "grace", "tags")]
        for each in (first, second, third)
    ]
    assert shown == [
        ["unnamed", "unnamed", 86400, 3600, ""],
        ["unnamed", "unnamed-2", 86400, 3600, ""],
        ["db-backup", "db-backup", 86400, 3600, ""],
    ]


def test_check_without_a_name_is_found_again(call: Call, create: Create) -> None:
    made = [create(name=""), create(slug="job")]

    again = [
        call("POST", "checks/", json={"name": "", "unique": ["name"]}),
        call("POST", "checks/", json={"name": "", "slug": "job", "unique": ["name"]}),
    ]

    assert [(answer.status_code, answer.json) for answer in again] == [(200, each) for each in made]


def test_schedule_takes_precedence_over_a_timeout(create: Create) -> None:
    check = create(name="a", schedule="15 5 * * *", tz="Europe/Riga", timeout=60, grace=1200)

    assert ("timeout" in check, check["schedule"], check["tz"]) == (
        False,
        "15 5 * * *",
        "Europe/Riga",
    )
    monitor = monitor_of(check)
    fields = ("type", "schedule", "timezone", "start_grace", "max_runtime", "interval", "anchor")
    assert [getattr(monitor, name) for name in fields] == [
        "cron", "15 5 * * *", "Europe/Riga", 1200, 1200, None, None,
    ]  # fmt: skip


def test_body_may_have_the_key_and_any_media_type(client: FlaskClient, project: ProjectRef) -> None:
    call = caller(client, None)
    text = json.dumps({"api_key": make_key(scopes="admin"), "name": "Backups"})

    answer = call("POST", "checks/", data=text, content_type="application/x-www-form-urlencoded")

    assert (answer.status_code, answer.json["name"]) == (201, "Backups")


@pytest.mark.parametrize(
    ("unique", "status"),
    [
        (["name"], 200),
        (["slug"], 200),
        (["tags"], 200),
        (["timeout"], 200),
        (["grace"], 200),
        (["name", "slug", "tags", "timeout", "grace"], 200),
        ([], 400),  # The slug is taken.
    ],
)
def test_check_that_exists_is_updated_if_asked(
    call: Call, create: Create, unique: list[str], status: int
) -> None:
    fields = {"name": "a", "slug": "b", "tags": "c d", "timeout": 120, "grace": 90}
    check = create(**fields)
    create(name="other", slug="other", tags="d c", timeout=60, grace=60)

    answer = call("POST", "checks/", json={**fields, "desc": "new", "unique": unique})

    assert answer.status_code == status, answer.text
    if status == 200:
        assert (answer.json["uuid"], answer.json["desc"]) == (check["uuid"], "new")
    assert len(call("GET", "checks/").json["checks"]) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "b", "unique": ["name"]},
        {"unique": ["name"]},
        {"name": "a", "unique": ["name", "tags"]},
        {"name": "a", "timeout": 60, "unique": ["name", "timeout"]},
        {"name": "a", "grace": 60, "unique": ["name", "grace"]},
    ],
)
def test_check_that_differs_is_another(call: Call, create: Create, fields: dict[str, Any]) -> None:
    create(name="a", timeout=120, grace=90)

    assert call("POST", "checks/", json=fields).status_code == 201


def test_simultaneous_requests_make_one_check(app: Flask, project: ProjectRef) -> None:
    def make(number: int) -> None:
        spec = {"name": "a", "desc": str(number), "unique": ["name"]}
        check_changes.create_check(project, spec, now=utcnow(), actor=FIXTURES)

    at_once(app, *numbered(4, make))

    assert len(db.session.scalars(select(Monitor)).all()) == 1


def test_check_of_another_project_is_not_the_same(client: FlaskClient, create: Create) -> None:
    create(name="a")
    other = caller(client, make_key(slug="other", scopes="admin"))

    assert other("POST", "checks/", json={"name": "a", "unique": ["name"]}).status_code == 201


# Reading


def test_checks_are_listed_oldest_first(call: Call, create: Create) -> None:
    made = [
        create(name="a", slug="x", tags="one two"),
        create(name="b", tags="two"),
        create(name="c", tags="twofold"),
    ]
    found = {
        query: [each["name"] for each in call("GET", f"checks/{query}").json["checks"]]
        for query in (
            "", "?slug=x", "?slug=X", "?slug=%00", "?slug=", "?tag=two", "?tag=two&tag=one",
            "?tag=tw", "?tag=Two", "?tag=%00", "?tag=two%20one", "?tag=%ff", "?other=1",
        )
    }  # fmt: skip

    assert call("GET", "checks").json == {"checks": made}
    assert found == {
        "": ["a", "b", "c"],
        "?slug=x": ["a"],
        "?slug=X": [],
        "?slug=%00": [],
        "?slug=": ["a", "b", "c"],
        "?tag=two": ["a", "b"],
        "?tag=two&tag=one": ["a"],
        "?tag=tw": [],
        "?tag=Two": [],
        "?tag=%00": [],
        "?tag=two%20one": [],
        "?tag=%ff": [],
        "?other=1": ["a", "b", "c"],
    }


def test_key_that_only_reads_sees_no_secrets(call: Call, read: Call, create: Create) -> None:
    check = create(name="a", schedule="* * * * *", channels="email:a@example.com")

    [listed] = read("GET", "checks/").json["checks"]

    key = listed.pop("unique_key")
    hidden = ("uuid", "ping_url", "update_url", "pause_url", "resume_url", "channels")
    assert listed == {name: value for name, value in check.items() if name not in hidden}
    assert len(key) == 40
    assert check["uuid"] not in json.dumps(listed)
    assert read("GET", f"checks/{key}").json == {**listed, "unique_key": key}
    assert read("GET", f"checks/{check['uuid']}").json == {**listed, "unique_key": key}
    assert call("GET", f"checks/{key}").json == check
    assert read("GET", f"checks/{key}/flips/").json == []


CLOSED_TO_READERS: list[Any] = [
    ("POST", "checks/"),
    ("POST", "checks/{uuid}"),
    ("DELETE", "checks/{uuid}"),
    ("POST", "checks/{uuid}/pause"),
    ("POST", "checks/{uuid}/resume"),
    ("GET", "checks/{uuid}/pings/"),
    ("GET", "checks/{uuid}/pings/1/body"),
    ("GET", "channels/"),
]


def test_key_that_only_reads_may_do_nothing_else(read: Call, create: Create) -> None:
    check = create(name="a")
    for method, path in CLOSED_TO_READERS:
        answer = read(method, path.format_map(check))

        assert error(answer) == (401, "wrong api key")


# Statuses


@pytest.fixture
def ping(client: FlaskClient) -> Callable[..., None]:
    def send(check: dict[str, Any], end: str = "", **options: Any) -> None:
        db.session.rollback()
        with client.application.app_context():
            answer = client.open(f"/ping/{check['uuid']}{end}", **options)
        assert answer.status_code == 200

    return send


PingCheck = Callable[..., None]


def show(call: Call, check: dict[str, Any], version: str = "v3") -> dict[str, Any]:
    shown: dict[str, Any] = call("GET", f"/api/{version}/checks/{check['uuid']}").json
    return shown


def summary(check: dict[str, Any]) -> tuple[Any, ...]:
    times = (check[name] is not None for name in ("last_ping", "next_ping"))
    return (check["status"], check["started"], check["n_pings"], *times, "last_duration" in check)


def test_status_follows_the_pings(call: Call, create: Create, ping: PingCheck) -> None:
    check = create(timeout=3600, grace=60)
    seen = []
    for end in ("/log", "/start", "", "/start", "/fail", ""):
        ping(check, end)
        seen.append(summary(show(call, check)))
        if end == "/start":
            seen.append(summary(show(call, check, "v1")))

    assert seen == [
        ("new", False, 1, False, False, False),
        ("new", True, 2, False, False, False),
        ("started", True, 2, False, False, False),
        ("up", False, 3, True, True, True),
        ("up", True, 4, True, False, True),
        ("started", True, 4, True, False, True),
        ("down", False, 5, True, False, True),
        ("down", False, 6, True, False, False),  # An extra run of the slot that failed.
    ]


def test_times_are_those_of_the_pings(call: Call, create: Create, ping: PingCheck) -> None:
    check = create(timeout=3600)
    ping(check)

    shown = show(call, check)

    last, following = (datetime.fromisoformat(shown[f"{name}_ping"]) for name in ("last", "next"))
    assert following - last == timedelta(hours=1)
    assert shown["last_ping"].endswith("+00:00")
    assert abs(last - utcnow()) < timedelta(minutes=1)


def make_late(check: dict[str, Any], *, by: timedelta, deadline: timedelta) -> None:
    """Let the current slot be expected *by* ago, with its deadline so far from now."""
    monitor, now = monitor_of(check), utcnow()
    db.session.execute(
        update(Slot)
        .where(Slot.monitor_id == monitor.id, Slot.state == "expected")
        .values(expected_at=now - by, deadline_at=now + deadline)
    )
    monitor.expected_at = now - by
    db.session.commit()


def test_check_is_late_and_then_down(call: Call, create: Create, ping: PingCheck) -> None:
    check, minute = create(timeout=3600, grace=3600), timedelta(minutes=1)
    ping(check)
    db.session.execute(
        update(Slot).where(Slot.state == "ok").values(expected_at=utcnow() - 600 * minute)
    )
    db.session.commit()
    make_late(check, by=minute, deadline=minute)
    late = show(call, check)
    make_late(check, by=2 * minute, deadline=-minute)
    close_due_slots(utcnow())
    db.session.commit()
    down = show(call, check)
    flips = call("GET", f"checks/{check['uuid']}/flips/").json
    ping(check)
    both = call("GET", f"checks/{check['uuid']}/flips/").json

    assert (late["status"], late["next_ping"] is not None) == ("grace", True)
    assert (down["status"], down["next_ping"]) == ("down", None)
    assert [flip["up"] for flip in flips] == [0]
    assert [flip["up"] for flip in both] == [1, 0]
    assert show(call, check)["status"] == "up"


def test_run_of_the_sdk_counts_as_a_ping(call: Call, create: Create, client: FlaskClient) -> None:
    check = create()
    api = ApiClient(client, make_key(scopes="admin"))
    task = api.post(
        "/tasks/",
        json={"name": "job", "status": "processing"},
        headers={"X-TASKBADGER-MONITOR": str(monitor_of(check).id)},
    )
    running = show(call, check)
    api.patch(f"/tasks/{task.json['id']}/", json={"status": "success"})

    assert (running["started"], running["last_ping"]) == (True, None)
    assert summary(show(call, check)) == ("up", False, 0, True, True, True)


# Changing


def test_update_changes_what_it_names(call: Call, create: Create) -> None:
    check = create(name="a", slug="a", tags="x", desc="y", timeout=120, grace=90)
    steps: list[dict[str, Any]] = [
        {"name": "b"}, {"slug": "c"}, {"tags": "z"}, {"desc": ""}, {"timeout": 60}, {"grace": 60},
        {"schedule": "0 5 * * *"}, {"tz": "Asia/Tokyo"}, {"timeout": 300}, {}, {"slug": ""},
        {"name": ""},
    ]  # fmt: skip
    answers = [call("POST", f"checks/{check['uuid']}", json=step) for step in steps]

    assert [answer.status_code for answer in answers] == [200] * len(steps)
    shown = without_address(answers[-1].json)
    fields = ("name", "slug", "tags", "desc", "timeout", "grace")
    assert [shown[name] for name in fields] == ["c", "c", "z", "", 300, 60]
    assert [answers[7].json[name] for name in ("schedule", "tz")] == ["0 5 * * *", "Asia/Tokyo"]
    assert answers[-1].json == show(call, check)
    monitor = monitor_of(check)
    assert (monitor.type, monitor.anchor, monitor.schedule) == ("interval", "end", None)


def test_update_keeps_what_healthchecks_does_not_know(call: Call, create: Create) -> None:
    check = create(timeout=120, grace=90)
    monitor = monitor_of(check)
    monitor.anchor, monitor.failure_threshold, monitor.max_runtime = "start", 3, None
    db.session.commit()

    call("POST", f"checks/{check['uuid']}", json={"timeout": 180, "desc": "x"})

    after = monitor_of(check)
    assert [after.anchor, after.failure_threshold, after.max_runtime] == ["start", 3, None]


def test_changes_are_audited_by_the_key(call: Call, create: Create) -> None:
    check = create(name="a")
    call("POST", f"checks/{check['uuid']}", json={"desc": "x", "tags": "y"})
    call("POST", f"checks/{check['uuid']}/pause")
    call("POST", f"checks/{check['uuid']}/pause")
    call("DELETE", f"checks/{check['uuid']}")

    db.session.rollback()
    entries = db.session.scalars(audit_entries()).all()
    assert [(each.actor_name, each.verb) for each in entries] == [
        ("ci", "monitor.create"),
        ("ci", "monitor.change"),
        ("ci", "monitor.change"),
        ("ci", "monitor.delete"),
    ]


def test_paused_check_resumes(call: Call, create: Create, ping: PingCheck) -> None:
    check = create()
    path = f"checks/{check['uuid']}"
    ping(check)
    steps = [
        call("POST", f"{path}/{end}", data="") for end in ("resume", "pause", "pause", "resume")
    ]

    assert error(steps[0]) == (409, "check is not paused")
    assert [(step.status_code, step.json.get("status")) for step in steps[1:]] == [
        (200, "paused"), (200, "paused"), (200, "up"),
    ]  # fmt: skip


def test_deleted_check_is_shown_once_more(call: Call, create: Create, ping: PingCheck) -> None:
    check = create()
    ping(check)
    before = show(call, check)

    answer = call("DELETE", f"checks/{check['uuid']}")

    assert (answer.status_code, answer.json) == (200, before)
    assert error(call("GET", f"checks/{check['uuid']}")) == (404, "not found")
    assert call("GET", "checks/").json == {"checks": []}
    assert len(db.session.scalars(select(Task)).all()) == 1


# Channels


@pytest.fixture
def hooks(client: FlaskClient, project: ProjectRef) -> None:
    """Three channels, two of which have the same name."""
    organization = ApiClient(client, make_key(slug=None, scopes="admin"))
    for slug, name in (("a", "Ops"), ("b", "Team"), ("c", "Team")):
        made = organization.post(
            "/api/acme/-/channels/",
            json={
                "kind": "webhook",
                "slug": slug,
                "name": name,
                "config": {"url": "https://example.com/x"},
            },
        )
        assert made.status_code == 201


def test_channels_are_listed(call: Call, hooks: None) -> None:
    assert call("GET", "channels/").json == {
        "channels": [
            {"id": "webhook:a", "name": "Ops", "kind": "webhook"},
            {"id": "webhook:b", "name": "Team", "kind": "webhook"},
            {"id": "webhook:c", "name": "Team", "kind": "webhook"},
        ]
    }


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("", ""),
        ("*", "webhook:a,webhook:b,webhook:c"),
        ("Ops", "webhook:a"),
        ("webhook:c,Ops,webhook:c", "webhook:a,webhook:c"),
        (
            "email:b@example.com,Ops,email:a@example.com",
            "email:a@example.com,email:b@example.com,webhook:a",
        ),
    ],
)
def test_channels_are_set(call: Call, create: Create, hooks: None, sent: str, shown: str) -> None:
    check = create(channels="webhook:b")

    answer = call("POST", f"checks/{check['uuid']}", json={"channels": sent})

    assert (check["channels"], answer.json["channels"]) == ("webhook:b", shown)
    again = call("POST", f"checks/{check['uuid']}", json={"channels": shown})
    assert again.json["channels"] == shown


WRONG_CHANNELS: list[Any] = [
    ("Team", "non-unique channel identifier: Team"),
    ("webhook:a,", "empty channel identifier"),
    (" ", "invalid channel identifier:  "),
    ("webhook:d", "invalid channel identifier: webhook:d"),
    ("email", "invalid channel identifier: email"),
    ("email:", "invalid channel identifier: email:"),
    (str(UUID(int=1)), f"invalid channel identifier: {UUID(int=1)}"),
]


def test_unknown_channels_are_refused(call: Call, hooks: None) -> None:
    for sent, detail in WRONG_CHANNELS:
        assert error(call("POST", "checks/", json={"channels": sent})) == (400, detail)
        assert call("GET", "checks/").json == {"checks": []}


# Pings and flips


def test_pings_are_listed_newest_first(call: Call, create: Create, ping: PingCheck) -> None:
    check, run = create(), uuid4()
    agent = {"User-Agent": "curl/8"}
    ping(check, "/start", headers=agent)
    ping(check, f"/start?rid={run}", method="POST", data=b"begins")
    ping(check, f"/fail?rid={run}", method="POST", data=b"ends")
    ping(check, "", method="HEAD")
    ping(check, "/3")
    ping(check, "/log", method="POST", data=b"")
    ping(check, "/log", method="POST", data="über".encode())

    found = call("GET", f"checks/{check['uuid']}/pings/").json["pings"]

    base = f"http://localhost/api/v3/checks/{check['uuid']}/pings"
    fields = ("n", "type", "method", "rid", "body_url")
    assert [tuple(each[name] for name in fields) for each in found] == [
        (7, "log", "POST", None, f"{base}/7/body"),
        (6, "log", "POST", None, None),
        (5, "fail", "GET", None, None),
        (4, "success", "HEAD", None, None),
        (3, "fail", "POST", str(run), f"{base}/3/body"),
        (2, "start", "POST", str(run), None),
        (1, "start", "GET", None, None),
    ]
    assert [each["n"] for each in found if "duration" in each] == [4, 3]
    first = found[-1]
    assert [first[name] for name in ("scheme", "remote_addr", "ua")] == [
        "http",
        "127.0.0.1",
        "curl/8",
    ]
    assert datetime.fromisoformat(first["date"]).utcoffset() == timedelta(0)
    bodies = {n: call("GET", f"checks/{check['uuid']}/pings/{n}/body") for n in range(9)}
    assert {n: body.text for n, body in bodies.items() if body.status_code == 200} == {
        3: "ends",
        7: "über",
    }
    assert bodies[3].headers["Content-Type"] == "text/plain; charset=utf-8"
    assert error(bodies[2]) == (404, "not found")


def test_body_of_a_deleted_task_is_gone(call: Call, create: Create, ping: PingCheck) -> None:
    check = create()
    ping(check, "", method="POST", data=b"x")
    db.session.delete(db.session.scalars(select(Task)).one())
    db.session.commit()

    assert call("GET", f"checks/{check['uuid']}/pings/1/body").status_code == 404
    assert call("GET", f"checks/{check['uuid']}/pings/").status_code == 200


def test_latest_hundred_pings_are_listed(call: Call, create: Create) -> None:
    check = create()
    monitor_id, now = monitor_of(check).id, utcnow()
    rows = [
        Ping(
            monitor_id=monitor_id, number=number, created=now, signal="log", scheme="http",
            method="GET", address="", user_agent="",
        )
        for number in range(5, 125)
    ]  # fmt: skip
    db.session.add_all(rows)
    db.session.commit()

    found = call("GET", f"checks/{check['uuid']}/pings/").json["pings"]

    assert [each["n"] for each in found] == list(range(124, 24, -1))
    assert show(call, check)["n_pings"] == 124


PERIODS: list[Any] = [
    ("", [0, 1, 0]),
    ("?seconds=3600", [0]),
    ("?seconds=0", []),
    ("?start={hour_ago}", [0]),
    ("?end={hour_ago}", [1, 0]),
    ("?start={day_ago}&end={hour_ago}", [1]),
    ("?start=&end=&seconds=", [0, 1, 0]),
    ("?seconds=31536000&start={hour_ago}", [0]),
]


def test_flips_of_a_period_are_listed(call: Call, create: Create, project: ProjectRef) -> None:
    check, now, hour = create(), utcnow(), timedelta(hours=1)
    for opened, closed in ((30 * hour, 3 * hour), (hour / 2, None)):
        incident = Incident(
            organization_id=project.organization_id,
            project_id=project.id,
            monitor_id=monitor_of(check).id,
            opened_at=now - opened,
            closed_at=None if closed is None else now - closed,
            notified=False,
        )
        db.session.add(incident)
        db.session.commit()
    times = {
        "hour_ago": int((now - hour).timestamp()),
        "day_ago": int((now - 24 * hour).timestamp()),
    }
    for query, ups in PERIODS:
        answer = call("GET", f"checks/{check['uuid']}/flips/{query.format_map(times)}")

        assert [flip["up"] for flip in answer.json] == ups


WRONG_PERIODS: list[Any] = [
    "seconds=x",
    "seconds=-1",
    "seconds=31536001",
    "start=1.5",
    "start=10000000001",
    "end=%D9%A3",
    "end=9" + "9" * 5000,
]


def test_period_that_is_none_is_refused(call: Call, create: Create) -> None:
    for query in WRONG_PERIODS:
        answer = call("GET", f"checks/{create()['uuid']}/flips/?{query}")

        assert error(answer)[0] == 400


# Who asks, and what is refused


PATHS: list[Any] = ["checks/", "checks", "channels/", "badges/", f"checks/{uuid4()}"]


def test_key_is_required(client: FlaskClient, project: ProjectRef) -> None:
    for path in PATHS:
        answers = [
            caller(client, None)("GET", path),
            caller(client, "")("GET", path),
            caller(client, "x" * 32)("GET", path),
            caller(client, make_key(scopes="ingest"))("GET", path),
            caller(client, make_key(scopes="ping"))("GET", path),
            caller(client, make_key(slug=None, scopes="admin"))("GET", path),
        ]

        whole = "this key opens a whole organization; use the key of a project"
        assert [error(answer) for answer in answers] == [
            *[(401, "missing api key")] * 2, *[(401, "wrong api key")] * 3, (403, whole),
        ]  # fmt: skip


WRONG_KEYS: list[Any] = [None, 1, [], {}, "", "ü", "\0", "\ud800"]


def test_key_in_a_body_may_be_wrong(client: FlaskClient, project: ProjectRef) -> None:
    for key in WRONG_KEYS:
        answer = caller(client, None)("POST", "checks/", json={"api_key": key})

        assert answer.status_code == 401
        assert error(answer)[1] in ("missing api key", "wrong api key")


OF_ONE_CHECK: list[Any] = [
    ("GET", "checks/{}"),
    ("POST", "checks/{}"),
    ("DELETE", "checks/{}"),
    ("POST", "checks/{}/pause"),
    ("POST", "checks/{}/resume"),
    ("GET", "checks/{}/pings/"),
    ("GET", "checks/{}/pings/1/body"),
    ("GET", "checks/{}/flips/"),
]


def test_checks_of_others_are_closed(client: FlaskClient, create: Create, call: Call) -> None:
    check = create(name="a")
    key = caller(client, make_key(scopes="read"))("GET", "checks/").json["checks"][0]["unique_key"]
    other = caller(client, make_key(slug="other", scopes="admin"))
    for method, path in OF_ONE_CHECK:
        assert error(other(method, path.format(check["uuid"]))) == (
            403,
            "access denied, wrong api key",
        )
        assert error(call(method, path.format(uuid4()))) == (404, "not found")
        if method == "GET" and "pings" not in path:
            assert error(other(method, path.format(key))) == (404, "not found")
            assert error(call(method, path.format("f" * 40))) == (404, "not found")
            assert error(call(method, path.format("f" * 32 + "0" * 8))) == (404, "not found")
        assert show(call, check)["name"] == "a"


UNKNOWN: list[Any] = [
    ("PUT", "checks/", 405),
    ("PATCH", f"checks/{UUID(int=1)}", 405),
    ("GET", f"checks/{UUID(int=1)}/pause", 405),
    ("POST", "checks/" + "f" * 40, 405),
    ("DELETE", "channels/", 405),
    ("GET", "", 404),
    ("GET", "other/", 404),
    ("GET", f"checks/{UUID(int=1)}/other", 404),
    ("GET", f"checks/{UUID(int=1)}/pings/x/body", 404),
    ("GET", f"checks/{UUID(int=1)}/pings/99999999999/body", 404),
    ("GET", "checks/not-a-uuid", 404),
    ("GET", "/api/v2/other/", 404),
    ("GET", "/api/v1", 404),
]


def test_unknown_paths_have_errors_of_the_same_shape(call: Call) -> None:
    for method, path, status in UNKNOWN:
        answer = call(method, path)

        assert error(answer)[0] == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert ("Allow" in answer.headers) == (status == 405)


def test_other_paths_keep_our_errors(call: Call) -> None:
    for path in ("/api/v4/checks/", "/api/acme/other/tasks/", "/api/v3x/checks/"):
        assert set(call("GET", path).json) == {"type", "errors"}


NO_OBJECTS: list[Any] = [
    (b"{", "could not parse request body"),
    (b"\xff", "could not parse request body"),
    (b'{"a": NaN}', "could not parse request body"),
    (b"[" * 1000, "could not parse request body"),
    (b"[]", "json validation error: value is not an object"),
    (b"null", "json validation error: value is not an object"),
    (b'"x"', "json validation error: value is not an object"),
]


def test_body_that_is_none_is_refused(call: Call, create: Create) -> None:
    check = create()
    for body, detail in NO_OBJECTS:
        for path in ("checks/", f"checks/{check['uuid']}", f"checks/{check['uuid']}/pause"):
            assert error(call("POST", path, data=body)) == (400, detail)


TEXTS = ("name", "slug", "tags", "desc", "schedule", "tz", "channels")
TIMES = ("timeout", "grace")
KEYWORDS = ("start_kw", "success_kw", "failure_kw", "subject", "subject_fail")
FILTERS = ("filter_subject", "filter_body", "filter_http_body", "filter_default_fail")
NO_METHODS = "cannot be set: pings by HEAD, GET and POST all count"
NO_KEYWORDS = "cannot be set: this server does not look for keywords"
NO_FILTER = "cannot be true: this server does not look for keywords"
NO_NUMBERS = (None, "60", 60.0, True, [], {})
NO_FLAGS = (None, 1, "true")
WRONG: list[tuple[str, Any, str]] = [
    *((name, None, "is not a string") for name in (*TEXTS, *KEYWORDS, "methods")),
    *((name, 1, "is not a string") for name in (*TEXTS, *KEYWORDS, "methods")),
    *((name, "x" * 10_001, "is too long") for name in (*TEXTS, *KEYWORDS)),
    *((name, value, "is not a number") for name in TIMES for value in NO_NUMBERS),
    *((name, 59, "is too small") for name in TIMES),
    *((name, 31_536_001, "is too large") for name in TIMES),
    ("timeout", -(10**30), "is too small"),
    *(
        (name, value, "is not a boolean")
        for name in ("manual_resume", *FILTERS)
        for value in NO_FLAGS
    ),
    ("slug", "Ä", "does not match pattern"),
    ("slug", "a b", "does not match pattern"),
    ("name", "a\0", "contains a null character"),
    ("desc", "\0", "contains a null character"),
    ("unique", None, "is not an array"),
    ("unique", "name", "is not an array"),
    ("methods", "POST", NO_METHODS),
    ("methods", "GET", NO_METHODS),
    *((name, "x", NO_KEYWORDS) for name in KEYWORDS),
    *((name, True, NO_FILTER) for name in FILTERS),
]


def test_wrong_values_are_refused(call: Call, create: Create) -> None:
    check = create(name="a")
    for name, value, detail in WRONG:
        expected = (400, f"json validation error: {name} {detail}")
        assert error(call("POST", "checks/", json={name: value})) == expected
        assert error(call("POST", f"checks/{check['uuid']}", json={name: value})) == expected

    assert call("GET", "checks/").json == {"checks": [check]}


ITEM = "json validation error: an item in 'unique' has unexpected value"


MEANINGLESS: list[Any] = [
    ('{"unique": ["name", "desc"]}', ITEM),
    ('{"unique": [null]}', ITEM),
    ('{"unique": [["name"]]}', ITEM),
    ('{"name": "\\ud800"}', "json validation error: name Lone surrogates are not allowed."),
    ('{"slug": "taken"}', "json validation error: slug is not accepted: Another monitor"),
    ('{"schedule": ""}', "json validation error: schedule is not accepted: "),
    ('{"schedule": "x"}', "json validation error: schedule is not accepted: "),
    ('{"schedule": "*-*~1 12:00"}', "json validation error: schedule is not accepted: "),
    ('{"schedule": "0 0 31 2 *"}', "json validation error: schedule is not accepted: "),
    ('{"tz": "Mars/Phobos"}', "json validation error: tz is not accepted: "),
    ('{"tz": ""}', "json validation error: tz is not accepted: "),
]


def test_values_that_mean_nothing_are_refused(call: Call, create: Create) -> None:
    create(slug="taken")
    check = create(name="a")
    for body, detail in MEANINGLESS:
        for path in ("checks/", f"checks/{check['uuid']}"):
            status, words = error(call("POST", path, data=body))
            assert (status, words[: len(detail)]) == (400, detail)
        assert show(call, check) == check


def test_what_clients_send_of_themselves_is_taken(create: Create) -> None:
    nothing = {
        "methods": "", "subject": "", "subject_fail": "", "start_kw": "", "success_kw": "",
        "failure_kw": "", "filter_subject": False, "filter_body": False, "filter_http_body": False,
        "filter_default_fail": False, "unknown": None, "uuid": "x",
    }  # fmt: skip

    for manual_resume in (True, False):
        check = create(**nothing, manual_resume=manual_resume)
        assert {name: check[name] for name in CONSTANTS} == CONSTANTS


def test_browsers_of_other_sites_may_ask(client: FlaskClient, project: ProjectRef) -> None:
    answer = caller(client, None)("OPTIONS", "checks/", headers={"Origin": "https://example.com"})

    assert (answer.status_code, answer.text) == (204, "")
    names = ("Origin", "Headers", "Methods")
    assert [answer.headers[f"Access-Control-Allow-{name}"] for name in names] == [
        "*", "X-Api-Key", "GET, HEAD, OPTIONS, POST",
    ]  # fmt: skip


def test_limits_of_requests_and_bodies_hold(
    make_app: Callable[..., Flask], project: ProjectRef
) -> None:
    key = make_key(scopes="admin")
    call = caller(make_app(RATE_LIMIT=2, MAX_BODY_BYTES=1024).test_client(), key)
    large = json.dumps({"desc": "x" * 2000}).encode()

    answers = [
        call("POST", "checks/", data=large),
        call(
            "POST",
            "checks/",
            input_stream=BytesIO(large),
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        ),
        *(call("GET", "checks/") for _ in range(3)),
    ]

    too_large = "Request body is larger than the limit of 1024 bytes."
    assert [error(answer) for answer in answers[:2]] == [(413, too_large)] * 2
    assert [answer.status_code for answer in answers[2:4]] == [200, 200]
    assert error(answers[4]) == (429, "rate limit exceeded")
    assert 1 <= int(answers[4].headers["Retry-After"]) <= 60


def test_number_of_queries_is_the_same_for_any_number_of_checks(
    call: Call, create: Create, ping: PingCheck
) -> None:
    check = create(tags="a")
    ping(check, "/start")
    one = f"checks/{check['uuid']}"
    paths = ["checks/", "checks/?tag=a", one, f"{one}/pings/", f"{one}/flips/"]
    paths += ["channels/", "badges/"]
    call("GET", "checks/")
    counts = []
    for _ in range(2):
        counts.append([_count(call, path) for path in paths])
        for number in range(8):
            create(name=str(number), tags=f"a b{number}")
            ping(check)

    assert counts == [[1, 1, 1, 2, 2, 1, 1]] * 2


def _count(call: Call, path: str) -> int:
    with count_queries() as queries:
        assert call("GET", path).status_code == 200
    return len([query for query in queries if "api_key" not in query])  # The key's last use.


def test_monitor_of_an_older_program_has_no_address(call: Call, create: Create) -> None:
    monitor = monitor_of(create())
    monitor.ping_id = monitor.slug = None
    db.session.commit()

    [shown] = call("GET", "checks/").json["checks"]

    names = ("uuid", "ping_url", "update_url", "pause_url", "resume_url", "slug")
    assert [shown[name] for name in names] == [None] * 5 + [""]


def test_status_needs_no_key(client: FlaskClient, app: Flask) -> None:
    answer = caller(client, None)("GET", "status/")

    assert (answer.status_code, answer.text) == (200, "OK")


def test_outage_and_faults_have_errors_of_the_same_shape(
    call: Call, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = create_app(settings(DATABASE_URL=NO_DATABASE)).test_client()
    away = [caller(lost, None)("GET", "status/"), caller(lost, "x.y")("GET", "checks/")]
    monkeypatch.setattr(checks, "list_checks", lambda *_, **__: 1 / 0)
    fault = call("GET", "checks/")
    chunk = InvalidChunkSize(b"x")
    monkeypatch.setattr(checks, "list_checks", Mock(side_effect=[chunk, BadRequest()]))
    malformed = [call("GET", "checks/") for _ in range(2)]

    words = "The database is temporarily unavailable. Please try again."
    assert [error(answer) for answer in away] == [(503, words)] * 2
    assert away[0].headers["Retry-After"] == "2"
    assert error(fault) == (500, "a server error occurred")
    assert [error(answer) for answer in malformed] == [
        (400, "malformed request"),
        (400, "bad request"),
    ]


# Badges


def test_badges_tell_how_checks_are_doing(
    call: Call, read: Call, create: Create, ping: PingCheck
) -> None:
    late, down, _ = (
        create(name="late", tags="a"),
        create(name="down", tags="a b"),
        create(name="odd", tags="x/y.ä"),
    )
    ping(late)
    ping(down, "/fail")
    db.session.execute(
        update(Slot).where(Slot.state == "ok").values(expected_at=utcnow() - timedelta(days=9))
    )
    make_late(late, by=timedelta(minutes=1), deadline=timedelta(minutes=1))

    badges = read("GET", "badges/").json["badges"]

    assert list(badges) == ["a", "b", "x/y.ä", "*"]
    forms = ["json", "json3", "shields", "shields3", "svg", "svg3"]
    assert all(sorted(urls) == forms for urls in badges.values())

    def fetch(url: str) -> TestResponse:
        return call("GET", url.removeprefix("http://localhost"))

    assert {tag: fetch(urls["json"]).json for tag, urls in badges.items()} == {
        "a": {"status": "down", "total": 2, "grace": 1, "down": 1},
        "b": {"status": "down", "total": 1, "grace": 0, "down": 1},
        "x/y.ä": {"status": "up", "total": 1, "grace": 0, "down": 0},
        "*": {"status": "down", "total": 3, "grace": 1, "down": 1},
    }
    call("DELETE", f"checks/{down['uuid']}")
    assert [fetch(badges["a"][form]).json["status"] for form in ("json", "json3")] == ["up", "late"]
    assert [fetch(badges["*"][form]).json for form in ("shields", "shields3")] == [
        {"schemaVersion": 1, "label": "web", "message": "up", "color": "success"},
        {"schemaVersion": 1, "label": "web", "message": "late", "color": "important"},
    ]
    assert "x/y.ä: up" in fetch(badges["x/y.ä"]["svg"]).text
    assert "late: up" in fetch(late["badge_url"]).text
    gone = fetch(down["badge_url"])
    assert (gone.status_code, gone.mimetype) == (404, "image/svg+xml")


def test_badges_cannot_be_made_up(call: Call, create: Create) -> None:
    check, other = create(tags="a"), create()
    url = call("GET", "badges/").json["badges"]["a"]["json"].removeprefix("http://localhost")
    badge = check["badge_url"].removeprefix("http://localhost")
    changed = [
        url.replace("/a.json", "/b.json"),
        url.replace("/a.json", ".json"),
        url.replace("/badge/2/", "/badge/4/"),
        url.replace("/badge/2/", "/badge/2/9"),
        badge.replace(badge.rpartition("/")[2], other["badge_url"].rpartition("/")[2]),
        badge.replace("/check/", "/check/%FF%00"),
    ]

    assert call("GET", url).status_code == 200
    assert [call("GET", path).status_code for path in changed] == [404] * len(changed)


def test_badges_outlive_a_change_of_the_secret_key(
    make_app: Callable[..., Flask], create: Create
) -> None:
    badge = create()["badge_url"].removeprefix("http://localhost")
    old, new = settings().SECRET_KEY, "another-secret-for-tests-0123456789-abcdef"

    answers = [
        make_app(SECRET_KEY=new, SECRET_KEY_OLD=keys).test_client().get(badge)
        for keys in ((old,), ())
    ]

    assert [answer.status_code for answer in answers] == [200, 404]


# Organizations


def test_organization_that_is_called_like_a_version_stays_reachable(
    client: FlaskClient, create: Create, call: Call
) -> None:
    make_project("other", "checks")
    db.session.execute(update(Organization).where(Organization.slug == "other").values(slug="v3"))
    db.session.commit()
    api = ApiClient(client, make_key("v3", "checks", scopes="admin"), base="/api/v3/checks")

    task = api.post("/tasks/", json={"name": "job"})
    monitor = api.post("/monitors/", json={"name": "m", "type": "interval", "interval": 60})

    assert (task.status_code, monitor.status_code) == (201, 201)
    assert api.get(f"/monitors/{monitor.json['id']}/slots/").status_code == 200
    assert api.get("/tasks/none/").json["errors"][0]["code"] == "not_found"
    assert api.patch("/tasks/").json["errors"][0]["code"] == "method_not_allowed"
    assert call("GET", "checks/").json == {"checks": []}
