"""Measures what dead receivers cost a healthy one: how long its first attempts wait.

``python bench/dead_receivers.py [sqlite|postgresql …]``: 50 webhooks that never answer, each with
BENCH_QUEUED waiting deliveries, and one that works.
"""

import os
import secrets
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import flask_migrate

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from deliveries import fire, new_database
from faults.killing import LOOPBACK, Counter, Crew, make_place, make_webhooks, receiver

from taskbadger.app import create_app
from taskbadger.channels import Message, SendContext
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.outbound import Sender
from taskbadger.services.delivery import channels, outbox
from taskbadger.settings import Settings

DEAD = 50
QUEUED = int(os.environ.get("BENCH_QUEUED", "1000"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "60"))


def queue_dead(project: ProjectRef, port: int) -> None:
    """Queue QUEUED deliveries for each of DEAD webhooks that accept and never answer."""
    now = utcnow()
    names = []
    for number in range(DEAD):
        name = f"dead{number}"
        channel = channels.create_channel(
            project.organization_id,
            "webhook",
            name,
            name,
            {"url": f"http://127.0.0.1:{port}/{number}"},
            actor=SERVER,
            context=_context(),
            now=now,
        )
        names.append(f"{channel.kind}:{channel.slug}")
    for name in names:
        for _ in range(QUEUED):
            outbox.queue(
                Message(id="", kind="task", created=now, organization="load", title="dead"),
                organization_id=project.organization_id,
                integration=name,
                config={},
                now=now,
            )
        db.session.commit()


def _context() -> SendContext:
    return SendContext(http=Sender.allowing((LOOPBACK,)))


def run(database: str) -> None:
    secret = secrets.token_hex(32)
    with (
        tempfile.TemporaryDirectory() as name,
        new_database(database, Path(name)) as url,
        socket.create_server(("127.0.0.1", 0), backlog=4096) as silent,
    ):
        app = create_app(
            Settings(SECRET_KEY=secret, DATABASE_URL=url, LOG_LEVEL="ERROR", PLUGINS=False)
        )
        variables = {
            "TASKBADGER_SECRET_KEY": secret,
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
            "TASKBADGER_LOG_LEVEL": "ERROR",
            "TASKBADGER_PLUGINS": "false",
        }
        counter = Counter(fail_every=0, pause_seconds=0.0)
        with receiver(counter) as address:
            with app.app_context():
                flask_migrate.upgrade()
                project = make_place()
                (healthy,) = make_webhooks(project, address, 1)
                queue_dead(project, silent.getsockname()[1])
                db.session.remove()
            waits = []
            with Crew([("taskbadger_server", "worker")], variables, Path(name)):
                time.sleep(5)  # The worker starts and meets the dead receivers first.
                end = time.monotonic() + SECONDS
                while time.monotonic() < end:
                    with app.app_context():
                        seen = set(counter.moments)
                        began = fire(project, healthy)
                    while not (new := set(counter.moments) - seen):
                        time.sleep(0.002)
                    waits.append(max(0.0, counter.moments[new.pop()] - began))
                    time.sleep(0.3)
        cuts = statistics.quantiles(waits, n=100, method="inclusive")
        print(
            f"{database:10} {DEAD} dead with {QUEUED} each; healthy ({len(waits)}): "
            f"p50 {cuts[49]:.3f} s, p99 {cuts[98]:.3f} s, max {max(waits):.3f} s",
            flush=True,
        )
        with app.app_context():
            db.engine.dispose()


def main() -> None:
    for database in sys.argv[1:] or ["sqlite", "postgresql"]:
        run(database)


if __name__ == "__main__":
    main()
