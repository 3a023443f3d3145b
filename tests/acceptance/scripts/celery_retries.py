"""A Celery application whose only job fails twice, and then succeeds.

``worker …`` runs a real worker; ``publish N`` sends N jobs, waits for them, and prints how many
returned what they should.
"""

import json
import os
import sys

import celery
from taskbadger.celery import Task
from taskbadger.sdk import _init
from taskbadger.systems.celery import CelerySystemIntegration

REDIS, PREFIX = os.environ["LIVE_REDIS"], os.environ["LIVE_PREFIX"]

app = celery.Celery("jobs", broker=REDIS, backend=REDIS)
app.conf.update(
    broker_transport_options={"global_keyprefix": PREFIX},
    result_backend_transport_options={"global_keyprefix": PREFIX},
    broker_connection_retry_on_startup=True,
    task_default_queue="retries",
    worker_hijack_root_logger=False,
)
_init(
    host=os.environ["LIVE_HOST"],
    token=os.environ["LIVE_KEY"],
    systems=[CelerySystemIntegration()],
)


@app.task(bind=True, base=Task, max_retries=2, name="jobs.healed")
def healed(self):
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"), countdown=0)
    return "at last"


def publish(count):
    sent = [healed.delay() for _ in range(count)]
    return sum(each.get(timeout=600) == "at last" for each in sent)


if __name__ == "__main__":
    if sys.argv[1] == "publish":
        json.dump(publish(int(sys.argv[2])), sys.stdout)
    else:
        app.worker_main(sys.argv[1:])
