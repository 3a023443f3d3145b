"""What programs and the worker do while somebody looks at the pages."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from conftest import count_queries
from people import WebClient

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

CI = Actor("key", "ci")


def make_task(project: ProjectRef, name: str = "job", *, ago: float = 0, **data: Any) -> str:
    """Create a task *ago* seconds ago; return its id."""
    now = utcnow() - timedelta(seconds=ago)
    task = write.create_task(project, {"name": name, **data}, now=now, actor=CI)
    db.session.commit()
    return str(task.id)


def count_runs() -> None:
    """Count the ended runs, as the worker does."""
    while (batch := runs.read_batch(now=utcnow())) is not None:
        runs.count_batch(batch, now=utcnow())
        db.session.commit()
    db.session.rollback()


def assert_same_queries(
    web: WebClient, path: str, make: Callable[[int], object], *, max_queries: int
) -> None:
    """Check that a page of 50 rows takes no more queries than with one; *make* adds a row."""

    def measure() -> int:
        with count_queries() as queries:
            assert web.get(path).status_code == 200
        return len(queries)

    make(0)
    measure()
    one = measure()
    for number in range(1, 50):
        make(number)

    assert measure() == one
    assert one <= max_queries
