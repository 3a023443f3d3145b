"""A Procrastinate application whose tasks the SDK tracks.

Sets up its schema, defers one of each job, works until none is left, and prints as JSON what it
deferred.
"""

import asyncio
import json
import os
import sys

import procrastinate
from taskbadger.sdk import _init
from taskbadger.systems.procrastinate import ProcrastinateSystemIntegration

from taskbadger import procrastinate as tracking

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["LIVE_PG"]))


@tracking.track(name="adds up", value_max=5, tags={"kind": "sum"}, record_task_args=True)
@app.task(queue="sums", name="jobs.add")
def add(x, y):
    task = tracking.current_task()
    task.update(value=x + y, data={"sum": x + y}, data_merge_strategy="default")


@app.task(queue="jobs", name="jobs.plain")
async def plain():
    await asyncio.sleep(0)


@app.task(queue="jobs", name="jobs.ignored")
async def ignored():
    await asyncio.sleep(0)


@app.task(queue="jobs", name="jobs.fail")
async def fail():
    raise ValueError("no luck")


@app.task(queue="jobs", name="jobs.flaky", retry=1, pass_context=True)
async def flaky(context):
    if context.job.attempts == 0:
        raise OSError("not yet")


@app.task(queue="jobs", name="jobs.parent")
async def parent():
    await plain.defer_async()
    await plain.defer_async()


systems = [ProcrastinateSystemIntegration(app, excludes=["jobs.ignored"], heartbeat_interval=30)]
_init(host=os.environ["LIVE_HOST"], token=os.environ["LIVE_KEY"], systems=systems)


async def main():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        jobs = {
            "add": await add.defer_async(x=2, y=3),
            "plain": await plain.defer_async(),
            "ignored": await ignored.defer_async(),
            "fail": await fail.defer_async(),
            "flaky": await flaky.defer_async(),
            "parent": await parent.defer_async(),
        }
        await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)
    json.dump({name: str(job) for name, job in jobs.items()}, sys.stdout)


asyncio.run(main())
