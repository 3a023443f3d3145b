"""The address of a ``serve`` that ends: free for the next one before the last answer is sent."""

import signal
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from conftest import make_key_of
from processes import Server, serve, wait_until
from test_serving import is_ready
from test_web_worker import connect, creation, read_answer


def stop(server: Server) -> None:
    server.process.send_signal(signal.SIGTERM)


def kill_supervisor(server: Server) -> None:
    server.process.kill()


def kill_supervisor_and_gunicorn(server: Server) -> None:
    gunicorn = server.gunicorn
    psutil.Process(server.process.pid).suspend()  # Or it would start another one in between.
    gunicorn.kill()
    server.process.kill()


@pytest.mark.parametrize("end", [stop, kill_supervisor, kill_supervisor_and_gunicorn])
def test_address_is_free_while_a_request_is_still_answered(
    tmp_path: Path, end: Callable[[Server], None]
) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    with serve(tmp_path, "--workers", "1", "--no-worker", TASKBADGER_DATABASE_URL=url) as server:
        wait_until(lambda: is_ready(server), "a server")
        request = creation(make_key_of(url), '{"name": "job"}')
        with connect(server) as client:
            client.sendall(request[:-1])
            assert is_ready(server)  # So the worker has accepted the connection before this one.

            end(server)

            wait_until(lambda: can_listen(server), "the address")
            client.sendall(request[-1:])
            status, task = read_answer(client)
            assert client.recv(1) == b""
        server.process.wait()

    assert (status, task["name"]) == (201, "job")


def can_listen(server: Server) -> bool:
    parts = urlsplit(server.address)
    try:
        socket.create_server((str(parts.hostname), int(parts.port or 0))).close()
    except OSError:
        return False
    return True
