"""Jobs that Sentry's SDK for Python reports, unmodified.

Without arguments, one of each way to report a run; ``worker …`` runs Celery, with beat in it.
"""

import asyncio
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import celery
import sentry_sdk
from sentry_sdk.crons import capture_checkin, monitor
from sentry_sdk.integrations.celery import CeleryIntegration

DAILY = {
    "schedule": {"type": "crontab", "value": "0 3 * * *"},
    "timezone": "Europe/Paris",
    "checkin_margin": 5,
    "max_runtime": 10,
    "failure_issue_threshold": 2,
    "recovery_threshold": 3,
}
WEEKLY = {"schedule": {"type": "interval", "value": 1, "unit": "week"}}
FAR_AWAY = datetime(2000, 1, 1, tzinfo=UTC)

sentry_sdk.init(
    dsn=os.environ["SENTRY_DSN"],
    environment="trial",
    debug=True,
    integrations=[CeleryIntegration(monitor_beat_tasks=True, exclude_beat_tasks=["left-out"])],
)


@monitor("decorated", monitor_config=DAILY)
def decorated():
    return 5


@monitor(monitor_slug="decorated fails", monitor_config=WEEKLY)
def fails():
    raise ValueError("no luck")


@monitor("decorated async", monitor_config=WEEKLY)
async def coroutine():
    await asyncio.sleep(0)


def one_of_each():
    decorated()
    with suppress(ValueError):
        fails()
    asyncio.run(coroutine())
    with monitor("with block", monitor_config=WEEKLY):
        pass
    with suppress(ValueError), monitor("with block fails", monitor_config=WEEKLY):
        raise ValueError("no luck")
    with monitor("decorated"):  # It has a monitor by now.
        pass
    began = capture_checkin("by hand", status="in_progress", monitor_config=DAILY)
    capture_checkin("by hand", began, "error", 2)
    capture_checkin("heartbeat", status="ok", duration=90, monitor_config=WEEKLY)
    capture_checkin("heartbeat", status="error")
    capture_checkin("going on", status="in_progress", monitor_config=WEEKLY)
    capture_checkin("unknown", status="ok")
    changed = {"schedule": {"type": "interval", "value": 2, "unit": "day"}, "max_runtime": 60}
    capture_checkin("changes", status="ok", monitor_config=DAILY)
    capture_checkin("changes", status="ok", monitor_config=changed)
    capture_checkin(
        "wrong", status="ok", monitor_config={"schedule": {"type": "crontab", "value": "x"}}
    )
    try:
        raise ValueError("an error beside")
    except ValueError:
        sentry_sdk.capture_exception()
    with sentry_sdk.start_transaction(name="a transaction"):
        pass
    sentry_sdk.flush()


def run_celery(arguments):
    redis, prefix = os.environ["LIVE_REDIS"], os.environ["LIVE_PREFIX"]
    app = celery.Celery("beaten", broker=redis)
    every = {"schedule": timedelta(hours=1), "last_run_at": FAR_AWAY}
    app.conf.update(
        broker_transport_options={"global_keyprefix": prefix},
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
        beat_schedule={
            "beat succeeds": {"task": "beaten.succeeds", **every},
            "beat fails": {"task": "beaten.fails", **every},
            "left-out": {"task": "beaten.succeeds", **every},
            "too-often": {"task": "beaten.succeeds", **every, "schedule": timedelta(seconds=30)},
        },
    )

    @app.task(name="beaten.succeeds")
    def succeeds():
        pass

    @app.task(name="beaten.fails")
    def fails():
        raise ValueError("no luck")

    app.worker_main(arguments)


if __name__ == "__main__":
    if sys.argv[1:]:
        run_celery(sys.argv[1:])
    else:
        one_of_each()
