"""Measures pages: times and queries at two sizes, and what open pages cost ingestion.

PYTHONPATH=. python bench/dashboard.py [--database sqlite|postgresql] [--tasks 10000 1000000]
"""

import argparse
import http.client
import json
import multiprocessing
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import flask_migrate
import psutil
from api import SECRET, WORKER, cpu_seconds, database, gunicorn
from flask import Flask
from sqlalchemy import event

from taskbadger.app import create_app
from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db, set_transactions, writing
from taskbadger.seed import bulk
from taskbadger.services.organizations import keys, organizations, projects
from taskbadger.services.people import members, sessions, users
from taskbadger.services.stats import runs
from taskbadger.settings import Settings

DASHBOARDS = 100
POLL_SECONDS = 2.0
SECONDS = 8.0
"""How long each run of ingestion lasts."""
ROUNDS = 5
CLIENTS = 8
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
    ("list, data", "/a/bench/tasks/?q=data.file:nothing"),
    ("names", "/a/bench/names/"),
    ("queues", "/a/bench/queues/"),
)


def prepare(url: str, tasks: int) -> tuple[Flask, str, str, str]:
    """Fill the database up to *tasks*; return an app, a session, a key and a task id."""
    app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        now = utcnow()
        organization = organizations.ensure_organization("bench", actor=SERVER, now=now)
        project = projects.ensure_project(organization, "bench", actor=SERVER, now=now)
        _, key = keys.create_key(organization, project, actor=SERVER, name="bench", now=now)
        user = users.ensure_user("bench@example.org", now=now)
        members.add_member(user, organization, "owner", actor=SERVER, now=now)
        cookie = sessions.start(user, idle=timedelta(hours=10), now=now)
        db.session.commit()
        ref = projects.project_ref(project, organization)
        have = db.session.scalar(db.text("SELECT count(*) FROM task")) or 0
        begun = time.perf_counter()
        bulk(ref, tasks - have, now=now)
        db.session.commit()
        print(f"filled in {time.perf_counter() - begun:.0f} s")
        begun, events = time.perf_counter(), 0
        while (batch := runs.read_batch(now=utcnow() + timedelta(hours=1))) is not None:
            runs.count_batch(batch, now=utcnow())
            db.session.commit()
            events += batch.upto - batch.after
        seconds = time.perf_counter() - begun
        print(f"counted {events:,} events in {seconds:.1f} s: {events / seconds:,.0f}/s")
        if db.engine.dialect.name == "postgresql":
            _vacuum()
        task_id = _newest_id(app, key)
        db.session.remove()
    return app, cookie, key, task_id


def _vacuum() -> None:
    connection = db.engine.raw_connection()  # VACUUM must run outside a transaction.
    driver: Any = connection.driver_connection
    driver.autocommit = True
    driver.execute("VACUUM ANALYZE")
    connection.close()


def _newest_id(app: Flask, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    answer = app.test_client().get("/api/bench/bench/tasks/?page_size=1", headers=headers)
    return str(answer.json["results"][0]["id"])


def measure_pages(app: Flask, cookie: str, pages: Iterable[tuple[str, str]], label: str) -> None:
    """Print times and queries of pages, for a visit and for a poll."""
    client = app.test_client()
    client.set_cookie(COOKIE, cookie)
    statements: list[str] = []
    with app.app_context():
        event.listen(
            db.engine, "before_cursor_execute", lambda _c, _cur, text, *_: statements.append(text)
        )
    for name, path in pages:
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
    """Return the median milliseconds, the queries and the size of a response."""
    client.get(path, headers=headers)
    times, size = [], 0
    for _ in range(REPEATS):
        statements.clear()
        begun = time.perf_counter()
        response = client.get(path, headers=headers)
        times.append(time.perf_counter() - begun)
        assert response.status_code in (200, 304), (path, response.status_code)
        size = len(response.data)
        set_transactions(read_only=False)
    return statistics.median(times) * 1000, len(statements), size


class Dashboard(threading.Thread):
    """An open page: polls every POLL_SECONDS with its version and anchor."""

    def __init__(self, port: int, cookie: str, path: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.path, self.stop = path, stop
        # Kept open between polls, as a browser does.
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"Cookie": f"{COOKIE}={cookie}"}
        self.answers: list[int] = []
        self.waits: list[float] = []

    def run(self) -> None:
        etag, anchor = self._open()
        self.stop.wait(random.uniform(0, POLL_SECONDS))
        while not self.stop.is_set():
            headers = {**self.headers, "X-Live": "1", "If-None-Match": etag}
            if anchor:
                headers["X-Live-Anchor"] = anchor
            begun = time.perf_counter()
            response, body = self._get(headers)
            self.waits.append(time.perf_counter() - begun)
            self.answers.append(response.status)
            etag = response.headers["ETag"]
            if response.status == 200:
                anchor = _anchor(body) or anchor
            self.stop.wait(POLL_SECONDS)
        self.connection.close()

    def _get(self, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        self.connection.request("GET", self.path, headers=headers)
        response = self.connection.getresponse()
        return response, response.read()

    def _open(self) -> tuple[str, str]:
        _, body = self._get(self.headers)
        found = re.search(rb'data-etag="([^"]*)"', body)
        assert found is not None
        return f'"{found[1].decode()}"', _anchor(body)


def _anchor(body: bytes) -> str:
    found = re.search(rb'data-anchor="([^"]*)"', body)
    return found[1].decode() if found else ""


class Ingestion:
    """Eight clients that create and update tasks while the ``with`` block runs."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._done = [0] * CLIENTS
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(client,)) for client in range(CLIENTS)
        ]

    def __enter__(self) -> "Ingestion":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def measure(self, process: psutil.Process) -> tuple[float, float]:
        """Return requests per second and the server's CPU seconds per request."""
        done, cpu, begun = sum(self._done), cpu_seconds(process), time.perf_counter()
        time.sleep(SECONDS)
        done = sum(self._done) - done
        return done / (time.perf_counter() - begun), (cpu_seconds(process) - cpu) / done

    def _work(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)

        def send(method: str, path: str, body: dict[str, Any]) -> Any:
            connection.request(method, path, json.dumps(body).encode(), self._headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            assert response.status < 300, answer
            self._done[client] += 1
            return answer

        base = "/api/bench/bench/tasks/"
        while not self._stop.is_set():
            task = {"name": f"job {client}", "status": "processing", "tags": {"env": "prod"}}
            path = f"{base}{send('POST', base, task)['id']}/"
            send("PATCH", path, {"value": 50})
            send("PATCH", path, {"value": 100, "status": "success"})
        connection.close()


def keep_open(
    port: int, cookie: str, task_id: str, number: int, until: Connection
) -> None:  # pragma: no cover - runs in another process
    """Keep pages open until told to stop; send back the status and duration of each poll."""
    stop = threading.Event()
    paths = ["/a/bench/", "/a/bench/tasks/", "/a/bench/tasks/?q=status:running"]
    paths.append(f"/a/bench/tasks/{task_id}/")
    opened = [Dashboard(port, cookie, paths[at % 4], stop) for at in range(number)]
    for page in opened:
        page.start()
        time.sleep(0.05)  # People do not open all pages at once.
    until.send("open")
    until.recv()
    stop.set()
    for page in opened:
        page.join()
    answers = [status for page in opened for status in page.answers]
    until.send((answers, sorted(wait for page in opened for wait in page.waits)))


@contextmanager
def open_dashboards(*arguments: Any) -> Iterator[Callable[[], tuple[list[int], list[float]]]]:
    """Keep pages open in another process; yield what closes them and returns their polls."""
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=keep_open, args=(*arguments, theirs), daemon=True)
    process.start()

    def close() -> tuple[list[int], list[float]]:
        ours.send("close")
        found: tuple[list[int], list[float]] = ours.recv()
        return found

    try:
        assert ours.recv() == "open"
        yield close
    finally:
        process.join(30)


def measure_ingestion(url: str, cookie: str, key: str, task_id: str, label: str) -> None:
    """Print ingestion with and without open pages, alternately, so that drift is visible."""
    environment = {
        "TASKBADGER_SECRET_KEY": SECRET,
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_LOG_REQUESTS": "false",
    }
    lost, costs = [], []
    with (
        gunicorn("wsgi:app", WORKER, environment) as (port, process),
        Ingestion(port, key) as ingestion,
    ):
        ingestion.measure(process)
        before = ingestion.measure(process)
        for _ in range(ROUNDS):
            with open_dashboards(port, cookie, task_id, DASHBOARDS) as close:
                rate, cpu = ingestion.measure(process)
                polls, waits = close()
            after = ingestion.measure(process)
            # The machine's speed drifts, so each run is compared with the runs before and after it.
            alone, cpu_alone = ((one + other) / 2 for one, other in zip(before, after, strict=True))
            lost.append(1 - rate / alone)
            costs.append(1 - cpu_alone / cpu)
            print(
                f"{label} alone {alone:4.0f}/s, {cpu_alone * 1000:.2f} ms CPU each; "
                f"watched {rate:4.0f}/s, {cpu * 1000:.2f} ms; "
                f"{len(polls)} polls, {polls.count(304)} of them 304, "
                f"median {statistics.median(waits) * 1000:.0f} ms, "
                f"p95 {waits[int(len(waits) * 0.95)] * 1000:.0f} ms",
                flush=True,
            )
            before = after
    print(
        f"{label} cost of {DASHBOARDS} dashboards: {statistics.median(lost):.1%} of ingestion "
        f"(goal: below 10 %), {min(lost):.1%} to {max(lost):.1%}; "
        f"by the server's CPU time per request {statistics.median(costs):.1%}"
    )


def main() -> None:
    """Run the measurements that the command line selects."""
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
    """Run the measurements on one database, at each size."""
    for tasks in options.tasks:
        app, cookie, key, task_id = prepare(url, tasks)
        label = f"{url.partition(':')[0]:10} {tasks:>9,}"
        if options.only != "ingestion":
            pages = (*PAGES, ("task", f"/a/bench/tasks/{task_id}/"))
            measure_pages(app, cookie, pages, label)
        with app.app_context():
            db.engine.dispose()
        if options.only != "pages":
            measure_ingestion(url, cookie, key, task_id, label)


if __name__ == "__main__":
    main()
