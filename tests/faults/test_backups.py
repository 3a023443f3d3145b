"""Backups by the commands of docs/operating.md, while clients write: nothing is missing."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import flask_migrate
import pytest
from clusters import Cluster, programs, running_cluster
from conftest import make_key, make_project, settings
from faults.cutting import Clients, Write, lost_of, read_values
from processes import Server, serve, wait_until
from test_serving import is_ready

from taskbadger import seed
from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.extensions import db, sqlite_module, writing

BACKUPS = int(os.environ.get("TASKBADGER_TEST_BACKUPS", "1"))
"""Of each database; ``make faults`` asks for more."""
TASKS = int(os.environ.get("TASKBADGER_TEST_BACKUP_TASKS", "3000"))
"""Tasks that are there before."""
OPTIONS = ("--workers", "1", "--threads", "4")
OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
WRITES = 50
"""How many are acknowledged before a backup, at least."""

pytestmark = pytest.mark.timeout(600 + 60 * BACKUPS + TASKS // 100)


def documented(program: str) -> str:
    """Return the command of the documents that begins with *program*."""
    lines = OPERATING.read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{program} "))
    return found


class Sqlite:
    """A database in a file; a backup is another one."""

    name: ClassVar = "SQLite"

    def __init__(self, home: Path) -> None:
        if shutil.which("sqlite3") is None:
            if os.environ.get("CI"):
                pytest.fail("the program sqlite3 is not installed, and CI must have it")
            pytest.skip("the program sqlite3 is not installed")
        self.home = home
        self.url = f"sqlite:///{home}/instance/taskbadger.db"
        (home / "instance").mkdir()

    def back_up(self, number: int) -> None:
        (self.home / "backup.db").unlink(missing_ok=True)
        subprocess.run(shlex.split(documented("sqlite3")), cwd=self.home, check=True)
        (self.home / "backup.db").rename(self.home / f"{number}.db")

    def restore(self, number: int) -> str:
        """Check a backup; return its URL."""
        path = self.home / f"{number}.db"
        with closing(sqlite_module().connect(path)) as connection:
            wrong = connection.execute("PRAGMA integrity_check").fetchall()
            wrong += connection.execute("PRAGMA foreign_key_check").fetchall()
        assert wrong == [("ok",)]
        return f"sqlite:///{path}"


class Postgresql:
    """A database of a cluster; a backup is a file of pg_dump."""

    name: ClassVar = "PostgreSQL"

    def __init__(self, home: Path, cluster: Cluster) -> None:
        self.home, self.cluster = home, cluster
        self.url = cluster.create("taskbadger")

    def _run(self, command: str) -> None:
        """Run a documented command with the programs of this cluster."""
        variables = {
            "PATH": f"{programs()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.cluster.port),
            "PGUSER": "postgres",
        }
        arguments = shlex.split(command)
        subprocess.run(arguments, cwd=self.home, env={**os.environ, **variables}, check=True)

    def back_up(self, number: int) -> None:
        self._run(documented("pg_dump"))
        (self.home / "backup.dump").rename(self.home / f"{number}.dump")

    def restore(self, number: int) -> str:
        """Restore a backup, which checks its foreign keys; return its URL."""
        shutil.copy(self.home / f"{number}.dump", self.home / "backup.dump")
        self.cluster.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
        self._run(documented("createdb"))
        self._run(documented("pg_restore"))
        return f"{self.url.rpartition('/')[0]}/restored"


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
