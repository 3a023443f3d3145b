"""What is failing now."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from sqlalchemy import event, insert, text

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import RunStat
from taskbadger.services.stats import failing
from taskbadger.services.stats import runs as run_stats
from taskbadger.services.stats.failing import Failing
from taskbadger.services.tasks import write

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
ADA = Actor("user", "ada@example.org")


def run(project: ProjectRef, name: str, hours: float, status: str) -> Any:
    """Let a run end in *status*, so many hours before NOW."""
    end = NOW - timedelta(hours=hours)
    task = write.create_task(project, {"name": name, "status": "processing"}, now=end, actor=ADA)
    write.update_task(project, task.id, {"status": status}, now=end, actor=ADA)
    db.session.commit()
    return task


def count() -> None:
    """Count what waits, as the background worker does."""
    while (batch := run_stats.read_batch(now=NOW)) is not None:
        run_stats.count_batch(batch, now=NOW)
        db.session.commit()
    db.session.rollback()


def names(project: ProjectRef) -> list[tuple[str, str, str]]:
    """Return the failing names of the organization of a project."""
    number = project.organization_id
    found = failing.list_failing_names(number, 10, now=NOW)
    assert failing.count_failing(number, now=NOW) == Failing(monitors=0, names=len(found))
    return [(row.project, row.name, row.last_outcome) for row in found]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([(1, "error")], ["error"]),
        ([(1, "stale")], ["stale"]),
        ([(2, "error"), (1, "success")], []),
        ([(2, "success"), (1, "error")], ["error"]),
        ([(2, "error"), (1, "cancelled")], ["error"]),
        ([(20, "error"), (1, "success")], []),
        ([(20, "error"), (1, "cancelled")], ["error"]),
        ([(25, "error")], []),
        ([(1, "cancelled")], []),
    ],
)
def test_name_fails_while_its_latest_run_of_a_day_failed(
    project: ProjectRef, runs: list[tuple[float, str]], expected: list[str]
) -> None:
    for hours, status in runs:
        run(project, "job", hours, status)
        count()

    assert names(project) == [("web", "job", outcome) for outcome in expected]


def test_run_that_is_tried_again_and_succeeds_fails_no_longer(project: ProjectRef) -> None:
    task = run(project, "job", 1, "error")
    write.update_task(project, task.id, {"status": "processing"}, now=NOW, actor=ADA)
    write.update_task(project, task.id, {"status": "success"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert names(project) == []


def test_failing_names_of_an_organization_are_listed_latest_first(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    foreign = make_project("globex", "api")
    run(project, "first", 3, "error")
    run(other, "second", 2, "error")
    run(foreign, "theirs", 1, "error")
    count()

    assert names(project) == [("worker", "second", "error"), ("web", "first", "error")]
    assert names(foreign) == [("api", "theirs", "error")]
    assert len(failing.list_failing_names(project.organization_id, 1, now=NOW)) == 1


def test_failing_names_are_found_by_an_index_of_them_alone(project: ProjectRef) -> None:
    day = run_stats.floor(NOW, run_stats.DAY)
    healthy = [
        {"project_id": project.id, "name": f"job {number}", "last_outcome": "success"}
        for number in range(2000)
    ]
    db.session.execute(insert(RunStat).values(seconds=run_stats.DAY, start=day, last=NOW), healthy)
    db.session.execute(text("ANALYZE"))
    explained: list[str] = []
    prefix = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"{prefix} {statement}", parameters)
        explained.extend(str(row[-1]) for row in cursor.fetchall())

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        failing.count_failing(project.organization_id, now=NOW)
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)

    assert "ix_run_stat_project_id_start" in "\n".join(explained)


def test_each_question_is_one_query(project: ProjectRef) -> None:
    with count_queries() as statements:
        failing.list_failing_names(project.organization_id, 5, now=NOW)
        failing.count_failing(project.organization_id, now=NOW)

    assert len(statements) == 2
