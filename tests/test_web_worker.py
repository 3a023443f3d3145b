"""Slow, broken and hostile clients of a real ``serve``, and a healthy one beside them."""

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import make_key_of
from processes import Server, serve, wait_until
from receivers import authority
from test_serving import is_ready

from taskbadger.extensions import sqlite_module

CLIENTS = 60
TASKS = "/api/acme/web/tasks/"
MAX_SECONDS = 10.0
"""How long a healthy request may take beside the others, on a busy machine."""
SHORT = """
from taskbadger import web_worker
web_worker.HEAD_SECONDS = web_worker.BODY_SECONDS = web_worker.WRITE_SECONDS = 1.0
"""
"""A configuration of gunicorn with short time limits."""
IMPATIENT = """
from taskbadger import connections, web_worker
connections.WRITE_SECONDS = web_worker.WRITE_SECONDS = 1.0
"""
LITTLE_MEMORY = """
from taskbadger import web_worker
web_worker.MAX_BUFFERED_BYTES, web_worker.SMALL_BYTES = 100_000, 1000
"""


@contextmanager
def running(home: Path, url: str, config: str = "", **variables: str) -> Iterator[Server]:
    """Run ``serve`` with two threads in all, and check that its worker is the same at the end."""
    home.mkdir(exist_ok=True)
    if config:
        (home / "limits.py").write_text(config)
        variables["GUNICORN_CMD_ARGS"] = f"--config {home / 'limits.py'}"
    options = ("--workers", "1", "--threads", "2", "--no-worker")
    with serve(home, *options, TASKBADGER_DATABASE_URL=url, **variables) as server:
        assert wait_until(lambda: is_ready(server), "a server")
        before = worker_ids(server)
        yield server
        if server.process.poll() is None:
            assert worker_ids(server) == before


def worker_ids(server: Server) -> list[int]:
    return [worker.pid for worker in server.gunicorn.children()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("web")
    with running(home, f"sqlite:///{home}/test.db") as server:
        yield server


@pytest.fixture(scope="module")
def short_limits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("web")
    with running(home, f"sqlite:///{home}/test.db", SHORT) as server:
        yield server


def connect(server: Server) -> socket.socket:
    """Connect as a client that takes little of an answer unless it reads."""
    parts = urlsplit(server.address)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect((parts.hostname, parts.port))
    return client


def read_answer(client: socket.socket) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of the next answer."""
    with client.makefile("rb") as stream:
        status = int(stream.readline().split()[1])
        length = 0
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, json.loads(stream.read(length))


def exchange(server: Server, request: bytes) -> tuple[int, dict[str, Any]]:
    with connect(server) as client:
        client.sendall(request)
        return read_answer(client)


def error(code: str, detail: str, kind: str = "client_error") -> dict[str, Any]:
    return {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}


HEAD = b"POST /sign-in HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW: dict[str, bytes] = {
    "silent": b"",
    "headers": HEAD + b"X-Slow:",
    "body": HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "reader": b"GET /api/schema.json HTTP/1.1\r\nHost: x\r\n\r\n" * 30,
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_clients_hold_up_no_other(server: Server, kind: str) -> None:
    clients = [connect(server) for _ in range(8 if kind == "reader" else CLIENTS)]
    for client in clients:
        client.sendall(SLOW[kind])
    time.sleep(1)

    started = time.monotonic()
    answers = [server.get("/healthz")[0] for _ in range(5)]
    seconds = time.monotonic() - started
    for client in clients:
        client.close()

    assert answers == [200] * 5
    assert seconds < MAX_SECONDS


@pytest.mark.parametrize("kind", ["headers", "body", "chunks"])
def test_request_that_does_not_come_in_time_is_a_408(short_limits: Server, kind: str) -> None:
    answer = exchange(short_limits, SLOW[kind])

    assert answer == (408, error("request_timeout", "The request was not received in time."))


def test_client_that_reads_nothing_is_dropped(short_limits: Server) -> None:
    with connect(short_limits) as client:
        client.sendall(SLOW["reader"] * 10)
        connections = short_limits.gunicorn.children()[0].net_connections

        wait_until(lambda: not [c for c in connections() if c.status == "ESTABLISHED"], "an end")


def established(connections: list[Any]) -> list[Any]:
    return [one for one in connections if one.status == "ESTABLISHED"]


def test_long_answers_that_nobody_reads_hold_no_thread_for_long(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    with running(tmp_path, url, IMPATIENT) as server:
        key = make_key_of(url)
        for _ in range(8):
            body = {"name": "job", "data": {"text": "x" * 900_000}}
            assert server.request("POST", TASKS, key=key, json_body=body)[0] == 201
        listing = f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        with ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(connect(server)).sendall(listing.encode())
            connections = server.gunicorn.children()[0].net_connections
            wait_until(lambda: len(established(connections())) == 6, "six clients")
            wait_until(lambda: not established(connections()), "their end")
            status, answer = server.get(TASKS, key=key)
        log = server.log.read_text()

    assert (status, len(json.loads(answer)["results"])) == (200, 8)
    assert "Traceback" not in log


MALFORMED_CHUNKS = [
    b"zz\r\n",
    b"-5\r\nhello\r\n",
    b"\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5;\x00\r\n",
]


@pytest.mark.parametrize("chunk", MALFORMED_CHUNKS)
def test_malformed_chunks_are_a_400(server: Server, chunk: bytes) -> None:
    request = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk

    status, body = exchange(server, request + b"\r\n\r\n")

    assert (status, body) == (400, error("parse_error", "Malformed HTTP request."))


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nAuthorization Bearer tb_secret\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/9.1\r\nHost: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
        (HEAD + b"Expect: a miracle\r\nContent-Length: 5\r\n\r\nhello", 417),
        (HEAD + b"Transfer-Encoding: rot13\r\n\r\n", 501),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\nAuthorization: tb_secret", 501),
        (CHUNKED + b"0\r\nAuthorization Bearer tb_secret\r\n\r\n", 400),
        (HEAD + b"Content-Length: 00000000000000000000100000\r\n\r\n", 400),
    ],
)
def test_broken_http_has_the_standard_shape(
    server: Server, request_bytes: bytes, status: int
) -> None:
    answered, body = exchange(server, request_bytes)

    assert answered == status
    assert list(body) == ["type", "errors"]
    assert [list(found) for found in body["errors"]] == [["code", "detail", "attr"]]
    assert "tb_secret" not in server.log.read_text()


def test_trailers_are_left_out(server: Server) -> None:
    request = CHUNKED.replace(b"/sign-in", b"/api/nothing") + b"2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n"

    answer = exchange(server, request)

    assert answer == (404, error("not_found", "Not found."))


def test_too_large_a_body_is_answered_before_it_came(server: Server) -> None:
    key = make_key_of(f"sqlite:///{server.log.parent}/test.db")
    head = (
        "POST /api/acme/web/tasks/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: 100000000\r\n\r\n"
    )

    status, body = exchange(server, head.encode() + b"x" * 100_000)

    assert (status, body["errors"][0]["code"]) == (413, "payload_too_large")
    assert "the limit of 1048576 bytes" in body["errors"][0]["detail"]


@pytest.mark.parametrize("framing", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_too_large_a_body_is_refused_in_the_order_of_the_contract(
    server: Server, framing: str
) -> None:
    key = make_key_of(f"sqlite:///{server.log.parent}/test.db")
    body = b"x" * 1_100_000
    if "chunked" in framing:
        body = b"%x\r\n%b" % (2 * len(body), body)

    def status_of(path: str, authorization: str) -> int:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"{authorization}{framing}\r\n\r\n"
        return exchange(server, head.encode() + body)[0]

    with_key = f"Authorization: Bearer {key}\r\n"
    assert status_of(TASKS, with_key) == 413
    assert status_of(TASKS, "") == 401
    assert status_of("/api/nothing", with_key) == 404


def test_client_that_expects_a_continue_gets_it_at_once_and_once(server: Server) -> None:
    with connect(server) as client:
        client.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")

        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert client.recv(12) == b"HTTP/1.1 400"


def test_client_of_http_1_0_gets_no_continue(server: Server) -> None:
    head = HEAD.replace(b"1.1", b"1.0")
    with connect(server) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}")

        assert client.recv(12) == b"HTTP/1.0 400"


def test_client_that_resets_its_connection_ends_nothing_else(server: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + HEAD
    for _ in range(30):
        client = connect(server)
        client.sendall(request + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    assert server.get("/healthz")[0] == 200


def test_client_that_goes_before_its_answer_is_no_error(server: Server) -> None:
    for _ in range(50):
        client = connect(server)
        client.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    assert server.get("/readyz")[0] == 200
    assert "a request failed" not in server.log.read_text()


def test_body_in_one_byte_chunks_is_read(server: Server) -> None:
    text = b'{"name": "' + b"x" * 10_000 + b'"}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in text)
    head = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

    with connect(server) as client:
        client.sendall(head + chunks + b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(partial(client.recv, 10_000), b""))

    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"400", b"200"]


def test_empty_lines_do_not_prolong_the_time_for_the_headers(short_limits: Server) -> None:
    with connect(short_limits) as client:
        client.settimeout(0.3)
        begin, answer = time.monotonic(), b""
        while not answer and time.monotonic() < begin + MAX_SECONDS:
            client.sendall(b"\r\n")
            with suppress(TimeoutError):
                answer = client.recv(12)

    assert answer == b"HTTP/1.1 408"


def test_gunicorn_s_own_tls_works(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_bytes(authority().server_pem)
    options = f"--certfile {tmp_path}/server.pem --keyfile {tmp_path}/server.pem"

    def answer(server: Server) -> bytes:
        parts = urlsplit(server.address)
        with (
            socket.create_connection((parts.hostname or "", parts.port or 0), 10) as plain,
            authority().client.wrap_socket(plain, server_hostname=parts.hostname) as client,
        ):
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            return client.recv(15)

    arguments = ("--workers", "1", "--no-worker")
    with serve(tmp_path, *arguments, GUNICORN_CMD_ARGS=options) as server:
        assert wait_until(lambda: server.address, "an address")
        assert wait_until(lambda: answer(server) == b"HTTP/1.1 200 OK", "an answer")


def test_requests_sent_together_are_answered_in_turn(server: Server) -> None:
    requests = [b"/healthz", b"/api/none", b"/healthz", b"/readyz"]

    with connect(server) as client:
        for path in requests:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = b""
        while answers.count(b"HTTP/1.1 ") < 4 or b'"ready"' not in answers:
            answers += client.recv(10_000)

    statuses = [int(part.split(b" ")[0]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 404, 200, 200]


def test_request_in_parts_on_a_kept_connection(server: Server) -> None:
    parts = [b"GET /heal", b"thz HTTP/1.1\r\nHo", b"st: x\r\n\r", b"\n"]

    with connect(server) as client:
        answers = []
        for _ in range(3):
            for part in parts:
                client.sendall(part)
                time.sleep(0.02)
            answers.append(read_answer(client))

    assert answers == [(200, {"status": "ok"})] * 3


def test_full_worker_closes_the_connection_that_waited_longest(tmp_path: Path) -> None:
    config = "worker_connections = 20"
    with running(tmp_path, f"sqlite:///{tmp_path}/test.db", config) as server:
        clients = [connect(server) for _ in range(50)]

        assert server.get("/healthz")[0] == 200
        assert clients[0].recv(1) == b""
        for client in clients:
            client.close()


def test_full_worker_takes_newcomers_beside_clients_that_dribble(tmp_path: Path) -> None:
    config = "worker_connections = 10"
    with running(tmp_path, f"sqlite:///{tmp_path}/test.db", config) as server:
        clients = []
        for _ in range(9):
            clients.append(connect(server))
            clients[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_answer(clients[-1])[0] == 200
            clients[-1].sendall(SLOW["body"])

        assert [server.get("/healthz")[0] for _ in range(5)] == [200] * 5
        for client in clients:
            client.close()


def test_nothing_follows_the_answer_to_a_malformed_body(server: Server) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    with connect(server) as client:
        client.sendall(request + b"5;\r\nhello\r\n0\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(partial(client.recv, 10_000), b""))

    assert answers.count(b"HTTP/1.1 ") == 1
    assert answers.startswith(b"HTTP/1.1 400")


def test_full_worker_takes_no_data_for_a_connection_that_it_has_closed(tmp_path: Path) -> None:
    """Events of one round are known before the first of them closes a connection."""
    config = "worker_connections = 10"
    with running(tmp_path, f"sqlite:///{tmp_path}/test.db", config) as server:
        for _ in range(20):
            clients = [connect(server) for _ in range(9)]
            worker = server.gunicorn.children()[0]
            worker.suspend()
            for client in clients:
                client.sendall(HEAD)
            clients += [connect(server) for _ in range(9)]
            worker.resume()
            assert server.get("/healthz")[0] == 200
            for client in clients:
                client.close()


def test_memory_of_requests_that_come_in_is_bounded(tmp_path: Path) -> None:
    config = LITTLE_MEMORY
    body = HEAD + b"Content-Length: 40000\r\n\r\n" + b"x" * 39_000
    with running(
        tmp_path, f"sqlite:///{tmp_path}/test.db", config, TASKBADGER_MAX_BODY_BYTES="40000"
    ) as server:
        clients = [connect(server) for _ in range(4)]
        for client in clients:
            client.sendall(body)

        ready, _, _ = select.select(clients, [], [], MAX_SECONDS)
        status, error_body = read_answer(ready[0])
        assert (status, error_body["errors"][0]["code"]) == (503, "service_unavailable")
        assert server.get("/healthz")[0] == 200
        for client in clients:
            client.close()


def test_memory_of_requests_that_wait_for_a_thread_is_bounded(tmp_path: Path) -> None:
    """The threads wait for a lock on the database."""
    config = LITTLE_MEMORY
    body = json.dumps({"name": "x", "data": "x" * 30_000})
    url = f"sqlite:///{tmp_path}/test.db"
    with (
        running(tmp_path, url, config, TASKBADGER_MAX_BODY_BYTES="40000") as server,
        closing(sqlite_module().connect(tmp_path / "test.db", isolation_level=None)) as locked,
    ):
        request = creation(make_key_of(url), body)
        locked.execute("BEGIN IMMEDIATE")
        clients = [connect(server) for _ in range(8)]
        for client in clients:
            client.sendall(request)
        time.sleep(1)
        locked.rollback()
        statuses = sorted(read_answer(client)[0] for client in clients)
        for client in clients:
            client.close()

    assert statuses[:2] == [201, 201]
    assert statuses[-2:] == [503, 503]


def creation(key: str, body: str) -> bytes:
    """Return a request that creates a task."""
    head = f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


def test_one_large_body_fits_whatever_the_limit_of_all_is(tmp_path: Path) -> None:
    config = LITTLE_MEMORY
    head = HEAD + b"Content-Length: 500000\r\n\r\n"
    with running(tmp_path, f"sqlite:///{tmp_path}/test.db", config) as server:
        assert exchange_status(server, head + b"x" * 500_000) == 400


def test_batch_may_be_larger_than_other_bodies(tmp_path: Path) -> None:
    url, limit = f"sqlite:///{tmp_path}/test.db", 4 * 2**20
    with running(tmp_path, url) as server:
        key = make_key_of(url)
        for path, size, status in (
            (f"{TASKS}batch/", limit, 200),
            (f"{TASKS}batch/", limit + 1, 413),
            (TASKS, limit, 413),
        ):
            body = '{"operations":[]}'.ljust(size)
            request = creation(key, body).replace(TASKS.encode(), path.encode(), 1)
            assert exchange_status(server, request) == status


def exchange_status(server: Server, request: bytes) -> int:
    with connect(server) as client:
        client.sendall(request)
        return int(client.recv(12).split()[1])


def test_stop_ends_what_has_not_come_in(tmp_path: Path) -> None:
    with running(tmp_path, f"sqlite:///{tmp_path}/test.db", SHORT) as server:
        clients = [connect(server) for _ in range(5)]
        clients[0].sendall(SLOW["body"])

        started = time.monotonic()
        assert server.stop() == 0

        assert time.monotonic() - started < 20
        for client in clients:
            client.close()


def test_stop_sends_answers_to_their_end(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    body = json.dumps({"name": "x", "data": "x" * 900_000})
    with running(tmp_path, url) as server:
        key = make_key_of(url)
        assert [exchange_status(server, creation(key, body)) for _ in range(8)] == [201] * 8
        client = connect(server)
        head = f"GET {TASKS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        time.sleep(4)
        received = 12
        while part := client.recv(100_000):
            received += len(part)
        client.close()
        stopping.join()

    assert received > 8 * 900_000


def test_health_is_answered_while_all_threads_wait_for_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    with running(tmp_path, url, TASKBADGER_DATABASE_TIMEOUT="6") as server:
        key = make_key_of(url)
        post = partial(server.request, "POST", TASKS, key=key, json_body={"name": "job"})
        module = sqlite_module()
        with closing(module.connect(tmp_path / "test.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with ThreadPoolExecutor() as pool:
                writes = [pool.submit(post) for _ in range(4)]
                time.sleep(1)
                started = time.monotonic()
                health = [server.get("/healthz") for _ in range(5)]
                seconds = time.monotonic() - started
                answers = [write.result()[0] for write in writes]

    assert health == [(200, b'{"status":"ok"}\n')] * 5
    assert seconds < 3
    assert answers == [503] * 4
