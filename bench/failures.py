"""Measures what it costs that a task fails: its failure kind, in the transaction of the change.

Tasks of twenty names end with the same data, a usual traceback, as success and as error. Both take
turns in rounds; only during the warm-up is a kind new to its name. Prints the medians of the CPU
milliseconds of the server's processes per PATCH and their difference; and how long
``domain/fingerprints.py`` alone takes for a failure of the corpus.
"""

import argparse
import json
import time
from collections.abc import Iterator
from statistics import median

import flask_migrate
from api import (
    CLIENTS,
    ROOT,
    SECRET,
    WORKER,
    Requests,
    database,
    gunicorn,
    make_place,
    measure,
)
from figures import Figure, keep
from load import Request

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.fingerprints import failure_kind
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import write
from taskbadger.settings import Settings

GOAL = 0.3
"""Milliseconds."""
NAMES = 20
WARM_UP = 20
CORPUS = [
    json.dumps(json.loads(line)["data"])
    for line in (ROOT / "tests/data/failures.jsonl").read_text().splitlines()
]
TRACEBACK = next(text for text in CORPUS if "Traceback" in text)


class Endings(Requests):
    """A stream of requests, each of which ends a task that is running."""

    def __init__(self, status: str, running: Iterator[str]) -> None:
        super().__init__(status, "/api/bench/bench/tasks/", [], "")
        self.running = running
        self.body = f'{{"status": "{status}", "data": {TRACEBACK}}}'.encode()

    def __call__(self, client: int) -> Iterator[Request]:
        for task_id in self.running:
            yield "PATCH", f"{self.base}{task_id}/", self.body


def prepare(url: str, tasks: int) -> tuple[str, list[str]]:
    """Make a project with so many running tasks; return a key and their ids."""
    app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
    with app.app_context():
        flask_migrate.upgrade()
        ref, key = make_place()
        made = [_make(ref, number) for number in range(tasks)]
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    return key, made


def _make(project: ProjectRef, number: int) -> str:
    values = {"name": f"job {number % NAMES}", "status": "processing"}
    return write.create_task(project, values, now=utcnow(), actor=Actor("key", "bench")).id


def bench(kind: str, count: int, rounds: int) -> None:
    """Print the figures for one kind of database."""
    # Each client takes one more than it sends.
    tasks = 2 * rounds * CLIENTS * (count + WARM_UP + 2)
    with database(kind) as url:
        key, ids = prepare(url, tasks)
        environment = {"TASKBADGER_SECRET_KEY": SECRET, "TASKBADGER_DATABASE_URL": url}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        running = iter(ids)
        used: dict[str, list[float]] = {"success": [], "error": []}
        with gunicorn("wsgi:app", WORKER, environment) as (port, process):
            for _ in range(rounds):
                for status, found in used.items():
                    sent = Endings(status, running)
                    _, cpu = measure(port, process, sent, count=count, headers=headers)
                    found.append(cpu)
    success, error = (median(found) for found in used.values())
    show(kind, "PATCH to success", success)
    show(kind, "PATCH to error", error)
    show(kind, "cost of a failure", error - success, GOAL)


def fingerprints() -> None:
    """Print how long the fingerprint of a failure of the corpus takes."""
    took = []
    for _ in range(5):
        began = time.process_time()
        for text in CORPUS:
            failure_kind(text)
        took.append((time.process_time() - began) / len(CORPUS) * 1000)
    show("", "fingerprint alone", median(took))


def show(database_kind: str, name: str, milliseconds: float, goal: float | None = None) -> None:
    """Print one figure, and keep it."""
    figure = Figure(name, database_kind, round(milliseconds, 3), "ms", goal)
    print(f"{database_kind:10} {name:20} {milliseconds:7.3f} ms CPU  {figure.verdict}", flush=True)
    keep([figure])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite"])
    parser.add_argument("--count", type=int, default=100, help="requests per client and round")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    fingerprints()
    for kind in options.databases:
        bench(kind, options.count, options.rounds)


if __name__ == "__main__":
    main()
