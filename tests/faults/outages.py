"""A trial: clients go on while the database has a fault, and everything is timed."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from processes import Server

HEALTH_SECONDS = 0.05
"""How often ``/healthz`` is asked."""
CLIENT_SECONDS = 60.0


@dataclass
class Answer:
    """A request and its answer, in seconds on the monotonic clock."""

    began: float
    ended: float
    status: int
    retry_after: str | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Figures:
    """What came of a trial."""

    name: str
    statuses: Counter[int]
    """The answers to writes, by status; 0 for a connection that broke."""
    slowest_503: float
    slowest: float
    slowest_health: float
    usual_health: float
    """In 95 of 100 times during the fault."""
    recovery: float
    """Seconds from the end of the fault until the first write that works."""
    settled: float
    """Seconds from the end of the fault until the last write that fails."""
    without_retry_after: int
    unhealthy: int
    ready: list[tuple[int, str | None]]
    """What ``/readyz`` answered just before the fault ended, and after it."""

    def __str__(self) -> str:
        return (
            f"{self.name}: 503 within {self.slowest_503:.2f} s, "
            f"/healthz within {self.usual_health * 1000:.0f} ms "
            f"(slowest {self.slowest_health * 1000:.0f} ms), "
            f"writes again after {self.recovery:.2f} s (all after {self.settled:.2f} s), "
            f"{self.statuses[500]} times 500 among {self.statuses.total()} answers "
            f"{dict(sorted(self.statuses.items()))}"
        )


@dataclass
class Trial:
    """Clients that write in a loop, and one that asks for the health."""

    server: Server
    key: str
    clients: int = 8
    pause: float = 0.05
    answers: list[Answer] = field(default_factory=list)
    health: list[Answer] = field(default_factory=list)
    body: dict[str, object] = field(default_factory=lambda: {"name": "job"})

    @cached_property
    def _place(self) -> tuple[str, int]:
        parts = urlsplit(self.server.address)
        return str(parts.hostname), int(parts.port or 0)

    def run(
        self,
        name: str,
        begin: Callable[[], object],
        end: Callable[[], object],
        *,
        seconds: float,
        after: float = 3.0,
    ) -> Figures:
        """Begin a fault, end it after *seconds*, and go on for a while."""
        assert self._place
        self.answers, self.health = [], []
        stopping = threading.Event()
        threads = [
            threading.Thread(target=self._write, args=(stopping,)) for _ in range(self.clients)
        ]
        threads.append(threading.Thread(target=self._ask, args=(stopping,)))
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            began = time.monotonic()
            begin()
            try:
                time.sleep(seconds)
                not_ready = self._send("GET", "/readyz")
                ended = time.monotonic()
            finally:
                end()
            time.sleep(after)
            ready = self._send("GET", "/readyz")
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        return self._figures(name, began, ended, [not_ready, ready])

    def _figures(self, name: str, began: float, ended: float, ready: list[Answer]) -> Figures:
        hit = [answer for answer in self.answers if answer.ended > began]
        bad = [answer for answer in hit if answer.status != 201]
        health = sorted(
            one.seconds for one in self.health if began < one.ended and one.began < ended
        )
        good = [answer.ended for answer in hit if answer.status == 201 and answer.ended > ended]
        return Figures(
            name=name,
            statuses=Counter(answer.status for answer in hit),
            slowest_503=max((one.seconds for one in hit if one.status == 503), default=0.0),
            slowest=max((one.seconds for one in hit), default=0.0),
            slowest_health=health[-1],
            usual_health=health[len(health) * 95 // 100],
            recovery=min(good, default=float("inf")) - ended,
            settled=max(max((one.ended for one in bad), default=0.0) - ended, 0.0),
            without_retry_after=sum(one.status == 503 and not one.retry_after for one in hit),
            unhealthy=sum(answer.status != 200 for answer in self.health),
            ready=[(answer.status, answer.retry_after) for answer in ready],
        )

    def _write(self, stopping: threading.Event) -> None:
        while not stopping.wait(self.pause):
            self.answers.append(self._send("POST", "/api/acme/web/tasks/", self.body))

    def _ask(self, stopping: threading.Event) -> None:
        while not stopping.wait(HEALTH_SECONDS):
            self.health.append(self._send("GET", "/healthz"))

    def _send(self, method: str, path: str, body: dict[str, object] | None = None) -> Answer:
        host, port = self._place
        client = http.client.HTTPConnection(host, port, timeout=CLIENT_SECONDS)
        began = time.monotonic()
        status, retry_after = 0, None
        try:
            client.request(
                method,
                path,
                None if body is None else json.dumps(body),
                {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
            )
            response = client.getresponse()
            response.read()
            status, retry_after = response.status, response.headers["Retry-After"]
        except (OSError, http.client.HTTPException):
            pass
        finally:
            client.close()
        return Answer(began, time.monotonic(), status, retry_after)
