"""Measures whether the background worker keeps up, and what its work costs ingestion.

``PYTHONPATH=. python bench/keep_up.py [--databases sqlite postgresql] [--rows stale …]``

Runs the server and the worker as ``serve`` does, with a steady load of creates and updates. Each
row of the table has a goal; the 99th percentile of ingestion is compared with the time before.
The CPU time of the worker has no goal: it says more than the seconds if others use the machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import filling
import psutil
from api import ROOT, SECRET, WORKER, database, gunicorn, prepare
from dashboard import prepare as prepare_pages
from figures import Figure, keep
from flask import Flask
from ingestion import Ingestion
from sqlalchemy import func, select, text, update

from taskbadger.app import create_app
from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db, set_transactions
from taskbadger.models import (
    Organization,
    Project,
    RunStatCursor,
    Slot,
    Task,
    TaskEvent,
    WorkerTick,
)
from taskbadger.services.deletion import closing, counting
from taskbadger.services.organizations import projects
from taskbadger.services.stats import runs
from taskbadger.settings import Settings

QUIET_SECONDS = 6.0
"""How long ingestion is measured without the work."""
POLL_SECONDS = 0.1
PATIENCE = 120.0
"""Seconds until work that is not done counts as never done."""
WARM_UP_SECONDS = 3.0
"""How long ingestion runs before anything is measured: the first requests are slow."""
MAX_LAG = 5.0
SETTLED_LAG = 2.0
"""How far behind the worker may be when the measurement of its lag begins."""
WRITTEN = 10_000
"""Entries of the history written a second."""
FEED_SECONDS = 0.25
MAX_LIST_MS = 200.0
MAX_P99 = 2.0
REPEATS = 5
LISTS = ("tasks/", "tasks/?q=status:error", "tasks/?q=-status:success", "tasks/?q=tag:env:prod",
         "tasks/?q=name:%22job+7%22", "tasks/?q=name:%22job+1%22*", "tasks/?q=b+7",
         "tasks/?q=status:success", "names/", "", "monitors/")  # fmt: skip
"""The pages that list over all projects of an organization, and searches of them."""


class Mark(NamedTuple):
    """A moment of a measurement."""

    at: float
    cpu: float
    """The CPU seconds that the worker has used so far."""


@dataclass
class Scene:
    """A server under load, with its database."""

    kind: str
    app: Flask
    project: ProjectRef
    variables: dict[str, str]
    ingestion: Ingestion
    worker: psutil.Process | None = None
    """The background worker, while it runs."""

    def mark(self) -> Mark:
        """Return this moment."""
        times = self.worker.cpu_times() if self.worker else None
        return Mark(time.perf_counter(), times.user + times.system if times else 0.0)

    def ask(self, query: Any) -> Any:
        """Return the single value that *query* selects now."""
        with self.app.app_context():
            return db.session.scalar(query)

    def rest(self) -> float:
        """Let ingestion run alone; return its 99th percentile."""
        began = time.perf_counter()
        time.sleep(QUIET_SECONDS)
        return self.ingestion.p99(began, time.perf_counter())

    def watch(self, left: Callable[[], int]) -> float:
        """Wait until nothing is left; return the seconds that took."""
        began = time.perf_counter()
        while left():
            if time.perf_counter() - began > PATIENCE:
                return float("inf")
            time.sleep(POLL_SECONDS)
        return time.perf_counter() - began

    def figure(self, name: str, value: float, unit: str, goal: float, **more: bool) -> Figure:
        """Return a figure of this database."""
        return Figure(name, self.kind, value, unit, goal, **more)

    def compare(self, name: str, alone: float, began: Mark) -> list[Figure]:
        """Return what the work since *began* cost: ingestion, and CPU time of the worker."""
        now = self.mark()
        during = self.ingestion.p99(began.at, now.at)
        load = f"load {os.getloadavg()[0]:.1f}"
        print(
            f"{self.kind:10} p99 of ingestion: {alone:.0f} to {during:.0f} ms, {load}", flush=True
        )
        ratio = during / alone if alone else float("inf")
        return [
            self.figure(f"{name}: p99 of ingestion", ratio, "times", MAX_P99),
            Figure(f"{name}: CPU time of the worker", self.kind, now.cpu - began.cpu, "s"),
        ]


@contextmanager
def worker(scene: Scene) -> Iterator[None]:
    """Run the background worker, and wait until it works."""
    began = utcnow()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "taskbadger_server", "worker"],
        cwd=ROOT,
        env={**os.environ, **scene.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    scene.worker = psutil.Process(process.pid)
    try:
        scene.watch(lambda: not _has_ticked(scene, began))
        yield
    finally:
        scene.worker = None
        process.terminate()
        process.wait(60)


def _has_ticked(scene: Scene, since: datetime) -> bool:
    last = scene.ask(select(func.max(WorkerTick.at)))
    return last is not None and last > since


def measure_stale(scene: Scene, count: int, *, has_actions: bool = False) -> list[Figure]:
    """Let tasks go stale at once: 10,000 within 5 seconds, 100,000 within 30."""
    now = utcnow()
    later = now + timedelta(days=1)
    with scene.app.app_context():
        filling.add_running(
            scene.project, count, created=now, stale_at=later, has_actions=has_actions
        )
    with worker(scene):
        name = f"{count:,} tasks go stale" + (" and send mail" if has_actions else "")
        goal = 5.0 if count <= 10_000 else count / 10_000 * 3
        due = move(scene, Task.stale_at, later, count)
        return measure_due(scene, Task.stale_at, due, name, goal)


def measure_due(scene: Scene, column: Any, due: datetime, name: str, goal: float) -> list[Figure]:
    """Wait until the deadlines in *column* are *due*, and then until none is left."""
    wait_until(due - timedelta(seconds=QUIET_SECONDS + 1))
    alone = scene.rest()
    wait_until(due)
    began = scene.mark()
    left = select(func.count()).where(column <= due)
    seconds = scene.watch(lambda: scene.ask(left))
    return [scene.figure(name, seconds, "s", goal), *scene.compare(name, alone, began)]


def move(scene: Scene, column: Any, later: datetime, count: int) -> datetime:
    """Set the deadlines that are *later* to a moment that comes soon; return it."""
    due = utcnow() + timedelta(seconds=QUIET_SECONDS + 5 + count / 2_000)
    with scene.app.app_context():
        db.session.execute(
            update(column.class_)
            .where(column == later)
            .values({column.key: due})
            .execution_options(synchronize_session=False)
        )
        db.session.commit()
    return due


def wait_until(moment: datetime) -> None:
    """Wait until *moment*, which must not be over."""
    seconds = (moment - utcnow()).total_seconds()
    if seconds < 0:
        raise SystemExit(f"the database was not filled in time: {-seconds:.1f} s late")
    time.sleep(seconds)


def measure_monitors(scene: Scene, count: int) -> list[Figure]:
    """Let monitors miss a run at once: 5,000 within 5 seconds."""
    now = utcnow()
    later = now + timedelta(days=1)
    with scene.app.app_context():
        filling.add_monitors(scene.project, count, due=later, now=now)
    with worker(scene):
        name, goal = f"{count:,} monitors due at once", 5.0 * max(1.0, count / 5_000)
        due = move(scene, Slot.deadline_at, later, count)
        return measure_due(scene, Slot.deadline_at, due, name, goal)


def measure_backlog(scene: Scene, count: int) -> list[Figure]:
    """Count a history that has piled up: 10,000 entries a second."""
    alone = scene.rest()
    with scene.app.app_context():
        filling.add_runs(scene.project, count, now=utcnow())
        last = scene.ask(select(func.max(TaskEvent.id)))
    cursor = select(RunStatCursor.event_id)
    first = scene.ask(cursor) or 0
    with worker(scene):
        scene.watch(lambda: (scene.ask(cursor) or 0) == first)
        counted, began = scene.ask(cursor) or 0, scene.mark()
        seconds = scene.watch(lambda: (scene.ask(cursor) or 0) < last)
        rate = (last - counted) / max(seconds, POLL_SECONDS)
        name = f"{count:,} entries counted"
        figure = scene.figure(name, rate, "/s", 10_000, is_least=True)
        return [figure, *scene.compare(name, alone, began)]


def _lag() -> float:
    """Return how many seconds ago the oldest entry was written that is not counted yet."""
    oldest = runs.counted_until()
    db.session.rollback()  # On SQLite, this session would keep the worker waiting.
    return (utcnow() - oldest).total_seconds() if oldest else 0.0


def measure_lag(scene: Scene, count: int) -> list[Figure]:
    """Count while 10,000 entries a second are written: never further behind than 5 seconds."""
    with worker(scene), scene.app.app_context():
        scene.watch(lambda: _lag() > SETTLED_LAG)
        done, lags, began = 0, [0.0], time.perf_counter()
        while done < count:
            filling.add_runs(scene.project, int(WRITTEN * FEED_SECONDS), now=utcnow())
            done += int(WRITTEN * FEED_SECONDS)
            lags.append(_lag())
            time.sleep(max(0.0, began + done / WRITTEN - time.perf_counter()))
        rate = done / (time.perf_counter() - began)
    return [
        # Without it, the lag says nothing.
        scene.figure("history: entries written", rate, "/s", WRITTEN * 0.99, is_least=True),
        scene.figure("history: furthest behind", max(lags), "s", MAX_LAG),
    ]


def measure_retention(scene: Scene, count: int) -> list[Figure]:
    """Delete tasks that are kept no longer: 5,000 a second."""
    old = utcnow() - timedelta(days=3)
    with scene.app.app_context():
        filling.add_ended(scene.project.id, count, created=old)
        _gather_statistics(scene.kind)
    with worker(scene):
        alone = scene.rest()
    with scene.app.app_context():
        keeps = update(Project).where(Project.id == scene.project.id).values(retention_days=1)
        db.session.execute(keeps)
        db.session.commit()
    span = ids.first_id(old), ids.first_id(old + timedelta(hours=1))
    # Other tasks of that hour may still run: they are kept.
    number = select(func.count()).where(Task.id.between(*span), Task.end_time.isnot(None))
    ended = scene.ask(number)
    with worker(scene):
        scene.watch(lambda: scene.ask(number) == ended)
        left, began = scene.ask(number), scene.mark()
        rate = left / scene.watch(lambda: scene.ask(number))
        name = f"{count:,} tasks deleted"
        figure = scene.figure(name, rate, "/s", 5_000, is_least=True)
        return [figure, *scene.compare(name, alone, began)]


def measure_deletion(scene: Scene, count: int) -> list[Figure]:
    """Delete a project with all its tasks: 2,000 a second."""
    with scene.app.app_context():
        set_transactions(read_only=False)
        organization = db.session.get_one(Organization, scene.project.organization_id)
        old = projects.ensure_project(organization, "old", actor=SERVER, now=utcnow())
        number = old.id
        db.session.commit()
        filling.add_ended(number, count, created=utcnow() - timedelta(days=3))
        _gather_statistics(scene.kind)
    with worker(scene):
        alone = scene.rest()
    with scene.app.app_context():
        set_transactions(read_only=False)
        began = time.perf_counter()
        organization = db.session.get_one(Organization, scene.project.organization_id)
        counting.count_project(db.session.get_one(Project, number))
        counted = time.perf_counter() - began
        closing.delete_project(organization, number, actor=SERVER, now=utcnow())
        db.session.commit()
        closed = time.perf_counter() - began - counted
    left = select(Task.id).where(Task.project_id == number).limit(1)
    with worker(scene):
        mark = scene.mark()
        rate = count / scene.watch(lambda: scene.ask(left) is not None)
        name = f"a project with {count:,} tasks"
        return [
            scene.figure(f"{name} counted", counted * 1000, "ms", 500),
            scene.figure(f"{name} taken away", closed * 1000, "ms", 100),
            scene.figure(f"{name} deleted: tasks", rate, "/s", 2_000, is_least=True),
            *scene.compare(name, alone, mark),
        ]


def measure_lists(kind: str, url: str, count: int) -> list[Figure]:
    """List the tasks of 700 projects, in a server of their own: at most 200 ms."""
    app, cookie, _, _ = prepare_pages(url, 1_000)
    with app.app_context():
        filling.add_projects("bench", 700, count, now=utcnow())
        _gather_statistics(kind)
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    figures = []
    for path in LISTS:
        times = [_visit(client, f"/a/bench/{path}") for _ in range(REPEATS + 1)][1:]
        name = f"700 projects: /{path}"
        figures.append(Figure(name, kind, statistics.median(times), "ms", MAX_LIST_MS))
    return figures


def _gather_statistics(kind: str) -> None:
    """Let PostgreSQL know what is in its tables, as its autovacuum would."""
    if kind == "postgresql":
        db.session.execute(text("ANALYZE"))
        db.session.commit()


def _visit(client: Any, path: str) -> float:
    """Return how many milliseconds a page takes that no cache has."""
    address = f"{path}{'&' if '?' in path else '?'}at={time.perf_counter_ns()}"
    begun = time.perf_counter()
    response = client.get(address)
    took = time.perf_counter() - begun
    set_transactions(read_only=False)
    if response.status_code != 200:
        raise SystemExit(f"{path}: {response.status_code}")
    return took * 1000


ROWS: dict[str, tuple[Callable[[Scene, int], list[Figure]], int]] = {
    "stale": (measure_stale, 10_000),
    "alerts": (partial(measure_stale, has_actions=True), 10_000),
    "monitors": (measure_monitors, 5_000),
    "backlog": (measure_backlog, 50_000),
    "lag": (measure_lag, 300_000),
    "retention": (measure_retention, 60_000),
    "deletion": (measure_deletion, 60_000),
}
"""What is measured under ingestion, and how much of it by default."""
LISTED_TASKS = 70_000


def run(kind: str, name: str, count: int | None, rate: float) -> list[Figure]:
    """Measure one row of the table on a new database."""
    with database(kind) as url:
        if name == "lists":
            return measure_lists(kind, url, count or LISTED_TASKS)
        measure, usual = ROWS[name]
        key, _, _ = prepare(url, 1_000)
        variables = {"TASKBADGER_SECRET_KEY": SECRET, "TASKBADGER_DATABASE_URL": url}
        app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
        with app.app_context():
            set_transactions(read_only=False)
            organization_id = db.session.scalar(select(Project.organization_id).limit(1)) or 0
            project = projects.find_project_ref(organization_id, "bench", "bench")
            db.session.remove()
        with (
            gunicorn("wsgi:app", WORKER, variables) as (port, _),
            Ingestion(port, key, rate) as ingestion,
        ):
            time.sleep(WARM_UP_SECONDS)
            return measure(Scene(kind, app, project, variables, ingestion), count or usual)


def show(figure: Figure) -> None:
    """Print one row."""
    print(
        f"{figure.database:10} {figure.name:60} {figure.figure:10,.1f} {figure.unit:5}"
        f"  {figure.verdict}",
        flush=True,
    )
    keep([figure])


def main() -> None:
    """Run the rows that the command line selects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--rows", nargs="+", choices=(*ROWS, "lists"), default=[*ROWS, "lists"])
    parser.add_argument("--count", type=int, help="how many tasks, monitors or entries")
    parser.add_argument("--rate", type=float, default=60.0, help="requests per second")
    options = parser.parse_args()
    for kind in options.databases:
        for name in options.rows:
            for figure in run(kind, name, options.count, options.rate):
                show(figure)


if __name__ == "__main__":
    main()
