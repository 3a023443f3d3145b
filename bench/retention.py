"""Measures retention in a large database: half of its tasks are too old, while others are written.

``PYTHONPATH=. python bench/retention.py [--databases sqlite postgresql] [--tasks 5000000]``

Says how many tasks are deleted a second with all that belongs to them, what that costs ingestion,
how large the database is before and after, and how long the page of a project takes to count.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import filling
import psycopg
from api import SECRET, WORKER, database, gunicorn, prepare
from figures import Figure
from flask import Flask
from ingestion import Ingestion
from keep_up import Mark, Scene, show, worker
from sqlalchemy import func, insert, select, text, update

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.domain.status import CANCELLED, SUCCESS
from taskbadger.extensions import db, set_transactions, sqlite_module
from taskbadger.models import Project, RunStatCursor, Task, TaskEvent
from taskbadger.services.organizations import projects
from taskbadger.services.tasks import sizes
from taskbadger.settings import Settings

KEPT_DAYS = 30
OLD_DAYS, YOUNG_DAYS = (300, 40), (29, 1)
"""From when to when the tasks ended that are too old, and the others: days ago."""
PARTS = 50
"""The tasks of each half lie at so many moments."""
QUIET_SECONDS = 15.0
WARM_UP_SECONDS = 3.0
POLL_SECONDS = 0.2
PATIENCE = 3 * 3600.0
REPEATS = 5
RATE, MAX_P99, MAX_PAGE_MS = 5_000, 2.0, 1_000.0


def fill(project_id: int, count: int) -> None:
    """Add tasks, half of them old, with their history, tags and actions; all count as counted."""
    now = utcnow()
    for first, last in (OLD_DAYS, YOUNG_DAYS):
        for part in range(PARTS):
            at = now - timedelta(days=first + (last - first) * part / PARTS)
            filling.add_ended(project_id, count // 2 // PARTS, created=at)
            print(".", end="", flush=True)
    print(flush=True)
    newest = db.session.scalar(select(func.max(TaskEvent.id)))
    db.session.query(RunStatCursor).delete()
    db.session.execute(insert(RunStatCursor).values(id=1, event_id=newest, counted_at=now))
    db.session.commit()


def maintain(url: str, command: str) -> None:
    """Run a command that needs a connection of its own, such as VACUUM."""
    if url.startswith("sqlite"):
        connection = sqlite_module().connect(url.removeprefix("sqlite:///"), timeout=60)
    else:
        connection = psycopg.connect(url, autocommit=True)
    connection.execute(command)
    if url.startswith("sqlite"):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def size_of(app: Flask, url: str) -> float:
    """Return the size of the database in MB."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        files = [file for end in ("", "-wal") if (file := Path(path + end)).exists()]
        return sum(file.stat().st_size for file in files) / 1e6
    with app.app_context():
        found = db.session.scalar(text("SELECT pg_database_size(current_database())"))
        db.session.remove()
    return float(found or 0) / 1e6


def measure_page(scene: Scene, project_id: int) -> list[Figure]:
    """Count what the page of the project shows, and what a shorter retention deletes."""
    with scene.app.app_context():
        row = db.session.get_one(Project, project_id)
        wanted, before = Retention(project_id, KEPT_DAYS), Retention(project_id)
        parts: tuple[tuple[str, Callable[[], object]], ...] = (
            ("the page of a project", lambda: sizes.read_sizes(row)),
            ("what would be deleted", lambda: sizes.count_deleted(wanted, before, now=utcnow())),
        )
        found = []
        for name, count in parts:
            times = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                count()
                times.append((time.perf_counter() - began) * 1000)
            name = f"{name}: counting, first of {REPEATS} times"
            found.append(scene.figure(name, times[0], "ms", MAX_PAGE_MS))
            found.append(
                Figure(name.replace("first", "median"), scene.kind, statistics.median(times), "ms")
            )
        db.session.remove()
    return found


def is_left(scene: Scene, status: str, cutoff: datetime) -> bool:
    """Say whether tasks with this status are left that are older than *cutoff*."""
    query = select(Task.id).where(
        Task.project_id == scene.project.id, Task.status == status, Task.id < ids.first_id(cutoff)
    )
    # The newest one is deleted last; from the other end, PostgreSQL would find all deleted ones.
    return scene.ask(query.order_by(Task.id.desc()).limit(1)) is not None


def delete(scene: Scene, count: int) -> list[Figure]:
    """Let the worker delete the old half, beside ingestion."""
    cutoff = utcnow() - timedelta(days=KEPT_DAYS + 5)
    with worker(scene):
        quiet = time.perf_counter()
        time.sleep(QUIET_SECONDS)
    with scene.app.app_context():
        keeps = update(Project).where(Project.id == scene.project.id)
        db.session.execute(keeps.values(retention_days=KEPT_DAYS))
        db.session.commit()
    oldest = select(Task.id).where(Task.project_id == scene.project.id, Task.status == CANCELLED)
    first = scene.ask(oldest.order_by(Task.id).limit(1))
    with worker(scene):  # A new one looks at once, and deletes cancelled ones first.
        while scene.ask(oldest.order_by(Task.id).limit(1)) == first:
            time.sleep(0.02)
        began = scene.mark()
        while is_left(scene, SUCCESS, cutoff) and time.perf_counter() - began.at < PATIENCE:
            time.sleep(POLL_SECONDS)
        return report(scene, count, quiet, began)


def report(scene: Scene, count: int, quiet: float, began: Mark) -> list[Figure]:
    """Return the speed, and what it cost."""
    now = scene.mark()
    found = [
        scene.figure("tasks deleted", count / 2 / (now.at - began.at), "/s", RATE, is_least=True)
    ]
    quantiles = {}
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        alone = scene.ingestion.quantile(share, quiet, quiet + QUIET_SECONDS)
        during = scene.ingestion.quantile(share, began.at, now.at)
        quantiles[name] = during / alone if alone else float("inf")
        found.append(Figure(f"{name} of ingestion without retention", scene.kind, alone, "ms"))
        found.append(Figure(f"{name} of ingestion with retention", scene.kind, during, "ms"))
    found.append(
        scene.figure("p99 of ingestion, with to without", quantiles["p99"], "times", MAX_P99)
    )
    found.append(Figure("CPU time of the worker", scene.kind, now.cpu - began.cpu, "s"))
    return found


def measure(kind: str, count: int, rate: float) -> None:
    """Measure one kind of database."""
    with database(kind) as url:
        key, _, _ = prepare(url, 0)
        variables = {"TASKBADGER_SECRET_KEY": SECRET, "TASKBADGER_DATABASE_URL": url}
        app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
        with app.app_context():
            set_transactions(read_only=False)
            project = find_project()
            began = time.perf_counter()
            fill(project.id, count)
            print(f"{kind}: filled in {time.perf_counter() - began:.0f} s", flush=True)
            db.session.remove()
        is_sqlite = kind == "sqlite"
        maintain(url, "PRAGMA optimize" if is_sqlite else "VACUUM ANALYZE")
        before = size_of(app, url)
        with (
            gunicorn("wsgi:app", WORKER, variables) as (port, _),
            Ingestion(port, key, rate) as ingestion,
        ):
            time.sleep(WARM_UP_SECONDS)
            scene = Scene(kind, app, project, variables, ingestion)
            for figure in (*measure_page(scene, project.id), *delete(scene, count)):
                show(figure)
        steps = ["", "VACUUM", *(["VACUUM FULL"] if kind == "postgresql" else [])]
        show(Figure("size before", kind, before, "MB"))
        for step in steps:
            if step:
                maintain(url, step)
            name = f"size after, {'after ' + step if step else 'without VACUUM'}"
            show(Figure(name, kind, size_of(app, url), "MB"))


def find_project() -> ProjectRef:
    """Return the project that is measured."""
    organization_id = db.session.scalar(select(Project.organization_id).limit(1)) or 0
    return projects.find_project_ref(organization_id, "bench", "bench")


def main() -> None:
    """Run what the command line selects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--tasks", type=int, default=5_000_000)
    parser.add_argument("--rate", type=float, default=60.0, help="requests per second")
    options = parser.parse_args()
    for kind in options.databases:
        measure(kind, options.tasks, options.rate)


if __name__ == "__main__":
    main()
