"""What every version of the SDK has, step by step; prints each step's task as JSON."""

import json
import os
import sys

from taskbadger.sdk import _init, list_tasks

import taskbadger

_init(host=os.environ["LIVE_HOST"], token=os.environ["LIVE_KEY"])
steps = {}


def note(step, task):
    steps[step] = task.to_dict()


task = taskbadger.create_task(
    "basics",
    value=1,
    value_max=20,
    data={"a": {"b": [1, 2.5, None]}},
    max_runtime=60,
    stale_timeout=30,
    tags={"env": "prod"},
)
note("create", task)
note("get", taskbadger.get_task(task.id))
task.starting()
note("starting", task)
task.update_value(5)
note("update_value", task)
task.increment_value(3)
note("increment", task)
task.update(data={"c": "✓"}, data_merge_strategy="default")
note("merge", task)
task.tag({"team": "ops", "env": "test"})
note("tag", task)
assert task.tags == {"team": "ops", "env": "test"}
assert task.ping()
note("ping", task)
assert not task.ping(rate_limit=3600)
note("update", taskbadger.update_task(task.id, name="renamed", data={"d": 1}, value_max=50))
task.success(50)
note("success", task)

with taskbadger.Session():
    first = taskbadger.Task.create("in a session")
    first.error(7, data={"why": "because"})
    second = taskbadger.create_task("cancelled in a session")
    second.canceled()
note("error", first)
note("canceled", second)


@taskbadger.track
def double(number):
    return number * 2


@taskbadger.track(name="explodes", max_runtime=9)
def explode():
    raise ValueError("boom")


assert double(21) == 42
try:
    explode()
except ValueError:
    pass
else:
    raise AssertionError("the error must reach the caller")

page = list_tasks(page_size=3)
steps["list"] = [found.to_dict() for found in page.results]
json.dump(steps, sys.stdout)
