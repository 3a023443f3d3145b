"""A trial: clients write, processes are killed, and no acknowledged write may be lost."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import flask_migrate
from conftest import make_key, make_project, settings
from faults import killing
from faults.databases import Database
from faults.executioner import Executioner
from faults.killing import LOOPBACK, make_webhooks, receiver
from faults.losses import Losses, find_losses
from faults.orphans import Orphan, find_orphans, read_claims, record_claims
from faults.restarting import RestartingServer
from faults.writers import TRIGGERS, Client, Writers
from sqlalchemy import func, select

from taskbadger.app import create_app
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery
from taskbadger.models.delivery import DELIVERED

HOOKS = 6
RECEIVER_SECONDS = 0.05
"""How long the receiver takes, so that most kills hit deliveries."""
PATIENCE_SECONDS = 90
"""How long nothing may arrive after the end of a lease before the trial gives up."""


@dataclass
class Figures:
    """The results of a trial."""

    name: str
    kills: Counter[str]
    seconds: float
    """How long processes were killed."""
    starts: int
    taken: int
    """How many starts failed because the port was still taken."""
    acknowledged: int
    statuses: Counter[int]
    """The answers to writes, by status; 0 for none."""
    doubts: int
    """How many writes had happened although there was no answer."""
    losses: Losses
    undelivered: int
    orphans: list[Orphan]

    @property
    def slowest(self) -> timedelta:
        """The longest time from the claim of an orphan to the next one."""
        return max((orphan.waited for orphan in self.orphans), default=timedelta())

    @property
    def latest(self) -> timedelta:
        """The longest time from when an orphan was due, and a worker was there."""
        return max((orphan.late for orphan in self.orphans), default=timedelta())

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        answers = ", ".join(
            f"{count} × {status}" for status, count in sorted(self.statuses.items())
        )
        wrong = ", ".join(f"{count} {name}" for name, count in self.losses.counts().items())
        return (
            f"{self.name}: {self.kills.total()} kills in {self.seconds:.0f} s ({kinds}),"
            f" {self.acknowledged} acknowledged writes ({answers}; {self.doubts} more had"
            " happened),"
            f" {wrong}, {self.undelivered} undelivered, {len(self.orphans)} orphans (the slowest"
            f" sent again after {self.slowest.total_seconds():.1f} s, at most"
            f" {self.latest.total_seconds():.1f} s after it was due and a worker there),"
            f" {self.starts} starts, {self.taken} with the port still taken"
        )


class Trial:
    """A server, its database, a receiver of its messages, and clients."""

    def __init__(
        self, database: Database, home: Path, stack: ExitStack, *, lease: timedelta
    ) -> None:
        self.database, self.lease = database, lease
        self.app = create_app(settings(DATABASE_URL=database.url))
        self.receiver = killing.Counter(fail_every=0, pause_seconds=RECEIVER_SECONDS)
        hooks, key = self._prepare(stack.enter_context(receiver(self.receiver)))
        self.server = stack.enter_context(RestartingServer(home / "server", self._variables()))
        self.client = Client(self.server.address, key)
        stack.callback(self.client.close)
        self.writers = Writers(self.server.address, key, hooks)
        self.executioner = Executioner(self.server, database, lambda: self.writers.acknowledged)

    def _prepare(self, address: str) -> tuple[list[str], str]:
        """Create the tables and what the clients need; return the channels, and a key."""
        with self.app.app_context(), writing():
            flask_migrate.upgrade()
            record_claims()
            hooks = make_webhooks(make_project(), address, HOOKS)
            key = make_key()
        self._disconnect()
        return hooks, key

    def _variables(self) -> dict[str, str]:
        return {
            "TASKBADGER_DATABASE_URL": self.database.url,
            "TASKBADGER_WORKER_LEASE_SECONDS": str(self.lease.total_seconds()),
            "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
            "TASKBADGER_LOG_REQUESTS": "false",
            "TASKBADGER_PLUGINS": "false",
        }

    def run(self, kills: int, writes: int) -> Figures:
        """Kill and write; wait for what is still to come, stop the server, and look for losses."""
        began = time.monotonic()
        with self.writers.writing():
            self.executioner.run(kills, writes)
        seconds = time.monotonic() - began
        self.server.wait_for_worker()
        self._wait_for(self._count_missing)
        undelivered = self._wait_for(self._count_undelivered)
        losses = find_losses(self.writers.tasks, self.client.list_tasks(), self.receiver.arrived)
        assert self.server.stop() == 0
        self.server.wait_for_end()
        return Figures(
            name=self.database.name,
            kills=Counter(kind for _, kind in self.executioner.history),
            seconds=seconds,
            starts=self.server.starts,
            taken=self.server.taken,
            acknowledged=self.writers.acknowledged,
            statuses=self.writers.statuses,
            doubts=self.writers.doubts,
            losses=losses,
            undelivered=undelivered,
            orphans=self._find_orphans(),
        )

    def _wait_for(self, count_left: Callable[[], int]) -> int:
        """Wait until nothing is left to come, or nothing comes any more; return what is left."""
        patience = self.lease.total_seconds() + PATIENCE_SECONDS
        left, changed = count_left(), time.monotonic()
        while left and time.monotonic() < changed + patience:
            time.sleep(0.2)
            before, left = left, count_left()
            if left != before:
                changed = time.monotonic()
        return left

    def _count_missing(self) -> int:
        due = sum(stage <= task.known for task in self.writers.tasks for stage in TRIGGERS)
        return max(due - len(self.receiver.arrived), 0)

    def _count_undelivered(self) -> int:
        query = select(func.count()).select_from(Delivery).where(Delivery.state != DELIVERED)
        with self.app.app_context():
            left = db.session.scalar(query) or 0
        self._disconnect()
        return left

    def _find_orphans(self) -> list[Orphan]:
        present = [*self.server.worker_starts(), *self.database.returns]
        with self.app.app_context():
            claims = read_claims()
        self._disconnect()
        return list(find_orphans(claims, self.lease, present))

    def _disconnect(self) -> None:
        with self.app.app_context():
            db.session.remove()
            db.engine.dispose()
