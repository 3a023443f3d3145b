"""The demo task: for ten seconds the server acts like a program that reports progress.

A thread of the web process updates it, whether or not anybody watches. If the process dies
meanwhile, the task exceeds its max_runtime, and the background worker ends it.
"""

import logging
import threading
import time

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.status import PENDING, SUCCESS, TERMINAL
from taskbadger.errors import TaskBadgerError
from taskbadger.extensions import db, writing
from taskbadger.process import current_process
from taskbadger.services.tasks import reads, write

log = logging.getLogger(__name__)

TASK = {
    "name": "demo task",
    "status": PENDING,
    "queue": "demo",
    "data": '{"rows":1200,"source":"the dashboard","api_token":"not shown on pages"}',
    "tags": {"demo": "yes"},
    "max_runtime": 30,
}
STEPS = 10
STEP_SECONDS = 1.0
THREAD = "demo task"
"""The name of the thread."""


def play(app: Flask, project: ProjectRef, task_id: str, actor: Actor) -> None:
    """Start a thread that completes a task created from TASK."""
    arguments = (app, project, task_id, actor)
    threading.Thread(target=_play, args=arguments, name=THREAD, daemon=True).start()


def _play(app: Flask, project: ProjectRef, task_id: str, actor: Actor) -> None:
    for step in range(1, STEPS + 1):
        time.sleep(STEP_SECONDS)
        try:
            with app.app_context(), writing():
                if not _take_step(project, task_id, actor, step):
                    return
        except (TaskBadgerError, SQLAlchemyError) as error:
            log.warning("demo task abandoned", extra={"error": type(error).__name__})
            return


def _take_step(project: ProjectRef, task_id: str, actor: Actor, step: int) -> bool:
    """Update the task by one step; return whether it goes on. Somebody may have cancelled it."""
    if reads.get_wire_task(project, task_id).status in TERMINAL:
        return False
    is_last = step == STEPS
    status = SUCCESS if is_last else "processing"
    changes = {"status": status, "value": 100 * step // STEPS}
    write.update_task(
        project,
        task_id,
        changes,
        now=utcnow(),
        actor=actor,
        audited=False,
        base_url=current_process().base_url,
    )
    db.session.commit()
    return not is_last
