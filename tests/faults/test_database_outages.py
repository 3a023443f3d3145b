"""A database that hangs, is locked, read-only, full or away, under clients that go on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from clusters import Cluster, Pipe, running_cluster, standby_of, unprivileged
from conftest import make_key_of
from faults.outages import Figures, Trial
from faults.preload import build
from processes import Server, serve, wait_until
from test_serving import is_ready

from taskbadger.extensions import sqlite_module

TIMEOUT = float(os.environ.get("TASKBADGER_TEST_DATABASE_TIMEOUT", "1"))
FAULT = TIMEOUT * 2.5

pytestmark = pytest.mark.timeout(300 + 20 * TIMEOUT)

Run = Callable[..., None]
RESOLVER = Path(__file__).with_name("resolver.c")
NOT_READY = (503, "2")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a trial; ``/readyz`` must be a 503 during the fault unless *ready_meanwhile*."""

    def run(
        clients: Trial,
        name: str,
        begin: Callable[[], object],
        end: Callable[[], object],
        *,
        ready_meanwhile: bool = False,
    ) -> None:
        figures = clients.run(name, begin, end, seconds=FAULT)
        with capsys.disabled():
            sys.stdout.write(f"\n{figures}\n")
        check(figures, clients.server)
        if not ready_meanwhile:
            assert figures.ready[0] == NOT_READY

    return run


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@contextmanager
def trial(home: Path, url: str, **more: str) -> Iterator[Trial]:
    """Run ``serve`` with its background worker on a database."""
    variables = {
        **more,
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_DATABASE_TIMEOUT": str(TIMEOUT),
        "TASKBADGER_LOG_LEVEL": "WARNING",
    }
    with serve(home, "--workers", "2", "--threads", "4", **variables) as server:
        wait_until(lambda: is_ready(server), "a server")
        yield Trial(server, make_key_of(url))


def check(figures: Figures, server: Server) -> None:
    """Compare with what docs/operating.md promises."""
    assert figures.statuses[500] == figures.statuses[0] == 0
    assert figures.statuses[503] > 0
    assert figures.without_retry_after == figures.unhealthy == 0
    assert figures.slowest_503 < TIMEOUT + 1
    assert figures.usual_health < 0.2
    assert figures.slowest_health < 1  # The machine may be busy with other tests.
    assert figures.recovery < 2
    assert figures.settled < 2
    assert figures.ready[-1] == (200, None)
    assert server.said("worker step failed") == []


@pytest.fixture(scope="module")
def pipe(cluster: Cluster) -> Iterator[Pipe]:
    with Pipe(cluster.port) as pipe:
        yield pipe


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> str:
    return cluster.create("tb")


@pytest.fixture(scope="module")
def clients(
    pipe: Pipe, database: str, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trial]:
    """The clients of a server that goes through all faults of PostgreSQL but one."""
    url = database.replace(f":{cluster.port}/", f":{pipe.port}/")
    with trial(tmp_path_factory.mktemp("serve"), url) as clients:
        yield clients


def test_hung_postgresql(clients: Trial, cluster: Cluster, run: Run) -> None:
    run(clients, "hung PostgreSQL", cluster.freeze, cluster.thaw)


def test_network_that_loses_everything(clients: Trial, pipe: Pipe, run: Run) -> None:
    run(clients, "network that loses everything", pipe.block, pipe.unblock)


def test_name_server_that_hangs(cluster: Cluster, database: str, tmp_path: Path, run: Run) -> None:
    hangs = tmp_path / "hangs"
    variables = {"LD_PRELOAD": str(build(RESOLVER, tmp_path)), "RESOLVER_HANGS": str(hangs)}
    url = database.replace("@127.0.0.1:", "@localhost:")

    def begin() -> None:
        hangs.touch()
        cluster.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )

    with trial(tmp_path, url, **variables) as clients:
        run(clients, "name server that hangs", begin, hangs.unlink)


def test_read_only_postgresql(clients: Trial, cluster: Cluster, run: Run) -> None:
    def begin() -> None:
        cluster.execute(
            "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"
        )

    def end() -> None:
        cluster.execute(
            "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"
        )

    run(clients, "read-only PostgreSQL", begin, end)


def test_postgresql_that_is_away(clients: Trial, cluster: Cluster, run: Run) -> None:
    run(clients, "PostgreSQL away", cluster.stop, cluster.start)


def test_locked_postgresql(clients: Trial, database: str, run: Run) -> None:
    with psycopg.connect(database) as other:
        run(
            clients,
            "locked PostgreSQL",
            lambda: other.execute("LOCK TABLE task IN ACCESS EXCLUSIVE MODE"),
            other.rollback,
            ready_meanwhile=True,
        )


def test_failover_to_a_standby(clients: Trial, cluster: Cluster, pipe: Pipe, run: Run) -> None:
    with standby_of(cluster) as standby:
        try:
            run(
                clients,
                "failover of PostgreSQL",
                lambda: pipe.lead_to(standby.port),
                lambda: standby.execute("SELECT pg_promote()"),
            )
        finally:
            pipe.lead_to(cluster.port)


def test_the_worker_logs_each_outage_in_few_lines(clients: Trial) -> None:
    logger = "taskbadger.worker.outage_log"
    wait_until(
        lambda: (
            [line["event"] for line in clients.server.lines if line["logger"] == logger][-1:]
            == ["database available again"]
        ),
        "the end of the last outage",
    )
    logged = [line for line in clients.server.lines if line["logger"] == logger]

    # Six faults at most, each with a word for every way it shows.
    assert len(logged) < 40
    assert all("Traceback" not in str(line) for line in clients.server.lines)


def test_failover_between_two_hosts_of_the_url(cluster: Cluster, tmp_path: Path, run: Run) -> None:
    cluster.create("two")
    with standby_of(cluster) as standby:
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (cluster, standby))
        url = f"postgresql://postgres@/two?{hosts}&target_session_attrs=read-write"
        try:
            with trial(tmp_path, url) as clients:
                run(
                    clients,
                    "failover between two hosts",
                    cluster.stop,
                    lambda: standby.execute("SELECT pg_promote()"),
                )
        finally:
            cluster.start()


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes, which only root may."""
    with TemporaryDirectory(prefix="tb-disk-") as folder:
        options = f"size={megabytes}m"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            pytest.skip("only root may mount a small disk, and not everywhere")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    """Leave no byte on a disk."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


def test_full_disk_of_postgresql(cluster: Cluster, database: str, tmp_path: Path, run: Run) -> None:
    with small_disk(48) as disk:
        subprocess.run(["chown", str(unprivileged()), disk], check=True)
        cluster.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        url = cluster.create("small", "TABLESPACE small")
        with trial(tmp_path, url) as clients:
            clients.body = {"name": "job", "data": "x" * 50_000}
            end = (disk / "filler").unlink
            run(clients, "full PostgreSQL", lambda: fill(disk), end, ready_meanwhile=True)
        cluster.execute("DROP DATABASE small WITH (FORCE)", "DROP TABLESPACE small")


def test_full_disk_of_sqlite(tmp_path: Path, run: Run) -> None:
    with small_disk(32) as disk, trial(tmp_path, f"sqlite:///{disk}/test.db") as clients:
        clients.body = {"name": "job", "data": "x" * 5_000}
        end = (disk / "filler").unlink
        run(clients, "full SQLite", lambda: fill(disk), end, ready_meanwhile=True)


def test_locked_sqlite(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "test.db"
    with trial(tmp_path, f"sqlite:///{path}") as clients:
        module = sqlite_module()
        with closing(module.connect(path, isolation_level=None, check_same_thread=False)) as other:
            run(
                clients,
                "locked SQLite",
                lambda: other.execute("BEGIN IMMEDIATE"),
                lambda: other.execute("ROLLBACK"),
                ready_meanwhile=True,
            )
