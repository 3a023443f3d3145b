"""No step of an escalation follows its acknowledgement by link, however many workers there are."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from conftest import settings
from faults.killing import LOOPBACK, Crew, make_place, make_webhooks
from faults.test_killed_workers import WORKER
from flask import Flask
from processes import SECRET_KEY, Server, run_server, serve, wait_until
from receivers import HttpReceiver, ReceivedRequest
from skipped import leave_to_faults
from sqlalchemy import select
from test_serving import is_ready
from visiting import free_address, press

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db
from taskbadger.models import Incident, IncidentEvent
from taskbadger.services.alerts import global_actions

STEPS = (1, 2, 3, 4, 5)
"""Seconds after the first message."""
NAMES = [f"job {number}" for number in range(6)]
UNATTENDED = "nobody's job"


def watch(app: Flask, address: str) -> None:
    """Let a global action tell of incidents, and escalate them."""
    with app.app_context():
        project = make_place()
        [hook] = make_webhooks(project, address, 1)
        channels = [{"integration": hook, "config": {}}]
        values: Any = {
            "name": "watch",
            "mode": "incident",
            "trigger": "error",
            "channels": channels,
            "escalation": [{"after": after, "channels": channels} for after in STEPS],
        }
        organization = project.organization_id
        global_actions.create_global_action(organization, values, actor=SERVER, now=utcnow())
        db.session.commit()
        db.engine.dispose()


def fail(server: Server, key: str, name: str) -> None:
    task = {"name": name, "status": "error", "data": {"exception": "ValueError: no luck"}}
    assert server.request("POST", "/api/load/load/tasks/", key=key, json_body=task)[0] == 201


def link_of(requests: list[ReceivedRequest], name: str) -> str | None:
    """Return the link of the first message about a name."""
    for request in requests:
        data = request.json()["data"]
        if data["incident"]["name"] == name:
            return str(data["links"]["acknowledge"])
    return None


def steps_of(app: Flask) -> Counter[str | None]:
    """Return how many steps were taken for each name."""
    with app.app_context():
        names = db.session.scalars(
            select(Incident.name)
            .join(IncidentEvent, IncidentEvent.incident_id == Incident.id)
            .where(IncidentEvent.kind == "escalated")
        )
        found = Counter(names)
        db.session.remove()
    return found


def test_no_step_follows_an_acknowledgement_by_link(
    backend: str, new_database: Callable[[], str], tmp_path: Path
) -> None:
    leave_to_faults(backend)
    url, address = new_database(), free_address()
    app = create_app(settings(DATABASE_URL=url, SECRET_KEY=SECRET_KEY))
    variables = {
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_SECRET_KEY": SECRET_KEY,
        "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        "TASKBADGER_BASE_URL": f"http://{address}",
    }
    with (
        HttpReceiver() as receiver,
        serve(tmp_path, "--bind", address, **variables) as server,
        Crew([WORKER] * 2, variables, tmp_path),
        ThreadPoolExecutor(len(NAMES)) as pool,
    ):
        wait_until(lambda: is_ready(server), "a server")
        watch(app, receiver.root)
        done = run_server("keys", "create", "load/load", home=tmp_path, **variables)
        key = done.stdout.splitlines()[-1]

        def acknowledge(number: int) -> int:
            """Acknowledge after a while; return how many steps had been taken by then."""
            name = NAMES[number]
            fail(server, key, name)
            link = wait_until(lambda: link_of(list(receiver.requests), name), "a message")
            time.sleep(number * 0.6)
            assert "webhook:hook0" in press(link)
            return steps_of(app)[name]

        taken = list(pool.map(acknowledge, range(len(NAMES))))
        fail(server, key, UNATTENDED)
        wait_until(lambda: steps_of(app)[UNATTENDED] == len(STEPS), "all steps of the other")
        at_the_end = steps_of(app)
    with app.app_context():
        db.engine.dispose()

    assert [at_the_end[name] for name in NAMES] == taken
    assert taken[0] < len(STEPS)
