"""Ingestion: a steady load of creates and updates beside what is measured."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field

CLIENTS = 8


@dataclass
class Ingestion:
    """Clients that create and update tasks at a steady rate while the ``with`` block runs."""

    port: int
    key: str
    rate: float
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When each request began, and how long it took."""
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Ingestion":
        self.threads = [
            threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)
        ]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def p99(self, since: float, until: float) -> float:
        """Return the 99th percentile of the requests that began in this time, in milliseconds."""
        return self.quantile(0.99, since, until)

    def quantile(self, share: float, since: float, until: float) -> float:
        """Return how long at most that *share* of these requests took, in milliseconds."""
        took = sorted(wait for began, wait in self.waits if since <= began <= until)
        return took[min(len(took) - 1, int(len(took) * share))] * 1000 if took else 0.0

    def _work(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        pause = CLIENTS / self.rate
        due = time.perf_counter() + pause * client / CLIENTS
        path, base = "", "/api/bench/bench/tasks/"
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        body = {"name": f"client {client}", "status": "processing", "tags": {"env": "prod"}}
        number = 0
        while not self.stop.wait(max(0.0, due - time.perf_counter())):
            creates = number % 3 == 0
            number, due = number + 1, max(due + pause, time.perf_counter() - 1)
            sent = body if creates else {"value": number % 100}
            method, address = ("POST", base) if creates else ("PATCH", path)
            began = time.perf_counter()
            connection.request(method, address, json.dumps(sent).encode(), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            self.waits.append((began, time.perf_counter() - began))
            if response.status >= 400:
                raise SystemExit(f"ingestion failed: {answer}")
            path = f"{base}{answer['id']}/"
        connection.close()
