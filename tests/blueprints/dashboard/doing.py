"""What programs and the worker do while somebody looks at the pages."""

from datetime import timedelta
from typing import Any

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.services import run_stats, tasks
from taskbadger.services.accounts import Actor, ProjectRef

CI = Actor("key", "ci")


def make_task(project: ProjectRef, name: str = "job", *, ago: float = 0, **data: Any) -> str:
    """Create a task *ago* seconds ago; return its id."""
    now = utcnow() - timedelta(seconds=ago)
    task = tasks.create_task(project, {"name": name, **data}, now=now, actor=CI)
    db.session.commit()
    return str(task.id)


def count_runs() -> None:
    """Count the ended runs, as the worker does."""
    while (batch := run_stats.read_batch(now=utcnow())) is not None:
        run_stats.count_batch(batch, now=utcnow())
        db.session.commit()
    db.session.rollback()
