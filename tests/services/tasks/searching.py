"""What tests of searches share: tasks in some projects, and the names that a search finds."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models.task_rows import TaskState
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks import write
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks
from taskbadger.services.tasks.search.reading import read_search

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA = Actor("user", "ada@example.org")


def make_task(project: ProjectRef, name: str = "job", *, ago: float = 0, **data: Any) -> TaskState:
    """Create a task so many seconds before NOW."""
    now = NOW - timedelta(seconds=ago)
    task = write.create_task(project, {"name": name, **data}, now=now, actor=ADA)
    db.session.commit()
    return task


def found_names(projects: Sequence[ProjectRef], search: str, size: int = 100) -> list[str]:
    filters, read = read_search(search, now=NOW)
    assert read.problems == ()
    return [row.name for row in search_tasks(projects, filters, None, size).rows]


def filters_of(search: str) -> Filters:
    """Return the filters of a search."""
    return read_search(search, now=NOW)[0]


def walk(
    projects: Sequence[ProjectRef], filters: Filters, size: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Return all pages by name, going down, and going up again."""
    down, up = [], []
    cursor: Cursor | None = None
    while True:
        found = search_tasks(projects, filters, cursor, size)
        down.append([row.name for row in found.rows])
        if found.next is None:
            break
        cursor = found.next
    while found.previous is not None:
        found = search_tasks(projects, filters, found.previous, size)
        up.append([row.name for row in found.rows])
    return down, up


def explained(query: Any) -> str:
    """Return how the database says it answers a query."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    db.session.execute(query)
    event.remove(db.engine, "before_cursor_execute", note)
    [(statement, parameters)] = sent
    prefix = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"
    if prefix == "EXPLAIN":
        # A table of eight rows is read faster in other ways; here only the possible counts.
        for way in ("seqscan", "bitmapscan", "indexscan", "sort"):
            db.session.execute(text(f"SET LOCAL enable_{way} = off"))
    rows = db.session.connection().exec_driver_sql(f"{prefix} {statement}", parameters).all()
    return "\n".join(str(row[-1]) for row in rows)


def assert_walks_alone(found: str, index: str, *, walks: int = 2) -> None:
    """Assert that both projects are answered from an index, without a look at the table."""
    lines = [line for line in found.splitlines() if "ix_task" in line]
    word = "COVERING INDEX" if db.engine.dialect.name == "sqlite" else "Index Only Scan"
    assert len(lines) == walks
    assert all(index in line and word in line for line in lines), found
