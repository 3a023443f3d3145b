"""Sends hostile requests to a real server from several threads, and judges what comes back."""

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from faults.hostile import Hostile, World, make_hostile

THREADS = 4
TIME_LIMIT = 60.0
MAX_SHOWN = 20
TOO_LONG = 414
NOT_IMPLEMENTED = 501
"""The one 5xx that is right: for an unknown transfer coding."""


@dataclass
class Verdict:
    """What came of an attack."""

    count: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    """How often each status was answered; 0 stands for a closed connection."""
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def line(self, place: str, seed: int) -> str:
        """Return one line for people."""
        classes = Counter(f"{status // 100}xx" for status in self.statuses.elements() if status)
        shown = ", ".join(f"{number:,} {name}" for name, number in sorted(classes.items()))
        return (
            f"hostile requests on {place}: {self.count:,} in {self.seconds:.0f} s, slowest "
            f"{self.slowest:.2f} s: {shown}, {self.statuses[0]:,} closed; "
            f"faults: {len(self.faults)} (seed {seed})"
        )


def attack(address: str, world: World, count: int, seed: int) -> Verdict:
    """Send *count* requests; the same seed makes the same ones."""
    verdict, lock = Verdict(count), threading.Lock()
    started = time.monotonic()

    def run(number: int) -> None:
        rng = random.Random(seed * THREADS + number)
        for _ in range(count // THREADS + (number < count % THREADS)):
            made = make_hostile(rng, world)
            began = time.monotonic()
            try:
                statuses, faults = judge(made, exchange(address, made.render()))
            except Exception as error:
                statuses, faults = [], [f"{error!r} {made}"]
            with lock:
                verdict.statuses.update(statuses)
                verdict.faults += faults
                verdict.slowest = max(verdict.slowest, time.monotonic() - began)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, range(THREADS)))
    verdict.seconds = time.monotonic() - started
    return verdict


def exchange(address: str, data: bytes) -> bytes:
    """Send *data* and nothing more; return all that comes back until the server closes."""
    parts = urlsplit(address)
    received = bytearray()
    with socket.create_connection((parts.hostname, parts.port), timeout=TIME_LIMIT) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has answered and closed already.
        try:
            while more := client.recv(65_536):
                received += more
        except ConnectionError:
            pass
        except TimeoutError:
            return b"HTTP/1.1 599 No answer in time\r\n\r\n"
    return bytes(received)


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes


class _Received:
    """What has come back, as http.client reads it: answer after answer from one stream."""

    def __init__(self, data: bytes) -> None:
        self.stream = BytesIO(data)
        self.stream.close = lambda: None  # type: ignore[method-assign]

    def makefile(self, _mode: str) -> BytesIO:
        return self.stream


def answers(data: bytes, method: bytes) -> Iterator[Answer]:
    """Read each answer; raises HTTPException for what is none."""
    received: Any = _Received(data)
    while received.stream.tell() < len(data):
        response = HTTPResponse(received, method=method.decode("latin-1"))
        response.begin()
        yield Answer(response.status, response.headers, response.read())
        if method == b"HEAD":
            return  # A request that cannot be read is refused with a body.


def judge(made: Hostile, data: bytes) -> tuple[list[int], list[str]]:
    """Return the statuses of the answers, and what is wrong with them."""
    if not data:
        return [0], []
    statuses, wrong = [], []
    try:
        for answer in answers(data, made.method):
            statuses.append(answer.status)
            wrong += check(made, answer)
    except HTTPException as error:
        wrong.append(f"not HTTP: {error!r}")
    shown = made.render()[:1000]
    return statuses, [f"{what} ({'+'.join(made.kinds)}) {shown!r}" for what in wrong]


def check(made: Hostile, answer: Answer) -> Iterator[str]:
    """Yield what is wrong with an answer."""
    if answer.status >= 500 and answer.status != NOT_IMPLEMENTED:
        yield f"answered {answer.status}"
    if made.statuses and answer.status not in made.statuses | {TOO_LONG}:
        yield f"answered {answer.status}, which is not documented"
    if "X-Injected" in answer.headers:
        yield "a header was injected"
    if made.method == b"HEAD" or made.whole is not None or not is_api(made.target):
        return
    if answer.status >= 400:
        if not is_standard_error(answer):
            yield f"a {answer.status} in another shape: {answer.body[:200]!r}"
    elif answer.body[:1] == b"{":
        yield from (f"no absolute address: {url}" for url in bad_links(json.loads(answer.body)))


def is_api(target: bytes) -> bool:
    """Say whether a request line leads below ``/api/``."""
    path = target.partition(b"?")[0].partition(b"#")[0]
    return unquote_to_bytes(path).startswith(b"/api/")


def is_standard_error(answer: Answer) -> bool:
    """Say whether the body is the one of docs/contract.md#errors."""
    if answer.headers["Content-Type"] != "application/json":
        return False
    try:
        body = json.loads(answer.body)
    except ValueError:
        return False
    return (
        set(body) == {"type", "errors"}
        and body["type"] in ("validation_error", "client_error", "server_error")
        and bool(body["errors"])
        and all(set(error) == {"code", "detail", "attr"} for error in body["errors"])
    )


def bad_links(body: dict[str, Any]) -> Iterator[str]:
    """Yield each link of an answer that is no absolute address."""
    for name in ("url", "public_url", "next", "previous"):
        link = body.get(name)
        if link is not None and not (urlsplit(link).netloc and link.isascii()):
            yield link
