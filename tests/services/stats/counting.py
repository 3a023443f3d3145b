"""What tests of statistics share: runs that end before NOW, and counting them."""

from datetime import UTC, datetime, timedelta

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models.task_rows import TaskState
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
ADA = Actor("user", "ada@example.org")


def run(
    project: ProjectRef, name: str = "job", *, ago: float = 0, took: float = 0, status: str = ""
) -> TaskState:
    """Let a task run for *took* seconds and end in *status*, so many seconds before NOW."""
    end = NOW - timedelta(seconds=ago)
    start = end - timedelta(seconds=took)
    task = write.create_task(project, {"name": name, "status": "processing"}, now=start, actor=ADA)
    if status:
        write.update_task(project, task.id, {"status": status}, now=end, actor=ADA)
    db.session.commit()
    return task


def count(now: datetime = NOW) -> int:
    """Count what waits; return how many batches that took."""
    batches = 0
    while (batch := runs.read_batch(now=now)) is not None:
        assert runs.count_batch(batch, now=now)
        db.session.commit()
        batches += 1
    db.session.rollback()
    return batches
