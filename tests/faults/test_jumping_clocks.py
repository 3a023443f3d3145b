"""Wall clocks that jump by hours under load: nothing is sent twice, lost or late."""

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from clusters import Cluster, running_cluster
from conftest import make_key, settings
from faults.clocks import SOURCE, Clock
from faults.jumping import Figures, Receiver, Watched, Writers, slowest_of, wait_for_all
from faults.killing import LOOPBACK, make_webhooks
from faults.preload import build
from flask import Flask
from processes import Server, serve, wait_until
from receivers import HttpReceiver
from sqlalchemy import func, select
from test_serving import is_ready

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery
from taskbadger.models.delivery import DELIVERED
from taskbadger.services.organizations import organizations, projects

JUMPS = int(os.environ.get("TASKBADGER_TEST_JUMPS", "4"))
"""On each database, half of them back to the true time; ``make faults`` asks for more."""
HOURS, DAY = timedelta(hours=2), timedelta(days=1)
SHIFTS = (HOURS, -HOURS, DAY, -DAY, timedelta(minutes=10))
CHANGES = 8
"""How many are acknowledged between two jumps, at least."""
LEASE_SECONDS = 60
TICK_SECONDS = 5
WEBHOOKS = 6

pytestmark = pytest.mark.timeout(600 + 10 * JUMPS)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(SOURCE, tmp_path_factory.mktemp("clock"))


@dataclass
class Place:
    """A database, and the clocks of the machines around it."""

    name: str
    url: str
    clocks: list[Clock]
    """That of the server first."""


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def place(request: pytest.FixtureRequest, library: Path, tmp_path: Path) -> Iterator[Place]:
    clock = Clock(tmp_path / "clock")
    if request.param == "SQLite":
        yield Place("SQLite", f"sqlite:///{tmp_path}/test.db", [clock])
        return
    with running_cluster() as cluster:
        cluster.stop()
        other = Clock(cluster.folder / "clock")
        cluster.variables = other.variables(Path(shutil.copy(library, cluster.folder)))
        cluster.start()
        check_clock(cluster, other)
        yield Place("PostgreSQL", cluster.create("tb"), [clock, other])


def check_clock(cluster: Cluster, clock: Clock) -> None:
    """Check that PostgreSQL reads this clock."""
    with psycopg.connect(cluster.url(), autocommit=True) as connection:
        for shift in (DAY, -HOURS, timedelta()):
            clock.set(shift)
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            assert row is not None
            assert abs(row[0] - utcnow() - shift) < timedelta(minutes=5)


@dataclass
class Scene:
    """A server on a place, with its clients and its receiver."""

    app: Flask
    server: Server
    receiver: Receiver
    writers: Writers
    watched: Watched

    def count_open(self) -> int:
        with self.app.app_context():
            query = select(func.count()).select_from(Delivery).where(Delivery.state != DELIVERED)
            count = db.session.scalar(query) or 0
            db.session.remove()
            return count


def prepare(app: Flask, address: str) -> tuple[str, list[str]]:
    """Create the tables, a key and webhooks; return the key and the names of the webhooks."""
    with app.app_context(), writing():
        flask_migrate.upgrade()
        key = make_key()
        organization = organizations.ensure_organization("acme", actor=SERVER, now=utcnow())
        project = projects.ensure_project(organization, "web", actor=SERVER, now=utcnow())
        reference = projects.project_ref(project, organization)
        integrations = make_webhooks(reference, address, WEBHOOKS)
        db.session.remove()
    return key, integrations


@contextmanager
def scene(place: Place, library: Path, home: Path) -> Iterator[Scene]:
    """Run ``serve`` with its background worker on a place."""
    app, receiver = create_app(settings(DATABASE_URL=place.url)), Receiver()
    variables = {
        "TASKBADGER_DATABASE_URL": place.url,
        "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        "TASKBADGER_WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
        **place.clocks[0].variables(library),
    }
    with HttpReceiver(receiver) as http:
        key, integrations = prepare(app, http.root)
        with serve(home, "--workers", "1", **variables) as server:
            wait_until(lambda: is_ready(server), "a server")
            writers, watched = Writers(key, integrations), Watched(server, key)
            yield Scene(app, server, receiver, writers, watched)
    with app.app_context():
        db.engine.dispose()


def jump(clocks: list[Clock], number: int) -> None:
    """Set all clocks to the true time, or some of them ahead or back."""
    if number % 2:
        for clock in clocks:
            clock.set(timedelta())
        return
    together = clocks if number == 0 else random.choice([clocks, *([one] for one in clocks)])
    shift = HOURS if number == 0 else random.choice(SHIFTS)
    for clock in together:
        clock.set(shift)


def test_clocks_that_jump_under_load(
    place: Place, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sending = 0
    with scene(place, library, tmp_path) as running:
        writers, receiver = running.writers, running.receiver
        running.watched.start()
        with writers.writing(running.server.address):
            for number in range(JUMPS):
                wanted = len(writers.changed) + CHANGES
                wait_until(lambda wanted=wanted: len(writers.changed) >= wanted, "changes")  # type: ignore[misc]
                jump(place.clocks, number)
                sending += receiver.count_sending(time.monotonic())
            wanted = len(writers.changed) + CHANGES
            wait_until(lambda: len(writers.changed) >= wanted, "changes")
        wait_for_all(writers, receiver)
        wait_until(lambda: not running.count_open(), "the outcomes of all messages")
        figures = Figures(
            place.name,
            JUMPS,
            sending,
            len(writers.changed),
            receiver.doubled(),
            slowest_of(writers, receiver),
            running.watched.count_ended(),
            writers.statuses,
        )
        lost = running.server.said("delivery lease lost")
    with capsys.disabled():
        sys.stdout.write(f"\n{figures}\n")

    assert writers.furthest > HOURS / 2, "no clock has jumped"
    assert (figures.doubled, lost, figures.ended) == (set(), [], 0)
    assert figures.sending > 0
    assert figures.statuses[500] == figures.statuses[0] == 0
    assert figures.slowest < LEASE_SECONDS + TICK_SECONDS
