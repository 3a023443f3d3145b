"""The supervisor behind ``serve``: gunicorn and the background worker as its children.

The supervisor owns the listening socket, so that connections wait instead of failing while
gunicorn is replaced. It knows nothing of tasks: it only starts, watches and stops processes.
"""

import ctypes
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from gunicorn import glogging

from taskbadger import logs
from taskbadger.errors import SettingsError
from taskbadger.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 2048
GRACEFUL_SECONDS = 30
"""How long requests that are under way may take after TERM or HUP."""
STOP_SECONDS = GRACEFUL_SECONDS + 10
"""How long a child may take to stop before it is killed."""
STEADY_SECONDS = 10.0
"""A child that ran this long is restarted at once; one that ran shorter waits ever longer."""
LONGEST_WAIT_SECONDS = 30.0
MOST_WORKERS = 8
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - gunicorn makes its own files there, unlinked at once
_PR_SET_PDEATHSIG = 1
_HANDLED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


class GunicornLogger(glogging.Logger):  # type: ignore[misc]  # gunicorn ships no types
    """Sends gunicorn's own messages the way of ours; the request lines are ``logs.py``'s."""

    def setup(self, cfg: Any) -> None:
        """Follow gunicorn's configuration, and the server's settings for the format."""
        super().setup(cfg)
        logs.configure(Settings.from_env())
        self.error_log.handlers[:] = []
        self.error_log.propagate = True


@dataclass(slots=True)
class Child:
    """A process to keep alive. *reload* is the signal that makes it take up what is new."""

    name: str
    command: Sequence[str]
    reload: signal.Signals
    pass_fds: tuple[int, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """What its environment has besides ours."""
    pid: int | None = None
    """The process, which leads a session of its own; None while there is none."""
    due: float = 0.0
    """When to start it, on the monotonic clock."""
    _started: float = 0.0
    _failures: int = 0

    def start(self) -> None:
        """Start the process."""
        process = subprocess.Popen(  # noqa: S603 - our own commands
            self.command,
            start_new_session=True,
            pass_fds=self.pass_fds,
            env={**os.environ, **self.variables},
            preexec_fn=_die_with(os.getpid()),  # Safe: there are no threads here.
        )
        process.returncode = 0  # The supervisor reaps by itself.
        self.pid = process.pid
        self._started = time.monotonic()
        log.info("started", extra={"child": self.name, "pid": self.pid})

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """Note that the process is gone; say when the next one starts."""
        now = time.monotonic()
        steady = now - self._started >= STEADY_SECONDS
        self._failures = 0 if steady else self._failures + 1
        wait = min(2.0 ** max(self._failures - 1, 0) - 1, LONGEST_WAIT_SECONDS)
        self.due = now + wait
        self.sweep(signal.SIGTERM)
        code = os.waitstatus_to_exitcode(status)
        level = logging.WARNING if code else logging.INFO
        log.log(level, "ended", extra={"child": self.name, "pid": self.pid, "code": code})
        self.pid = None

    def sweep(self, number: signal.Signals) -> None:
        """Send a signal to all that is left of the process's session."""
        if self.pid is None:
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # Nothing is left, or, on macOS, nothing but a zombie.


@dataclass(slots=True)
class Supervisor:
    """Keeps *children* running until TERM or INT; HUP is passed on."""

    children: Sequence[Child]
    listener: socket.socket | None = None
    _stopping: bool = field(default=False)

    def run(self) -> None:
        """Run until TERM or INT, then stop all children; a second signal kills them."""
        with _signals() as wait:
            while not self._stopping:
                self._start_due()
                self._react(wait(self._patience()))
            self._stop(wait)

    def _start_due(self) -> None:
        for child in self.children:
            if child.pid is None and child.due <= time.monotonic():
                child.start()

    def _patience(self) -> float | None:
        waits = [child.due - time.monotonic() for child in self.children if child.pid is None]
        return max(0.0, min(waits)) if waits else None

    def _react(self, numbers: set[int]) -> None:
        self._reap()
        if signal.SIGHUP in numbers:
            log.info("reloading")
            for child in self.children:
                child.send(child.reload)
        if numbers & {signal.SIGINT, signal.SIGTERM}:
            self._stopping = True

    def _reap(self) -> None:
        for pid, status in _dead_processes():
            for child in self.children:
                if child.pid == pid:
                    child.ended(status)

    def _stop(self, wait: Callable[[float | None], set[int]]) -> None:
        log.info("stopping")
        if self.listener is not None:
            self.listener.close()  # New connections are refused at once, not left to wait.
        for child in self.children:
            child.send(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(child.pid is not None for child in self.children):
            numbers = wait(max(0.0, deadline - time.monotonic()))
            self._reap()
            if numbers & {signal.SIGINT, signal.SIGTERM} or time.monotonic() >= deadline:
                break
        for child in self.children:
            child.sweep(signal.SIGKILL)
        log.info("stopped")


def _dead_processes() -> Iterator[tuple[int, int]]:
    """Reap every child that ended, also those inherited as process 1 of a container."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


@contextmanager
def _signals() -> Iterator[Callable[[float | None], set[int]]]:
    """Turn signals into the return value of a function that waits for them."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {number: signal.signal(number, _ignore) for number in _HANDLED}
    old = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def wait(seconds: float | None) -> set[int]:
        select.select([reader], [], [], seconds)
        try:
            return set(os.read(reader, 4096))
        except BlockingIOError:
            return set()

    try:
        yield wait
    finally:
        signal.set_wakeup_fd(old)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)


def _ignore(_number: int, _frame: Any) -> None:
    """Stand in for a handler: the wake-up pipe says which signal came."""


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what makes a child end when *parent* does, however that came; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:  # pragma: no cover - runs between fork and exec
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def listen(bind: str) -> socket.socket:
    """Return a listening socket for ``HOST:PORT``; raises SettingsError."""
    host, port = parse_bind(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        # Python adds the address to the text of the system, which stands here already.
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
    """Return the URL of a listening socket, as one would type it into a browser here."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def default_workers() -> int:
    """Return how many web workers suit this machine: one per processor, 2 to 8."""
    available = getattr(os, "sched_getaffinity", lambda _pid: range(os.cpu_count() or 1))
    return min(max(len(available(0)), 2), MOST_WORKERS)


def gunicorn(listener: socket.socket, *, workers: int, threads: int) -> Child:
    """Return gunicorn over ``wsgi:app`` on the supervisor's socket."""
    command = [
        *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"),
        *("--worker-class", "gthread", "--workers", str(workers), "--threads", str(threads)),
        *("--env", f"TASKBADGER_THREADS={threads}", "--env", "FLASK_DEBUG=0"),
        *("--timeout", "60", "--graceful-timeout", str(GRACEFUL_SECONDS)),
        # Longer than the official SDK keeps an idle connection, so that it is the one to close.
        *("--keep-alive", "10", "--backlog", str(BACKLOG)),
        # The proxy headers are the application's to judge (TASKBADGER_PROXY_HOPS).
        *("--forwarded-allow-ips", ""),
        "--no-control-socket",
        *("--logger-class", "taskbadger.serving.GunicornLogger"),
    ]
    if os.access(_SHARED_MEMORY, os.W_OK):
        command += ["--worker-tmp-dir", _SHARED_MEMORY]
    return Child(
        "gunicorn", [*command, "wsgi:app"], reload=signal.SIGHUP, pass_fds=(listener.fileno(),)
    )


def background(settings: Settings, address: str = "") -> list[Child]:
    """Return the background worker: ours, or Celery's two processes when there is a broker.

    Links in its messages start with *address* where no setting says with what: it answers no
    requests, which would tell. Raises SettingsError when there is a broker and no Celery.
    """
    variables = {"TASKBADGER_BASE_URL": address} if address and not settings.BASE_URL else {}
    if not settings.BROKER_URL:
        return [_python("worker", "taskbadger.cli", "worker", variables=variables)]
    if find_spec("celery") is None:
        raise SettingsError(
            "TASKBADGER_BROKER_URL needs Celery: pip install 'taskbadger-server[celery]'"
        )
    return [
        _python("celery worker", "taskbadger.worker.celery", "worker", variables=variables),
        _python("celery beat", "taskbadger.worker.celery", "beat", variables=variables),
    ]


def _python(name: str, module: str, *arguments: str, variables: Mapping[str, str]) -> Child:
    command = [sys.executable, "-m", module, *arguments]
    return Child(name, command, reload=signal.SIGTERM, variables=variables)
