"""Clients that write tasks over HTTP through all faults, and remember what was acknowledged."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

TASKS = "/api/acme/web/tasks/"
CLIENT_SECONDS = 60.0
MAX_PAUSE_SECONDS = 0.2
"""The longest pause before a failed request is sent again."""
RETRIED = (409, 503)
"""The answers after which a client asks again: its request still runs, or there is an outage."""


class Stage(IntEnum):
    """How far a task has come. Each stage is one write."""

    NONE = 0
    CREATED = 1
    ADVANCED = 2
    ENDED = 3


TRIGGERS = {Stage.ADVANCED: "50", Stage.ENDED: "success"}
"""The trigger point that a stage reaches."""
_CHANGES = {Stage.ADVANCED: {"value": 60}, Stage.ENDED: {"status": "success"}}


def stage_of(task: dict[str, Any]) -> Stage:
    """Return how far a task of the API has come."""
    if task["status"] == "success":
        return Stage.ENDED
    return Stage.ADVANCED if (task["value"] or 0) >= 60 else Stage.CREATED


@dataclass
class Task:
    """A task, as far as its writer knows it."""

    id: str = ""
    known: Stage = Stage.NONE
    """The last stage that an answer acknowledged."""
    asked: Stage = Stage.NONE
    """The last stage that was asked for."""


@dataclass
class Writers:
    """Clients that take one task after another from its creation to its end.

    A write without an answer is in doubt. A creation is repeated with the same Idempotency-Key; for
    an update the task is read, and the write is repeated if it has not happened.
    """

    address: str
    key: str
    integrations: list[str]
    count: int = 8
    tasks: list[Task] = field(default_factory=list)
    acknowledged: int = 0
    doubts: int = 0
    """How many updates in doubt had happened."""
    statuses: Counter[int] = field(default_factory=Counter)
    """The answers to writes, by status; 0 for none."""
    _stopping: threading.Event = field(default_factory=threading.Event)
    _giving_up: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write until the block ends; each task is then brought to its end, unless it raises."""
        threads = [threading.Thread(target=self._write) for _ in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            yield
        except BaseException:
            self._giving_up.set()
            raise
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def _write(self) -> None:
        client = Client(self.address, self.key)
        while not self._stopping.is_set():
            task = Task()
            self.tasks.append(task)
            for stage in (Stage.CREATED, Stage.ADVANCED, Stage.ENDED):
                task.asked = stage
                if not self._reach(client, task, stage):
                    break
        client.close()

    def _reach(self, client: "Client", task: Task, stage: Stage) -> bool:
        """Bring a task to a stage; say whether that worked."""
        key = uuid4().hex
        while not self._giving_up.is_set():
            status, answer = self._send(client, task, stage, key)
            if status in (200, 201):
                task.id, task.known = answer["id"], stage
                with self._lock:
                    self.acknowledged += 1
                return True
            if status and status not in RETRIED:
                return False
            time.sleep(random.uniform(0, MAX_PAUSE_SECONDS))
            if task.id and self._has_reached(client, task, stage):
                task.known = stage
                return True
        return False

    def _send(self, client: "Client", task: Task, stage: Stage, key: str) -> tuple[int, Any]:
        if stage is Stage.CREATED:
            # The same one whenever this creation is sent.
            integration = self.integrations[int(key, 16) % len(self.integrations)]
            action = {"trigger": "50,success", "integration": integration, "config": {}}
            body = {"name": "job", "status": "processing", "actions": [action]}
            status, answer = client.send("POST", TASKS, body, {"Idempotency-Key": key})
        else:
            status, answer = client.send("PATCH", f"{TASKS}{task.id}/", _CHANGES[stage])
        with self._lock:
            self.statuses[status] += 1
        return status, answer

    def _has_reached(self, client: "Client", task: Task, stage: Stage) -> bool:
        """Read a task as soon as the server answers; say whether it has come to *stage*."""
        while not self._giving_up.is_set():
            status, answer = client.send("GET", f"{TASKS}{task.id}/")
            if status == 200:
                has_happened = stage_of(answer) >= stage
                with self._lock:
                    self.doubts += has_happened
                return has_happened
            if status and status not in RETRIED:
                return False  # Another write will tell.
            time.sleep(random.uniform(0, MAX_PAUSE_SECONDS))
        return False


class Client:
    """An HTTP client that keeps its connection."""

    def __init__(self, address: str, key: str) -> None:
        parts = urlsplit(address)
        self._address = address
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._connection = http.client.HTTPConnection(
            str(parts.hostname), parts.port, timeout=CLIENT_SECONDS
        )

    def close(self) -> None:
        self._connection.close()

    def send(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return status and body, or 0 and None if there was no answer."""
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, self._headers | (headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return 0, None
        return response.status, json.loads(content)

    def list_tasks(self) -> dict[str, Stage]:
        """Return the stage of every task, as the API lists them."""
        found: dict[str, Stage] = {}
        path: str | None = f"{TASKS}?page_size=1000"
        while path:
            status, page = self.send("GET", path)
            assert status == 200, (status, page)
            found |= {task["id"]: stage_of(task) for task in page["results"]}
            path = page["next"] and page["next"].removeprefix(self._address)
        return found
