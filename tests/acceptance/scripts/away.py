"""What each way to send tasks does while the server is away; prints what came of it as JSON."""

import json
import os
import sys
import time

import celery
from taskbadger.sdk import _init
from taskbadger.systems.celery import CelerySystemIntegration

import taskbadger

_init(
    host=os.environ["LIVE_HOST"],
    token=os.environ["LIVE_KEY"],
    timeout=float(sys.argv[1]),
    systems=[CelerySystemIntegration()],
)
app = celery.Celery("jobs", broker="memory://")


@app.task
def add(x, y):
    return x + y


@taskbadger.track
def work():
    return "worked"


ways = {
    "create_task_safe": lambda: taskbadger.create_task_safe("job"),
    "update_task_safe": lambda: taskbadger.update_task_safe("AZHAkAAAcACAAAAAAAAAAA", value=1),
    "create_task": lambda: taskbadger.create_task("job"),
    "update_task": lambda: taskbadger.update_task("AZHAkAAAcACAAAAAAAAAAA", value=1),
    "track": work,
    "celery": lambda: bool(add.delay(1, 2).id),
}


def outcome(way):
    """Return what a way returns, or the exception that it raises, and the seconds it takes."""
    began = time.monotonic()
    try:
        found = ways[way]()
    except Exception as error:
        found = f"raises {type(error).__name__}"
    return [found, time.monotonic() - began]


json.dump({way: outcome(way) for way in ways}, sys.stdout)
