"""A trial: tasks change and receivers take their time, while wall clocks jump."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from faults.cutting import CLIENT_SECONDS, TASKS, send
from processes import Server, wait_until
from receivers import Connection

from taskbadger.clock import utcnow

Point = tuple[str, str]
"""A task and one of its trigger points; it causes exactly one message."""

MAX_SENDING_SECONDS = 1.5
REFUSE_EVERY = 40
"""One in this many messages is answered 500."""
WATCHED = 20
"""Tasks without updates, whose deadlines must not pass because of a jump."""
WATCHED_SECONDS = 600


@dataclass
class Visit:
    """A message that a receiver got, in seconds on the monotonic clock."""

    message: str
    point: Point
    is_accepted: bool
    began: float
    ended: float = float("inf")


@dataclass
class Receiver:
    """Takes its time for each answer; a behaviour of `HttpReceiver`."""

    visits: list[Visit] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: Connection) -> None:
        request = connection.read_request()
        if request is None:
            return
        data = request.json()["data"]
        point = (data["task"]["id"], data["trigger"])
        with self._lock:
            is_accepted = len(self.visits) % REFUSE_EVERY != 5
            visit = Visit(request.headers["webhook-id"], point, is_accepted, time.monotonic())
            self.visits.append(visit)
        connection.stopping.wait(random.uniform(0, MAX_SENDING_SECONDS))
        visit.ended = time.monotonic()
        status = b"204 No Content" if is_accepted else b"500 Not now"
        connection.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

    def accepted(self) -> dict[Point, Visit]:
        """Return the messages that were answered with a success."""
        return {one.point: one for one in list(self.visits) if one.is_accepted and one.ended < 1e18}

    def count_sending(self, moment: float) -> int:
        """Return how many messages were being sent at a moment."""
        return sum(visit.began < moment < visit.ended for visit in self.visits)

    def doubled(self) -> set[str]:
        """Return the ids of messages that came again during an attempt or after a success."""
        found, last = set(), dict[str, Visit]()
        for visit in self.visits:
            before = last.get(visit.message)
            if before is not None and (before.is_accepted or visit.began < before.ended):
                found.add(visit.message)
            last[visit.message] = visit
        return found


@dataclass
class Writers:
    """Clients that run tasks with actions, and remember what was acknowledged."""

    key: str
    integrations: list[str]
    count: int = 4
    changed: dict[Point, float] = field(default_factory=dict)
    """When each change that causes a message was acknowledged."""
    statuses: Counter[int] = field(default_factory=Counter)
    """Of all answers; 0 for a connection that broke."""
    furthest: timedelta = timedelta()
    """The greatest error of the times in the server's answers."""

    @contextmanager
    def writing(self, address: str) -> Iterator[None]:
        """Write until the block ends."""
        stopping = threading.Event()
        threads = [
            threading.Thread(target=self._write, args=(address, stopping))
            for _ in range(self.count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()

    def _write(self, address: str, stopping: threading.Event) -> None:
        client = client_of(address)
        while not stopping.wait(0.05):
            self._run_task(client, stopping)
        client.close()

    def _run_task(self, client: http.client.HTTPConnection, stopping: threading.Event) -> None:
        action = {"trigger": "50,success", "integration": random.choice(self.integrations)}
        body = {"name": "job", "status": "processing", "actions": [{**action, "config": {}}]}
        task = self.send(client, "POST", TASKS, body)
        if task is None:
            return
        wrong = abs(datetime.fromisoformat(task["created"]) - utcnow())
        self.furthest = max(self.furthest, wrong)
        changes: tuple[tuple[str, dict[str, object]], ...] = (
            ("50", {"value": 60}),
            ("success", {"status": "success"}),
        )
        for trigger, change in changes:
            if self.send(client, "PATCH", f"{TASKS}{task['id']}/", change) is not None:
                self.changed[task["id"], trigger] = time.monotonic()
            stopping.wait(0.1)

    def send(self, client: http.client.HTTPConnection, method: str, path: str, body: object) -> Any:
        """Send a request; return the task, or None if that did not work."""
        try:
            status, task = send(client, self.key, method, path, body)
        except (OSError, http.client.HTTPException):
            client.close()
            status, task = 0, None
        self.statuses[status] += 1
        return task if status in (200, 201) else None


def client_of(address: str) -> http.client.HTTPConnection:
    parts = urlsplit(address)
    return http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=CLIENT_SECONDS)


@dataclass
class Watched:
    """Tasks that run for the whole trial without an update."""

    server: Server
    key: str
    ids: list[str] = field(default_factory=list)

    def start(self) -> None:
        deadlines = {"stale_timeout": WATCHED_SECONDS, "max_runtime": WATCHED_SECONDS}
        body = {"name": "waits", "status": "processing", **deadlines}
        client = client_of(self.server.address)
        for _ in range(WATCHED):
            status, task = send(client, self.key, "POST", TASKS, body)
            assert status == 201, task
            self.ids.append(task["id"])
        client.close()

    def count_ended(self) -> int:
        """Return how many were marked stale or overdue."""
        client = client_of(self.server.address)
        found = [send(client, self.key, "GET", f"{TASKS}{one}/")[1]["status"] for one in self.ids]
        client.close()
        return sum(status != "processing" for status in found)


@dataclass
class Figures:
    """The results of the jumps with one database."""

    name: str
    jumps: int
    sending: int
    told: int
    doubled: set[str]
    slowest: float
    """Seconds from a change until its message was accepted."""
    ended: int
    statuses: Counter[int]

    def __str__(self) -> str:
        failed = sum(self.statuses.values()) - self.statuses[200] - self.statuses[201]
        return (
            f"clock jumps, {self.name}: {self.jumps} jumps while {self.sending} messages were being"
            f" sent; {self.told} changes told, none lost, {len(self.doubled)} sent twice, slowest"
            f" {self.slowest:.1f} s; {self.ended} of {WATCHED} waiting tasks ended;"
            f" {failed} of {self.statuses.total()} requests failed"
        )


def wait_for_all(writers: Writers, receiver: Receiver) -> None:
    """Wait until the message of each acknowledged change was accepted."""
    wait_until(lambda: set(writers.changed) <= set(receiver.accepted()), "all messages")


def slowest_of(writers: Writers, receiver: Receiver) -> float:
    """Return how long the slowest message took from its change on."""
    accepted = receiver.accepted()
    return max(accepted[point].ended - moment for point, moment in writers.changed.items())
