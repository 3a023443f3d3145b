"""The embedded engine: real threads, real receivers."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from receivers import (
    HttpReceiver,
    SmtpReceiver,
    answer,
    hang_at_headers,
    reset_after_request,
)
from skipped import leave_to_faults
from sqlalchemy import select

from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt
from taskbadger.outbound import Sender
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import write
from taskbadger.worker import embedded, steps, sweeps
from taskbadger.worker.embedded import Worker

KEY = Actor("key", "ci")
MakeApp = Callable[..., Flask]


@contextmanager
def working(app: Flask) -> Iterator[Worker]:
    """Run a worker in a thread."""
    worker = Worker(app)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(30)
        assert not thread.is_alive(), "the worker did not stop"


def make_webhook(project: ProjectRef, slug: str, url: str) -> None:
    channels.create_channel(
        project.organization_id,
        "webhook",
        slug,
        slug,
        {"url": url},
        actor=SERVER,
        context=SendContext(http=Sender.allowing(("127.0.0.0/8",))),
        now=utcnow(),
    )
    db.session.commit()


def fail(project: ProjectRef, *integrations: str, name: str = "job") -> str:
    """Make a task that ends in error and tells *integrations*."""
    actions = [
        {
            "trigger": "error",
            "integration": integration,
            "config": {"to": "ops@example.com"} if integration == "email" else {},
        }
        for integration in integrations
    ]
    fields: dict[str, Any] = {"name": name, "status": "error", "actions": actions}
    made = write.create_task(project, fields, now=utcnow(), actor=KEY)
    db.session.commit()
    return str(made.id)


def settled(count: int, seconds: float = 20) -> list[Delivery]:
    """Return the deliveries once *count* of them have ended."""
    deadline = time.monotonic() + seconds
    while True:
        db.session.commit()
        db.session.expire_all()
        found = list(db.session.scalars(select(Delivery).where(Delivery.finished.isnot(None))))
        db.session.rollback()
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} ended"
        time.sleep(0.05)


@pytest.fixture
def worker_app(make_app: MakeApp) -> Flask:
    """An application whose worker may reach this machine."""
    return make_app(OUTBOUND_ALLOW=("127.0.0.0/8",), WORKER_THREADS=4)


def test_webhook_and_mail_arrive(project: ProjectRef, make_app: MakeApp) -> None:
    with SmtpReceiver() as smtp, HttpReceiver() as http:
        app = make_app(OUTBOUND_ALLOW=("127.0.0.0/8",), SMTP_URL=smtp.url)
        make_webhook(project, "ops", http.url)
        task_id = fail(project, "webhook:ops", "email", name="nightly import")

        with working(app):
            (request,) = http.wait(1)
            (mail,) = smtp.wait(1)
            settled(2)

    assert request.json()["data"]["task"]["id"] == task_id
    assert request.json()["type"] == "task.triggered"
    assert mail.recipients == ["ops@example.com"]
    assert mail.message["Subject"] == "nightly import: error (acme/web)"


def test_change_is_hinted_at_once_and_not_at_the_next_poll(
    project: ProjectRef, make_app: MakeApp
) -> None:
    app = make_app(OUTBOUND_ALLOW=("127.0.0.0/8",), WORKER_POLL_SECONDS=60.0)
    with HttpReceiver() as http, working(app):
        make_webhook(project, "ops", http.url)
        time.sleep(1.5)  # Now the worker sleeps.
        fail(project, "webhook:ops")

        assert len(http.wait(1, seconds=20)) == 1


def test_failure_is_tried_again_under_the_same_id(project: ProjectRef, worker_app: Flask) -> None:
    with HttpReceiver(answer(500), answer(204)) as http, working(worker_app):
        make_webhook(project, "ops", http.url)
        fail(project, "webhook:ops")
        first, second = http.wait(2, seconds=20)
        (delivery,) = settled(1)

    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.id
    attempts = db.session.scalars(select(DeliveryAttempt).order_by(DeliveryAttempt.id)).all()
    assert [(one.number, one.error_class, one.status) for one in attempts] == [
        (1, "http_status", 500),
        (2, None, None),
    ]


def test_receivers_that_hang_do_not_delay_another(
    backend: str, project: ProjectRef, worker_app: Flask
) -> None:
    leave_to_faults(backend)
    with HttpReceiver(hang_at_headers) as dead, HttpReceiver() as http:
        for number in range(12):
            make_webhook(project, f"dead{number}", f"{dead.root}/{number}")
            for _ in range(5):
                fail(project, f"webhook:dead{number}")
        make_webhook(project, "ops", http.url)
        with working(worker_app) as worker:
            time.sleep(1)
            fail(project, "webhook:ops")

            http.wait(1, seconds=14)  # The first of the others has not ended by then.

            worker.stop()
            dead.behave(reset_after_request)


def test_two_workers_send_each_delivery_once(project: ProjectRef, worker_app: Flask) -> None:
    with HttpReceiver() as http:
        for number in range(5):
            make_webhook(project, f"hook{number}", f"{http.root}/{number}")
        for number in range(60):
            fail(project, f"webhook:hook{number % 5}")
        with working(worker_app), working(worker_app):
            settled(60)

        ids = [request.headers["webhook-id"] for request in http.requests]

    assert (len(ids), len(set(ids))) == (60, 60)


def test_at_most_four_go_to_a_receiver_at_once(project: ProjectRef, worker_app: Flask) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def slow(connection: Any) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.1)
        with lock:
            inside -= 1
        answer(204)(connection)

    with HttpReceiver(slow) as http:
        make_webhook(project, "ops", http.url)
        for _ in range(40):
            fail(project, "webhook:ops")
        with working(worker_app), working(worker_app):
            settled(40)

    assert most == 4


def test_worker_that_is_stopped_brings_its_deliveries_to_an_end(
    project: ProjectRef, worker_app: Flask
) -> None:
    def slow(connection: Any) -> None:
        time.sleep(1)
        answer(204)(connection)

    with HttpReceiver(slow) as http:
        make_webhook(project, "ops", http.url)
        fail(project, "webhook:ops")
        with working(worker_app):
            deadline = time.monotonic() + 10
            while not http.connections and time.monotonic() < deadline:
                time.sleep(0.01)

    assert [delivery.state for delivery in settled(1)] == ["delivered"]


def test_tasks_go_stale_and_overdue_within_five_seconds(
    project: ProjectRef, worker_app: Flask
) -> None:
    now = utcnow()
    for fields in ({"stale_timeout": 1}, {"max_runtime": 1}):
        write.create_task(
            project, {"name": "job", "status": "processing", **fields}, now=now, actor=KEY
        )
    db.session.commit()

    with working(worker_app):
        deadline = time.monotonic() + 15
        found: set[str] = set()
        while found != {"stale", "error"} and time.monotonic() < deadline:
            time.sleep(0.1)
            found = set(db.session.scalars(db.text("SELECT status FROM task")))
            db.session.rollback()

    assert found == {"stale", "error"}


def test_projects_share_a_receiver_fairly(app: Flask, worker_app: Flask) -> None:
    with HttpReceiver() as http:
        for slug in ("acme", "globex"):
            make_webhook(make_project(slug), "ops", http.url)
            fail(make_project(slug), "webhook:ops")
        with working(worker_app):
            settled(2)

        organizations = {request.json()["data"]["organization"] for request in http.requests}

    assert organizations == {"acme", "globex"}


class Clock:
    """A clock that only waiting moves, until the worker has waited long enough."""

    def __init__(self, worker: Worker, seconds: float) -> None:
        self.now, self.worker, self.end = 0.0, worker, seconds

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.now > self.end:
            self.worker.stop()


def test_what_is_due_about_incidents_is_asked_for_every_two_seconds(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(make_app(WORKER_POLL_SECONDS=3600))
    clock = Clock(worker, seconds=60)
    asked: list[float] = []

    def ask() -> bool:
        asked.append(clock.now)
        return False

    steps_of = {sweeps.tell_incidents: ask}
    monkeypatch.setattr(
        sweeps,
        "SWEEPS",
        [(steps_of.get(step, lambda: False), seconds) for step, seconds in sweeps.SWEEPS],
    )
    monkeypatch.setattr(embedded, "time", clock)
    monkeypatch.setattr(worker, "_stopped", clock)

    worker._sweep()

    assert max(after - before for before, after in pairwise(asked)) <= 2
    assert len(asked) >= 30


@pytest.mark.timeout(60)
def test_signal_may_come_at_any_moment(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Event that a signal handler sets may be locked by the code that the signal interrupts."""
    worker = Worker(app)
    monkeypatch.setattr(steps, "claim", lambda _limit: [])
    worker.poll_seconds = 0.0
    signals: list[int] = []

    def handle(number: int, _frame: object) -> None:
        signals.append(number)
        if len(signals) < 700:
            worker.wake()
        else:
            worker.stop()

    before = signal.signal(signal.SIGVTALRM, handle)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0005, 0.0005)  # Of CPU time.
    try:
        with ThreadPoolExecutor(1) as pool:
            while not worker._is_stopping:
                worker._claim_and_send(pool)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)

    assert len(signals) >= 700
