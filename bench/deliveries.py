"""Measures deliveries: the time from the change to the first attempt, and the throughput.

``python bench/deliveries.py [embedded|redis|rabbitmq …] [sqlite|postgresql …]``
"""

import os
import secrets
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import flask_migrate
import psycopg
from flask import Flask
from sqlalchemy import func, select

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from faults.killing import (
    LOOPBACK,
    WRITER,
    Counter,
    Crew,
    make_place,
    make_webhooks,
    receiver,
)

from taskbadger.app import create_app
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.models.delivery import DELIVERED
from taskbadger.services.tasks import write
from taskbadger.settings import Settings

POSTGRESQL = os.environ.get(
    "TASKBADGER_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/test"
)
BROKERS = {
    "embedded": "",
    "redis": os.environ.get("TASKBADGER_TEST_REDIS", "redis://127.0.0.1:6379/0"),
    "rabbitmq": os.environ.get("TASKBADGER_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
}
SINGLES = int(os.environ.get("BENCH_SINGLES", "100"))
"""Changes measured one by one."""
BURST = int(os.environ.get("BENCH_BURST", "1000"))
"""Deliveries waiting when the throughput is measured."""
WEBHOOKS = 16


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{folder}/bench.db"
        return
    name = f"tb_bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
    finally:
        with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def fire(project: ProjectRef, integration: str) -> float:
    """Create a task that notifies a webhook; return when the change was acknowledged."""
    action = {"trigger": "success", "integration": integration, "config": {}}
    fields = {"name": "bench", "status": "success", "actions": [action]}
    write.create_task(project, fields, now=utcnow(), actor=WRITER)
    db.session.commit()
    return time.monotonic()


def measure_latency(app: Flask, project: ProjectRef, names: list[str], counter: Counter) -> str:
    """Return p50 and p99 from the acknowledged change to the first attempt."""
    for name in names:
        with app.app_context():
            fire(project, name)
    wait_for(app, len(names))
    waits: list[float] = []
    for number in range(SINGLES):
        with app.app_context():
            seen = set(counter.moments)
            began = fire(project, names[number % len(names)])
        deadline = time.monotonic() + 30
        while not (new := set(counter.moments) - seen) and time.monotonic() < deadline:
            time.sleep(0.001)
        waits.append(max(0.0, counter.moments[new.pop()] - began))
        time.sleep(0.05)
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return f"first attempt p50 {cuts[49] * 1000:6.0f} ms, p99 {cuts[98] * 1000:6.0f} ms"


def wait_for(app: Flask, count: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with app.app_context():
            done = db.session.scalar(
                select(func.count()).select_from(Delivery).where(Delivery.state == DELIVERED)
            )
            db.session.remove()
        if (done or 0) >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"not delivered within two minutes: {count}")


def measure_throughput(app: Flask, project: ProjectRef, names: list[str], crew: Crew) -> str:
    """Return deliveries sent per second from a full queue; filling it is not counted."""
    with app.app_context():
        before = db.session.scalar(select(func.count()).select_from(Delivery)) or 0
        for number in range(BURST):
            fire(project, names[number % len(names)])
        db.session.remove()
    with crew:
        began = time.monotonic()
        wait_for(app, before + 1)
        first = time.monotonic()
        wait_for(app, before + BURST)
        ended = time.monotonic()
    return f"{BURST / (ended - first):6.0f} deliveries/s (start {first - began:.1f} s)"


def run(engine: str, database: str) -> None:
    secret, broker = secrets.token_hex(32), BROKERS[engine]
    with tempfile.TemporaryDirectory() as name, new_database(database, Path(name)) as url:
        app = create_app(
            Settings(
                SECRET_KEY=secret,
                DATABASE_URL=url,
                BROKER_URL=broker,
                LOG_LEVEL="ERROR",
                PLUGINS=False,
            )
        )
        variables = {
            "TASKBADGER_SECRET_KEY": secret,
            "TASKBADGER_DATABASE_URL": url,
            "TASKBADGER_BROKER_URL": broker,
            "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
            "TASKBADGER_LOG_LEVEL": "ERROR",
            "TASKBADGER_PLUGINS": "false",
        }
        commands = (
            [("taskbadger.worker.celery", "worker"), ("taskbadger.worker.celery", "beat")]
            if broker
            else [("taskbadger_server", "worker")]
        )
        counter = Counter(fail_every=0, pause_seconds=0.0)
        with receiver(counter) as address:
            with app.app_context():
                flask_migrate.upgrade()
                project = make_place()
                names = make_webhooks(project, address, WEBHOOKS)
                db.session.remove()
            with Crew(commands, variables, Path(name)):
                latency = measure_latency(app, project, names, counter)
            crew = Crew(commands, variables, Path(name))
            throughput = measure_throughput(app, project, names, crew)
        print(f"{engine:9} {database:10}  {latency};  {throughput}", flush=True)
        with app.app_context():
            db.engine.dispose()


def main() -> None:
    asked = set(sys.argv[1:])
    engines = [name for name in BROKERS if name in asked] or list(BROKERS)
    databases = [name for name in ("sqlite", "postgresql") if name in asked]
    print(f"processors {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    for engine in engines:
        for database in databases or ["sqlite", "postgresql"]:
            run(engine, database)


if __name__ == "__main__":
    main()
