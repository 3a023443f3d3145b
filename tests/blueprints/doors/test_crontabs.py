"""The script of ``/tb``, and what its pings say about the monitors that they make."""

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ApiClient, count_queries, make_key
from flask import Flask
from werkzeug.test import TestResponse

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.keys import parse_token

TIMING = ("type", "schedule", "interval", "timezone", "start_grace", "max_runtime")
DAILY = ["interval", None, 86400, "UTC", 3600, 3600]
NIGHTLY = "schedule=30+2+*+*+*&tz=Europe/Paris"

Send = Callable[..., TestResponse]


@pytest.fixture
def admin(project: ProjectRef, api: ApiClient) -> ApiClient:
    return ApiClient(api.client, make_key(scopes="admin"))


@pytest.fixture
def ping(app: Flask, project: ProjectRef) -> Send:
    """Send a log entry to the monitor *slug*, with a query."""
    token = parse_token(make_key(name="cron", scopes="ping"))
    assert token is not None
    client = app.test_client()

    def send(query: str, slug: str = "job", end: str = "/log") -> TestResponse:
        return client.get(f"/ping/{token.secret}/{slug}{end}?{query}")

    return send


def monitors(admin: ApiClient) -> dict[str, Any]:
    return {made["slug"]: made for made in admin.get("/monitors/").json["results"]}


def timing(admin: ApiClient, slug: str = "job") -> list[Any]:
    made = monitors(admin)[slug]
    return [made[name] for name in TIMING]


def said(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.text


# The script


def test_script_knows_its_server(app: Flask) -> None:
    answer = app.test_client().get("/tb", headers={"Host": "badger.example.com:8000"})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    lines = answer.text.splitlines()
    assert lines[0] == "#!/bin/sh"
    assert "SERVER='http://badger.example.com:8000'" in lines
    assert lines.count("server='@SERVER@'") == 1
    assert "@HELPER@" not in answer.text
    assert lines[-1] == 'main "$@" </dev/null'


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("https://badger.example.com/tasks", "https://badger.example.com/tasks"),
        ("https://[::1]:8000", "https://[::1]:8000"),
        ("https://x.example.com/$(id)'", ""),
        ("https://x.example.com/a b", ""),
        ("https://x.example.com/\\", ""),
    ],
)
def test_address_is_written_only_if_it_is_safe(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, base: str, shown: str
) -> None:
    monkeypatch.setattr("taskbadger.blueprints.doors.crontabs.base_url", lambda: base)

    text = make_app().test_client().get("/tb").text

    assert [line for line in text.splitlines() if line.startswith("SERVER=")] == [
        f"SERVER='{shown}'"
    ]


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_shells_can_read_the_script(app: Flask, shell: str) -> None:
    if shutil.which(shell.split()[0]) is None:
        pytest.skip(f"{shell} is not installed")
    text = app.test_client().get("/tb").text

    for length in (len(text), len(text) - 30):
        done = subprocess.run(
            [*shell.split(), "-s", "--", "--help"],
            input=text[:length], capture_output=True, text=True,
        )  # fmt: skip
        # A script that is cut off does nothing.
        assert done.stdout.startswith("usage:") == (length == len(text)), done


# What pings say about monitors


@pytest.mark.parametrize(
    ("query", "made"),
    [
        ("", DAILY),
        (NIGHTLY, ["cron", "30 2 * * *", None, "Europe/Paris", None, None]),
        ("schedule=@daily", ["cron", "@daily", None, "UTC", None, None]),
        (
            "schedule=0+*+*+*+mon-fri&grace=0&max_runtime=1",
            ["cron", "0 * * * mon-fri", None, "UTC", 0, 1],
        ),
        ("interval=60&grace=30", ["interval", None, 60, "UTC", 30, None]),
        ("grace=7200", ["interval", None, 86400, "UTC", 7200, 3600]),
        ("max_runtime=60", ["interval", None, 86400, "UTC", 3600, 60]),
    ],
)
def test_query_makes_a_monitor(ping: Send, admin: ApiClient, query: str, made: list[Any]) -> None:
    assert said(ping(f"create=1&{query}")) == (201, "Created")
    assert said(ping(f"create=1&{query}")) == (200, "OK")

    assert timing(admin) == made
    assert monitors(admin)["job"]["health"] == "new"
    assert admin.get("/tasks/").json["results"] == []


def test_name_is_for_new_monitors(ping: Send, admin: ApiClient) -> None:
    ping(f"create=1&{NIGHTLY}&name=Nightly+import")
    ping(f"create=1&{NIGHTLY}&name=Other")

    assert monitors(admin)["job"]["name"] == "Nightly import"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("schedule=61+*+*+*+*", 'schedule: minute: "61" is not valid; use 0 to 59.'),
        ("schedule=*+*+*+*", "schedule: day-of-week: the field is missing; a schedule has five"),
        ("schedule=@reboot", 'schedule: "@reboot" is not valid; use @hourly'),
        ("schedule=", "schedule: This field may not be blank."),
        ("schedule=0+0+30+2+*", 'schedule: day-of-month: "30" never occurs'),
        ("tz=Mars/Olympus", 'tz: "Mars/Olympus" is unknown; use an IANA name'),
        ("grace=-1", "grace: Ensure this value is greater than or equal to 0."),
        ("grace=1h", "grace: A valid integer is required."),
        ("max_runtime=0", "max_runtime: Ensure this value is greater than or equal to 1."),
        ("interval=59", "interval: Ensure this value is greater than or equal to 60."),
        ("interval=60&schedule=@daily", "interval: Give a schedule or an interval, not both."),
        (f"name={'x' * 256}", "name: Ensure this field has no more than 255 characters."),
        ("name=%00", "name: Null characters are not allowed."),
    ],
)
def test_wrong_query_is_refused(ping: Send, admin: ApiClient, query: str, words: str) -> None:
    answer = ping(f"create=1&{query}")

    assert answer.status_code == 400
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.text.startswith(words)
    assert monitors(admin) == {}


def test_ping_that_makes_nothing_ignores_the_query(ping: Send, admin: ApiClient) -> None:
    assert said(ping("schedule=x")) == (404, "not found")
    ping("create=1")

    assert said(ping("schedule=x")) == (200, "OK")
    assert timing(admin) == DAILY


def test_pings_change_what_pings_made(ping: Send, admin: ApiClient) -> None:
    ping("create=1")

    assert said(ping(f"create=1&{NIGHTLY}&grace=5")) == (200, "OK (timing changed)")
    assert timing(admin) == ["cron", "30 2 * * *", None, "Europe/Paris", 5, None]
    assert said(ping(f"create=1&{NIGHTLY}")) == (200, "OK (timing changed)")
    assert timing(admin) == ["cron", "30 2 * * *", None, "Europe/Paris", None, None]
    assert said(ping(f"create=1&{NIGHTLY}")) == (200, "OK")
    assert said(ping("create=1")) == (200, "OK")


def test_pings_leave_the_timing_of_people_alone(ping: Send, admin: ApiClient) -> None:
    admin.post("/monitors/", json={"name": "own", "type": "cron", "schedule": "0 1 * * *"})
    ping(f"create=1&{NIGHTLY}")
    made = monitors(admin)["job"]["id"]
    admin.patch(f"/monitors/{made}/", json={"max_runtime": 60})

    answers = [ping("create=1&schedule=0+0+29+2+*", slug) for slug in ("job", "own")]

    assert [said(answer) for answer in answers] == [(200, "OK (timing kept)")] * 2
    assert timing(admin) == ["cron", "30 2 * * *", None, "Europe/Paris", None, 60]
    assert timing(admin, "own") == ["cron", "0 1 * * *", None, "UTC", None, None]


def test_other_changes_of_people_leave_the_timing_to_pings(ping: Send, admin: ApiClient) -> None:
    ping(f"create=1&{NIGHTLY}")
    made = monitors(admin)["job"]["id"]
    admin.patch(f"/monitors/{made}/", json={"name": "Import", "status": "muted"})

    assert said(ping("create=1&schedule=@daily")) == (200, "OK (timing changed)")

    after = monitors(admin)["job"]
    assert (after["name"], after["status"], after["schedule"]) == ("Import", "muted", "@daily")


def test_changes_by_pings_are_limited_and_audited(
    ping: Send, admin: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskbadger.services.pings.monitors.NEW_A_MINUTE", 2)
    ping("create=1&schedule=@daily")

    answers = [ping(f"create=1&schedule=@{name}") for name in ("hourly", "weekly", "weekly")]

    assert [said(answer) for answer in answers] == [
        (200, "OK (timing changed)"), (429, "rate limited"), (429, "rate limited"),
    ]  # fmt: skip
    assert timing(admin)[1] == "@hourly"


def test_ping_without_our_words_costs_no_more(ping: Send) -> None:
    ping("create=1")
    counts = []
    for query in ("create=1", f"create=1&{NIGHTLY}", f"create=1&{NIGHTLY}"):
        with count_queries() as queries:
            ping(query)
        counts.append(len(queries))

    assert counts == [3, 18, 4]
