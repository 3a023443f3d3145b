"""Measures what a ping costs beyond the create of the task that it makes.

One round asks for the bare Flask route, creates tasks of monitors through the API, and pings the
same monitors. Prints the medians of all rounds: CPU milliseconds of the server's processes per
request, and by how many bare routes a ping costs more than a create.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from statistics import median

import flask_migrate
from api import SECRET, WORKER, database, gunicorn, make_place, measure
from figures import Figure, keep
from load import Request

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db, writing
from taskbadger.services.monitors import manage
from taskbadger.settings import Settings

MONITORS = 100
GOAL = 1.5
"""Bare routes that a ping may cost more than the create of its task."""
KINDS = ("bare", "create", "ping")


def prepare(url: str) -> tuple[str, list[tuple[str, str]]]:
    """Make the monitors; return a key, and the id and the ping's path of each."""
    app = create_app(Settings(SECRET_KEY=SECRET, DATABASE_URL=url, LOG_REQUESTS=False))
    with app.app_context():
        flask_migrate.upgrade()
        with writing():
            project, key = make_place()
            made = [
                manage.create_monitor(
                    project,
                    {"name": f"job {number}", "type": "interval", "interval": 3600},
                    now=utcnow(),
                    actor=SERVER,
                )
                for number in range(MONITORS)
            ]
            found = [(str(monitor.id), f"/ping/{monitor.ping_id}") for monitor in made]
            db.session.commit()
        db.session.remove()
        db.engine.dispose()
    return key, found


class Requests:
    """An endless stream of requests of one kind, one per client."""

    def __init__(self, kind: str, monitors: list[tuple[str, str]]) -> None:
        self.kind, self.monitors = kind, monitors

    def __call__(self, client: int) -> Iterator[Request]:
        for number in itertools.count(client * 7):
            yield self._one(number)

    def _one(self, number: int) -> Request:
        _, ping = self.monitors[number % MONITORS]
        if self.kind == "bare":
            return "GET", "/", None
        if self.kind == "ping":
            return "GET", ping, None
        body = {"name": f"job {number % MONITORS}", "status": "success"}
        return "POST", "/api/bench/bench/tasks/", json.dumps(body).encode()


def bench(kind: str, count: int, rounds: int) -> None:
    """Print the figures of one kind of database."""
    with database(kind) as url:
        key, monitors = prepare(url)
        environment = {
            "TASKBADGER_SECRET_KEY": SECRET,
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_PING_LIMIT": "0",
        }
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            # All creates are of one monitor, as are the pings of one client at a time.
            "X-TASKBADGER-MONITOR": monitors[0][0],
        }
        found: dict[str, list[float]] = {name: [] for name in KINDS}
        with (
            gunicorn("bench.bare:app", "gthread", {}) as bare,
            gunicorn("wsgi:app", WORKER, environment) as server,
        ):
            for _ in range(rounds):
                for name in KINDS:
                    port, process = bare if name == "bare" else server
                    given = headers if name == "create" else {}
                    _, cpu = measure(
                        port, process, Requests(name, monitors), count=count, headers=given
                    )
                    found[name].append(cpu)
        more = [
            (ping - create) / base
            for base, create, ping in zip(*(found[name] for name in KINDS), strict=True)
        ]
        costs = "  ".join(f"{name} {median(found[name]):.3f} ms" for name in KINDS)
        figure = Figure("a ping beyond its create", kind, round(median(more), 2), "× bare", GOAL)
        print(f"{kind:10} {costs}  more: x{median(more):.2f} ({min(more):.2f}-{max(more):.2f})")
        print(figure.verdict, flush=True)
        keep([figure])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--count", type=int, default=60, help="requests per client and kind")
    parser.add_argument("--rounds", type=int, default=5, help="in which they are sent")
    options = parser.parse_args()
    for kind in options.databases:
        bench(kind, options.count, options.rounds)


if __name__ == "__main__":
    main()
