"""A ``serve`` that is killed, in part or as a whole, and restarted if nothing else does it."""

import json
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from clusters import free_port
from processes import TIME_LIMIT, Server, lives, run_module, wait_until

OPTIONS = ("--workers", "2", "--threads", "4")
GUNICORN = "taskbadger.web_server"
BACKGROUND_WORKER = "taskbadger_server"
TAKEN = "Address already in use"


@dataclass
class RestartingServer:
    """The server of a trial, always on the same port."""

    home: Path
    variables: dict[str, str]
    port: int = field(default_factory=free_port)
    starts: int = 0
    taken: int = 0
    """How many starts failed because the one before still held the port."""
    ends: set[int] = field(default_factory=set)
    """The process ids of the supervisors that were killed."""
    _running: ExitStack = field(default_factory=ExitStack)
    _server: Server | None = None

    def __enter__(self) -> "RestartingServer":
        self.home.mkdir()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        for process in self.remaining():
            with suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def server(self) -> Server:
        """The one that was started last."""
        assert self._server is not None
        return self._server

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start a server in a folder of its own, which gets its logs."""
        self._running.close()
        self.starts += 1
        command = ("taskbadger_server", "serve", "--bind", f"127.0.0.1:{self.port}", *OPTIONS)
        home = self.home / f"start {self.starts:04}"
        self._server = self._running.enter_context(run_module(home, command, self.variables))

    def keep(self) -> None:
        """Start the server again if it has ended: killed, or its port was still taken.

        Raises AssertionError if it ended for any other reason.
        """
        process = self.server.process
        if process.poll() is None:
            return
        if process.pid not in self.ends:
            log = self.server.log.read_text()
            assert TAKEN in log, f"the server ended with {process.returncode}: {log[-2000:]}"
            self.taken += 1
        self.start()

    def stop(self) -> int:
        """Send TERM to the server; return its exit status."""
        self.server.process.send_signal(signal.SIGTERM)
        return self.server.process.wait(TIME_LIMIT)

    def remaining(self) -> list[psutil.Process]:
        """Return all processes that work in the folders of this server, of all its starts."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.home) and lives(process):
                    found.append(process)
        return found

    def wait_for_end(self) -> None:
        """Wait until no process is left; raises AssertionError, which says what each does."""
        try:
            wait_until(lambda: not self.remaining(), "the end of all processes")
        except AssertionError as error:
            raise AssertionError("\n\n".join(map(_describe, self.remaining()))) from error

    def kill_web_worker(self) -> bool:
        """Kill one of gunicorn's workers; like the other methods, say whether there was one."""
        return _kill_any(
            [worker for master in self._children(GUNICORN) for worker in _below(master)]
        )

    def kill_gunicorn(self) -> bool:
        """Kill gunicorn's master process."""
        return _kill_any(self._children(GUNICORN))

    def kill_background_worker(self) -> bool:
        return _kill_any(self._children(BACKGROUND_WORKER))

    def kill_supervisor(self) -> bool:
        """Kill the process that was started, and start another one at once."""
        return self._replace(self.server.process.kill)

    def kill_all(self) -> bool:
        """Kill the whole tree of processes, and start another one at once."""
        return self._replace(self.server.kill)

    def _replace(self, kill: Callable[[], None]) -> bool:
        process = self.server.process
        if process.poll() is not None:
            return False
        self.ends.add(process.pid)
        kill()
        process.wait()
        self.start()
        return True

    def _children(self, module: str) -> list[psutil.Process]:
        with suppress(psutil.Error):
            supervisor = psutil.Process(self.server.process.pid)
            return [child for child in supervisor.children() if module in child.cmdline()]
        return []

    def wait_for_worker(self) -> None:
        """Wait until a background worker runs."""

        def runs() -> bool:
            self.keep()
            started = {line["pid"] for line in _read_starts(self.server.log)}
            return any(child.pid in started for child in self._children(BACKGROUND_WORKER))

        wait_until(runs, "a background worker")

    def worker_starts(self) -> list[datetime]:
        """Return when each background worker began to work."""
        logs = sorted(self.home.glob("*/log"))
        starts = [line for log in logs for line in _read_starts(log)]
        return [datetime.fromisoformat(line["timestamp"]) for line in starts]


def _read_starts(log: Path) -> Iterator[dict[str, Any]]:
    """Read what background workers logged when they began."""
    for text in log.read_text().splitlines():
        with suppress(ValueError):  # A refusal is no JSON.
            line = json.loads(text)
            if line["event"] == "worker started":
                yield line


def _describe(process: psutil.Process) -> str:
    """Return what is known of a process that should have ended."""
    with suppress(psutil.Error, OSError):
        home, started = Path(process.cwd()), datetime.fromtimestamp(process.create_time(), UTC)
        facts = (process.pid, process.ppid(), process.status(), started.isoformat())
        status = Path(f"/proc/{process.pid}/status").read_text()
        signals = [
            line for line in status.splitlines() if line.startswith(("Sig", "Shd", "Threads"))
        ]
        log = (home / "log").read_text()[-3000:]
        return "\n".join([f"{facts} in {home.name}: {process.cmdline()}", *signals, log])
    return f"{process.pid} has ended"


def _below(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.Error):
        return list(process.children())
    return []


def _kill_any(processes: Sequence[psutil.Process]) -> bool:
    """Kill one of some processes; say whether one was alive."""
    alive = [process for process in processes if lives(process)]
    if not alive:
        return False
    with suppress(psutil.NoSuchProcess):
        random.choice(alive).kill()
        return True
    return False
