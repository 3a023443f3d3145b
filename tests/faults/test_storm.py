"""A storm: thousands of tasks of one name fail within a minute, with two kinds of failures."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import settings
from faults.killing import LOOPBACK, make_place, make_webhooks
from processes import SECRET_KEY, Server, run_server, serve, wait_until
from receivers import HttpReceiver, SmtpReceiver
from test_serving import is_ready

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.services.alerts import global_actions

STORM = int(os.environ.get("TASKBADGER_TEST_STORM", "600"))
"""How many tasks fail; ``make faults`` asks for more."""
BATCH = 100
MINUTE = 60.0 if STORM >= 10_000 else 3.0

pytestmark = pytest.mark.timeout(300)


def prepare(url: str, address: str) -> None:
    """Let a global action tell of incidents by webhook and by mail."""
    with create_app(settings(DATABASE_URL=url, SECRET_KEY=SECRET_KEY)).app_context():
        project = make_place()
        [integration] = make_webhooks(project, address, 1)
        global_actions.create_global_action(
            project.organization_id,
            {
                "name": "watch",
                "mode": "incident",
                "trigger": "error",
                "channels": [
                    {"integration": integration, "config": {}},
                    {"integration": "email", "config": {"to": "ops@example.com"}},
                ],
            },
            actor=SERVER,
            now=utcnow(),
        )
        db.session.commit()
        db.engine.dispose()


def fail(server: Server, key: str, first: int) -> None:
    """Let BATCH tasks fail in one request."""
    operations = [
        {
            "op": "create",
            "task": {
                "name": "import",
                "status": "error",
                "data": {
                    "exception": f"ValueError: row {number}"
                    if number % 3
                    else f"KeyError: 'customer {number}'"
                },
            },
        }
        for number in range(first, first + BATCH)
    ]
    path = "/api/load/load/tasks/batch/"
    status, body = server.request("POST", path, key=key, json_body={"operations": operations})
    assert status == 200, body


def test_storm_is_three_messages_per_channel(
    new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = new_database()
    variables = {"TASKBADGER_DATABASE_URL": url, "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK}
    with (
        HttpReceiver() as receiver,
        SmtpReceiver() as post,
        serve(tmp_path, TASKBADGER_SMTP_URL=post.url, **variables) as server,
    ):
        wait_until(lambda: is_ready(server), "a server")
        prepare(url, receiver.root)
        done = run_server("keys", "create", "load/load", home=tmp_path, **variables)
        key = done.stdout.splitlines()[-1]
        started = time.monotonic()
        for first in range(0, STORM, BATCH):
            fail(server, key, first)
            due = started + MINUTE * (first + BATCH) / STORM
            time.sleep(max(0.0, due - time.monotonic()))
        took = time.monotonic() - started
        receiver.wait(2, seconds=30)
        task = {"name": "import", "status": "success"}
        assert server.request("POST", "/api/load/load/tasks/", key=key, json_body=task)[0] == 201
        ended = time.monotonic()
        receiver.wait(3, seconds=60)
        told = time.monotonic() - ended
        post.wait(3, seconds=60)
        time.sleep(3)
        messages = [request.json() for request in receiver.requests]
        subjects = [str(mail.message["Subject"]) for mail in post.mails]

    with capsys.disabled():
        sys.stdout.write(
            f"\nstorm: {STORM:,} failures of two kinds in {took:.1f} s, {len(messages)} messages,"
            f" {len(subjects)} mails;"
            f" the recovery arrived after {told:.1f} s\n"
        )
    assert [message["type"] for message in messages] == [
        "task.failing",
        "task.new_failure",
        "task.recovered",
    ]
    assert [re.sub(r"\W.*", "", subject.removeprefix("import ")) for subject in subjects] == [
        "is",
        "fails",
        "recovered",
    ]
    assert messages[-1]["data"]["incident"]["runs"] == STORM
    assert len(messages[-1]["data"]["incident"]["failures"]) == 2
