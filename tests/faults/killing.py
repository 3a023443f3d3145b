"""A trial: tasks change under load while workers are killed, and a receiver counts what arrives.

The suite runs short trials, ``make faults`` long ones.
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from flask import Flask
from processes import environment
from sqlalchemy import func, select

from taskbadger.channels import SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import DELIVERED
from taskbadger.outbound import Sender
from taskbadger.services.delivery import channels
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.tasks import write as task_writes

WRITER = Actor("key", "load")
LOOPBACK = "127.0.0.0/8"


@dataclass
class Counter:
    """What a receiver has got: for each (task, trigger point) the ids of the messages."""

    fail_every: int = 40
    """Every so many-th message is answered 500 the first time."""
    pause_seconds: float = 0.02
    arrived: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    moments: dict[str, float] = field(default_factory=dict)
    """When each id was first seen, on the monotonic clock."""
    _refused: set[str] = field(default_factory=set)
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, message_id: str, body: Any) -> int:
        """Count a message; return the status to answer."""
        with self._lock:
            self._seen += 1
            self.moments.setdefault(message_id, time.monotonic())
            refuse = self.fail_every and self._seen % self.fail_every == 0
            if refuse and message_id not in self._refused:
                self._refused.add(message_id)
                return 500
            data = body["data"]
            self.arrived[data["task"]["id"], data["trigger"]].append(message_id)
            return 204


@contextmanager
def receiver(counter: Counter) -> Iterator[str]:
    """Serve; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            time.sleep(counter.pause_seconds)
            self.send_response(counter.take(self.headers["webhook-id"], body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Stay silent."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # The worker was killed.

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@dataclass
class Crew:
    """Worker processes, some of which are killed and replaced."""

    commands: list[tuple[str, ...]]
    """Modules to run, with their arguments: one process each."""
    variables: dict[str, str]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kills: int = 0

    def __enter__(self) -> "Crew":
        self.processes = [self._start(command) for command in self.commands]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with (self.folder / "workers.log").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env=environment(**self.variables),
                stdout=output,
                stderr=output,
            )

    def kill_one(self) -> None:
        """Kill one process, whatever it does, and start another in its place."""
        number = random.randrange(len(self.processes))
        self.processes[number].kill()
        self.processes[number].wait()
        self.processes[number] = self._start(self.commands[number])
        self.kills += 1


@dataclass
class Load:
    """Writers that change tasks through the services, and remember what they must have set off."""

    app: Flask
    project: ProjectRef
    integrations: list[str]
    expected: set[tuple[str, str]] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, count: int, pause_seconds: float) -> None:
        """Run *count* tasks from creation to their end."""
        for _ in range(count):
            if self.stopping.is_set():
                return
            integration = random.choice(self.integrations)
            with self.app.app_context():
                self._run_task(integration, pause_seconds)

    def _run_task(self, integration: str, pause_seconds: float) -> None:
        action = {"trigger": "50,success", "integration": integration, "config": {}}
        fields = {"name": "job", "status": "processing", "actions": [action]}
        made = task_writes.create_task(self.project, fields, now=utcnow(), actor=WRITER)
        db.session.commit()
        self._change(made.id, {"value": 60}, "50")
        time.sleep(pause_seconds)
        self._change(made.id, {"status": "success"}, "success")
        time.sleep(pause_seconds)

    def _change(self, task_id: str, fields: dict[str, Any], point: str) -> None:
        task_writes.update_task(self.project, task_id, fields, now=utcnow(), actor=WRITER)
        db.session.commit()
        with self._lock:
            self.expected.add((task_id, point))


@dataclass
class Result:
    """How a trial went."""

    expected: int
    kills: int
    lost: set[tuple[str, str]]
    torn: set[tuple[str, str]]
    """What arrived under more than one id."""
    repeated: int
    """How many messages arrived more often than once."""
    unknown: set[tuple[str, str]]
    """What arrived although nobody set it off."""
    not_delivered: int
    """Rows that are not in the state *delivered* at the end."""


def make_webhooks(project: ProjectRef, address: str, count: int) -> list[str]:
    """Set up channels to different paths of the receiver."""
    context = SendContext(http=Sender.allowing((LOOPBACK,)))
    for number in range(count):
        channels.create_channel(
            project.organization_id,
            "webhook",
            f"hook{number}",
            f"hook {number}",
            {"url": f"{address}/{number}"},
            actor=SERVER,
            context=context,
            now=utcnow(),
        )
    db.session.commit()
    return [f"webhook:hook{number}" for number in range(count)]


def make_place() -> ProjectRef:
    """Return a project for the load."""
    now = utcnow()
    organization = organizations.ensure_organization("load", actor=SERVER, now=now)
    project = projects.ensure_project(organization, "load", actor=SERVER, now=now)
    reference = projects.project_ref(project, organization)
    db.session.commit()
    return reference


def run_trial(
    app: Flask,
    commands: list[tuple[str, ...]],
    variables: dict[str, str],
    folder: Path,
    *,
    kills: int,
    writers: int = 4,
    pause_seconds: float = 0.1,
    seconds_between_kills: float = 0.3,
    time_limit: float = 150.0,
    least: int = 100,
) -> Result:
    """Load the application and kill its workers; return what came of it.

    The load goes on until at least *least* notifications are due.
    """
    counter = Counter()
    with ExitStack() as stack:
        address = stack.enter_context(receiver(counter))
        with app.app_context():
            project = make_place()
            integrations = make_webhooks(project, address, 6)
        load = Load(app, project, integrations)
        crew = stack.enter_context(Crew(commands, variables, folder))
        threads = [
            threading.Thread(target=load.write, args=(10**9, pause_seconds)) for _ in range(writers)
        ]
        for thread in threads:
            thread.start()
        for _ in range(kills):
            time.sleep(random.uniform(0.5, 1.5) * seconds_between_kills)
            crew.kill_one()
        while len(load.expected) < least:
            time.sleep(0.1)
        load.stopping.set()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + time_limit
        while time.monotonic() < deadline and not load.expected <= set(counter.arrived):
            time.sleep(0.1)
        open_rows = _wait_for_rows(app, deadline)
        return _result_of(load, counter, crew, open_rows)


def _wait_for_rows(app: Flask, deadline: float) -> int:
    """Wait until every delivery is marked as delivered; return how many are not."""
    while True:
        with app.app_context():
            query = select(func.count()).select_from(Delivery).where(Delivery.state != DELIVERED)
            left = db.session.scalar(query) or 0
            db.session.remove()
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def _result_of(load: Load, counter: Counter, crew: Crew, open_rows: int) -> Result:
    arrived = counter.arrived
    return Result(
        expected=len(load.expected),
        kills=crew.kills,
        lost=load.expected - set(arrived),
        torn={key for key, found in arrived.items() if len(set(found)) > 1},
        repeated=sum(len(found) > 1 for found in arrived.values()),
        unknown=set(arrived) - load.expected,
        not_delivered=open_rows,
    )
