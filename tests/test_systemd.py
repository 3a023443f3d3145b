"""Under systemd: the unit is valid and hardened, and ``serve`` talks to its manager."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from processes import TIME_LIMIT, run_process, run_server, serve, wait_until

UNIT = ROOT / "deploy" / "taskbadger.service"
SOCKET = ROOT / "deploy" / "taskbadger.socket"
MOST_EXPOSED = 1.5
"""On systemd's scale from 0 to 10; less is better."""


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"the program {name} is not installed, and CI must have it")
        pytest.skip(f"the program {name} is not installed")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_units_are_valid(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    # It looks for the program, which is installed elsewhere here.
    unit = UNIT.read_text().replace("/opt/taskbadger/bin/taskbadger-server", sys.executable)
    (tmp_path / UNIT.name).write_text(unit)
    shutil.copy(SOCKET, tmp_path)

    said = run(analyze, "verify", "--man=no", tmp_path / UNIT.name, tmp_path / SOCKET.name)

    assert [line for line in said.splitlines() if "taskbadger" in line] == []


def test_the_service_is_hardened() -> None:
    analyze = program("systemd-analyze")
    said = run(analyze, "security", "--offline=true", "--no-pager", UNIT)

    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert level is not None
    assert float(level[1]) <= MOST_EXPOSED, said


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    """A socket for what services say to systemd, with an abstract address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # The kernel chooses.
        listening.settimeout(TIME_LIMIT)
        yield listening


def test_serve_says_when_it_is_ready_reloads_and_stops(
    manager: socket.socket, tmp_path: Path
) -> None:
    address = f"@{manager.getsockname()[1:].decode()}"
    with serve(tmp_path, NOTIFY_SOCKET=address) as server:
        said = [manager.recv(1000).decode()]
        assert server.get("/readyz")[0] == 200
        server.process.send_signal(signal.SIGHUP)
        said += [manager.recv(1000).decode() for _ in range(2)]
        assert server.stop() == 0
        said.append(manager.recv(1000).decode())

    words = [re.sub(r"\d+$", "…", each) for each in said]
    assert words == ["READY=…", "RELOADING=1\nMONOTONIC_USEC=…", "READY=…", "STOPPING=…"]


def test_serve_takes_the_socket_that_systemd_passes(tmp_path: Path) -> None:
    activate = program("systemd-socket-activate")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (
        *(activate, f"--listen=127.0.0.1:{port}", "--setenv=TASKBADGER_SECRET_KEY"),
        *(sys.executable, "-P", "-m", "taskbadger_server"),
        *("serve", "--workers", "1", "--no-worker", "--bind", "127.0.0.1:1"),
    )
    with run_process(tmp_path, command, {}) as server:
        wait_until(lambda: "Listening on" in server.log.read_text(), "systemd-socket-activate")
        # The first connection starts it, and waits meanwhile.
        with socket.create_connection(("127.0.0.1", port), TIME_LIMIT) as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            client.settimeout(TIME_LIMIT)
            answer = b"".join(iter(lambda: client.recv(4096), b""))

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("count", ["0", "2", "x"])
def test_anything_but_one_socket_is_an_error(tmp_path: Path, count: str) -> None:
    code = (
        "import os, runpy, sys\n"
        f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS={count!r})\n"
        "sys.argv = ['taskbadger-server', 'serve']\n"
        "runpy.run_module('taskbadger_server', run_name='__main__')\n"
    )
    (tmp_path / "start.py").write_text(code)

    done = run_server("serve", home=tmp_path, module=("start",), PYTHONPATH=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == "Error: LISTEN_FDS: systemd must pass exactly one socket\n"
