"""Workers killed at random under load: nothing is missing, and repetitions carry the same id."""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import brokers
import flask_migrate
import pytest
from conftest import settings
from faults.killing import LOOPBACK, Result, run_trial
from flask import Flask
from skipped import leave_to_faults

from taskbadger.app import create_app
from taskbadger.extensions import db
from taskbadger.worker.celery import make_celery

WORKER = ("taskbadger_server", "worker")
CELERY_WORKER = ("taskbadger.worker.celery", "worker")
CELERY_BEAT = ("taskbadger.worker.celery", "beat")
LEASE = "2"
KILLS = int(os.environ.get("TASKBADGER_TEST_KILLS", "10"))
"""In all trials together; ``make faults`` asks for more."""

pytestmark = pytest.mark.timeout(300 + 5 * KILLS)


@pytest.fixture
def own_database(new_database: Callable[[], str], tmp_path: Path) -> str:
    """The URL of a migrated database that no other test uses."""
    url = new_database()
    with app_of(url, "").app_context():
        flask_migrate.upgrade()
        db.engine.dispose()
    return url


@pytest.fixture
def secret() -> str:
    return secrets.token_hex(32)


def app_of(url: str, secret: str, broker: str = "") -> Flask:
    return create_app(
        settings(
            DATABASE_URL=url,
            SECRET_KEY=secret or secrets.token_hex(32),
            BROKER_URL=broker,
            DATABASE_TIMEOUT=20.0,
        )
    )


def variables_of(url: str, secret: str, broker: str = "") -> dict[str, str]:
    return {
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_SECRET_KEY": secret,
        "TASKBADGER_BROKER_URL": broker,
        "TASKBADGER_WORKER_LEASE_SECONDS": LEASE,
        "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        "TASKBADGER_LOG_LEVEL": "WARNING",
        "TASKBADGER_PLUGINS": "false",
    }


def _check(result: Result, kills: int) -> None:
    assert (result.lost, result.torn, result.unknown) == (set(), set(), set())
    assert (result.kills, result.not_delivered) == (kills, 0)


def test_killed_embedded_workers_lose_nothing(
    own_database: str, secret: str, tmp_path: Path
) -> None:
    app = app_of(own_database, secret)

    result = run_trial(
        app, [WORKER] * 3, variables_of(own_database, secret), tmp_path, kills=KILLS * 3 // 10
    )

    _check(result, KILLS * 3 // 10)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(
    request: pytest.FixtureRequest, backend: str, secret: str, tmp_path: Path
) -> Iterator[str]:
    """The URL of a broker that runs; what the test leaves there is removed."""
    leave_to_faults(backend, "postgresql" if request.param == "redis" else "sqlite")
    nowhere = app_of(f"sqlite:///{tmp_path}/none.db", secret, brokers.URLS[request.param])
    with brokers.running(request.param, make_celery(nowhere).conf.task_default_queue) as url:
        yield url


def test_killed_celery_workers_lose_nothing(
    broker: str, own_database: str, secret: str, tmp_path: Path
) -> None:
    app = app_of(own_database, secret, broker)

    result = run_trial(
        app,
        [CELERY_WORKER, CELERY_WORKER, CELERY_BEAT],
        variables_of(own_database, secret, broker),
        tmp_path,
        kills=KILLS // 10,
        seconds_between_kills=0.6,
    )

    _check(result, KILLS // 10)
    with app.app_context():
        db.engine.dispose()
