"""Measures a scrape of ``/metrics``: its time with many names, and what scrapes cost ingestion.

``PYTHONPATH=. python bench/metrics.py [--databases sqlite postgresql] [--tasks 100000]``

A scrape is timed without the cache. Beside ingestion, two scrapers ask in both formats without a
pause, which Prometheus never does.
"""

import argparse
import http.client
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import flask_migrate
from api import SECRET, WORKER, database, gunicorn, make_place
from dashboard import _vacuum
from figures import Figure, keep
from flask import Flask
from ingestion import Ingestion
from sqlalchemy import delete, select

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.domain.status import SUCCESS
from taskbadger.extensions import db, set_transactions, writing
from taskbadger.models import Organization, Project, RunTotal
from taskbadger.models.incident_rows import HistoryEntry
from taskbadger.process import process_of
from taskbadger.seed import bulk
from taskbadger.services.monitors import manage
from taskbadger.services.organizations import projects
from taskbadger.services.stats import totals
from taskbadger.settings import Settings

TOKEN = "bench-token-0123456789-abcdefghijklmnop"
NAMES, PROJECTS, MONITORS = 5_000, 10, 100
REPEATS = 15
SECONDS = 12.0
"""How long ingestion is measured without scrapes, and with them."""
RATE = 200.0
"""Creates and updates a second."""
MAX_MS = 100.0
MAX_WAIT_MS = 1000.0
FORMATS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text"}


def make_app(url: str, names: int = 200) -> Flask:
    return create_app(
        Settings(
            SECRET_KEY=SECRET,
            DATABASE_URL=url,
            LOG_REQUESTS=False,
            METRICS_TOKEN=TOKEN,
            METRICS_NAMES=names,
        )
    )


def fill(url: str, tasks: int) -> str:
    """Fill the database with tasks, monitors and projects; return a key."""
    app = make_app(url)
    with app.app_context(), writing():
        flask_migrate.upgrade()
        ref, key = make_place()
        now = utcnow()
        bulk(ref, tasks, now=now)
        organization = db.session.get_one(Organization, ref.organization_id)
        for number in range(PROJECTS):
            projects.ensure_project(organization, f"p{number}", actor=SERVER, now=now)
        for number in range(MONITORS):
            data = {"name": f"m{number}", "type": "cron", "schedule": "0 * * * *"}
            manage.create_monitor(ref, data, now=now, actor=SERVER)
        db.session.commit()
        db.session.remove()
        db.engine.dispose()
    return key


def count_names(url: str, names: int) -> None:
    """Count runs of NAMES names, of which *names* have series of their own, in all projects."""
    with make_app(url).app_context(), writing():
        now = utcnow()
        db.session.execute(delete(RunTotal))
        for project_id in db.session.scalars(select(Project.id)).all():
            entries = list(_runs(project_id, NAMES // PROJECTS, now))
            totals.count(entries, [], max_names=names, now=now)
        db.session.commit()
        if db.engine.dialect.name == "postgresql":
            _vacuum()
        db.session.remove()
        db.engine.dispose()


def _runs(project_id: int, names: int, now: datetime) -> Iterator[HistoryEntry]:
    for number in range(names):
        start = now - timedelta(seconds=number)
        yield HistoryEntry(
            *(number, now, "status", SUCCESS, f"task {number}", project_id),
            *(f"name {number}", "", start, now),
        )


def time_scrapes(kind: str, url: str, names: int, goal: float | None) -> None:
    """Print how long a scrape takes with a limit of names."""
    count_names(url, names)
    app = make_app(url, names)
    client, cache = app.test_client(), process_of(app).metrics
    for label, accept in FORMATS.items():
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
        times, cpu = [], []
        for _ in range(REPEATS):
            cache.clear()
            begun, used = time.perf_counter(), time.process_time()
            answer = client.get("/metrics", headers=headers)
            times.append(time.perf_counter() - begun)
            cpu.append(time.process_time() - used)
            assert answer.status_code == 200, answer.text
            set_transactions(read_only=False)
        name = f"scrape, {NAMES:,} names, limit {names:,}, {label}"
        figure = Figure(name, kind, round(statistics.median(times) * 1000, 1), "ms", goal)
        lines = answer.text.count("\n")
        print(
            f"{kind:10} {name:50} {figure.figure:7.1f} ms  min {min(times) * 1000:7.1f} ms  "
            f"cpu {statistics.median(cpu) * 1000:7.1f} ms  "
            f"{lines:7,} lines {len(answer.data) / 1024:8,.0f} KB  {figure.verdict}",
            flush=True,
        )
        keep([figure])
    with app.app_context():
        db.engine.dispose()


@contextmanager
def scraping(port: int) -> Iterator[list[float]]:
    """Scrape in both formats until the block ends; yield the seconds that each scrape took."""
    stop, took = threading.Event(), list[float]()

    def scrape(accept: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": accept}
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            begun = time.perf_counter()
            connection.request("GET", "/metrics", headers=headers)
            response = connection.getresponse()
            response.read()
            took.append(time.perf_counter() - begun)
            connection.close()
            stop.wait(0.1)

    threads = [threading.Thread(target=scrape, args=(accept,)) for accept in FORMATS.values()]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def time_ingestion(kind: str, url: str, key: str) -> None:
    """Print how long creates and updates wait without and with scrapes."""
    environment = {
        "TASKBADGER_SECRET_KEY": SECRET,
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_METRICS_TOKEN": TOKEN,
    }
    with gunicorn("wsgi:app", WORKER, environment) as (port, _), Ingestion(port, key, RATE) as load:
        time.sleep(3)
        quiet = _measure(load, lambda: time.sleep(SECONDS))
        with scraping(port) as took:
            busy = _measure(load, lambda: time.sleep(SECONDS))
    for label, (p99, longest) in (("quiet", quiet), ("beside scrapes", busy)):
        figures = [
            Figure(f"ingestion, {label}, p99", kind, p99, "ms"),
            Figure(f"ingestion, {label}, longest", kind, longest, "ms", MAX_WAIT_MS),
        ]
        for figure in figures:
            print(f"{kind:10} {figure.name:50} {figure.figure:7.1f} ms  {figure.verdict}")
        keep(figures)
    print(f"{kind:10} {len(took)} scrapes meanwhile, the longest {max(took) * 1000:.1f} ms")


def _measure(load: Ingestion, wait: Callable[[], None]) -> tuple[float, float]:
    """Return the 99th percentile and the longest wait of the requests in this time."""
    begun = time.perf_counter()
    wait()
    ended = time.perf_counter()
    longest = max(took for began, took in load.waits if begun <= began <= ended)
    return round(load.p99(begun, ended), 1), round(longest * 1000, 1)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--tasks", type=int, default=100_000)
    options = parser.parse_args()
    for kind in options.databases:
        with database(kind) as url:
            key = fill(url, options.tasks)
            time_scrapes(kind, url, NAMES, None)
            time_scrapes(kind, url, 200, MAX_MS)
            time_ingestion(kind, url, key)


if __name__ == "__main__":
    main()
