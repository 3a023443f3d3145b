"""A Celery application whose tasks the SDK tracks.

``worker …`` runs a real worker; ``publish`` sends one of each job, waits for them, and prints
what came back as JSON.
"""

import json
import os
import sys
import time

import celery
from taskbadger.celery import Task
from taskbadger.sdk import _init
from taskbadger.systems.celery import CelerySystemIntegration

import taskbadger

REDIS, PREFIX = os.environ["LIVE_REDIS"], os.environ["LIVE_PREFIX"]
TIME_LIMIT = 60

app = celery.Celery("jobs", broker=REDIS, backend=REDIS)
app.conf.update(
    broker_transport_options={"global_keyprefix": PREFIX},
    result_backend_transport_options={"global_keyprefix": PREFIX},
    broker_connection_retry_on_startup=True,
    task_default_queue="jobs",
    worker_hijack_root_logger=False,
)
_init(
    host=os.environ["LIVE_HOST"],
    token=os.environ["LIVE_KEY"],
    systems=[CelerySystemIntegration(excludes=[r"jobs\.(ignored|child|flaky)"])],
)


@app.task(base=Task, taskbadger_kwargs={"tags": {"kind": "sum"}}, taskbadger_value_max=3)
def add(x, y):
    return x + y


@app.task
def plain(word):
    return word.upper()


@app.task
def ignored():
    return "not tracked"


@app.task(bind=True, base=Task)
def progress(self, total):
    task = self.taskbadger_task
    for value in range(1, total + 1):
        task.update(value=value, value_max=total)
    task.success(total)


@app.task(base=Task)
def fail():
    raise ValueError("no luck")


@app.task(bind=True, base=Task, max_retries=1, name="jobs.flaky")
def flaky(self):
    if self.request.retries == 0:
        raise self.retry(exc=OSError("not yet"), countdown=0)
    return "at last"


@app.task(base=Task, name="jobs.child")
def child(number):
    return number * 10


@app.task(base=Task)
def parent():
    return [child.delay(number).id for number in (1, 2)]


@app.task(bind=True, base=Task, taskbadger_heartbeat_interval=0.2)
def slow(self):
    """Wait until something else than this task has touched it twice."""
    seen = {taskbadger.get_task(self.taskbadger_task_id).updated}
    deadline = time.monotonic() + TIME_LIMIT
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
        seen.add(taskbadger.get_task(self.taskbadger_task_id).updated)
    return len(seen)


def publish():
    """Send one of each job; return the SDK's id of each, and the results."""
    sent = {
        "add": add.delay(2, 3),
        "plain": plain.apply_async(("word",), headers={"taskbadger_record_task_args": True}),
        "ignored": ignored.delay(),
        "untracked": add.apply_async((1, 1), taskbadger_track=False),
        "progress": progress.delay(4),
        "fail": fail.apply_async(taskbadger_name="must fail", taskbadger_data={"try": 1}),
        "flaky": flaky.delay(),
        "parent": parent.delay(),
        "slow": slow.delay(),
        "map": add.starmap([(1, 2), (3, 4)]).apply_async(),
        "chain": celery.chain(add.s(1, 2), add.s(10)).apply_async(),
    }
    results = {}
    for name, result in sent.items():
        result.get(timeout=TIME_LIMIT, propagate=False)
        results[name] = repr(result.result) if name == "fail" else result.result
    children = [app.AsyncResult(each).get(timeout=TIME_LIMIT) for each in results.pop("parent")]
    ids = {name: getattr(result, "taskbadger_task_id", None) for name, result in sent.items()}
    celery_ids = {name: result.id for name, result in sent.items()}
    return {"ids": ids, "celery": celery_ids, "results": {**results, "children": children}}


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        json.dump(publish(), sys.stdout)
    else:
        app.worker_main(sys.argv[1:])
