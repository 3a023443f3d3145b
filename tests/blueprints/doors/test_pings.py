"""Pings, as Healthchecks has them: each case is in the documentation of its pinging API."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import ApiClient, count_queries, make_key
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.keys import parse_token, public_key
from taskbadger.extensions import db
from taskbadger.models import Monitor, Ping, Slot, Task

EVERY_HOUR = {"name": "Nightly import", "type": "interval", "interval": 3600, "anchor": "end"}


@pytest.fixture
def admin(project: ProjectRef, api: ApiClient) -> ApiClient:
    return ApiClient(api.client, make_key(scopes="admin"))


@pytest.fixture
def key(project: ProjectRef) -> str:
    """The secret of a key that may ping."""
    token = parse_token(make_key(name="cron", scopes="ping"))
    assert token is not None
    return token.secret


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def ping(client: FlaskClient) -> Callable[..., TestResponse]:
    """Send a ping."""

    def send(path: str, method: str = "GET", **options: Any) -> TestResponse:
        db.session.rollback()
        with client.application.app_context():
            return client.open(f"/ping/{path}", method=method, **options)

    return send


@pytest.fixture
def monitor(admin: ApiClient) -> dict[str, Any]:
    made: dict[str, Any] = admin.post("/monitors/", json=EVERY_HOUR).json
    return made


def address(monitor: dict[str, Any]) -> str:
    return str(monitor["ping_url"]).rpartition("/")[2]


def tasks() -> list[Task]:
    db.session.rollback()
    return list(db.session.scalars(select(Task).order_by(Task.id)))


def only_task() -> Task:
    [task] = tasks()
    return task


def pings() -> list[Ping]:
    db.session.rollback()
    return list(db.session.scalars(select(Ping).order_by(Ping.monitor_id, Ping.number)))


Send = Callable[..., TestResponse]


def test_ping_is_a_run_that_succeeded(ping: Send, monitor: dict[str, Any]) -> None:
    answer = ping(address(monitor))

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Ping-Body-Limit"] == "100000"
    task = only_task()
    assert (task.name, task.status, task.data) == ("Nightly import", "success", None)
    assert str(task.monitor_id) == monitor["id"]
    [first, _] = db.session.scalars(select(Slot).order_by(Slot.expected_at))
    assert first.state == "ok"


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST"])
def test_all_methods_ping(ping: Send, monitor: dict[str, Any], method: str) -> None:
    answer = ping(address(monitor), method)

    assert answer.status_code == 200
    assert [each.method for each in pings()] == [method]


@pytest.mark.parametrize(
    ("end", "status", "data"),
    [
        ("/fail", "error", {"error": "failed"}),
        ("/0", "success", {"exit_status": 0}),
        ("/1", "error", {"exit_status": 1, "error": "exit status 1"}),
        ("/255", "error", {"exit_status": 255, "error": "exit status 255"}),
        ("/start", "processing", None),
        ("/", "success", None),
        ("/fail/", "error", {"error": "failed"}),
    ],
)
def test_end_of_the_address_is_the_outcome(
    ping: Send, monitor: dict[str, Any], end: str, status: str, data: dict[str, Any] | None
) -> None:
    answer = ping(address(monitor) + end)

    assert (answer.status_code, answer.text) == (200, "OK")
    task = only_task()
    assert task.status == status
    assert (json.loads(task.data) if task.data else None) == data


@pytest.mark.parametrize("end", ["/256", "/-1", "/1000", "/done", "/1/2", "/start/1", "//", "/٣"])
def test_unknown_end_of_an_address_is_refused(
    ping: Send, monitor: dict[str, Any], end: str
) -> None:
    answer = ping(address(monitor) + end)

    assert (answer.status_code, answer.text) == (400, "invalid url format")
    assert (tasks(), pings()) == ([], [])


@pytest.mark.parametrize(
    "path",
    [
        "x",
        "x/",
        "x/Y",
        "x/ä",
        "x/a b",
        "x/" + "a" * 101,
        "%00",
        "x/\U0001f9a1",
        "x" * 3000,
    ],
)
def test_address_of_no_monitor_is_refused(ping: Send, project: ProjectRef, path: str) -> None:
    answer = ping(path)

    assert (answer.status_code, answer.text) == (400, "invalid url format")


def test_unknown_id_is_ok_and_not_found(ping: Send, project: ProjectRef) -> None:
    answer = ping(str(uuid4()))

    assert (answer.status_code, answer.text) == (200, "OK (not found)")


def test_id_that_public_pages_show_does_not_ping(ping: Send, monitor: dict[str, Any]) -> None:
    answer = ping(monitor["id"])

    assert answer.text == "OK (not found)"
    assert tasks() == []


def test_start_and_end_are_one_run(ping: Send, monitor: dict[str, Any]) -> None:
    ping(address(monitor) + "/start")
    ping(address(monitor) + "/3", "POST", data=b"line 1\nNo space left on device\n\n")

    task = only_task()
    assert task.status == "error"
    assert json.loads(task.data or "") == {
        "exit_status": 3,
        "output": "line 1\nNo space left on device\n\n",
        "error": "No space left on device",
    }
    assert [each.task_id for each in pings()] == [task.id, task.id]


def test_run_that_starts_has_the_limit_of_its_monitor(ping: Send, admin: ApiClient) -> None:
    made = admin.post("/monitors/", json={**EVERY_HOUR, "max_runtime": 90}).json

    ping(address(made) + "/start")

    assert only_task().max_runtime == 90


def test_second_start_begins_the_run_again(ping: Send, monitor: dict[str, Any]) -> None:
    ping(address(monitor) + "/start")
    first = only_task().start_time
    ping(address(monitor) + "/start")
    ping(address(monitor))
    ping(address(monitor))

    ended, alone = tasks()
    assert first is not None
    assert ended.start_time is not None
    assert ended.start_time > first
    assert [ended.status, alone.status] == ["success", "success"]


def test_ids_of_runs_tie_starts_and_ends(ping: Send, monitor: dict[str, Any]) -> None:
    one, two = uuid4(), uuid4()
    ping(f"{address(monitor)}/start?rid={one}")
    ping(f"{address(monitor)}/start?rid={str(two).upper()}")
    ping(f"{address(monitor)}/fail?rid={one}")
    ping(f"{address(monitor)}?rid={two}")
    ping(f"{address(monitor)}?rid={two}")

    assert [(task.external_id, task.status) for task in tasks()] == [
        (str(one), "error"),
        (str(two), "success"),
        (str(two), "success"),
    ]


def test_end_without_an_id_leaves_runs_with_one_alone(ping: Send, monitor: dict[str, Any]) -> None:
    ping(f"{address(monitor)}/start?rid={uuid4()}")
    ping(address(monitor))

    assert [task.status for task in tasks()] == ["processing", "success"]


@pytest.mark.parametrize("rid", ["x", "", "123", "00000000-0000-0000-0000-00000000000g"])
def test_id_of_a_run_that_is_none_is_refused(ping: Send, monitor: dict[str, Any], rid: str) -> None:
    answer = ping(f"{address(monitor)}?rid={rid}")

    assert (answer.status_code, answer.text) == (400, "invalid uuid format")
    assert tasks() == []


def test_log_is_kept_and_changes_nothing(ping: Send, monitor: dict[str, Any]) -> None:
    answer = ping(address(monitor) + "/log", "POST", data="half\0 done: Größe ✓".encode())

    assert answer.text == "OK"
    assert tasks() == []
    [entry] = pings()
    assert (entry.signal, entry.body) == ("log", "half� done: Größe ✓")
    assert db.session.get_one(Monitor, UUID(monitor["id"])).seen is False


def test_output_is_cut_at_its_limit(ping: Send, monitor: dict[str, Any]) -> None:
    text = "ä" * 60_000

    answer = ping(address(monitor), "POST", data=text.encode())

    assert answer.status_code == 200
    assert json.loads(only_task().data or "")["output"] == "ä" * 50_000


@pytest.mark.parametrize(("body", "shown"), [(b"x", "x"), (b"\xff\xfe\0", "���"), (b" ", " ")])
def test_body_of_any_bytes_is_kept_as_text(
    ping: Send, monitor: dict[str, Any], body: bytes, shown: str
) -> None:
    ping(address(monitor), "POST", data=body)

    assert json.loads(only_task().data or "") == {"output": shown}


def test_slug_with_a_key_pings(ping: Send, key: str, monitor: dict[str, Any]) -> None:
    assert monitor["slug"] == "nightly-import"

    answers = [ping(f"{key}/nightly-import{end}") for end in ("/start", "", "/fail", "/7")]

    assert [answer.text for answer in answers] == ["OK"] * 4
    assert [task.status for task in tasks()] == ["success", "error", "error"]


def test_unknown_slug_is_not_found(ping: Send, key: str, monitor: dict[str, Any]) -> None:
    answers = [
        ping(f"{key}/other"),
        ping(f"{key}/other?create=0"),
        ping(f"no.key/{monitor['slug']}"),
    ]

    assert [(answer.status_code, answer.text) for answer in answers] == [(404, "not found")] * 3
    assert tasks() == []


def test_new_slug_makes_a_monitor_if_asked(ping: Send, key: str, admin: ApiClient) -> None:
    answers = [ping(f"{key}/new_one/start?create=1"), ping(f"{key}/new_one?create=1")]

    assert [(answer.status_code, answer.text) for answer in answers] == [
        (201, "Created"),
        (200, "OK"),
    ]
    [made] = admin.get("/monitors/").json["results"]
    fields = ("name", "slug", "type", "interval", "anchor", "start_grace", "max_runtime", "health")
    assert [made[name] for name in fields] == [
        "new_one", "new_one", "interval", 86400, "end", 3600, 3600, "healthy",
    ]  # fmt: skip
    assert only_task().status == "success"


def test_new_monitor_tells_every_channel(
    ping: Send, key: str, admin: ApiClient, app: Flask
) -> None:
    organization = ApiClient(admin.client, make_key(slug=None, scopes="admin"))
    made = organization.post(
        "/api/acme/-/channels/",
        json={"kind": "webhook", "slug": "ops", "config": {"url": "https://example.com/x"}},
    )
    assert made.status_code == 201, made.text

    ping(f"{key}/new?create=1")

    [monitor] = admin.get("/monitors/").json["results"]
    assert monitor["action"] == [{"integration": "webhook:ops", "config": {}}]


@pytest.mark.parametrize("scopes", ["ingest", "read", "ingest,read"])
def test_other_keys_do_not_ping(ping: Send, monitor: dict[str, Any], scopes: str) -> None:
    token = parse_token(make_key(scopes=scopes))
    assert token is not None

    answer = ping(f"{token.secret}/nightly-import")

    assert (answer.status_code, answer.text) == (404, "not found")
    assert tasks() == []


def test_key_of_another_project_does_not_find_the_slug(ping: Send, monitor: dict[str, Any]) -> None:
    token = parse_token(make_key(slug="other", scopes="ping"))
    assert token is not None

    assert ping(f"{token.secret}/nightly-import").status_code == 404


def test_key_that_pings_does_nothing_else(
    api: ApiClient, key: str, monitor: dict[str, Any]
) -> None:
    thief = ApiClient(api.client, key)

    answers = [
        thief.get("/tasks/"),
        thief.post("/tasks/", json={"name": "x"}),
        thief.get("/monitors/"),
        thief.get(f"/monitors/{monitor['id']}/"),
        thief.delete(f"/monitors/{monitor['id']}/"),
        thief.post("/monitors/", json=EVERY_HOUR),
        thief.get("/api/acme/-/keys/"),
    ]

    assert [answer.status_code for answer in answers] == [403] * 7


def test_key_for_pings_belongs_to_a_project(admin: ApiClient) -> None:
    organization = ApiClient(admin.client, make_key(slug=None, scopes="admin"))

    refused = organization.post("/api/acme/-/keys/", json={"name": "x", "scopes": ["ping"]})
    made = admin.post("/api/acme/-/keys/", json={"name": "x", "scopes": ["ping"]}).json
    other = admin.post("/api/acme/-/keys/", json={"name": "x", "scopes": ["read"]}).json

    assert refused.status_code == 400
    assert refused.json["errors"][0]["attr"] == "scopes"
    assert made["ping_url"].startswith("http://localhost/ping/")
    secret = made["ping_url"].rpartition("/")[2]
    assert made["dsn"].startswith(f"http://{public_key(secret)}@localhost/")
    assert (other["ping_url"], other["dsn"]) == (None, None)


def test_only_who_may_ping_sees_the_address(api: ApiClient, monitor: dict[str, Any]) -> None:
    reader = ApiClient(api.client, make_key(scopes="read"))

    assert reader.get(f"/monitors/{monitor['id']}/").json["ping_url"] is None


def test_too_many_pings_are_refused(
    make_app: Callable[..., Flask], monitor: dict[str, Any]
) -> None:
    client = make_app(PING_LIMIT=2).test_client()

    answers = [client.get(f"/ping/{address(monitor)}") for _ in range(3)]

    assert [(answer.status_code, answer.text) for answer in answers] == [
        (200, "OK"), (200, "OK"), (429, "rate limited"),
    ]  # fmt: skip
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 60
    assert len(tasks()) == 2


def test_latest_hundred_pings_are_kept(
    make_app: Callable[..., Flask], monitor: dict[str, Any]
) -> None:
    client = make_app(PING_LIMIT=0).test_client()
    for _ in range(125):
        client.get(f"/ping/{address(monitor)}/log")

    numbers = [each.number for each in pings()]

    assert numbers[-1] == 125
    assert len(numbers) == 105


def test_paused_monitor_keeps_its_runs(
    ping: Send, admin: ApiClient, monitor: dict[str, Any]
) -> None:
    admin.patch(f"/monitors/{monitor['id']}/", json={"status": "paused"})
    ping(address(monitor) + "/start")
    ping(address(monitor))

    assert only_task().status == "success"
    assert admin.get(f"/monitors/{monitor['id']}/").json["health"] == "paused"


def test_end_after_the_task_is_deleted_is_a_run(ping: Send, monitor: dict[str, Any]) -> None:
    ping(address(monitor) + "/start")
    db.session.delete(only_task())
    db.session.commit()

    ping(address(monitor))

    assert only_task().status == "success"


def test_browsers_may_ping_from_other_sites(ping: Send, monitor: dict[str, Any]) -> None:
    answer = ping(address(monitor), "OPTIONS", headers={"Origin": "https://example.com"})

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert pings() == []


def test_statements_of_a_ping_are_pinned(ping: Send, key: str, monitor: dict[str, Any]) -> None:
    ping(f"{key}/nightly-import")
    counts = {}
    for end in ("/start", "", "/fail", "/log"):
        with count_queries() as queries:
            ping(f"{key}/nightly-import{end}")
        counts[end] = len(queries)

    assert counts == {"/start": 18, "": 15, "/fail": 26, "/log": 3}


def test_log_has_no_secret(
    make_app: Callable[..., Flask],
    key: str,
    monitor: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = make_app(LOG_REQUESTS=True).test_client()
    with caplog.at_level("INFO"):
        client.get(f"/ping/{key}/nightly-import")
        client.get(f"/ping/{address(monitor)}")

    paths = [record.path for record in caplog.records if record.message == "request"]  # type: ignore[attr-defined]
    assert paths == [
        f"/ping/{key.partition('.')[0]}.***/nightly-import",
        f"/ping/{address(monitor)[:8]}-***",
    ]


def test_body_that_is_larger_than_others_may_be_is_cut(
    make_app: Callable[..., Flask], monitor: dict[str, Any]
) -> None:
    client = make_app(MAX_BODY_BYTES=1000).test_client()

    answer = client.post(f"/ping/{address(monitor)}", data=b"x" * 200_000)

    assert (answer.status_code, answer.text) == (200, "OK")
    assert len(json.loads(only_task().data or "")["output"]) == 100_000
