"""Fifty dead webhooks beside a healthy one: they neither delay it nor cost the worker much."""

import itertools
import os
import secrets
import socket
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import flask_migrate
import psutil
import pytest
from conftest import settings
from faults.killing import LOOPBACK, WRITER, Crew, make_place, make_webhooks
from flask import Flask
from processes import wait_until
from receivers import HttpReceiver, answer, hang_at_headers, reset_after_request
from skipped import leave_to_faults
from sqlalchemy import select

from taskbadger.app import create_app
from taskbadger.channels import Message, SendContext
from taskbadger.clock import utcnow
from taskbadger.domain import retries
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt
from taskbadger.outbound import Sender
from taskbadger.services.delivery import channels, outbox
from taskbadger.services.tasks import write

DEAD = 50
QUEUED = int(os.environ.get("TASKBADGER_TEST_DEAD_QUEUED", "3"))
"""Deliveries that wait for each dead webhook; ``make faults`` asks for more."""
SAMPLES = 9 + QUEUED // 5
"""Notifications of the healthy one, which are measured."""
MAX_SECONDS = 5.0
"""How long the healthy one may wait at most in nine cases of ten: what is promised for all."""
WORKER_THREADS = 8
MAX_THREADS = WORKER_THREADS * 8 * 2 + 8
"""Deliveries in progress, each with a look-up of a name, and what the worker always has."""
MAX_GROWTH = 8
"""Megabytes that the worker may grow by while the last two thirds are measured."""
MOMENT = timedelta(seconds=0.2)

pytestmark = pytest.mark.timeout(300 + QUEUED)


@dataclass
class Dead:
    """The addresses of receivers that fail in different ways."""

    addresses: dict[str, str]
    hanging: HttpReceiver

    def address(self, number: int) -> str:
        kinds = list(self.addresses.values())
        return f"{kinds[number % len(kinds)]}/{number}"

    def count_hanging(self) -> int:
        """Return how many of the webhooks hang."""
        return sum(self.address(number).startswith(self.hanging.root) for number in range(DEAD))


@contextmanager
def dead_receivers() -> Iterator[Dead]:
    with (
        HttpReceiver(hang_at_headers) as hanging,
        HttpReceiver(reset_after_request) as resetting,
        HttpReceiver(answer(500)) as failing,
        socket.socket() as refusing,
    ):
        refusing.bind(("127.0.0.1", 0))  # Nobody else gets the port, and nobody listens.
        addresses = {
            "hangs": hanging.root,
            "resets": resetting.root,
            "answers 500": failing.root,
            "refuses": f"http://127.0.0.1:{refusing.getsockname()[1]}",
        }
        yield Dead(addresses, hanging)


@pytest.fixture
def app(new_database: Callable[[], str]) -> Iterator[Flask]:
    """An application on a database that no other test uses."""
    app = create_app(settings(DATABASE_URL=new_database(), SECRET_KEY=secrets.token_hex(32)))
    with app.app_context():
        flask_migrate.upgrade()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def queue_dead(project: ProjectRef, dead: Dead) -> None:
    """Create the dead webhooks, and queue deliveries for each."""
    now, context = utcnow(), SendContext(http=Sender.allowing((LOOPBACK,)))
    for number in range(DEAD):
        made = channels.create_channel(
            project.organization_id,
            "webhook",
            f"dead{number}",
            f"dead {number}",
            {"url": dead.address(number)},
            actor=SERVER,
            context=context,
            now=now,
        )
        for _ in range(QUEUED):
            outbox.queue(
                Message(id="", kind="task", created=now, organization="load", title="dead"),
                organization_id=project.organization_id,
                integration=channels.integration_of(made),
                config={},
                now=now,
            )
        db.session.commit()


def measure(
    project: ProjectRef, integration: str, healthy: HttpReceiver, count: int
) -> list[float]:
    """Return how long each notification took from the commit to the receiver, in seconds."""
    action = {"trigger": "success", "integration": integration, "config": {}}
    fields = {"name": "job", "status": "success", "actions": [action]}
    took = []
    for _ in range(count):
        arrived = len(healthy.requests)
        write.create_task(project, fields, now=utcnow(), actor=WRITER)
        db.session.commit()
        began = time.monotonic()
        healthy.wait(arrived + 1, seconds=60)
        took.append(time.monotonic() - began)
        time.sleep(0.3)
    return took


class Attempt(NamedTuple):
    integration: str
    delivery: str
    started: datetime
    duration_ms: int

    @property
    def ended(self) -> datetime:
        return self.started + timedelta(milliseconds=self.duration_ms)


def read_attempts() -> list[Attempt]:
    """Return the attempts to send to dead webhooks, in order."""
    db.session.rollback()
    query = (
        select(
            Delivery.integration,
            Delivery.id,
            DeliveryAttempt.started,
            DeliveryAttempt.duration_ms,
        )
        .join(Delivery, Delivery.id == DeliveryAttempt.delivery_id)
        .where(Delivery.integration.like("webhook:dead%"))
        .order_by(DeliveryAttempt.started, DeliveryAttempt.id)
    )
    return [Attempt(*row) for row in db.session.execute(query).all()]


def by(name: str, attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    """Yield the attempts of each delivery, or those of each integration."""
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        found[getattr(attempt, name)].append(attempt)
    yield from found.values()


def early(attempts: list[Attempt]) -> Iterator[Attempt]:
    """Yield the attempts that came before their time, or while their receiver was on hold."""
    least = 1 - retries.JITTER
    for one in by("delivery", attempts):
        for number, (before, after) in enumerate(itertools.pairwise(one), start=1):
            if after.started < before.ended + retries.SCHEDULE[number] * least - MOMENT:
                yield after
    for one in by("integration", attempts):
        for number, (before, after) in enumerate(itertools.pairwise(one), start=1):
            hold = retries.hold_until(number, now=before.ended, chance=0.0)
            if hold is not None and after.started < hold - MOMENT:
                yield after


def count_on_hold() -> int:
    """Return how many dead webhooks have failed so often that they are on hold."""
    counts = [len(one) for one in by("integration", read_attempts())]
    return sum(count >= retries.HOLD_AFTER_FAILURES for count in counts)


def variables_of(app: Flask) -> dict[str, str]:
    return {
        "TASKBADGER_DATABASE_URL": app.config["DATABASE_URL"],
        "TASKBADGER_SECRET_KEY": app.config["SECRET_KEY"],
        "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        "TASKBADGER_WORKER_THREADS": str(WORKER_THREADS),
        "TASKBADGER_LOG_LEVEL": "WARNING",
        "TASKBADGER_PLUGINS": "false",
    }


def shown(took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return f"p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s"


def test_healthy_webhook_beside_fifty_dead_ones(
    app: Flask, backend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_to_faults(backend)
    third = SAMPLES // 3
    with app.app_context(), dead_receivers() as dead, HttpReceiver() as healthy:
        project = make_place()
        (integration,) = make_webhooks(project, healthy.root, 1)
        with Crew([("taskbadger_server", "worker")], variables_of(app), tmp_path) as crew:
            worker = psutil.Process(crew.processes[0].pid)
            measure(project, integration, healthy, 2)  # The worker starts.
            usual = measure(project, integration, healthy, SAMPLES)
            queue_dead(project, dead)
            beside = measure(project, integration, healthy, third)
            before = worker.memory_info().rss
            beside += measure(project, integration, healthy, SAMPLES - third)
            after, threads = worker.memory_info().rss, worker.num_threads()
            quick = DEAD - dead.count_hanging()
            wait_until(lambda: count_on_hold() >= quick, "holds")
            wait_until(lambda: dead.hanging.connections >= dead.count_hanging(), "hanging ones")
            attempts = read_attempts()
            assert worker.is_running()
            dead.hanging.behave(reset_after_request)
            crew.processes[0].kill()
        log = (tmp_path / "workers.log").read_text()

    grown = (after - before) / 2**20
    with capsys.disabled():
        sys.stdout.write(
            f"\ndead webhooks, {backend}: {DEAD} with {QUEUED} deliveries each; a healthy one"
            f" beside them: {shown(beside)}, usually {shown(usual)}; {len(attempts)} attempts in"
            f" vain, none early; the worker has {after / 2**20:.0f} MB ({grown:+.1f}) and"
            f" {threads} threads\n"
        )
    assert sorted(beside)[len(beside) * 9 // 10] < MAX_SECONDS
    assert list(early(attempts)) == []
    assert threads <= MAX_THREADS
    assert grown <= MAX_GROWTH
    assert "Traceback" not in log
