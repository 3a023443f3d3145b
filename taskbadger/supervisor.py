"""The supervisor behind ``serve``: it starts, watches and stops the processes of the server.

It owns the listening socket, so that connections wait instead of failing while gunicorn is
replaced. It runs as long as the server, so it imports little but the standard library:
``hand_over`` replaces the process that has prepared everything with it.
"""

import ctypes
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Never

from taskbadger.log_lines import LineFormatter

log = logging.getLogger("taskbadger.supervisor")

GRACEFUL_SECONDS = 30
"""How long running requests may take after TERM or HUP."""
STOP_SECONDS = GRACEFUL_SECONDS + 10
"""How long a child may take to stop before it is killed."""
STEADY_SECONDS = 10.0
"""A child that ran this long is restarted at once; otherwise with exponential backoff."""
MAX_BACKOFF_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1
_FOR_US = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
"""Variables of systemd that are not for our children."""
_HANDLED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a supervisor is to do: the processes, and how to log."""

    processes: Sequence["Process"]
    listener: int | None
    """The descriptor of the listening socket."""
    log_level: str
    log_format: str
    """``json`` or ``console``."""
    folder: str | None = None
    """A folder of files that is deleted at the end."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process to keep alive."""

    name: str
    command: Sequence[str]
    reload: int
    """The signal that makes it reload."""
    pass_fds: Sequence[int] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables in addition to ours."""


@dataclass(slots=True)
class Child:
    """The running instance of a process."""

    process: Process
    pid: int | None = None
    """The process, a session leader; None while it is not running."""
    due: float = 0.0
    """When to start it, on the monotonic clock."""
    _started: float = 0.0
    _failures: int = 0

    def start(self) -> None:
        """Start the process."""
        started = subprocess.Popen(  # noqa: S603 - our own commands
            self.process.command,
            start_new_session=True,
            pass_fds=self.process.pass_fds,
            env={
                **{name: value for name, value in os.environ.items() if name not in _FOR_US},
                **self.process.variables,
            },
            preexec_fn=_die_with(os.getpid()),  # Safe, because there are no threads.
        )
        started.returncode = 0  # The supervisor reaps it.
        self.pid = started.pid
        self._started = time.monotonic()
        log.info("started", extra={"child": self.process.name, "pid": self.pid})

    def send(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """Record that the process ended, and schedule its restart."""
        now = time.monotonic()
        steady = now - self._started >= STEADY_SECONDS
        self._failures = 0 if steady else self._failures + 1
        wait = min(2.0 ** max(self._failures - 1, 0) - 1, MAX_BACKOFF_SECONDS)
        self.due = now + wait
        self.sweep(signal.SIGTERM)
        code = os.waitstatus_to_exitcode(status)
        level = logging.WARNING if code else logging.INFO
        log.log(level, "ended", extra={"child": self.process.name, "pid": self.pid, "code": code})
        self.pid = None

    def sweep(self, number: signal.Signals) -> None:
        """Send a signal to every remaining process of the session."""
        if self.pid is None:
            return
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # None is left; on macOS also if only a zombie is.


@dataclass(slots=True)
class Supervisor:
    """Keeps *children* running until TERM or INT; HUP is passed on."""

    children: Sequence[Child]
    listener: int | None = None
    """The descriptor of the listening socket."""
    _stopping: bool = field(default=False)

    def run(self) -> None:
        """Run until TERM or INT, then stop all children; a second signal kills them."""
        with _signals() as wait:
            self._start_due()
            tell_systemd("READY=1")
            while not self._stopping:
                self._start_due()
                self._react(wait(self._seconds_to_next_start()))
            self._stop(wait)

    def _start_due(self) -> None:
        for child in self.children:
            if child.pid is None and child.due <= time.monotonic():
                child.start()

    def _seconds_to_next_start(self) -> float | None:
        waits = [child.due - time.monotonic() for child in self.children if child.pid is None]
        return max(0.0, min(waits)) if waits else None

    def _react(self, numbers: set[int]) -> None:
        self._reap()
        if signal.SIGHUP in numbers:
            log.info("reloading")
            tell_systemd(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            for child in self.children:
                child.send(child.process.reload)
            tell_systemd("READY=1")
        if numbers & {signal.SIGINT, signal.SIGTERM}:
            self._stopping = True

    def _reap(self) -> None:
        for pid, status in _dead_processes():
            for child in self.children:
                if child.pid == pid:
                    child.ended(status)

    def _stop(self, wait: Callable[[float | None], set[int]]) -> None:
        log.info("stopping")
        tell_systemd("STOPPING=1")
        if self.listener is not None:
            os.close(self.listener)  # Refuse new connections at once.
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


def delete_folder(path: str) -> None:
    """Delete a folder of files; what cannot be deleted stays."""
    with suppress(OSError):
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


def tell_systemd(state: str) -> None:
    """Tell systemd about us, if it has asked for that: see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), address)


def _dead_processes() -> Iterator[tuple[int, int]]:
    """Reap ended children, including those inherited as process 1 of a container."""
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
    """Handle signals synchronously: the given function waits, and returns their numbers."""
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
    """Do nothing: the number of the signal arrives through the wake-up pipe."""


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return a function that makes a child end with *parent*, even if killed; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:  # pragma: no cover - runs between fork and exec
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def hand_over(plan: Plan) -> Never:
    """Replace this process with a supervisor: the same process id, and a fraction of the memory."""
    reader, writer = os.pipe()
    os.set_inheritable(reader, True)
    os.write(writer, json.dumps(asdict(plan)).encode())
    sys.stdout.flush()
    logging.shutdown()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # A reload now would change nothing.
    # -P: the current folder may contain anything.
    os.execv(  # noqa: S606 - ourselves
        sys.executable, [sys.executable, "-P", "-m", "taskbadger.supervisor", str(reader)]
    )


def read_plan(descriptor: int) -> Plan:
    """Return the plan that ``hand_over`` has written to *descriptor*."""
    values = json.loads(os.read(descriptor, 65536))
    os.close(descriptor)
    processes = [Process(**process) for process in values.pop("processes")]
    return Plan(processes, **values)


def _is_for_people(record: logging.LogRecord) -> bool:
    """Say whether people want a line: not what each start and each stop says of every process."""
    return record.levelno > logging.INFO or record.msg not in ("started", "ended")


def main(descriptor: str) -> None:
    """Run the supervisor by the plan that ``hand_over`` has written to *descriptor*."""
    plan = read_plan(int(descriptor))
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter(plan.log_format))
    log.addHandler(handler)
    log.setLevel(plan.log_level)
    if plan.log_format == "console":
        log.addFilter(_is_for_people)
    Supervisor([Child(process) for process in plan.processes], plan.listener).run()
    if plan.folder is not None:
        delete_folder(plan.folder)


if __name__ == "__main__":
    main(sys.argv[1])
