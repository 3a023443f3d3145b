"""Upgrades from version 0007 on PostgreSQL: writes hardly wait, and old failures get their kinds.

``make faults`` runs them with a million tasks, the suite with a few thousand.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from conftest import make_key_of
from faults.upgrading import Writer, beside, count, fill, migrate
from processes import Server, serve, wait_until
from test_serving import is_ready

TASKS = int(os.environ.get("TASKBADGER_TEST_UPGRADE", "2000"))
IS_FULL = TASKS >= 1_000_000
MAX_WAIT = 1.0 if IS_FULL else 3.0
"""Seconds. The suite runs on slow machines, with other tests beside it."""
HELD_SECONDS = 6.0
"""How long a reader is in the way."""
BACKFILL_SECONDS = 1800 if IS_FULL else 120

pytestmark = pytest.mark.timeout(300 + BACKFILL_SECONDS)


FEW_TASKS = 2000


class Upgraded(NamedTuple):
    """A database that was migrated from version 0007 while a client wrote."""

    url: str
    took: float
    writer: Writer
    before: float
    """How long a write took at most before, in seconds."""


@pytest.fixture(scope="module")
def upgraded(new_postgresql: Callable[[], str]) -> Upgraded:
    """A migrated database with TASKS tasks."""
    url = filled(new_postgresql(), TASKS)
    writer = Writer(url)
    with writer.writing():
        wait_until(lambda: len(writer.seconds) >= 100, "writes")
        before = max(writer.seconds)
        took = migrate(url)
        done = len(writer.seconds)
        wait_until(lambda: len(writer.seconds) >= done + 100, "writes")
    return Upgraded(url, took, writer, before)


def filled(url: str, tasks: int) -> str:
    """Make a database of version 0007 with tasks; return its URL."""
    migrate(url, "0007")
    fill(url, tasks)
    return url


def show(capsys: pytest.CaptureFixture[str], line: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")


def test_writes_wait_less_than_a_second_for_the_migrations(
    upgraded: Upgraded, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = max(upgraded.writer.seconds)
    show(
        capsys,
        f"upgrade of {TASKS:,} tasks: {upgraded.took:.2f} s, a write waited for {longest:.2f} s at"
        f" most ({upgraded.before:.2f} s before)",
    )
    assert upgraded.writer.failed == []
    assert longest <= MAX_WAIT


@contextmanager
def reading(url: str, seconds: float) -> Iterator[threading.Event]:
    """Hold the locks of a reader for a while, as a backup does; yield what is set at the end."""
    begun, is_over = threading.Event(), threading.Event()

    def read() -> None:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE task, task_event, global_action IN ACCESS SHARE MODE")
            begun.set()
            time.sleep(seconds)
            is_over.set()

    with beside(read):
        begun.wait()
        yield is_over


def test_writes_do_not_wait_while_a_backup_holds_the_migrations_up(
    new_postgresql: Callable[[], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = filled(new_postgresql(), FEW_TASKS)
    writer = Writer(url)
    with reading(url, HELD_SECONDS) as is_over, writer.writing():
        took = migrate(url)
        has_waited = is_over.is_set()

    longest = max(writer.seconds)
    show(
        capsys,
        f"upgrade of {FEW_TASKS:,} tasks beside a reader of {HELD_SECONDS:.0f} s: {took:.2f} s,"
        f" a write waited for {longest:.2f} s at most",
    )
    assert writer.failed == []
    assert longest <= MAX_WAIT
    assert has_waited


def test_old_failures_get_their_kinds_while_tasks_are_created(
    upgraded: Upgraded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, key = upgraded.url, make_key_of(upgraded.url)
    variables = {"TASKBADGER_LOG_REQUESTS": "false", "TASKBADGER_PLUGINS": "false"}
    with serve(tmp_path, "--workers", "1", TASKBADGER_DATABASE_URL=url, **variables) as server:
        wait_until(lambda: is_ready(server), "a server")
        began = time.monotonic()
        meanwhile = create_tasks(server, key, lambda: count(url, "failure_backfill") > 0)
        took = time.monotonic() - began
        wait_until(lambda: not has_entries_without_kind(url), "kinds of audit entries")
        rest = iter(range(len(meanwhile) // 100 + 1))
        afterwards = create_tasks(server, key, lambda: next(rest, None) is not None)

    failures = count(url, "failure")
    show(
        capsys,
        f"kinds of {failures:,} old failures among {TASKS:,} tasks: {took:.0f} s;"
        f" p99 of {len(meanwhile):,} creations meanwhile {p99(meanwhile):.1f} ms, afterwards"
        f" {p99(afterwards):.1f} ms",
    )
    assert failures == count(url, "task", "status IN ('error', 'stale')")
    # Four names fail in seven places each, and four go stale.
    assert count(url, "failure_kind") == 32


def has_entries_without_kind(url: str) -> bool:
    return count(url, "audit_entry", "kind = ''") > 0


def create_tasks(server: Server, key: str, go_on: Callable[[], bool]) -> list[float]:
    """Create tasks, a hundred at least, as long as *go_on* says; return how long each took."""
    seconds: list[float] = []
    while go_on() or not seconds:
        for _ in range(100):
            began = time.monotonic()
            status, _ = server.request(
                "POST", "/api/acme/web/tasks/", key=key, json_body={"name": "new"}
            )
            seconds.append(time.monotonic() - began)
            assert status == 201
    return seconds


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return statistics.quantiles(seconds, n=100)[-1] * 1000
