"""What pages cost: times and queries at two sizes, and what open dashboards cost ingestion.

PYTHONPATH=. python bench/dashboard.py [--database sqlite|postgresql] [--tasks 10000 1000000]
"""

import argparse
import http.client
import itertools
import json
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import flask_migrate
import psutil
from api import SECRET, cpu_seconds, database, gunicorn
from flask import Flask
from load import Request, run
from sqlalchemy import event

from taskbadger import create_app
from taskbadger.blueprints.dashboard.access import COOKIE
from taskbadger.clock import utcnow
from taskbadger.extensions import db, set_read_only, writing
from taskbadger.seed import bulk
from taskbadger.services import accounts, run_stats, sessions
from taskbadger.settings import Settings

DASHBOARDS = 100
POLL_SECONDS = 2.0
SECONDS = 8.0
"""How long each run of ingestion lasts."""
REPEATS = 7
PAGES = (
    ("overview", "/a/bench/"),
    ("overview 7 d", "/a/bench/?range=7d"),
    ("list", "/a/bench/tasks/"),
    ("list, status", "/a/bench/tasks/?q=status:error"),
    ("list, name*", "/a/bench/tasks/?q=name:%22job+1%22*"),
    ("list, words", "/a/bench/tasks/?q=b+7"),
    ("list, tag", "/a/bench/tasks/?q=tag:env:prod"),
    ("list, tag+status", "/a/bench/tasks/?q=tag:env:prod+status:error"),
    ("list, queue", "/a/bench/tasks/?q=queue:nowhere"),
    ("list, excluded", "/a/bench/tasks/?q=-status:success"),
    ("list, old", "/a/bench/tasks/?q=before:20h"),
    ("names", "/a/bench/names/"),
)


def prepare(url: str, tasks: int) -> tuple[Flask, str, str, str]:
    """Fill the database up to *tasks*; return an app, a session, a key and a task's id."""
    app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        now = utcnow()
        organization = accounts.ensure_organization("bench", now=now)
        project = accounts.ensure_project(organization, "bench", now=now)
        _, key = accounts.create_key(organization, project, name="bench", now=now)
        user = accounts.ensure_user("bench@example.org", now=now)
        accounts.set_membership(user, organization, "owner", now=now)
        cookie = sessions.start(user, idle=timedelta(hours=10), now=now)
        db.session.commit()
        ref = accounts.project_ref(project, organization)
        have = db.session.scalar(db.text("SELECT count(*) FROM task")) or 0
        begun = time.perf_counter()
        bulk(ref, tasks - have, now=now)
        db.session.commit()
        print(f"filled in {time.perf_counter() - begun:.0f} s")
        begun, events = time.perf_counter(), 0
        while (batch := run_stats.read_batch(now=utcnow() + timedelta(hours=1))) is not None:
            run_stats.count_batch(batch, now=utcnow())
            db.session.commit()
            events += batch.upto - batch.after
        seconds = time.perf_counter() - begun
        print(f"counted {events:,} events in {seconds:.1f} s: {events / seconds:,.0f}/s")
        if db.engine.dialect.name == "postgresql":
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(db.text("VACUUM ANALYZE"))
        task_id = _newest_id(app, key)
        db.session.remove()
    return app, cookie, key, task_id


def _newest_id(app: Flask, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    answer = app.test_client().get("/api/bench/bench/tasks/?page_size=1", headers=headers)
    return str(answer.json["results"][0]["id"])


def measure_pages(app: Flask, cookie: str, task_id: str, label: str) -> None:
    """Print times and queries of every page, whole and as polled."""
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    statements: list[str] = []
    with app.app_context():
        event.listen(
            db.engine, "before_cursor_execute", lambda _c, _cur, text, *_: statements.append(text)
        )
    for name, path in (*PAGES, ("task", f"/a/bench/tasks/{task_id}/")):
        whole, queries, size = _time(client, path, {}, statements)
        etag = client.get(path, headers={"X-Live": "1"}).headers["ETag"]
        headers = {"X-Live": "1", "If-None-Match": etag}
        poll, poll_queries, _ = _time(client, path, headers, statements)
        print(
            f"{label} {name:17} {whole:7.1f} ms {queries:3} queries {size / 1024:6.1f} KB"
            f"   304: {poll:5.2f} ms {poll_queries:2} queries"
        )


def _time(
    client: Any, path: str, headers: dict[str, str], statements: list[str]
) -> tuple[float, int, int]:
    """Return the median milliseconds, the queries and the size of an answer."""
    client.get(path, headers=headers)
    times, size = [], 0
    for _ in range(REPEATS):
        statements.clear()
        begun = time.perf_counter()
        response = client.get(path, headers=headers)
        times.append(time.perf_counter() - begun)
        assert response.status_code in (200, 304), (path, response.status_code)
        size = len(response.data)
        set_read_only(False)
    return statistics.median(times) * 1000, len(statements), size


class Dashboard(threading.Thread):
    """An open page: asks again every POLL_SECONDS, with the version and the anchor it has."""

    def __init__(self, port: int, cookie: str, path: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.port, self.path, self.stop = port, path, stop
        self.headers = {"Cookie": f"{COOKIE}={cookie}"}
        self.answers: list[int] = []
        self.waits: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        etag, anchor = self._open(connection)
        self.stop.wait(random.uniform(0, POLL_SECONDS))
        while not self.stop.is_set():
            headers = {**self.headers, "X-Live": "1", "If-None-Match": etag}
            if anchor:
                headers["X-Live-Anchor"] = anchor
            begun = time.perf_counter()
            connection.request("GET", self.path, headers=headers)
            response = connection.getresponse()
            body = response.read()
            self.waits.append(time.perf_counter() - begun)
            self.answers.append(response.status)
            etag = response.headers["ETag"]
            if response.status == 200:
                anchor = _anchor(body) or anchor
            # The server closes idle connections after two seconds, so each poll is a new one.
            connection.close()
            self.stop.wait(POLL_SECONDS)
        connection.close()

    def _open(self, connection: http.client.HTTPConnection) -> tuple[str, str]:
        connection.request("GET", self.path, headers=self.headers)
        body = connection.getresponse().read()
        connection.close()
        found = re.search(rb'data-etag="([^"]*)"', body)
        assert found is not None
        return f'"{found[1].decode()}"', _anchor(body)


def _anchor(body: bytes) -> str:
    found = re.search(rb'data-anchor="([^"]*)"', body)
    return found[1].decode() if found else ""


def ingest(port: int, key: str) -> float:
    """Create tasks and update them with eight clients; return requests per second."""
    base = "/api/bench/bench/tasks/"
    deadline = time.perf_counter() + SECONDS

    def requests(client: int) -> Iterator[Request]:
        body = {"name": f"job {client}", "status": "processing", "tags": {"env": "prod"}}
        for _ in itertools.count():
            if time.perf_counter() > deadline:
                return
            yield "POST", base, json.dumps(body).encode()

    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    result = run(port, requests, clients=8, count=10**9, headers=headers)
    assert not result.failures
    return result.rate


def open_dashboards(
    port: int, cookie: str, task_id: str, number: int
) -> tuple[list[Dashboard], Callable[[], None]]:
    """Open that many pages, and return what closes them."""
    stop = threading.Event()
    paths = ["/a/bench/", "/a/bench/tasks/", "/a/bench/tasks/?q=status:running"]
    paths.append(f"/a/bench/tasks/{task_id}/")
    opened = [Dashboard(port, cookie, paths[at % 4], stop) for at in range(number)]
    for one in opened:
        one.start()
        time.sleep(0.05)  # People do not open them all at once.

    def close() -> None:
        stop.set()
        for one in opened:
            one.join()

    return opened, close


def measure_ingestion(url: str, cookie: str, key: str, task_id: str, label: str) -> None:
    """Print ingestion with and without open dashboards, in turns, so that drift is seen."""
    environment = {
        "TASKBADGER_SECRET_KEY": SECRET,
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_LOG_REQUESTS": "false",
    }
    alone, watched, costs = [], [], []
    with gunicorn("wsgi:app", environment) as (port, process):
        ingest(port, key)
        for _ in range(3):
            rate, cpu = _watch_cpu(process, lambda: ingest(port, key))
            alone.append(rate)
            opened, close = open_dashboards(port, cookie, task_id, DASHBOARDS)
            rate, cpu_watched = _watch_cpu(process, lambda: ingest(port, key))
            watched.append(rate)
            costs.append(1 - cpu / cpu_watched)
            close()
            polls = [status for one in opened for status in one.answers]
            waits = sorted(wait for one in opened for wait in one.waits)
            print(
                f"{label} alone {alone[-1]:5.0f}/s, watched {watched[-1]:5.0f}/s; "
                f"{len(polls)} polls, {polls.count(304)} of them 304, "
                f"median {statistics.median(waits) * 1000:.0f} ms, "
                f"p95 {waits[int(len(waits) * 0.95)] * 1000:.0f} ms"
            )
    cost = 1 - statistics.median(watched) / statistics.median(alone)
    print(
        f"{label} cost of {DASHBOARDS} dashboards: {cost:.1%} of ingestion (goal: below 10 %); "
        f"by the server's CPU time per request {statistics.median(costs):.1%}"
    )


def _watch_cpu(process: psutil.Process, work: Callable[[], float]) -> tuple[float, float]:
    """Return the rate that *work* gives, and the server's CPU seconds for each of its requests."""
    before, begun = cpu_seconds(process), time.perf_counter()
    rate = work()
    return rate, (cpu_seconds(process) - before) / (rate * (time.perf_counter() - begun))


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--url", help="a database to use and keep")
    parser.add_argument("--only", choices=("pages", "ingestion"))
    options = parser.parse_args()
    if options.url:
        measure(options.url, options)
        return
    with database(options.database) as url:
        measure(url, options)


def measure(url: str, options: argparse.Namespace) -> None:
    """Measure on one database, at each size."""
    for tasks in options.tasks:
        app, cookie, key, task_id = prepare(url, tasks)
        label = f"{url.partition(':')[0]:10} {tasks:>9,}"
        if options.only != "ingestion":
            measure_pages(app, cookie, task_id, label)
        with app.app_context():
            db.engine.dispose()
        if options.only != "pages":
            measure_ingestion(url, cookie, key, task_id, label)


if __name__ == "__main__":
    main()
