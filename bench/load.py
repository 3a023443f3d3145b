"""A load generator for loopback: one thread and keep-alive connection per client."""

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Request = tuple[str, str, bytes | None]
"""Method, path and body."""


@dataclass(frozen=True)
class Result:
    """The result of one run: wall time and latencies in seconds, and failures."""

    seconds: float
    latencies: list[float]
    failures: int

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def run(
    port: int,
    requests: Callable[[int], Iterator[Request]],
    *,
    clients: int,
    count: int,
    headers: dict[str, str],
) -> Result:
    """Send *count* requests of each of *clients* threads to 127.0.0.1:*port*."""
    latencies: list[list[float]] = [[] for _ in range(clients)]
    failures = [0] * clients

    def work(index: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number, (method, path, body) in enumerate(requests(index)):
            if number >= count:
                break
            begun = time.perf_counter()
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            response.read()
            latencies[index].append(time.perf_counter() - begun)
            failures[index] += response.status >= 400
        connection.close()

    threads = [threading.Thread(target=work, args=(index,)) for index in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Result(
        time.perf_counter() - begun,
        [seconds for client in latencies for seconds in client],
        sum(failures),
    )
