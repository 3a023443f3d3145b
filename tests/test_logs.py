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
from sqlalchemy import text

from taskbadger.extensions import db
from taskbadger.log_lines import LineFormatter

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

    client.post("/tasks/?token=hidden-query", json={"name": "hidden-body"})

    (line,) = [line for line in records() if line["logger"] == "taskbadger.request"]
    assert line.pop("ms") >= 0
    assert line.pop("timestamp")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "taskbadger.request",
        "method": "POST",
        "path": "/api/acme/web/tasks/",
        "status": 201,
        "address": "127.0.0.1",
    }
    everything = json.dumps(records())
    assert "hidden" not in everything
    assert key not in everything


@pytest.mark.parametrize("changes", [{"LOG_REQUESTS": False}, {"LOG_LEVEL": "WARNING"}])
def test_request_lines_can_be_turned_off(
    app: Flask, make_app: MakeApp, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    client = make_app(**{"LOG_REQUESTS": True, **changes}).test_client()

    client.get("/healthz")

    assert [record.name for record in caplog.records] == []


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
