"""What ``serve`` runs: gunicorn on a listening socket, and the background worker.

Each runs with Python's option -P, so that a module in the current folder never stands in for one
of the server's.
"""

import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from tempfile import gettempdir, mkdtemp
from typing import Any, Never

from gunicorn import glogging
from sqlalchemy import URL

from taskbadger import http_figures, logs, supervisor
from taskbadger.errors import SettingsError
from taskbadger.settings import Settings
from taskbadger.supervisor import GRACEFUL_SECONDS, Plan, Process

log = logging.getLogger(__name__)

BACKLOG = 2048
_FIRST_DESCRIPTOR = 3
"""The first one that systemd passes."""
MAX_WORKERS = 8
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes its own files there, unlinked at once


class GunicornLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Routes gunicorn's messages to our logs; ``logs.py`` writes the line per request."""

    def setup(self, cfg: Any) -> None:
        """Apply gunicorn's configuration, and our settings for the format."""
        super().setup(cfg)
        settings = Settings.from_env()
        logs.configure(settings)
        self.error_log.handlers[:] = []
        if logs.format_of(settings) == "console":
            self.error_log.setLevel(logging.WARNING)  # People have read the address already.
        self.error_log.propagate = True


def listen(bind: str) -> socket.socket:
    """Return a listening socket for ``HOST:PORT``; raises SettingsError."""
    host, port = parse_bind(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        # Python appends the address, which this message contains already.
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number else str(error)
        raise SettingsError(f"cannot listen on {bind}: {reason}") from error
    listener.set_inheritable(True)
    return listener


def inherited() -> socket.socket | None:
    """Return the socket that systemd listens on for us, if it does: see sd_listen_fds(3).

    Raises SettingsError if it passes anything but one TCP socket.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        raise SettingsError("LISTEN_FDS: systemd must pass exactly one socket")
    try:
        listener = socket.socket(fileno=_FIRST_DESCRIPTOR)
        is_listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SettingsError(f"LISTEN_FDS: {error.strerror}") from error
    if not is_listening or listener.family not in (socket.AF_INET, socket.AF_INET6):
        raise SettingsError("LISTEN_FDS: the socket of systemd must be ListenStream=HOST:PORT")
    listener.set_inheritable(True)
    return listener


def parse_bind(bind: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT`` or ``[HOST]:PORT``; raises SettingsError."""
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise SettingsError(f"--bind: {bind!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def address_of(listener: socket.socket) -> str:
    """Return the URL of a listening socket, for a browser on this machine."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def place_of(database: URL) -> str:
    """Return where the data is, for people; never a password."""
    if database.get_backend_name() == "sqlite":
        return database.database or "in memory"
    name, host = database.database or "the default database", database.host or "its socket"
    return f"PostgreSQL: {name} at {host}{f':{database.port}' if database.port else ''}"


def default_workers() -> int:
    """Return the default number of web workers: one per processor, from 2 to 8."""
    available = getattr(os, "sched_getaffinity", lambda _pid: range(os.cpu_count() or 1))
    return min(max(len(available(0)), 2), MAX_WORKERS)


def figures_folder() -> str | None:
    """Make a folder in which the web workers count requests; None if that is of no use.

    The lock on it is this process's, and later the supervisor's, as long as it lives: so a folder
    without one was left behind, and is deleted.
    """
    if find_spec("prometheus_client") is None:
        return None
    parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else gettempdir()
    start = f"taskbadger-figures-{os.getuid()}-"
    try:
        for entry in os.scandir(parent):
            if entry.name.startswith(start):
                _delete_unless_locked(entry.path)
        while not (folder := _make_and_lock(parent, start)):
            pass  # Another server has just deleted it.
    except OSError as error:
        log.warning("each web worker counts for itself", extra={"error": str(error)})
        return None
    return folder


def _make_and_lock(parent: str, start: str) -> str | None:
    folder = mkdtemp(prefix=start, dir=parent)
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        if _lock(descriptor) and os.fstat(descriptor).st_nlink:
            os.set_inheritable(descriptor, True)  # It stays open in the supervisor.
            return folder
        os.close(descriptor)
    return None


def _delete_unless_locked(folder: str) -> None:
    with suppress(OSError):  # It is another user's, or deleted by another server.
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
        if _lock(descriptor):
            supervisor.delete_folder(folder)
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def gunicorn(
    listener: socket.socket, *, workers: int, threads: int, folder: str | None = None
) -> Process:
    """Return gunicorn over our application on the supervisor's socket.

    Its workers count requests in *folder* together.
    """
    options = [
        *("--bind", f"fd://{listener.fileno()}"),
        *("--worker-class", "taskbadger.web_worker.BufferingWorker"),
        *("--workers", str(workers), "--threads", str(threads)),
        *("--env", f"TASKBADGER_THREADS={threads}", "--env", "FLASK_DEBUG=0"),
        *("--timeout", "60", "--graceful-timeout", str(GRACEFUL_SECONDS)),
        # Longer than the official SDK keeps an idle connection, so that the SDK closes first.
        *("--keep-alive", "10", "--backlog", str(BACKLOG)),
        # The application evaluates proxy headers (TASKBADGER_PROXY_HOPS).
        *("--forwarded-allow-ips", ""),
        *("--no-control-socket", "--no-sendfile"),
        *("--logger-class", "taskbadger.serving.GunicornLogger"),
    ]
    if os.access(_SHARED_MEMORY, os.W_OK):
        options += ["--worker-tmp-dir", _SHARED_MEMORY]
    command = _python("taskbadger.web_server", *options)
    variables = _allocator_variables()
    if folder is not None:
        variables[http_figures.FOLDER] = folder
    return Process(
        "gunicorn",
        command,
        signal.SIGHUP,
        pass_fds=(listener.fileno(),),
        variables=variables,
    )


def background(settings: Settings, address: str = "", *, has_beat: bool = True) -> list[Process]:
    """Return the background worker: ours, or Celery's two processes when there is a broker.

    Without *has_beat*, Celery's beat runs elsewhere. Links in messages start with *address* where
    no setting says with what: the worker answers no requests, which would tell. Raises
    SettingsError when there is a broker and no Celery.
    """
    variables = {"TASKBADGER_BASE_URL": address} if address and not settings.BASE_URL else {}
    if not settings.BROKER_URL:
        return [_worker("worker", "taskbadger_server", "worker", variables=variables)]
    if find_spec("celery") is None:
        raise SettingsError(
            "TASKBADGER_BROKER_URL needs Celery: pip install 'taskbadger-server[celery]'"
        )
    found = [_worker("celery worker", "taskbadger.worker.celery", "worker", variables=variables)]
    if has_beat:
        found.append(
            _worker("celery beat", "taskbadger.worker.celery", "beat", variables=variables)
        )
    return found


def _worker(name: str, module: str, argument: str, variables: Mapping[str, str]) -> Process:
    variables = {**_allocator_variables(), **variables}
    return Process(name, _python(module, argument), signal.SIGTERM, variables=variables)


def _allocator_variables() -> dict[str, str]:
    """Return what lets glibc give large pieces of memory back, unless the operator has set it.

    Else each thread keeps what it once needed: 19 MB for the hash of a password.
    """
    wanted = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1048576"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", module, *arguments]


def supervise(
    processes: Sequence[Process],
    settings: Settings,
    listener: socket.socket | None = None,
    folder: str | None = None,
) -> Never:
    """Replace this process with a supervisor of *processes*, which deletes *folder* at the end."""
    descriptor = None if listener is None else listener.fileno()
    supervisor.hand_over(
        Plan(processes, descriptor, settings.LOG_LEVEL, logs.format_of(settings), folder)
    )
