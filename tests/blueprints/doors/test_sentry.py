"""Check-ins, as Sentry takes them: each case is in its documentation, or in Relay's source."""

import base64
import gzip
import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import brotli
import pytest
from conftest import ApiClient, audit_entries, count_queries, make_key, make_project
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from taskbadger.blueprints.doors.sentry import OURS
from taskbadger.domain import envelopes
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.keys import parse_token, public_key
from taskbadger.extensions import db
from taskbadger.models import Monitor, Slot, Task

HOURLY = {"schedule": {"type": "crontab", "value": "0 * * * *"}}
ID = "a460c25ff2554577b920fcfacae4e5eb"
LATEST = "0" * 32
DURATION = "the duration is not a number of seconds from 0 to 2147484"
NO_MONITOR = "there is no such monitor"
REJECTED = "event submission rejected with_reason: ProjectId"


def secret_of(shown: str) -> str:
    token = parse_token(shown)
    assert token is not None
    return token.secret


def pack(*items: tuple[dict[str, Any], bytes], header: Any = None) -> bytes:
    """Return an envelope of items with their headers."""
    lines = [json.dumps(header or {}).encode()]
    for item, payload in items:
        lines += [json.dumps(item).encode(), payload]
    return b"\n".join(lines) + b"\n"


def item(kind: str = "check_in", **fields: Any) -> tuple[dict[str, Any], bytes]:
    payload = json.dumps(fields).encode()
    return {"type": kind, "length": len(payload)}, payload


def check_in(slug: str = "job", status: str = "ok", **fields: Any) -> tuple[dict[str, Any], bytes]:
    return item(monitor_slug=slug, status=status, **{"check_in_id": ID, **fields})


@dataclass
class Sentry:
    """A client of one project."""

    client: FlaskClient
    project: ProjectRef
    secret: str
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = public_key(self.secret)

    @property
    def auth(self) -> dict[str, str]:
        value = f"Sentry sentry_key={self.key}, sentry_version=7, sentry_client=sentry.python/2"
        return {"X-Sentry-Auth": value}

    def open(self, method: str, path: str, **options: Any) -> TestResponse:
        db.session.rollback()
        with self.client.application.app_context():
            return self.client.open(f"/api/{self.project.id}{path}", method=method, **options)

    def send(self, body: bytes, path: str = "/envelope/", **options: Any) -> TestResponse:
        headers = {**self.auth, **options.pop("headers", {})}
        return self.open("POST", path, data=body, headers=headers, **options)

    def check_in(self, *arguments: str, **fields: Any) -> TestResponse:
        return self.send(pack(check_in(*arguments, **fields)))

    def cron(self, query: str, slug: str = "job", method: str = "GET", **more: Any) -> TestResponse:
        return self.open(method, f"/cron/{slug}/{self.key}/{query}", **more)


@pytest.fixture
def sentry(app: Flask, project: ProjectRef) -> Sentry:
    return Sentry(app.test_client(), project, secret_of(make_key(name="cron", scopes="ping")))


@pytest.fixture
def job(sentry: Sentry) -> Monitor:
    """A monitor that has had a run, which the tests do not see."""
    assert sentry.check_in("job", "ok", check_in_id=uuid4().hex, monitor_config=HOURLY).json == {}
    db.session.delete(only_task())
    db.session.commit()
    return only_monitor()


def only_monitor() -> Monitor:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Monitor)).one()


def tasks() -> list[Task]:
    db.session.rollback()
    db.session.expire_all()
    return list(db.session.scalars(select(Task).order_by(Task.id)))


def only_task() -> Task:
    [task] = tasks()
    return task


def statuses() -> list[str]:
    return [task.status for task in tasks()]


def shown(answer: TestResponse) -> tuple[int, Any, str | None]:
    return answer.status_code, answer.json, answer.headers.get("X-Sentry-Error")


# The envelope: what it may look like.


def test_check_in_with_a_config_makes_a_monitor_and_a_run(sentry: Sentry) -> None:
    event_id = uuid4().hex
    answer = sentry.send(
        pack(check_in(monitor_config=HOURLY, environment="prod"), header={"event_id": event_id})
    )

    assert shown(answer) == (200, {"id": event_id}, None)
    assert answer.headers["Content-Type"] == "application/json"
    monitor, task = only_monitor(), only_task()
    assert (monitor.slug, monitor.name, monitor.schedule) == ("job", "job", "0 * * * *")
    assert (monitor.start_grace, monitor.max_runtime, monitor.timezone) == (60, 1800, "UTC")
    assert (task.name, task.status, task.monitor_id) == ("job", "success", monitor.id)
    assert (task.external_id, json.loads(task.tags)) == (str(UUID(ID)), {"environment": "prod"})
    first = db.session.scalars(select(Slot).order_by(Slot.expected_at)).first()
    assert first is not None
    assert first.state == "ok"


def test_unknown_encoding_is_refused_with_those_that_are_known(sentry: Sentry) -> None:
    answer = sentry.send(b"x", headers={"Content-Encoding": "zstd"})

    assert answer.status_code == 415
    assert answer.json == {"detail": "unsupported content encoding"}
    assert answer.headers["Accept-Encoding"] == "gzip, deflate, br"


ONE = check_in()


def test_envelopes_are_plain_or_compressed(sentry: Sentry, job: Monitor) -> None:
    answers = [
        sentry.send(squeeze(pack(check_in(check_in_id=LATEST))), headers=headers)
        for squeeze, headers in (
            (bytes, {}),
            (bytes, {"Content-Encoding": "identity"}),
            (gzip.compress, {"Content-Encoding": "gzip"}),
            (gzip.compress, {"Content-Encoding": " GZIP"}),
            (zlib.compress, {"Content-Encoding": "deflate"}),
            (brotli.compress, {"Content-Encoding": "br"}),
        )
    ]

    assert [shown(answer) for answer in answers] == [(200, {}, None)] * 6
    assert statuses() == ["success"] * 6


BAD_ENVELOPES: dict[bytes, tuple[int, str, str | None]] = {
    b"": (400, "invalid event envelope", "empty request body"),
    b"{": (400, "invalid event envelope", "invalid envelope header"),
    b'{"dsn":5}\n': (400, "invalid event envelope", "invalid envelope header"),
    b'{"dsn":"http://[@/5"}\n': (400, "invalid event envelope", "invalid envelope header"),
    pack(check_in()) + b"x": (400, "invalid event envelope", "invalid item header"),
    pack(check_in(), ({"type": "event", "length": 9}, b"x")): (
        400, "invalid event envelope", "unexpected end of file",
    ),
    pack(check_in(), ({"type": "event", "length": 1}, b"xy")): (
        400, "invalid event envelope", "missing newline after header or payload",
    ),
    pack(*[check_in()] * 101): (413, "envelope exceeded size limits", None),
    b"x" * (2**20 + 1): (413, "envelope exceeded size limits", None),
    pack(check_in(), ({"type": "check_in"}, b" " * 102_401)): (
        413, "envelope exceeded size limits", None,
    ),
}  # fmt: skip


def test_broken_envelope_is_refused_whole(sentry: Sentry, job: Monitor) -> None:
    def told(answer: TestResponse) -> tuple[int, str, str | None]:
        found = answer.json or {}
        return answer.status_code, found["detail"], (found.get("causes") or [None])[0]

    assert {body: told(sentry.send(body)) for body in BAD_ENVELOPES} == BAD_ENVELOPES
    for encoding in ("gzip", "deflate", "br"):
        answer = sentry.send(pack(check_in()), headers={"Content-Encoding": encoding})
        assert shown(answer) == (400, {"detail": "invalid request body"}, "invalid request body")
    assert tasks() == []


def test_too_much_is_refused_once_it_is_decompressed(
    sentry: Sentry, job: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelopes, "MAX_CONTENT", 10**6)
    body = gzip.compress(pack(check_in(), ({"type": "event"}, b"x" * 10**6)))

    answer = sentry.send(body, headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, tasks()) == (413, [])


def test_dropped_items_are_counted_in_the_log(
    sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "taskbadger.blueprints.doors.sentry")

    sentry.send(pack(item("event"), item("event"), item("session")))

    [record] = [record for record in caplog.records if "dropped" in record.message]
    assert vars(record)["items"] == {"event": 2, "session": 1}


def test_empty_envelope_is_taken(sentry: Sentry) -> None:
    assert shown(sentry.send(b"{}")) == (200, {}, None)


# Who may send.


def test_key_may_be_where_clients_have_it(sentry: Sentry, job: Monitor) -> None:
    key, project = sentry.key, sentry.project.id
    basic = base64.b64encode(f"{key}:".encode()).decode()
    plain = pack(check_in(check_in_id=LATEST))
    with_dsn = pack(check_in(check_in_id=LATEST), header={"dsn": f"https://{key}@x.io/a/{project}"})
    answers = [
        sentry.send(plain),
        sentry.open("POST", "/envelope", data=plain, headers=sentry.auth),
        sentry.open("POST", f"/envelope/?sentry_version=7&sentry_key={key}", data=plain),
        sentry.open("POST", "/envelope/", data=with_dsn),
        sentry.send(with_dsn),
        sentry.send(plain, f"/envelope/?sentry_key={key}"),
        *(
            sentry.open("POST", "/envelope/", data=plain, headers={name: value})
            for name, value in (
                ("Authorization", f"Sentry sentry_key={key}"),
                ("Authorization", f"Basic {basic}"),
                ("X-Sentry-Auth", f'sentry sentry_version=7,sentry_key="{key}"'),
                ("X-Sentry-Auth", f"Sentry sentry_key={sentry.secret}"),
            )
        ),
    ]

    assert [shown(answer) for answer in answers] == [(200, {}, None)] * 10
    assert statuses() == ["success"] * 10


WITHOUT_KEY: list[tuple[dict[str, str], int, str]] = [
    ({}, 401, "missing authorization information"),
    ({"X-Sentry-Auth": "Bearer x"}, 401, "missing authorization information"),
    ({"X-Sentry-Auth": "Sentry"}, 401, "bad x-sentry-auth header"),
    ({"X-Sentry-Auth": "Sentry sentry_version=7"}, 401, "bad x-sentry-auth header"),
    ({"Authorization": "Basic x"}, 401, "missing authorization information"),
    ({"X-Sentry-Auth": "Sentry sentry_key=x"}, 400, "bad sentry DSN public key"),
    ({"X-Sentry-Auth": f"Sentry sentry_key={'0' * 32}"}, 400, "bad sentry DSN public key"),
    ({"X-Sentry-Auth": f"Sentry sentry_key={'0' * 60}"}, 403, REJECTED),
    (
        {"X-Sentry-Auth": f"Sentry sentry_key={'0' * 60},sentry_version=8"},
        400,
        "unsupported protocol version (8)",
    ),
    (
        {"X-Sentry-Auth": "Sentry sentry_key=a", "Authorization": "Sentry sentry_key=b"},
        401,
        "multiple authorization payloads detected",
    ),
]


def test_who_has_no_key_is_refused(sentry: Sentry, job: Monitor) -> None:
    for headers, status, detail in WITHOUT_KEY:
        for path in ("/envelope/", "/cron/job/?status=ok", "/store/"):
            answer = sentry.open("POST", path, data=pack(check_in()), headers=headers)
            assert shown(answer) == (status, {"detail": detail}, detail)
    assert tasks() == []


def wrong_keys() -> list[str]:
    return [
        make_key(slug="other", scopes="ping"),
        make_key("rival", "web", scopes="ping"),
        make_key(slug=None, scopes="admin"),
        make_key(scopes="ingest,read"),
    ]


def test_keys_of_others_are_refused(sentry: Sentry, job: Monitor) -> None:
    for shown_key in wrong_keys():
        thief = Sentry(sentry.client, sentry.project, secret_of(shown_key))
        dsn = f"http://{thief.key}@localhost/{sentry.project.id}"
        answers = [
            thief.check_in(),
            thief.cron("?status=ok"),
            thief.send(b"x", "/store/"),
            thief.open("POST", "/envelope/", data=pack(check_in(), header={"dsn": dsn})),
        ]
        assert [shown(each) for each in answers] == [(403, {"detail": REJECTED}, REJECTED)] * 4
    assert tasks() == []


def test_key_with_the_scope_admin_may_send(sentry: Sentry, job: Monitor) -> None:
    admin = Sentry(sentry.client, sentry.project, secret_of(make_key(scopes="admin")))

    assert shown(admin.check_in()) == (200, {}, None)


def test_envelope_must_not_contradict_its_request(sentry: Sentry, job: Monitor) -> None:
    for dsn, name in (
        (f"http://{sentry.key}@localhost/{sentry.project.id + 1}", "project id"),
        (f"http://{'0' * 60}@localhost/{sentry.project.id}", "public key"),
    ):
        answer = sentry.send(pack(check_in(), header={"dsn": dsn}))
        cause = f"{name} header mismatch between envelope and request"
        assert answer.json == {"detail": "invalid event envelope", "causes": [cause]}
    assert tasks() == []


def test_new_key_shows_its_dsn(sentry: Sentry, api: ApiClient) -> None:
    admin = ApiClient(api.client, make_key(scopes="admin"))

    made = admin.post("/api/acme/-/keys/", json={"name": "x", "scopes": ["ping"]}).json

    secret = made["ping_url"].rpartition("/")[2]
    assert made["dsn"] == f"http://{public_key(secret)}@localhost/{sentry.project.id}"


def test_secrets_do_not_reach_the_log(
    make_app: Callable[..., Flask], sentry: Sentry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_app(LOG_REQUESTS=True).test_client()
    start = f"/api/{sentry.project.id}"
    for key in (sentry.key, sentry.secret):
        client.get(f"{start}/cron/job/{key}/?status=ok")
        client.get(f"{start}/nothing/{key}")
        client.get(f"{start}/cron/x/?sentry_key={key}&status=ok")
        client.post(f"{start}/envelope/", data=b"{", headers={"X-Sentry-Auth": f"Sentry x={key}"})

    lines = [str(vars(record)) for record in caplog.records]
    assert len([line for line in lines if "'path'" in line]) == 8
    assert [line for line in lines if sentry.key[12:] in line or sentry.secret[13:] in line] == []


# What a check-in says.


def test_status_and_duration_are_those_of_the_run(sentry: Sentry, job: Monitor) -> None:
    for status, duration in (("ok", 90), ("error", 1.5), ("ok", None), ("in_progress", None)):
        sentry.check_in("job", status, duration=duration, check_in_id=uuid4().hex)

    def took(task: Task) -> float | None:
        if task.start_time is None or task.end_time is None:
            return None
        return (task.end_time - task.start_time).total_seconds()

    assert [(task.status, took(task), task.data, task.max_runtime) for task in tasks()] == [
        ("success", 90.0, None, None),
        ("error", 1.5, '{"error": "failed"}', None),
        ("success", None, None, None),
        ("processing", None, None, 1800),
    ]


BAD_CHECK_INS: dict[bytes, str] = {
    b"x": "failed to deserialize check in",
    b"[]": "failed to deserialize check in",
    b"\xff": "failed to deserialize check in",
    check_in(duration=-1)[1]: DURATION,
    check_in(environment="\0")[1]: (
        "the environment has more than 64 characters, a slash or a line break"
    ),
    check_in(status="missed")[1]: "the status is none of in_progress, ok and error",
    check_in("other")[1]: NO_MONITOR,
    check_in("\ud800")[1]: "the monitor slug is empty or invalid",
    check_in(check_in_id="x")[1]: "check_in_id is not a UUID",
    check_in(monitor_config={"schedule": "@daily"})[1]: "failed to deserialize monitor_config",
}


def test_bad_check_in_is_dropped_and_the_next_is_taken(
    sentry: Sentry, job: Monitor, caplog: pytest.LogCaptureFixture
) -> None:
    for payload, problem in BAD_CHECK_INS.items():
        bad = ({"type": "check_in", "length": len(payload)}, payload)
        answer = sentry.send(pack(bad, check_in(check_in_id=uuid4().hex)))
        assert shown(answer) == (200, {}, problem)

    assert statuses() == ["success"] * len(BAD_CHECK_INS)
    assert only_monitor().updated == job.updated
    reasons = [vars(record)["reason"] for record in caplog.records]
    assert reasons == list(BAD_CHECK_INS.values())


def test_start_and_end_are_one_run(sentry: Sentry, job: Monitor) -> None:
    sentry.check_in("job", "in_progress", environment="prod")
    started = only_task().start_time
    sentry.check_in("job", "error", duration=3600.5, environment="prod")

    task = only_task()
    assert (task.status, task.start_time) == ("error", started)


def test_runs_overlap_by_their_ids(sentry: Sentry, job: Monitor) -> None:
    one, two = uuid4(), uuid4()
    sentry.check_in("job", "in_progress", check_in_id=one.hex)
    sentry.check_in("job", "in_progress", check_in_id=str(two))
    sentry.check_in("job", "error", check_in_id=one.hex)
    sentry.check_in("job", "ok", check_in_id=two.hex)

    assert [(task.external_id, task.status) for task in tasks()] == [
        (str(one), "error"),
        (str(two), "success"),
    ]


def test_second_start_is_a_sign_of_life(sentry: Sentry, job: Monitor) -> None:
    sentry.check_in("job", "in_progress")
    first = only_task().start_time
    sentry.check_in("job", "in_progress")

    assert (only_task().start_time, only_task().status) == (first, "processing")


def test_what_comes_after_the_end_changes_nothing(sentry: Sentry, job: Monitor) -> None:
    sentry.check_in("job", "ok")

    # A quick job's start may well arrive after its end.
    assert shown(sentry.check_in("job", "in_progress")) == (200, {}, None)
    assert shown(sentry.check_in("job", "error")) == (200, {}, "the check-in is finished")
    assert statuses() == ["success"]


def test_end_may_arrive_before_the_start_that_makes_the_monitor(sentry: Sentry) -> None:
    for slug, status in (("one", "error"), ("two", "ok")):
        run = uuid4().hex
        sentry.check_in(slug, status, check_in_id=run, duration=0.1)
        sentry.check_in(slug, "in_progress", check_in_id=run, monitor_config=HOURLY)
    sentry.check_in("three", "ok", check_in_id=LATEST)
    sentry.check_in("three", "in_progress", check_in_id=LATEST, monitor_config=HOURLY)

    assert statuses() == ["error", "success", "processing"]


def test_zeros_mean_the_latest_run_of_the_environment(sentry: Sentry, job: Monitor) -> None:
    for environment in ("prod", "prod", "staging"):
        sentry.check_in("job", "in_progress", check_in_id=uuid4().hex, environment=environment)
    sentry.check_in("job", "ok", check_in_id=LATEST, environment="prod")
    assert statuses() == ["processing", "success", "processing"]
    sentry.check_in("job", "error", check_in_id=LATEST, environment="prod")
    assert statuses() == ["error", "success", "processing"]
    sentry.check_in("job", "ok", check_in_id=LATEST, environment="prod")
    sentry.check_in("job", "ok", check_in_id=LATEST)

    assert statuses() == ["error", "success", "processing", "success", "success"]
    assert all(UUID(task.external_id).int for task in tasks())


def test_zeros_start_one_run_at_a_time(sentry: Sentry, job: Monitor) -> None:
    for status in ("in_progress", "in_progress", "ok"):
        sentry.check_in("job", status, check_in_id=LATEST)

    assert statuses() == ["success"]


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"schedule": {"type": "crontab", "value": "x"}}, "monitor_config: "),
    ({"schedule": {"type": "crontab", "value": ""}}, "monitor_config: "),
    ({"schedule": {"type": "crontab", "value": "0 0 0 * * *"}}, "monitor_config: "),
    ({"schedule": {"type": "crontab", "value": "@reboot"}}, "monitor_config: "),
    ({"schedule": {"type": "crontab", "value": "0 0 31 2 *"}}, "monitor_config: "),
    ({"schedule": {"type": "crontab", "value": "\0"}}, "monitor_config: schedule: "),
    ({"schedule": {"type": "interval", "value": 2, "unit": "year"}}, "monitor_config: schedule: "),
    ({**HOURLY, "timezone": "Nowhere/Town"}, "monitor_config: "),
    ({**HOURLY, "timezone": "../../etc/passwd"}, "monitor_config: "),
    ({**HOURLY, "max_runtime": 0}, "monitor_config: max_runtime: "),
]


def test_impossible_config_makes_no_monitor_and_changes_none(sentry: Sentry, job: Monitor) -> None:
    for config, problem in IMPOSSIBLE:
        new = sentry.check_in("new", "ok", monitor_config=config, check_in_id=LATEST)
        old = sentry.check_in("job", "ok", monitor_config=config, check_in_id=LATEST)
        assert (new.status_code, old.status_code) == (200, 200)
        assert new.headers["X-Sentry-Error"].startswith(problem)
        assert new.headers["X-Sentry-Error"].endswith(f"; {NO_MONITOR}")
        assert old.headers["X-Sentry-Error"].startswith(problem)
    # As in Sentry, the runs count for the monitor as it was.
    assert [task.monitor_id for task in tasks()] == [job.id] * len(IMPOSSIBLE)
    assert only_monitor().updated == job.updated


FULL = {
    "schedule": {"type": "interval", "value": 5, "unit": "day"},
    "checkin_margin": 5,
    "max_runtime": 10,
    "timezone": "America/Los_Angeles",
    "failure_issue_threshold": 2,
    "recovery_threshold": 3,
    "owner": "team:1",
    "unknown": [],
}


def settings(monitor: Monitor) -> tuple[Any, ...]:
    return (
        monitor.start_grace,
        monitor.max_runtime,
        monitor.timezone,
        monitor.failure_threshold,
        monitor.recovery_threshold,
    )


def test_config_counts_in_minutes(sentry: Sentry) -> None:
    sentry.check_in(monitor_config=FULL)

    assert settings(only_monitor()) == (300, 600, "America/Los_Angeles", 2, 3)


def test_changed_config_changes_the_monitor_and_leaves_what_it_does_not_say(
    sentry: Sentry,
) -> None:
    sentry.check_in(monitor_config=FULL, check_in_id=LATEST)
    sentry.check_in(monitor_config={**HOURLY, "max_runtime": None}, check_in_id=LATEST)

    monitor = only_monitor()
    assert (monitor.type, monitor.schedule, monitor.interval) == ("cron", "0 * * * *", None)
    assert settings(monitor) == (300, 600, "America/Los_Angeles", 2, 3)
    sentry.check_in(monitor_config={**HOURLY, "checkin_margin": 0}, check_in_id=LATEST)
    assert only_monitor().start_grace == 60
    assert statuses() == ["success"] * 3


def test_config_does_not_change_what_people_have_set_up(sentry: Sentry, api: ApiClient) -> None:
    admin = ApiClient(api.client, make_key(scopes="admin"))
    admin.post("/monitors/", json={"name": "job", "type": "cron", "schedule": "@daily"})

    answer = sentry.check_in("job", monitor_config=HOURLY, check_in_id=LATEST)

    assert answer.status_code == 200
    assert only_monitor().schedule == "@daily"
    assert statuses() == ["success"]


def test_same_config_changes_nothing(sentry: Sentry) -> None:
    for _ in range(3):
        sentry.check_in(monitor_config=FULL, check_in_id=LATEST)

    kinds = [entry.verb for entry in db.session.scalars(audit_entries())]
    assert kinds.count("monitor.create") == 1
    assert kinds.count("monitor.change") == 0


def test_check_in_finds_a_monitor_that_people_made(sentry: Sentry, api: ApiClient) -> None:
    admin = ApiClient(api.client, make_key(scopes="admin"))
    made = admin.post(
        "/monitors/", json={"name": "Nightly import", "type": "cron", "schedule": "@daily"}
    ).json

    sentry.check_in(made["slug"], "ok", environment="")

    task = only_task()
    assert (task.name, str(task.monitor_id), task.tags) == ("Nightly import", made["id"], "{}")


# One check-in by one request.


def test_request_is_a_check_in(sentry: Sentry, job: Monitor) -> None:
    key = sentry.key
    answers = [
        *(sentry.cron("?status=ok", method=method) for method in ("GET", "POST", "HEAD")),
        sentry.open("GET", f"/cron/job/{key}?status=ok"),
        sentry.open("GET", f"/cron/JOB/?sentry_key={key}&status=ok"),
        sentry.open("GET", f"/cron/job?sentry_key={key}&status=ok"),
        sentry.open("GET", "/cron/job/?status=ok", headers=sentry.auth),
        sentry.cron("?status=ok", method="POST", data={"status": "error"}),
    ]

    said = [(each.status_code, each.text, each.headers.get("X-Sentry-Error")) for each in answers]
    assert said == [(202, "", None)] * 8
    assert statuses() == ["success"] * 8


CRON_PROBLEMS: list[tuple[str, dict[str, Any], int, str]] = [
    ("?status=nonsense", {}, 202, "the status is none of in_progress, ok and error"),
    ("?status=ok&duration=-1", {}, 202, DURATION),
    ("?status=ok&duration=nan", {}, 202, DURATION),
    ("?status=ok&duration=1e999", {}, 202, DURATION),
    ("", {}, 400, "failed to deserialize query string: missing field `status`"),
    ("?status=ok&check_in_id=5", {}, 400, "failed to deserialize query string"),
    ("?status=ok&duration=x", {}, 400, "failed to deserialize query string"),
    ("?status=ok", {"json": []}, 422, "failed to deserialize check in: missing field `status`"),
    ("?status=ok", {"json": {}}, 422, "failed to deserialize check in: missing field `status`"),
    ("", {"data": b"{", "content_type": "application/json"}, 400, "invalid JSON data"),
    ("", {"data": b"x" * 102_401, "content_type": "application/json"}, 413,
     "envelope exceeded size limits"),
]  # fmt: skip


def test_bad_request_is_refused_or_dropped(sentry: Sentry, job: Monitor) -> None:
    for query, options, status, problem in CRON_PROBLEMS:
        answer = sentry.cron(query, method="POST", **options)
        body = None if status == 202 else {"detail": problem}
        found = json.loads(answer.text) if answer.text else None
        assert (answer.status_code, found) == (status, body)
        assert answer.headers["X-Sentry-Error"] == problem
    assert tasks() == []
    unknown = sentry.cron("?status=ok", slug="other")
    assert (unknown.status_code, unknown.headers["X-Sentry-Error"]) == (202, NO_MONITOR)


def test_other_methods_are_refused(sentry: Sentry) -> None:
    for path, allowed in (("/envelope/", "POST"), ("/store/", "POST"), ("/cron/job/", "GET, HEAD")):
        answer = sentry.open("PUT", path, headers=sentry.auth)
        assert (answer.status_code, answer.json) == (405, {"detail": "method not allowed"})
        assert answer.headers["Allow"].startswith(allowed)


def test_requests_start_and_end_a_run(sentry: Sentry, job: Monitor) -> None:
    sentry.cron("?status=in_progress&environment=dev")
    sentry.cron(f"?status=in_progress&check_in_id={ID}&environment=dev")
    sentry.cron(f"?status=error&check_in_id={UUID(ID)}&environment=dev&duration=2.5")
    sentry.cron("?status=ok&environment=dev")

    assert statuses() == ["success", "error"]
    assert {task.tags for task in tasks()} == {'{"environment":"dev"}'}


def test_json_makes_a_monitor(sentry: Sentry) -> None:
    body = {"monitor_config": {**HOURLY, "checkin_margin": 5}, "status": "in_progress"}

    answers = [
        sentry.cron("", method="POST", json=body),
        sentry.cron("", method="POST", json={"status": "ok", "monitor_slug": "ignored"}),
    ]

    assert [answer.status_code for answer in answers] == [202, 202]
    assert (only_monitor().slug, only_monitor().start_grace) == ("job", 300)
    assert statuses() == ["success"]


def test_no_part_of_an_address_breaks_it(sentry: Sentry) -> None:
    hostile = ("%00", "%FF", "%ED%A0%80", "'", "a" * 5000, "%2e%2e%2f", "%0A", "<x>", "%7B%7D")
    for part in hostile:
        for path in (f"/cron/{part}/{sentry.key}/", f"/cron/{part}", f"/cron/job/{part}"):
            for query in (
                "?status=ok",
                f"?status={part}&sentry_key={sentry.key}&environment={part}",
            ):
                answer = sentry.open("GET", path + query)
                assert answer.status_code in (202, 400, 401, 404), path
                if answer.status_code != 404:
                    assert answer.text == "" or list(json.loads(answer.text)) == ["detail"]
    assert tasks() == []


def test_events_of_old_clients_are_dropped(sentry: Sentry) -> None:
    assert shown(sentry.send(b"eJyr", "/store/")) == (200, {}, None)


def test_browsers_may_send_from_other_sites(sentry: Sentry) -> None:
    answer = sentry.open("OPTIONS", "/envelope/", headers={"Origin": "https://example.com"})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "*"


# Limits, and what was there before.


def test_too_many_check_ins_are_refused(
    make_app: Callable[..., Flask], sentry: Sentry, job: Monitor
) -> None:
    sentry.client = make_app(PING_LIMIT=3).test_client()

    answers = [sentry.check_in("job", "ok", check_in_id=uuid4().hex) for _ in range(3)]
    by_request = sentry.cron("?status=ok")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    wait = int(answers[2].headers["Retry-After"])
    assert 1 <= wait <= 60
    assert answers[2].headers["X-Sentry-Rate-Limits"] == f"{wait}:monitor:key"
    assert answers[2].json == {"detail": "too many check-ins of a monitor"}
    assert (by_request.status_code, by_request.headers["X-Sentry-Error"]) == (202, "rate limited")
    assert statuses() == ["success"] * 2


@pytest.fixture
def number(app: Flask, sentry: Sentry) -> ApiClient:
    """An organization that is called like the number of the project, with a project cron."""
    organization = str(sentry.project.id)
    make_project(organization, "cron")
    key = make_key(organization, "cron", scopes="ingest,read,admin")
    return ApiClient(app.test_client(), key, f"/api/{organization}/cron")


def test_organization_that_is_a_number_is_reachable(sentry: Sentry, number: ApiClient) -> None:
    task = number.create(name="x")

    paths = [
        "/tasks/",
        "/tasks",
        f"/tasks/{task['id']}/",
        f"/tasks/{task['id']}/events/",
        "/monitors/",
        "/failures/",
        "/queues/",
        f"/api/{sentry.project.id}/-/projects/",
    ]
    assert {path: number.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)
    number.key = None
    assert number.get("/tasks/").json["errors"][0]["code"] == "not_authenticated"
    for name in ("envelope", "store"):
        make_project(str(sentry.project.id), name)
        inner = make_key(str(sentry.project.id), name)
        other = ApiClient(number.client, inner, f"/api/{sentry.project.id}/{name}")
        assert other.get("/tasks/").status_code == 200


def test_names_of_our_own_addresses_are_all_kept(app: Flask) -> None:
    start = "/api/<organization_slug>/<project_slug>/"
    rules = [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith(start)]

    assert {rule.removeprefix(start).split("/")[0] for rule in rules} == set(OURS)


def test_monitor_may_have_such_a_name_in_an_envelope(sentry: Sentry) -> None:
    for slug in OURS:
        assert shown(sentry.check_in(slug, monitor_config=HOURLY)) == (200, {}, None)
        # But not in an address, where only the whole word is kept from it.
        assert sentry.cron("?status=ok", slug=slug).status_code in (401, 404)
        assert sentry.cron("?status=ok", slug=f"{slug}-2").status_code == 202
    assert len(tasks()) == len(OURS)


def test_statements_of_a_check_in_are_pinned(sentry: Sentry, job: Monitor) -> None:
    sentry.check_in("job", "ok", check_in_id=uuid4().hex)
    counts = {}
    for status, options in (
        ("in_progress", {}),
        ("ok", {"monitor_config": HOURLY}),
        ("error", {"check_in_id": LATEST}),
    ):
        with count_queries() as queries:
            sentry.check_in("job", status, **options)
        counts[status] = len(queries)

    assert counts == {"in_progress": 12, "ok": 12, "error": 22}
