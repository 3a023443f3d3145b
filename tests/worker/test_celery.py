"""The distributed engine: Celery carries hints, the database keeps the truth."""

import time
from pathlib import Path

import pytest
from brokers import SECRET, Broker
from conftest import settings
from faults.killing import LOOPBACK, Counter, Crew, Load, make_place, make_webhooks, receiver
from flask import Flask

from taskbadger.app import create_app
from taskbadger.extensions import db
from taskbadger.worker import celery as engine
from taskbadger.worker import sweeps


def test_broker_that_stops_and_starts_loses_nothing(
    broker: Broker, migrated: str, tmp_path: Path
) -> None:
    app = create_app(settings(DATABASE_URL=migrated, SECRET_KEY=SECRET, BROKER_URL=broker.url))
    variables = {
        "TASKBADGER_DATABASE_URL": migrated,
        "TASKBADGER_SECRET_KEY": SECRET,
        "TASKBADGER_BROKER_URL": broker.url,
        "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        "TASKBADGER_WORKER_LEASE_SECONDS": "3",
        "TASKBADGER_LOG_LEVEL": "WARNING",
        "TASKBADGER_PLUGINS": "false",
    }
    commands = [("taskbadger.worker.celery", name) for name in ("worker", "worker", "beat")]
    counter = Counter(fail_every=0)
    with receiver(counter) as address, Crew(commands, variables, tmp_path):
        with app.app_context():
            load = Load(app, make_place(), [])
            load.integrations = make_webhooks(load.project, address, 4)
        load.write(10, 0.0)
        _wait_for(counter, load)
        broker.stop()
        load.write(10, 0.0)
        time.sleep(2)
        broker.start()
        load.write(10, 0.0)
        _wait_for(counter, load)

    assert set(counter.arrived) == load.expected
    assert len(load.expected) == 60
    with app.app_context():
        db.engine.dispose()


def _wait_for(counter: Counter, load: Load) -> None:
    deadline = time.monotonic() + 90
    while not load.expected <= set(counter.arrived):
        assert time.monotonic() < deadline, f"{len(load.expected - set(counter.arrived))} missing"
        time.sleep(0.1)


def celery_app(broker_url: str, folder: Path, **changes: str) -> Flask:
    return create_app(
        settings(DATABASE_URL=f"sqlite:///{folder}/test.db", BROKER_URL=broker_url, **changes)
    )


def test_beat_asks_for_every_sweep_and_lets_old_messages_go(tmp_path: Path) -> None:
    made = engine.make_celery(celery_app("redis://127.0.0.1:1/0", tmp_path))

    asked = {entry["args"][0] for entry in made.conf.beat_schedule.values() if "args" in entry}
    assert asked == {step.__name__ for step, _ in sweeps.SWEEPS}
    assert all(entry["options"]["expires"] for entry in made.conf.beat_schedule.values())
    assert made.conf.beat_schedule["tell_incidents"]["schedule"] <= 2


def test_installations_that_share_a_broker_have_queues_of_their_own(tmp_path: Path) -> None:
    names = {
        engine.make_celery(
            create_app(
                settings(
                    DATABASE_URL=f"sqlite:///{tmp_path}/test.db",
                    BROKER_URL="redis://127.0.0.1:1/0",
                    SECRET_KEY=f"{number}-secret-of-an-installation-0123456789",
                )
            )
        ).conf.task_default_queue
        for number in range(2)
    }

    assert len(names) == 2


def test_publisher_without_a_broker_raises(tmp_path: Path) -> None:
    publish = engine.make_publisher(celery_app("redis://127.0.0.1:1/0", tmp_path))

    with pytest.raises(Exception, match="Connection refused"):
        publish(["AZ2xVq0Qf5aH3wJ8kP4r7g"])


def test_commands_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Where no `make serve` has left a secret key.

    with pytest.raises(SystemExit, match="TASKBADGER_SECRET_KEY is not set"):
        engine.main(["worker"])
