"""Many slow clients of each kind beside a healthy one, against ``serve`` alone."""

import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from conftest import make_key_of
from processes import Server, serve, wait_until
from test_serving import is_ready
from test_web_worker import SLOW

CLIENTS = int(os.environ.get("TASKBADGER_TEST_SLOW_CLIENTS", "50"))
"""Slow clients of each kind; ``make faults`` asks for more."""
REQUESTS = 5 * CLIENTS

pytestmark = pytest.mark.timeout(300 + CLIENTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server and a key for it."""
    home = tmp_path_factory.mktemp("slow")
    url = f"sqlite:///{home}/test.db"
    options = ("--workers", "2", "--no-worker")
    with serve(home, *options, TASKBADGER_DATABASE_URL=url) as server:
        wait_until(lambda: is_ready(server), "a server")
        yield server, make_key_of(url)


def measure(address: str, key: str) -> list[float]:
    """Return how long each request of a healthy client took, in seconds, sorted."""
    parts = urlsplit(address)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    took = []
    for _ in range(REQUESTS):
        started = time.monotonic()
        client.request("GET", "/api/acme/web/tasks/", headers={"Authorization": f"Bearer {key}"})
        answer = client.getresponse()
        answer.read()
        took.append(time.monotonic() - started)
        assert answer.status == 200
    client.close()
    return sorted(took)


def p99(took: list[float]) -> float:
    return took[len(took) * 99 // 100]


def is_idle(server: Server) -> bool:
    def used() -> float:
        return sum(sum(child.cpu_times()[:2]) for child in server.gunicorn.children())

    before = used()
    time.sleep(0.5)
    return used() - before < 0.05


@pytest.mark.parametrize("kind", SLOW)
def test_healthy_client_is_served_beside_slow_ones(
    server: tuple[Server, str], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    running, key = server
    parts = urlsplit(running.address)
    workers = {child.pid for child in running.gunicorn.children()}
    measure(running.address, key)
    usual = measure(running.address, key)
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect((parts.hostname, parts.port))
            client.sendall(SLOW[kind])
        time.sleep(1)
        wait_until(lambda: is_idle(running), "an end of what the slow clients may ask for")
        beside = measure(running.address, key)

    with capsys.disabled():
        sys.stdout.write(
            f"\nslow clients, {kind}: {CLIENTS} beside {REQUESTS} healthy requests, all answered;"
            f" p99 {p99(beside) * 1000:.1f} ms, usually {p99(usual) * 1000:.1f} ms\n"
        )
    assert {child.pid for child in running.gunicorn.children()} == workers
