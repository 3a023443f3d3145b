"""Backups by our commands, while clients write: nothing is missing."""

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import flask_migrate
import pytest
from clusters import Cluster, programs, running_cluster
from conftest import SECRET_KEY, make_key, make_project, settings
from faults.cutting import Clients, Write, lost_of, read_values
from processes import Server, run_server, serve, wait_until
from test_serving import is_ready

from taskbadger import seed
from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import db, writing

BACKUPS = int(os.environ.get("TASKBADGER_TEST_BACKUPS", "1"))
"""Of each database; ``make faults`` asks for more."""
TASKS = int(os.environ.get("TASKBADGER_TEST_BACKUP_TASKS", "3000"))
"""Tasks that are there before."""
OPTIONS = ("--workers", "1", "--threads", "4")
WRITES = 50
"""How many are acknowledged before a backup, at least."""

pytestmark = pytest.mark.timeout(600 + 60 * BACKUPS + TASKS // 100)


def run_command(home: Path, url: str, *arguments: str, path: str = "") -> None:
    """Run one of our commands on a database."""
    variables = {"TASKBADGER_SECRET_KEY": SECRET_KEY, "TASKBADGER_DATABASE_URL": url}
    if path:
        variables["PATH"] = path
    done = run_server(*arguments, home=home, **variables)
    assert done.returncode == 0, done.stderr


class Sqlite:
    """A database in a file; a backup is another one."""

    name: ClassVar = "SQLite"

    def __init__(self, home: Path) -> None:
        self.home = home
        self.url = f"sqlite:///{home}/instance/taskbadger.db"

    def back_up(self, number: int) -> None:
        run_command(self.home, self.url, "backup", f"{number}.bak")

    def restore(self, number: int) -> str:
        """Restore a backup, which verifies it; return the URL of the new database."""
        url = f"sqlite:///{self.home}/{number}/taskbadger.db"
        run_command(self.home, url, "restore", f"{number}.bak")
        return url


class Postgresql:
    """A database of a cluster; a backup is a file of pg_dump."""

    name: ClassVar = "PostgreSQL"

    def __init__(self, home: Path, cluster: Cluster) -> None:
        self.home, self.cluster = home, cluster
        self.url = cluster.create("taskbadger")
        self._path = f"{programs()}{os.pathsep}{os.environ['PATH']}"

    def back_up(self, number: int) -> None:
        run_command(self.home, self.url, "backup", f"{number}.bak", path=self._path)

    def restore(self, number: int) -> str:
        """Restore a backup, which checks its foreign keys; return the URL of the new database."""
        url = self.cluster.create(f"restored{number}")
        run_command(self.home, url, "restore", f"{number}.bak", path=self._path)
        return url


Database = Sqlite | Postgresql


@pytest.fixture(params=[Sqlite.name, Postgresql.name])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == Sqlite.name:
        yield Sqlite(tmp_path)
        return
    with running_cluster() as cluster:
        yield Postgresql(tmp_path, cluster)


@dataclass
class Backup:
    """A backup, and the writes acknowledged before it began; times in nanoseconds."""

    began: int
    ended: int
    writes: list[Write]

    @property
    def seconds(self) -> float:
        return (self.ended - self.began) / 1e9


@dataclass
class Figures:
    """The results of the backups of one database."""

    name: str
    backups: list[Backup] = field(default_factory=list)
    lost: int = 0
    checked: int = 0
    pause: float = 0.0
    """The longest time in a backup during which no write was acknowledged."""

    def __str__(self) -> str:
        slowest = max(backup.seconds for backup in self.backups)
        return (
            f"backups of {self.name} under load: {len(self.backups)}, with {TASKS:,} tasks before,"
            f" each in {slowest:.1f} s at most, no write for {self.pause:.2f} s at most;"
            f" {self.checked} acknowledged writes looked for, {self.lost} lost"
        )


def prepare(url: str) -> str:
    """Create the tables and tasks of another project; return a key of the writers' project."""
    app = create_app(settings(DATABASE_URL=url))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        seed.bulk(make_project("acme", "old"), TASKS, now=utcnow())
        key = make_key()
        db.session.remove()
        db.engine.dispose()
    return key


@contextmanager
def running(home: Path, url: str, *options: str) -> Iterator[Server]:
    with serve(home, *OPTIONS, *options, TASKBADGER_DATABASE_URL=url) as server:
        wait_until(lambda: is_ready(server), "a server")
        yield server


def back_up(database: Database, clients: Clients, number: int) -> Backup:
    """Back up once the clients have written something."""
    wanted = len(clients.writes) + WRITES
    wait_until(lambda: len(clients.writes) >= wanted, "writes")
    writes, began = list(clients.writes), time.monotonic_ns()
    database.back_up(number)
    return Backup(began, time.monotonic_ns(), writes)


def longest_pause(backup: Backup, writes: list[Write]) -> float:
    moments = sorted(write.position for write in writes)
    within = [moment for moment in moments if backup.began < moment < backup.ended]
    edges = [backup.began, *within, backup.ended]
    return max(after - before for before, after in itertools.pairwise(edges)) / 1e9


def test_backups_under_load(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, key = Figures(database.name), prepare(database.url)
    clients = Clients(key, time.monotonic_ns)
    with running(tmp_path / "serve", database.url) as server, clients.writing(server):
        for number in range(BACKUPS):
            figures.backups.append(back_up(database, clients, number))
    for number, backup in enumerate(figures.backups):
        figures.pause = max(figures.pause, longest_pause(backup, clients.writes))
        with running(tmp_path / "restored", database.restore(number), "--no-worker") as server:
            lost = lost_of(backup.writes, read_values(server, key))
        figures.lost += len(lost)
        figures.checked += len(backup.writes)
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")

    assert figures.lost == 0
    assert figures.checked >= BACKUPS * WRITES
