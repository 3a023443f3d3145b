"""Measures batches: the cost of one operation in batches of several sizes.

PYTHONPATH=. python bench/batch.py [--databases sqlite postgresql] [--batches 1 10 100 1000]

Like ``api``, it prints CPU milliseconds of the server's processes, here per operation, and the
multiple of a request to a bare Flask route in the same run.
"""

import argparse
import itertools
import json
from collections.abc import Iterator

from api import CLIENTS, EXTRA, GOALS, SECRET, WORKER, database, gunicorn, measure, prepare
from api import Requests as BareRequests
from figures import Figure, keep
from load import Request

TASKS = 10_000
OPERATIONS = 12_000
"""How many operations are sent for each row of the table."""


class Batches:
    """An endless stream of batches of one kind, one stream per client."""

    def __init__(self, kind: str, path: str, ids: list[str], size: int) -> None:
        self.kind, self.path, self.ids, self.size = kind, path, ids, size

    def __call__(self, client: int) -> Iterator[Request]:
        # Clients change different tasks: those that two batches change are locked by the first.
        own = self.ids[client :: len(self.ids) // 100]
        for number in itertools.count():
            operations = [self._one(number * self.size + place, own) for place in range(self.size)]
            yield "POST", self.path, json.dumps({"operations": operations}).encode()

    def _one(self, number: int, own: list[str]) -> dict[str, object]:
        if self.kind == "create":
            task = {"name": f"job {number}", "status": "processing", "value": 0, **EXTRA}
            return {"op": "create", "task": task}
        task = {"value": number % 100, "status": "processing"}
        return {"op": "update", "id": own[number % len(own)], "task": task}


def bench(kind: str, sizes: list[int]) -> None:
    """Print the table for one kind of database."""
    with database(kind) as url:
        key, ids, _ = prepare(url, TASKS)
        environment = {"TASKBADGER_SECRET_KEY": SECRET, "TASKBADGER_DATABASE_URL": url}
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        with (
            gunicorn("bench.bare:app", "gthread", {}) as (bare_port, bare),
            gunicorn("wsgi:app", WORKER, environment) as (port, server),
        ):
            requests = BareRequests("bare", "", [], "")
            _, base = measure(bare_port, bare, requests, count=400, headers={})
            for name, size in itertools.product(("create", "update"), sizes):
                batches = Batches(name, "/api/bench/bench/tasks/batch/", ids, size)
                count = max(3, OPERATIONS // size // CLIENTS)
                result, cpu = measure(
                    port, server, batches, count=count, headers=headers, warm_up=1 + 20 // size
                )
                show(kind, name, size, result.rate * size, cpu / size, cpu / size / base)


def show(kind: str, name: str, size: int, rate: float, cpu: float, ratio: float) -> None:
    """Print one row."""
    goal = GOALS["batch"] if size == 100 else None
    cost = Figure(f"{name}, batch of {size}", kind, round(ratio, 3), "× bare", goal)
    print(
        f"{kind:10} {name:7} {size:5} a batch {rate:8.0f} operations/s"
        f"  cpu {cpu:6.3f} ms  x{ratio:5.2f}  {cost.verdict}",
        flush=True,
    )
    keep([cost])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 10, 100, 1000])
    options = parser.parse_args()
    for kind in options.databases:
        bench(kind, options.batches)


if __name__ == "__main__":
    main()
