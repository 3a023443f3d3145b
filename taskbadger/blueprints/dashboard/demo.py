"""The demo task: for ten seconds the server plays the part of a program.

A thread of the web process moves it along as a program would, whoever looks. Should the process
end meanwhile, the task has run for too long soon after, and the background worker ends it.
"""

import logging
import threading
import time

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from taskbadger.clock import utcnow
from taskbadger.domain.status import PENDING, SUCCESS, TERMINAL
from taskbadger.errors import TaskBadgerError
from taskbadger.extensions import db, writing
from taskbadger.services import tasks
from taskbadger.services.accounts import Actor, ProjectRef

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
"""The name of a thread that plays."""


def play(app: Flask, project: ProjectRef, task_id: str, actor: Actor) -> None:
    """Begin to move a task that was made from TASK to its end."""
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
            log.warning("a demo task was left to itself", extra={"error": type(error).__name__})
            return


def _take_step(project: ProjectRef, task_id: str, actor: Actor, step: int) -> bool:
    """Move the task by one step; say whether it goes on. Somebody may have cancelled it."""
    if tasks.get_task(project, task_id).status in TERMINAL:
        return False
    is_last = step == STEPS
    status = SUCCESS if is_last else "processing"
    changes = {"status": status, "value": 100 * step // STEPS}
    tasks.update_task(project, task_id, changes, now=utcnow(), actor=actor)
    db.session.commit()
    return not is_last
