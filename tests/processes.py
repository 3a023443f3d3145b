"""Real server processes, for tests that start, signal and kill them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from conftest import SECRET_KEY

TIME_LIMIT = 120.0
"""Seconds to wait for something that may be slow on a busy machine."""


def wait_until(done: Callable[[], Any], what: str) -> Any:
    """Return the first true result of *done*; raises AssertionError if none comes in time."""
    deadline = time.monotonic() + TIME_LIMIT
    while not (result := done()):
        assert time.monotonic() < deadline, f"waited {TIME_LIMIT:.0f} s in vain for {what}"
        time.sleep(0.05)
    return result


def lives(process: psutil.Process) -> bool:
    """Say whether a process has not ended; a zombie has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a server: ours, with *variables* as the only settings."""
    clean = {name: value for name, value in os.environ.items() if "TASKBADGER" not in name}
    return {**clean, "TASKBADGER_SECRET_KEY": SECRET_KEY, "PYTHONUNBUFFERED": "1", **variables}


def run_server(
    *arguments: str,
    home: Path,
    stdin: str = "",
    module: Sequence[str] = ("taskbadger_server",),
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run a ``taskbadger-server`` command in the directory *home* until it ends."""
    return subprocess.run(
        [sys.executable, "-m", *module, *arguments],
        cwd=home,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


def install_plugin(folder: Path, name: str, source: str) -> None:
    """Lay a package into *folder* as pip does: the module, and what describes it beside."""
    (folder / f"taskbadger_{name}.py").write_text(source)
    described = folder / f"taskbadger_{name}-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: taskbadger-{name}\nVersion: 1.0\n"
    )
    (described / "entry_points.txt").write_text(
        f"[taskbadger.plugins]\n{name} = taskbadger_{name}:register\n"
    )


@dataclass
class Server:
    """A running ``taskbadger-server serve``."""

    process: subprocess.Popen[bytes]
    output: Path
    log: Path

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log, one JSON object per line."""
        whole = self.log.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines whose event starts with *event*."""
        return [line for line in self.lines if line["event"].startswith(event)]

    @property
    def address(self) -> str:
        """The URL that it listens on."""
        listening = re.compile(r"Listening at: (https?://[0-9.:]+)")
        found = wait_until(lambda: listening.search(self.log.read_text()), "a listener")
        return str(found.group(1))

    @property
    def gunicorn(self) -> psutil.Process:
        """The current master process of gunicorn."""
        started = [line for line in self.said("started") if line["child"] == "gunicorn"]
        return psutil.Process(started[-1]["pid"])

    def family(self) -> list[psutil.Process]:
        """Return all processes below the supervisor."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def request(
        self, method: str, path: str, *, key: str = "", json_body: Any = None
    ) -> tuple[int, bytes]:
        """Send a request; return status and body."""
        data = None if json_body is None else json.dumps(json_body).encode()
        request = urllib.request.Request(self.address + path, data=data, method=method)
        request.add_header("Content-Type", "application/json")
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=TIME_LIMIT) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def get(self, path: str, *, key: str = "") -> tuple[int, bytes]:
        """Return status and body of a GET."""
        return self.request("GET", path, key=key)

    def kill(self) -> None:
        """Kill the supervisor and all processes below it."""
        for process in [psutil.Process(self.process.pid), *self.family()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send TERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(TIME_LIMIT)


def serve(home: Path, *arguments: str, **variables: str) -> AbstractContextManager[Server]:
    """Run ``serve`` on a free port in the directory *home* until the block ends.

    It has one web worker unless *arguments* say otherwise: to start one takes seconds.
    """
    usual = ("--bind", "127.0.0.1:0", "--workers", "1")
    command = ("taskbadger_server", "serve", *usual, *arguments)
    return run_module(home, command, variables)


def gunicorn(home: Path, *options: str, **variables: str) -> AbstractContextManager[Server]:
    """Run gunicorn alone on a free port in the directory *home* until the block ends."""
    command = ("gunicorn", "--no-control-socket", "--bind", "127.0.0.1:0", *options, "wsgi:app")
    return run_module(home, command, variables)


@contextmanager
def run_module(home: Path, command: Sequence[str], variables: dict[str, str]) -> Iterator[Server]:
    """Run ``python -m`` *command* in the directory *home* until the block ends.

    With -P, modules are not looked for in *home*, as with an installed command.
    """
    with run_process(home, (sys.executable, "-P", "-m", *command), variables) as server:
        yield server


@contextmanager
def run_process(
    home: Path, command: Sequence[str | Path], variables: dict[str, str]
) -> Iterator[Server]:
    """Run *command*, which serves, in the directory *home* until the block ends."""
    home.mkdir(exist_ok=True)
    with (home / "output").open("wb") as output, (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=environment(**variables),
            stdout=output,
            stderr=log,
        )
    server = Server(process, home / "output", home / "log")
    family: list[psutil.Process] = []
    try:
        yield server
        if process.poll() is None:
            family = server.family()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(TIME_LIMIT)
            finally:
                process.kill()
                process.wait()
        for member in family:
            if member.is_running():
                member.kill()
