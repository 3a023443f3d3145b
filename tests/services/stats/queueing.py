"""What tests of queues share: tasks that wait, start and end before NOW."""

from datetime import timedelta

from services.stats.counting import ADA, NOW

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import write


def queued(
    project: ProjectRef,
    queue: str = "mail",
    *,
    ago: float,
    started: float | None = None,
    ended: float | None = None,
    status: str = "success",
) -> str:
    """Let a task arrive, start and end in *status*, each so many seconds before NOW, if at all."""
    task = write.create_task(
        project, {"name": "job", "queue": queue}, now=NOW - timedelta(seconds=ago), actor=ADA
    )
    for seconds, entered in ((started, "processing"), (ended, status)):
        if seconds is not None:
            at = NOW - timedelta(seconds=seconds)
            write.update_task(project, task.id, {"status": entered}, now=at, actor=ADA)
    db.session.commit()
    return task.id
