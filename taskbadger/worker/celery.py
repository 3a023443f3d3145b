"""The distributed engine: the steps as Celery tasks, for teams that already run Celery.

``python -m taskbadger.worker.celery worker`` and ``… beat``, or Celery's own program:
``celery -A taskbadger.worker.celery inspect ping``. A message only names a delivery; the worker
claims it in the database. Deliveries whose messages the broker loses are published again.
"""

import hashlib
import logging
import os
import signal
import sys
import time
import warnings
from functools import partial
from typing import Any

from celery import Celery, Task, signals
from celery.exceptions import SecurityWarning
from flask import Flask
from flask.cli import ScriptInfo

from taskbadger.errors import SettingsError
from taskbadger.process import SendHint
from taskbadger.services.delivery.claims import Claimed
from taskbadger.worker import steps, sweeps
from taskbadger.worker.beat import Lease, OneBeat

log = logging.getLogger("taskbadger.worker.celery")  # Also as the program that runs.

PUBLISH_SECONDS = 1.0
"""How often to publish the deliveries that are due but unclaimed."""

SWEEP_SECONDS = 1.5
"""How long a sweep goes on while it has more to do; less than its interval."""

EXPIRE_SECONDS = 10.0
"""How long what beat sends is of use. By the clock of each machine, so more than they differ."""

_MAX_SECONDS = 20.0
"""How long one message may occupy a worker's thread, if there is that much to deliver."""

_SWEEPS = {step.__name__: (step, seconds) for step, seconds in sweeps.SWEEPS}


def make_celery(app: Flask) -> Celery:
    """Return the Celery application for *app*, with the broker from its setting BROKER_URL.

    ``tests/faults`` tests these settings with workers killed at random.
    """
    celery = Celery("taskbadger", broker=app.config["BROKER_URL"], set_as_current=False)
    celery.conf.update(
        task_default_queue=_queue_name(app),
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_publish_retry=False,
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        control_exchange=_queue_name(app),
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_timeout=3,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=2,
        broker_transport_options=_transport_options(app),
        beat_scheduler=partial(OneBeat, lease=Lease(app)),
        beat_max_loop_interval=1,
        beat_schedule=_schedule(),
    )
    _add_tasks(celery, app)
    return celery


def _queue_name(app: Flask) -> str:
    """Return a queue name unique to this installation, because several may share a broker."""
    key = f"taskbadger queue {app.config['SECRET_KEY']}"
    return f"taskbadger-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _transport_options(app: Flask) -> dict[str, Any]:
    if not app.config["BROKER_URL"].startswith(("redis", "rediss")):
        return {"confirm_publish": True}
    return {
        "global_keyprefix": f"{_queue_name(app)}:",
        "visibility_timeout": 60,
        "socket_timeout": 3,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "retry_on_timeout": True,
    }


def _schedule() -> dict[str, dict[str, Any]]:
    schedule: dict[str, dict[str, Any]] = {
        name: {
            "task": "taskbadger.sweep",
            "schedule": max(seconds, 2.0),
            "args": (name,),
            "options": {"expires": EXPIRE_SECONDS},
        }
        for name, (_, seconds) in _SWEEPS.items()
    }
    schedule["publish"] = {
        "task": "taskbadger.publish",
        "schedule": PUBLISH_SECONDS,
        "options": {"expires": EXPIRE_SECONDS},
    }
    return schedule


def _add_tasks(celery: Celery, app: Flask) -> None:
    @celery.task(name="taskbadger.deliver", shared=False)
    def deliver(delivery_id: str) -> None:
        with app.app_context():
            _deliver(delivery_id)

    @celery.task(name="taskbadger.sweep", shared=False)
    def sweep(name: str) -> None:
        if name not in _SWEEPS:
            return
        step, _ = _SWEEPS[name]
        until = time.monotonic() + SWEEP_SECONDS
        with app.app_context():
            while steps.run_safely(step) and time.monotonic() < until:
                time.sleep(sweeps.REST_SECONDS)

    @celery.task(name="taskbadger.publish", shared=False)
    def publish() -> None:
        with app.app_context():
            for delivery_id in steps.run_safely(steps.take_for_publishing) or []:
                deliver.delay(delivery_id)
            # Deliveries published earlier, to a worker that has died since.
            _send_and_claim_more(steps.run_safely(steps.claim, 1))


def _deliver(delivery_id: str) -> None:
    """Send one delivery, then whatever else is due, for up to _MAX_SECONDS."""
    _send_and_claim_more(steps.run_safely(steps.claim_one, delivery_id))


def _send_and_claim_more(claimed: list[Claimed] | None) -> None:
    deadline = time.monotonic() + _MAX_SECONDS
    while claimed:
        for delivery in claimed:
            steps.run_safely(steps.send, delivery)
        if time.monotonic() > deadline:
            return
        claimed = steps.run_safely(steps.claim, 1)


def make_publisher(app: Flask) -> SendHint:
    """Return the function that sends ids to the broker; it raises if the broker is unreachable."""
    task: Task[Any, Any] = make_celery(app).tasks["taskbadger.deliver"]

    def publish(delivery_ids: list[str]) -> None:
        for delivery_id in delivery_ids:
            task.apply_async((delivery_id,), retry=False)

    return publish


def main(arguments: list[str]) -> None:
    """Run ``worker`` or ``beat``; further arguments go to Celery."""
    app = _load()
    celery = make_celery(app)
    command, *options = arguments or ["worker"]
    if command == "worker":
        _run_worker(celery, app, options)
    elif command == "beat":
        _run_beat(celery, options)
    else:
        sys.exit(f"Error: {command!r} is not a command: use worker or beat")


def _run_worker(celery: Celery, app: Flask, options: list[str]) -> None:
    """Run Celery's worker; of what it says, our logs keep one line at its start and its end."""
    threads = app.config["WORKER_THREADS"] * steps.MAX_THREAD_FACTOR
    defaults = ["--pool=threads", f"--concurrency={threads}", "--loglevel=WARNING"]
    fewer = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    # Nothing that a message contains is run, so root risks what it does with the web server.
    warnings.simplefilter("ignore", SecurityWarning)
    sys.__stdout__ = None  # type: ignore[misc]  # There it says that it is stopping.
    signals.worker_ready.connect(_log_start, weak=False)
    signals.worker_shutdown.connect(_log_stop, weak=False)
    celery.start(["--quiet", "worker", *defaults, *fewer, *options])


def _log_start(sender: Any, **_: Any) -> None:
    log.info("worker started", extra={"pid": os.getpid(), "node": sender.hostname})


def _log_stop(sender: Any, **_: Any) -> None:
    log.info("worker stopped", extra={"pid": os.getpid(), "node": sender.hostname})


def _run_beat(celery: Celery, options: list[str]) -> None:
    signals.beat_init.connect(_stop_on_signals, weak=False)
    try:
        celery.start(["--quiet", "beat", "--loglevel=WARNING", "--pidfile=", *options])
    finally:
        celery.conf.beat_scheduler.keywords["lease"].release()


def _stop_on_signals(sender: Any, **_: Any) -> None:
    """Let beat finish what it does: Celery raises SystemExit in the middle of it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sender.stop())


def _load() -> Flask:
    """Return the application; without valid settings, or a broker, say so and exit."""
    try:
        # By name, because the worker may not import the module of the application.
        app = ScriptInfo(app_import_path="taskbadger.app:create_app").load_app()
    except SettingsError as error:
        sys.exit(f"Error: {error}")
    if not app.config["BROKER_URL"]:
        sys.exit("Error: TASKBADGER_BROKER_URL is not set")
    return app


def __getattr__(name: str) -> Celery:
    """Make the application for Celery's own program, which looks for it in this module."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return make_celery(_load())


if __name__ == "__main__":
    main(sys.argv[1:])
