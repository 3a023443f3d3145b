"""Migrations: of rows of an earlier version, while a client goes on writing."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import flask_migrate
import psycopg
from conftest import settings

from taskbadger.app import create_app
from taskbadger.extensions import db

FILL = """
INSERT INTO organization (id, slug, name, created) VALUES (1, 'acme', 'Acme', now());
INSERT INTO project
    (id, organization_id, slug, name, created, public_pages, public_data, public_tags)
    VALUES (1, 1, 'web', 'Web', now(), true, false, false);
INSERT INTO monitor (id, project_id, name, type, status, seen, schedule, timezone, epoch,
    failure_threshold, recovery_threshold, action, created, updated)
    SELECT gen_random_uuid(), 1, 'monitor ' || n, 'cron', 'active', true, '0 3 * * *', 'UTC', 0,
        1, 1, '[]', now(), now()
    FROM generate_series(1, greatest(10, {tasks} / 1000)) AS n;
INSERT INTO incident (monitor_id, opened_at, closed_at, bad_slots, told, owes_recovery)
    SELECT id, now() - n * interval '1 day', now() - n * interval '1 day', 1, true, false
    FROM monitor, generate_series(1, 10) AS n;
CREATE TEMPORARY TABLE added AS
    SELECT n,
        now() - interval '30 days' * (1 - n::float / {tasks}) AS created,
        CASE WHEN n % 10 = 0 THEN 'error' WHEN n % 50 = 1 THEN 'stale' ELSE 'success' END AS status,
        'job ' || n % 40 AS name
    FROM generate_series(1, {tasks}) AS n;
ALTER TABLE added ADD COLUMN id uuid;
UPDATE added SET id = (
    lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0')
    || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5(n::text), 1, 15))::uuid;
INSERT INTO task (id, project_id, version, has_children, has_actions, name, name_folded, queue,
    external_id, status, value, value_max, data, tags, created, updated, start_time, end_time,
    progress_count, progress_step)
    SELECT id, 1, 2, false, false, name, name, 'default', 'external-' || n, status, 100, 100,
        CASE status WHEN 'error' THEN '{{"exception": "Traceback (most recent call last):\\n'
            || '  File \\"/srv/app/jobs.py\\", line 12, in run_' || n % 7 || '\\n    work()\\n'
            || 'ValueError: row ' || n || ' is wrong"}}'
        ELSE '{{"file": "data.csv", "rows": 1200, "ratio": 0.5}}' END,
        '{{"env": "prod"}}', created, created, created,
        CASE status WHEN 'stale' THEN NULL ELSE created END, 0, 1
    FROM added;
INSERT INTO task_event
    (task_id, type, created, status, value, value_max, actor_type, actor_name)
    SELECT id, 'created', created, status, 100, 100, 'key', 'trial' FROM added ORDER BY n;
INSERT INTO run_stat_cursor (id, event_id, counted_at)
    SELECT 1, max(id), now() FROM task_event;
INSERT INTO run_stat (project_id, seconds, name, start, success, error, cancelled, stale, last,
    last_outcome, run_times)
    SELECT 1, seconds, name, at, 10, 1, 0, 0, at, 'error', '{{}}'
    FROM (SELECT DISTINCT name FROM added) AS names,
        (VALUES (86400, interval '1 day', 400), (3600, interval '1 hour', 840)) AS spans (seconds,
            length, number),
        LATERAL (SELECT date_trunc('day', now()) - i * length AS at
            FROM generate_series(0, number) AS i) AS starts;
INSERT INTO delivery (id, organization_id, kind, integration, config, destination, message, state,
    attempts, crashes, created, finished)
    SELECT id, 1, 'task', 'webhook:ops', '{{}}', 'https://example.com/hook',
        '{{"task": "' || repeat(md5(n::text), 40) || '"}}',
        CASE WHEN n % 1000 = 0 THEN 'dead' ELSE 'delivered' END, 1, 0, created, created
    FROM added WHERE status <> 'success';
INSERT INTO audit_entry
    (organization_id, created, actor_type, actor_name, verb, subject, detail)
    SELECT 1, created, 'key', 'trial', 'task.create', name, '' FROM added ORDER BY n;
DROP TABLE added;
"""
"""Rows of version 0007: tasks of a month, an eighth of which failed and fired a message.

An admin key created them, so the audit log has an entry for each.
"""


def fill(url: str, tasks: int) -> None:
    """Fill a database of version 0007, and let PostgreSQL look at it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL.format(tasks=tasks).encode())
        connection.execute("VACUUM ANALYZE")


def migrate(url: str, revision: str = "head") -> float:
    """Migrate a database; return the seconds that it took."""
    with create_app(settings(DATABASE_URL=url)).app_context():
        began = time.monotonic()
        flask_migrate.upgrade(revision=revision)
        took = time.monotonic() - began
        db.session.remove()
        db.engine.dispose()
    return took


def count(url: str, table: str, condition: str = "true") -> int:
    """Count the rows of a table that fulfil a condition."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()
        return int(row[0]) if row else 0


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do *work* in a thread of its own, and wait for its end."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class LoopingWriter(ABC):
    """Writes in a loop, in a thread of its own."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write, in a thread of its own."""
        stop = threading.Event()
        with beside(lambda: self._write(stop)):
            try:
                yield
            finally:
                stop.set()

    @abstractmethod
    def _write(self, stop: threading.Event) -> None:
        """Write until *stop* is set."""


@dataclass
class Writer(LoopingWriter):
    """Creates tasks in a loop, as a server of version 0007 does; remembers how long each took."""

    url: str
    seconds: list[float] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)

    def _write(self, stop: threading.Event) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    self._create(connection)
                except psycopg.Error as error:
                    self.failed.append(error)
                self.seconds.append(time.monotonic() - began)
                time.sleep(0.002)

    @staticmethod
    def _create(connection: psycopg.Connection[tuple[object, ...]]) -> None:
        task = {"task": uuid4()}
        with connection.transaction():
            connection.execute("SELECT id FROM global_action WHERE organization_id = 1")
            connection.execute(
                "INSERT INTO task (id, project_id, version, has_children, has_actions, name,"
                " name_folded, queue, external_id, status, value_max, tags, created, updated,"
                " progress_count, progress_step) VALUES (%(task)s, 1, 1, false, false, 'job',"
                " 'job', '', '', 'pending', 100, '{}', now(), now(), 0, 1)",
                task,
            )
            connection.execute(
                "INSERT INTO task_event (task_id, type, created, status, value_max, actor_type,"
                " actor_name) VALUES (%(task)s, 'created', now(), 'pending', 100, 'key', 'trial')",
                task,
            )
