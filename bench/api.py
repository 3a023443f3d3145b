"""Measures the cost of a request as a multiple of a bare Flask route in the same run.

Starts this server as ``serve`` does, with its request log, and the baseline with gunicorn's own
threads. Both take turns in rounds, since the speed of a machine varies. Prints the medians of
all rounds: requests per second, CPU milliseconds of the server's processes per request and their
multiple of the bare route; and p50 and p99 of all requests.
"""

import argparse
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import flask_migrate
import psutil
import psycopg
from figures import Figure, keep
from load import Request, Result, run

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Task
from taskbadger.seed import bulk
from taskbadger.services.organizations import keys, organizations, projects
from taskbadger.services.pagination import Cursor
from taskbadger.settings import Settings

ROOT = Path(__file__).parent.parent
SECRET = "bench-secret-0123456789-abcdefghijklmnop"
WORKERS, THREADS, CLIENTS = 2, 4, 16
WORKER = "taskbadger.web_worker.BufferingWorker"
GOALS = {"get": 1.8, "create": 3.8, "update": 3.8, "list": 5.5, "last": 5.5, "batch": 0.8}
"""Multiples of the bare route; for batches, of 100 and per operation."""
KINDS = ("bare", "get", "create", "update", "list", "last")
MAX_P99 = 60.0
"""Milliseconds for a write on SQLite."""


@contextmanager
def gunicorn(
    module: str, worker: str, environment: dict[str, str]
) -> Iterator[tuple[int, psutil.Process]]:
    """Run *module* with as many workers and threads as ``serve``; yield port and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "--no-control-socket", "-k", worker),
        *("-w", str(WORKERS), "--threads", str(THREADS), "-b", f"127.0.0.1:{port}"),
        *("--keep-alive", "10", "--log-level", "error", module),
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,  # The request log is written, but shown to nobody.
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds that the workers of a gunicorn have used so far."""
    return sum(
        child.cpu_times().user + child.cpu_times().system
        for child in process.children(recursive=True)
    )


def measure(
    port: int,
    process: psutil.Process,
    requests: "Requests",
    *,
    count: int,
    headers: dict[str, str],
    warm_up: int = 20,
) -> tuple[Result, float]:
    """Run a load after a warm-up; return its result and the CPU milliseconds per request."""
    run(port, requests, clients=CLIENTS, count=warm_up, headers=headers)
    before = cpu_seconds(process)
    result = run(port, requests, clients=CLIENTS, count=count, headers=headers)
    used = cpu_seconds(process) - before
    if result.failures:
        raise SystemExit(f"{result.failures} requests failed")
    return result, used * 1000 / len(result.latencies)


class Requests:
    """An endless stream of requests of one kind, one per client."""

    def __init__(self, kind: str, base: str, ids: list[str], last: str) -> None:
        self.kind, self.base, self.ids, self.last = kind, base, ids, last

    def __call__(self, client: int) -> Iterator[Request]:
        for number in itertools.count(client):
            yield self._one(number)

    def _one(self, number: int) -> Request:
        task = self.ids[number * 7 % len(self.ids)] if self.ids else ""
        match self.kind:
            case "bare":
                return "GET", "/", None
            case "get":
                return "GET", f"{self.base}{task}/", None
            case "create":
                body = {"name": f"job {number}", "status": "processing", "value": 0}
                return "POST", self.base, json.dumps(body | EXTRA).encode()
            case "update":
                body = {"value": number % 100, "status": "processing"}
                return "PATCH", f"{self.base}{task}/", json.dumps(body).encode()
            case "list":
                return "GET", self.base, None
            case _:
                return "GET", self.last, None


EXTRA = {"data": {"file": "a.csv", "rows": 1200, "ratio": 0.5}, "tags": {"env": "prod"}}


@contextmanager
def database(kind: str) -> Iterator[str]:
    """Create an empty database; yield its URL."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/bench.db"
        return
    server = os.environ.get(
        "TASKBADGER_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test"
    )
    name = f"tb_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{server.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def make_place() -> tuple[ProjectRef, str]:
    """Return the project that is measured, made if it is missing, and a new key of it."""
    now = utcnow()
    organization = organizations.ensure_organization("bench", actor=SERVER, now=now)
    project = projects.ensure_project(organization, "bench", actor=SERVER, now=now)
    _, key = keys.create_key(organization, project, actor=SERVER, name="bench", now=now)
    db.session.commit()
    return projects.project_ref(project, organization), key


def prepare(url: str, tasks: int) -> tuple[str, list[str], str]:
    """Fill the database up to *tasks*; return a key, some task ids, and the last page's path."""
    app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
    with app.app_context():
        flask_migrate.upgrade()
        ref, key = make_place()
        have = db.session.scalar(
            db.text("SELECT count(*) FROM task WHERE project_id = :project"), {"project": ref.id}
        )
        bulk(ref, tasks - int(have or 0), now=utcnow())
        db.session.commit()
        client = app.test_client()
        headers = {"Authorization": f"Bearer {key}"}
        ids = [
            task["id"]
            for task in client.get("/api/bench/bench/tasks/?page_size=1000", headers=headers).json[
                "results"
            ]
        ]
        oldest = db.session.scalar(db.select(Task.id).order_by(Task.id).limit(1).offset(100))
        db.session.remove()
        db.engine.dispose()
    return key, ids, _last_page(str(oldest))


def _last_page(oldest: str) -> str:
    """Return the path of the last page of the list: the tasks that are older than *oldest*."""
    return f"/api/bench/bench/tasks/?cursor={Cursor((oldest,)).write()}&page_size=100"


def bench(kind: str, sizes: list[int], count: int, rounds: int) -> None:
    """Print the table for one kind of database."""
    with database(kind) as url:
        for tasks in sizes:
            key, ids, last = prepare(url, tasks)
            environment = {
                "TASKBADGER_SECRET_KEY": SECRET,
                "TASKBADGER_DATABASE_URL": url,
            }
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            requests = [Requests(name, "/api/bench/bench/tasks/", ids, last) for name in KINDS]
            found: dict[str, list[Round]] = {name: [] for name in KINDS}
            with (
                gunicorn("bench.bare:app", "gthread", {}) as bare,
                gunicorn("wsgi:app", WORKER, environment) as server,
            ):
                for _ in range(rounds):
                    for sent in requests:
                        name = sent.kind
                        port, process = bare if name == "bare" else server
                        share = 4 if name in ("list", "last") else 1
                        number = max(1, count // rounds // share)
                        given = {} if name == "bare" else headers
                        result, cpu = measure(port, process, sent, count=number, headers=given)
                        base = cpu if name == "bare" else found["bare"][-1].cpu
                        found[name].append(Round(result, cpu, cpu / base))
            for name in KINDS:
                show(kind, tasks, name, found[name])


class Round(NamedTuple):
    """What one round gave for one kind of request."""

    result: Result
    cpu: float
    """Milliseconds per request."""
    ratio: float
    """Its CPU time divided by that of the bare route in the same round."""


def show(kind: str, tasks: int, name: str, rounds: list[Round]) -> None:
    """Print one row."""
    rate, cpu, ratio = (
        median(values)
        for values in zip(
            *((each.result.rate, each.cpu, each.ratio) for each in rounds), strict=True
        )
    )
    together = Result(0.0, [wait for each in rounds for wait in each.result.latencies], 0)
    p50, p99 = (together.percentile(share) * 1000 for share in (0.5, 0.99))
    cost = Figure(f"{name}, {tasks:,} tasks", kind, round(ratio, 3), "× bare", GOALS.get(name))
    goal = MAX_P99 if kind == "sqlite" and name in ("create", "update") else None
    wait = Figure(f"{name}, {tasks:,} tasks, p99", kind, round(p99, 1), "ms", goal)
    spread = f"{min(each.ratio for each in rounds):.2f}-{max(each.ratio for each in rounds):.2f}"
    print(
        f"{kind:10} {tasks:>9,} {name:7} {rate:8.0f}/s  "
        f"p50 {p50:6.1f} ms  p99 {p99:6.1f} ms {wait.verdict:18}"
        f"  cpu {cpu:6.3f} ms  x{ratio:5.2f} ({spread})  {cost.verdict}",
        flush=True,
    )
    keep([cost, wait])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--count", type=int, default=400, help="requests per client and kind")
    parser.add_argument("--rounds", type=int, default=4, help="in which they are sent")
    options = parser.parse_args()
    for kind in options.databases:
        bench(kind, options.sizes, options.count, options.rounds)


if __name__ == "__main__":
    main()
