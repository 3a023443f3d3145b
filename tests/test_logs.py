"""Logs: one line per request, and nothing secret."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from conftest import ApiClient, make_key
from flask import Flask, request
from sqlalchemy import select, text

from taskbadger.extensions import db
from taskbadger.log_lines import LineFormatter
from taskbadger.models import ApiKey

MakeApp = Callable[..., Flask]


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """Return what was logged, as it is written."""
    caplog.set_level(logging.DEBUG, logger="taskbadger")
    formatter = LineFormatter("json")

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(formatter.format(record)) for record in caplog.records]
        for line in lines:
            line.pop("message", None)  # Left on the record by pytest's own formatter.
        return lines

    return read


def test_each_request_is_one_line_without_token_query_or_body(
    app: Flask, project: object, make_app: MakeApp, records: Callable[[], list[dict[str, Any]]]
) -> None:
    key = make_key()
    client = ApiClient(make_app(LOG_REQUESTS=True).test_client(), key)

    answer = client.post("/tasks/?token=hidden-query", json={"name": "hidden-body"})

    (line,) = [line for line in records() if line["logger"] == "taskbadger.request"]
    assert line.pop("ms") >= 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "taskbadger.request",
        "request_id": answer.headers["X-Request-ID"],
        "method": "POST",
        "path": "/api/acme/web/tasks/",
        "status": 201,
        "address": "127.0.0.1",
        "key": db.session.scalar(select(ApiKey.id)),
    }
    everything = json.dumps(records())
    assert "hidden" not in everything
    assert key not in everything


@pytest.mark.parametrize("changes", [{"LOG_REQUESTS": False}, {"LOG_LEVEL": "WARNING"}])
def test_request_lines_can_be_turned_off(
    app: Flask, make_app: MakeApp, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    client = make_app(**{"LOG_REQUESTS": True, **changes}).test_client()

    client.get("/sign-in")

    assert [record.name for record in caplog.records] == []


@pytest.mark.parametrize("sent", ["abc-1", 'with a space & "quotes"', "~" * 128])
def test_the_id_of_a_request_is_that_of_its_sender(
    app: Flask, make_app: MakeApp, records: Callable[[], list[dict[str, Any]]], sent: str
) -> None:
    client = make_app(LOG_REQUESTS=True).test_client()

    answer = client.get("/api/acme/web/tasks/", headers={"X-Request-ID": sent})

    assert answer.status_code == 401
    assert answer.headers["X-Request-ID"] == sent
    assert [line["request_id"] for line in records()] == [sent]


@pytest.mark.parametrize("sent", ["", "~" * 129, "ü", "a\tb"])
def test_any_other_id_is_replaced(app: Flask, make_app: MakeApp, sent: str) -> None:
    client = make_app(LOG_REQUESTS=True).test_client()

    given = {
        client.get("/nowhere", headers={"X-Request-ID": sent}).headers["X-Request-ID"]
        for _ in range(2)
    }

    assert len(given) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in given)


def test_everything_that_a_request_logs_has_its_id(
    app: Flask, make_app: MakeApp, records: Callable[[], list[dict[str, Any]]]
) -> None:
    broken = make_app(LOG_REQUESTS=True)
    broken.config["TESTING"] = False

    @broken.get("/broken")
    def view() -> None:
        raise ZeroDivisionError

    answer = broken.test_client().get("/broken")
    logging.getLogger("taskbadger").warning("outside")

    given = answer.headers["X-Request-ID"]
    assert answer.status_code == 500
    assert f"Its lines have the request ID <code>{given}</code>." in answer.text
    *lines, outside = records()
    assert [line["event"] for line in lines] == ["Exception on /broken [GET]", "request"]
    assert {line["request_id"] for line in lines} == {given}
    assert "request_id" not in outside


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_logged_for_debugging_only(
    app: Flask, make_app: MakeApp, records: Callable[[], list[dict[str, Any]]], path: str
) -> None:
    answer = make_app(LOG_REQUESTS=True).test_client().get(path)
    usually = records()
    make_app(LOG_REQUESTS=True, LOG_LEVEL="DEBUG").test_client().get(path)

    assert answer.headers["X-Request-ID"]
    assert usually == []
    assert [(line["level"], line["path"]) for line in records()] == [("debug", path)]


def test_an_unexpected_error_is_logged_without_what_the_client_sent(
    app: Flask, project: object, make_app: MakeApp, records: Callable[[], list[dict[str, Any]]]
) -> None:
    broken = make_app()
    broken.config["TESTING"] = False

    @broken.post("/api/broken")
    def view() -> None:
        body = request.get_data(as_text=True)
        db.session.execute(text("SELECT :body FROM no_such_table"), {"body": body})

    db.session.rollback()
    answer = broken.test_client().post("/api/broken", data="unmentionable")

    written = json.dumps(records())
    assert answer.status_code in (500, 503)  # SQLite has one error for all that is wrong.
    assert "no_such_table" in written
    assert "unmentionable" not in written


def test_logs_that_are_configured_again_keep_their_handler() -> None:
    """Each has a thread, and a reload of ``serve`` configures logs again."""
    code = (
        "import logging, threading\n"
        "from taskbadger import logs\n"
        "from taskbadger.settings import Settings\n"
        "settings = Settings(SECRET_KEY='0123456789' * 4, LOG_FORMAT='console')\n"
        "for number in range(5):\n"
        "    logs.configure(settings)\n"
        "    logging.getLogger('taskbadger').info('line %s', number)\n"
        "print(threading.active_count())\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "2\n"
    assert re.findall(r"line \d", ended.stderr) == [f"line {number}" for number in range(5)]
