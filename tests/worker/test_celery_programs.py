"""Celery's worker and beat as programs: one beat sends, and each worker answers pings."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

import brokers
import flask_migrate
import pytest
import redis
import yaml
from brokers import SECRET, Broker
from conftest import ROOT, settings
from faults.killing import Crew
from flask import Flask
from processes import TIME_LIMIT, environment, wait_until

from taskbadger.app import create_app
from taskbadger.extensions import db
from taskbadger.services import beat_lease
from taskbadger.worker import celery as engine


def celery_app(broker_url: str, folder: Path, **changes: str) -> Flask:
    return create_app(
        settings(DATABASE_URL=f"sqlite:///{folder}/test.db", BROKER_URL=broker_url, **changes)
    )


def variables_of(url: str, broker_url: str, secret: str = SECRET) -> dict[str, str]:
    return {
        "TASKBADGER_DATABASE_URL": url,
        "TASKBADGER_SECRET_KEY": secret,
        "TASKBADGER_BROKER_URL": broker_url,
        "TASKBADGER_PLUGINS": "false",
    }


class Sent:
    """What beats have sent to a broker, where nobody takes it."""

    def __init__(self, broker: Broker, app: Flask) -> None:
        name = engine.make_celery(app).conf.task_default_queue
        self._key = f"{name}:{name}"
        self._client = redis.Redis.from_url(broker.url, decode_responses=True)

    def by(self) -> list[int]:
        """Return the processes that sent, in order; each once for all it sent in a row."""
        messages = reversed(self._client.lrange(self._key, 0, -1))
        origins = [json.loads(message)["headers"]["origin"] for message in messages]
        return [int(origin[3:].partition("@")[0]) for origin, _ in groupby(origins)]

    def close(self) -> None:
        self._client.close()


def test_one_beat_sends_and_another_one_takes_over_when_it_dies(
    broker: Broker, migrated: str, tmp_path: Path
) -> None:
    app = create_app(settings(DATABASE_URL=migrated, SECRET_KEY=SECRET, BROKER_URL=broker.url))
    sent = Sent(broker, app)
    variables = variables_of(migrated, broker.url)
    with Crew([("taskbadger.worker.celery", "beat")] * 2, variables, tmp_path) as crew:
        beats = {process.pid: process for process in crew.processes}
        [first] = wait_until(sent.by, "a beat")
        time.sleep(2)  # Both have begun.
        beats[first].kill()
        wait_until(lambda: len(sent.by()) > 1, "the other one")

    [second] = set(beats) - {first}
    assert sent.by() == [first, second]
    assert beats[second].returncode == 0
    [line] = (tmp_path / "workers.log").read_text().splitlines()
    assert json.loads(line)["event"] == "beat takes over"
    with app.app_context():
        assert beat_lease.read().holder is None  # The next one need not wait.
        db.session.remove()
        db.engine.dispose()
    sent.close()


def pings() -> dict[str, str]:
    """Return the command with which a file in ``deploy/`` asks a worker, by what reads the file."""
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    kind, of_compose = compose["services"]["worker"]["healthcheck"]["test"]
    manifest = (ROOT / "deploy/kubernetes/worker.yaml").read_text()
    pod = yaml.safe_load(manifest)["spec"]["template"]["spec"]
    *shell, of_kubernetes = pod["containers"][0]["livenessProbe"]["exec"]["command"]
    assert (kind, shell) == ("CMD-SHELL", ["sh", "-c"])
    return {"rabbitmq": of_compose.replace("$$", "$"), "redis": of_kubernetes}


def ask(command: str, home: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command as it runs in a container."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=home,
        env=environment(PATH=path, HOSTNAME=socket.gethostname(), **variables),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )


@pytest.mark.parametrize("kind", ["redis", "rabbitmq"])
def test_a_worker_answers_pings_with_its_name_and_says_little_else(
    kind: str, tmp_path: Path
) -> None:
    secret, name = secrets.token_hex(32), f"celery@{socket.gethostname()}"
    app = celery_app(brokers.URLS[kind], tmp_path, SECRET_KEY=secret)
    with app.app_context():
        flask_migrate.upgrade()
    celery = engine.make_celery(app)
    with brokers.running(kind, celery.conf.task_default_queue) as url:
        variables = variables_of(f"sqlite:///{tmp_path}/test.db", url, secret)
        inspect = celery.control.inspect(destination=[name], timeout=1)
        with Crew([("taskbadger.worker.celery", "worker")], variables, tmp_path) as crew:
            wait_until(inspect.ping, "the worker")
            done = ask(pings()[kind], tmp_path, variables)
            stranger = engine.make_celery(celery_app(url, tmp_path))
            others = stranger.control.inspect(destination=[name], timeout=1).ping()
            crew.processes[0].terminate()
            wait_until(lambda: inspect.ping() is None, "its end")
            status = crew.processes[0].wait(TIME_LIMIT)
        celery.pool.force_close_all()
        stranger.pool.force_close_all()

    assert (done.returncode, done.stdout) == (0, f" {name}: OK\n        pong\n")
    assert (others, status) == (None, 0)
    log = [json.loads(line) for line in (tmp_path / "workers.log").read_text().splitlines()]
    assert [(line["event"], line["node"]) for line in log] == [
        ("worker started", name),
        ("worker stopped", name),
    ]


def test_a_ping_that_nobody_answers_fails(broker: Broker, tmp_path: Path) -> None:
    variables = variables_of(f"sqlite:///{tmp_path}/test.db", broker.url)
    command = pings()["redis"].replace("--timeout 5", "--timeout 0.5")

    done = ask(command, tmp_path, variables)

    assert (done.returncode, done.stderr) == (
        69,
        "Error: No nodes replied within time constraint\n",
    )
