"""A trial: clients write, the power fails, and no acknowledged write may be lost."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from faults.power import Disk, Log, Rest
from processes import Server, wait_until

TASKS = "/api/acme/web/tasks/"
CLIENT_SECONDS = 60.0
WRITES = (100, 400)
"""The minimum and the maximum number of acknowledged writes before a cut."""
UPDATES = 9
"""Updates of each task, before the next one is created."""


@dataclass(frozen=True)
class Write:
    """A write that was acknowledged: it created a task with the value 0, or set a greater one."""

    task: str
    value: int
    position: int
    """The end of the log just after it."""


@dataclass
class Figures:
    """The results of the cuts of one database."""

    name: str
    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    corrupt: int = 0
    more_cuts: int = 0
    """Cuts at other moments of the same logs."""

    def __str__(self) -> str:
        more = f" and {self.more_cuts} more of the same logs" if self.more_cuts else ""
        return (
            f"{self.name}: {self.cuts} power cuts{more}, {self.acknowledged} acknowledged writes,"
            f" {self.lost} lost, {self.corrupt} times corrupt"
        )


def wait_for(writes: list[Write]) -> None:
    """Wait until a random number of writes were acknowledged, and then for a moment."""
    wanted = random.randint(*WRITES)
    wait_until(lambda: len(writes) >= wanted, "clients")
    time.sleep(random.uniform(0, 0.05))


def lost_of(writes: Iterable[Write], found: dict[str, int]) -> list[Write]:
    """Return the writes that are not in *found*, the values of all tasks."""
    return [write for write in writes if found.get(write.task, -1) < write.value]


@dataclass
class Clients:
    """Create tasks and change them, each in a loop; remember what was acknowledged."""

    key: str
    position: Callable[[], int]
    """Returns the end of the log."""
    count: int = 8
    writes: list[Write] = field(default_factory=list)

    @contextmanager
    def writing(self, server: Server) -> Iterator[None]:
        """Write until the block ends."""
        stopping = threading.Event()
        threads = [
            threading.Thread(target=self._write, args=(server.address, stopping))
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
        parts = urlsplit(address)
        client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=CLIENT_SECONDS)
        while not stopping.is_set():
            try:
                self._run_task(client, stopping)
            except (OSError, http.client.HTTPException):
                client.close()
            stopping.wait(0.01)
        client.close()

    def _run_task(self, client: http.client.HTTPConnection, stopping: threading.Event) -> None:
        path, value = TASKS, 0
        while value <= UPDATES and not stopping.is_set():
            method = "PATCH" if value else "POST"
            status, task = send(client, self.key, method, path, {"name": "job", "value": value})
            if status not in (200, 201):
                return
            self.writes.append(Write(task["id"], value, self.position()))
            path, value = f"{TASKS}{task['id']}/", value + 1


def send(
    client: http.client.HTTPConnection, key: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """Send a request; return status and body."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    client.request(method, path, json.dumps(body), headers)
    response = client.getresponse()
    return response.status, json.loads(response.read())


def read_values(server: Server, key: str) -> dict[str, int]:
    """Return the values of all tasks, as the API lists them."""
    found: dict[str, int] = {}
    path: str | None = f"{TASKS}?page_size=1000"
    while path:
        page = wait_until(partial(_read_page, server, path, key), "a list of tasks")
        found |= {task["id"]: task["value"] for task in page["results"]}
        path = page["next"] and page["next"].removeprefix(server.address)
    return found


def _read_page(server: Server, path: str, key: str) -> Any:
    """Return a page of the list; None while the server has no connection to its database."""
    status, body = server.get(path, key=key)
    return json.loads(body) if status == 200 else None


@dataclass
class Trial:
    """Cuts of one disk; what was acknowledged before any of them must stay."""

    folder: Path
    """What is on the disk."""
    key: str
    figures: Figures
    writes: list[Write] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = Disk(self.folder)

    @contextmanager
    def writing(self, server: Server, log: Log) -> Iterator[list[Write]]:
        """Let clients write until the block ends; yields what is acknowledged meanwhile."""
        clients = Clients(self.key, lambda: log.end)
        with clients.writing(server):
            yield clients.writes

    def lose_power(self, log: Log, rest: Rest) -> None:
        """Leave on the disk what it may hold after a log."""
        self.disk.replay(log)
        self.disk.lose_power(rest)
        self.disk.write_to(self.folder)

    def remember(self, writes: list[Write]) -> None:
        """Count a cut, and what must be there from now on."""
        self.figures.cuts += 1
        self.figures.acknowledged += len(writes)
        self.writes += writes

    def check(self, server: Server) -> None:
        """Count what is missing."""
        lost = lost_of(self.writes, self.found(server))
        self.figures.lost += len(lost)
        self.writes = [write for write in self.writes if write not in lost]

    def found(self, server: Server) -> dict[str, int]:
        """Return the values of all tasks, as the API lists them."""
        return read_values(server, self.key)
