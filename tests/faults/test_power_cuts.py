"""Power cuts lose no acknowledged write, on SQLite and on PostgreSQL.

Each trial ends with a check of itself: with less safe settings, the same cut must lose something.
"""

import os
import random
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from clusters import Cluster, running_cluster
from conftest import make_key, make_project, settings
from faults.cutting import Figures, Trial, Write, lost_of, wait_for
from faults.databases import is_sound
from faults.power import SOURCE, Disk, Log, Rest
from faults.preload import build
from processes import Server, serve, wait_until
from test_serving import is_ready

from taskbadger.app import create_app
from taskbadger.domain import ids
from taskbadger.extensions import db, sqlite_module, writing
from taskbadger.extensions.sqlite import wal_is_safe

CUTS = int(os.environ.get("TASKBADGER_TEST_CUTS", "2"))
"""On each database; ``make faults`` asks for more."""
MORE_CUTS = 8
"""Of SQLite, for each of these, at other moments of the same log."""
TRIES = 3
"""How often to cut with less safe settings, at most, until something is lost."""
OPTIONS = ("--workers", "2", "--threads", "4")

pytestmark = pytest.mark.timeout(300 + 60 * CUTS)

Report = Callable[[object], None]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SOURCE, tmp_path_factory.mktemp("power"))


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Report:
    """Print a line for a trial."""

    def tell(line: object) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return tell


def prepare(url: str) -> str:
    """Create the tables and a project; return a new key."""
    app = create_app(settings(DATABASE_URL=url))
    with app.app_context(), writing():
        flask_migrate.upgrade()
        make_project()
        key = make_key()
        db.session.remove()
        db.engine.dispose()
    return key


def any_rest() -> Rest:
    return random.choice([Rest.LOST, Rest.SOME])


class SqliteTrial(Trial):
    """The whole server loses power, and starts again."""

    def __init__(self, home: Path, library: Path) -> None:
        self.home, self.library = home, library
        folder = home / "disk"
        folder.mkdir()
        self.url = f"sqlite:///{folder}/test.db"
        super().__init__(folder, prepare(self.url), Figures("SQLite"))

    def run(self, **variables: str) -> tuple[Log, list[Write]]:
        """Start the server, check what is there, write, and cut the power."""
        log = Log(self.home / "power.log")
        variables |= log.variables(self.library, self.folder)
        variables["TASKBADGER_DATABASE_URL"] = self.url
        with serve(self.home, *OPTIONS, **variables) as server:
            wait_until(lambda: is_ready(server), "a server")
            self.check(server)
            with self.writing(server, log) as writes:
                wait_for(writes)
                log.cut()
                server.kill()
        return log, writes

    def cut_again(self, log: Log, writes: list[Write]) -> None:
        """Cut the power at other moments of a log, while clients wrote."""
        for _ in range(MORE_CUTS):
            moment = random.randint(writes[0].position, log.end)
            disk = self.disk.after(log, any_rest(), until=moment)
            sure = [write for write in writes if write.position <= moment]
            found, is_sound = self.read(disk)
            self.figures.more_cuts += 1
            self.figures.corrupt += not is_sound
            self.figures.lost += len(lost_of([*self.writes, *sure], found))

    def read(self, disk: Disk) -> tuple[dict[str, int], bool]:
        """Return the values of all tasks on a disk, and whether the database is sound."""
        copy = self.home / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        disk.write_to(copy)
        module = sqlite_module()
        try:
            with closing(module.connect(copy / "test.db")) as connection:
                rows = connection.execute("SELECT id, value FROM task").fetchall()
                wrong = connection.execute("PRAGMA integrity_check").fetchall()
                wrong += connection.execute("PRAGMA foreign_key_check").fetchall()
        except module.DatabaseError:
            return {}, False
        return {ids.from_bytes(task): value for task, value in rows}, wrong == [("ok",)]


def without_wal(home: Path) -> dict[str, str]:
    """Return an environment in which the server has only the SQLite that Python has.

    Most of them have the WAL-reset bug, so that it uses the rollback journal.
    """
    (home / "pysqlite3").mkdir(parents=True, exist_ok=True)
    (home / "pysqlite3" / "__init__.py").write_text("raise ImportError")
    return {"PYTHONPATH": str(home)}


def test_power_cuts_of_sqlite(library: Path, tmp_path: Path, report: Report) -> None:
    trial = SqliteTrial(tmp_path, library)
    for number in range(CUTS):
        has_wal = number % 3 != 1
        log, writes = trial.run(**{} if has_wal else without_wal(tmp_path / "path"))
        trial.cut_again(log, writes)
        trial.remember(writes)
        trial.lose_power(log, any_rest())
        trial.figures.corrupt += not trial.read(trial.disk)[1]
    for _ in range(TRIES):
        log, writes = trial.run(TASKBADGER_SQLITE_SYNCHRONOUS="NORMAL")
        trial.lose_power(log, Rest.LOST)
        found, is_sound = trial.read(trial.disk)
        if lost := lost_of(writes, found):
            break
    report(f"{trial.figures}; with NORMAL, {len(lost)} of {len(writes)} lost")

    assert (trial.figures.lost, trial.figures.corrupt) == (0, 0)
    # NORMAL is only about the WAL.
    assert lost or not wal_is_safe(sqlite_module().sqlite_version_info)
    assert is_sound


LESS_SAFE = (
    "synchronous_commit=off",
    "wal_writer_delay=10s",
    "wal_writer_flush_after=1GB",
)


@contextmanager
def checkpoints(cluster: Cluster) -> Iterator[None]:
    """Ask for a checkpoint again and again, until the block ends."""
    stopping = threading.Event()

    def ask() -> None:
        with suppress(psycopg.OperationalError):
            while not stopping.wait(0.2):
                cluster.execute("CHECKPOINT")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


class PostgresqlTrial(Trial):
    """The machine of the database loses power; that of the web server goes on."""

    def __init__(self, cluster: Cluster, library: Path) -> None:
        self.cluster = cluster
        self.library = Path(shutil.copy(library, cluster.folder))
        self.url = cluster.create("tb")
        key = prepare(self.url)
        cluster.stop()
        super().__init__(cluster.folder / "data", key, Figures("PostgreSQL"))

    def start(self, *settings: str) -> Log:
        """Start the database."""
        log = Log(self.cluster.folder / "power.log")
        self.cluster.variables = log.variables(self.library, self.folder)
        self.cluster.settings = ("max_wal_size=32MB", *settings)
        self.cluster.start()
        return log

    def run(self, log: Log, server: Server, *, is_safe: bool = True) -> list[Write]:
        """Check what is there, write, and cut the power."""
        wait_until(lambda: is_ready(server), "the database")
        self.check(server)
        self.figures.corrupt += not is_sound(self.url)
        with (
            self.writing(server, log) as writes,
            checkpoints(self.cluster) if is_safe else nullcontext(),
        ):
            wait_for(writes)
            log.cut()
            self.cluster.kill()
        return writes


def test_power_cuts_of_postgresql(library: Path, tmp_path: Path, report: Report) -> None:
    with running_cluster() as cluster:
        trial = PostgresqlTrial(cluster, library)
        log = trial.start()
        with serve(tmp_path, *OPTIONS, TASKBADGER_DATABASE_URL=trial.url) as server:
            for number in range(CUTS):
                writes = trial.run(log, server)
                trial.remember(writes)
                trial.lose_power(log, any_rest())
                log = trial.start(*(LESS_SAFE if number == CUTS - 1 else ()))
            for _ in range(TRIES):
                writes = trial.run(log, server, is_safe=False)
                trial.lose_power(log, Rest.LOST)
                log = trial.start(*LESS_SAFE)
                wait_until(lambda: is_ready(server), "the database")
                if lost := lost_of(writes, trial.found(server)):
                    break
            report(f"{trial.figures}; with asynchronous commits, {len(lost)} of {len(writes)} lost")

    assert (trial.figures.lost, trial.figures.corrupt) == (0, 0)
    assert lost
