"""What ``serve`` runs: gunicorn on a listening socket, and the background worker.

Each runs with Python's option -P, so that a module in the current folder never stands in for one
of the server's.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Never

from gunicorn import glogging

from taskbadger import logs, supervisor
from taskbadger.errors import SettingsError
from taskbadger.settings import Settings
from taskbadger.supervisor import GRACEFUL_SECONDS, Plan, Process

BACKLOG = 2048
MAX_WORKERS = 8
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes its own files there, unlinked at once


class GunicornLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Routes gunicorn's messages to our logs; ``logs.py`` writes the line per request."""

    def setup(self, cfg: Any) -> None:
        """Apply gunicorn's configuration, and our settings for the format."""
        super().setup(cfg)
        logs.configure(Settings.from_env())
        self.error_log.handlers[:] = []
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


def default_workers() -> int:
    """Return the default number of web workers: one per processor, from 2 to 8."""
    available = getattr(os, "sched_getaffinity", lambda _pid: range(os.cpu_count() or 1))
    return min(max(len(available(0)), 2), MAX_WORKERS)


def gunicorn(listener: socket.socket, *, workers: int, threads: int) -> Process:
    """Return gunicorn over our application on the supervisor's socket."""
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
    return Process(
        "gunicorn",
        command,
        signal.SIGHUP,
        pass_fds=(listener.fileno(),),
        variables=_allocator_variables(),
    )


def background(settings: Settings, address: str = "") -> list[Process]:
    """Return the background worker: ours, or Celery's two processes when there is a broker.

    Links in its messages start with *address* where no setting says with what: it answers no
    requests, which would tell. Raises SettingsError when there is a broker and no Celery.
    """
    variables = {"TASKBADGER_BASE_URL": address} if address and not settings.BASE_URL else {}
    if not settings.BROKER_URL:
        return [_worker("worker", "taskbadger_server", "worker", variables=variables)]
    if find_spec("celery") is None:
        raise SettingsError(
            "TASKBADGER_BROKER_URL needs Celery: pip install 'taskbadger-server[celery]'"
        )
    return [
        _worker("celery worker", "taskbadger.worker.celery", "worker", variables=variables),
        _worker("celery beat", "taskbadger.worker.celery", "beat", variables=variables),
    ]


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
    processes: Sequence[Process], settings: Settings, listener: socket.socket | None = None
) -> Never:
    """Replace this process with a supervisor of *processes*."""
    descriptor = None if listener is None else listener.fileno()
    supervisor.hand_over(Plan(processes, descriptor, settings.LOG_LEVEL, settings.LOG_FORMAT))
