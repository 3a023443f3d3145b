"""What is failing now."""

from datetime import timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from incidents import make_incident
from services.stats.counting import ADA, NOW, count, run
from sqlalchemy import event, insert, text
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.services.incidents import following, lists
from taskbadger.services.stats import failing
from taskbadger.services.stats.failing import Failing
from taskbadger.services.tasks import write

HOUR = 3600


def names(project: ProjectRef) -> list[tuple[str, str]]:
    """Return the failing names of the organization of a project; their number is the same."""
    found = lists.list_open(project.organization_id, 10, now=NOW)
    expected = Failing(monitors=0, names=len(found))
    assert failing.count_failing(project.organization_id) == expected
    return [(row.project, row.subject) for row in found]


@pytest.mark.parametrize(
    ("runs", "is_failing"),
    [
        ([(1, "error")], True),
        ([(1, "stale")], True),
        ([(2, "error"), (1, "success")], False),
        ([(2, "success"), (1, "error")], True),
        ([(2, "error"), (1, "cancelled")], True),
        ([(20, "error"), (1, "success")], False),
        ([(20, "error"), (1, "cancelled")], True),
        ([(25, "error")], False),
        ([(1, "cancelled")], False),
    ],
)
def test_name_fails_until_it_succeeds_or_goes_quiet(
    project: ProjectRef, runs: list[tuple[float, str]], is_failing: bool
) -> None:
    for hours, status in runs:
        run(project, "job", ago=hours * HOUR, status=status)
        count(NOW - timedelta(hours=hours))
    following.close_quiet(now=NOW)
    db.session.commit()

    assert names(project) == ([("web", "job")] if is_failing else [])


def test_run_that_is_tried_again_and_succeeds_fails_no_longer(project: ProjectRef) -> None:
    task = run(project, "job", ago=HOUR, status="error")
    write.update_task(project, task.id, {"status": "processing"}, now=NOW, actor=ADA)
    write.update_task(project, task.id, {"status": "success"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert names(project) == []


def test_attempt_that_was_tried_again_is_no_failure(project: ProjectRef) -> None:
    run_of_one = {"name": "job", "external_id": "celery-1"}
    failed = write.create_task(
        project, {**run_of_one, "status": "error"}, now=NOW - timedelta(minutes=2), actor=ADA
    )
    db.session.commit()
    count()
    before = names(project)
    write.create_task(project, {**run_of_one, "status": "processing"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert failed.status == "error"
    assert (before, names(project)) == ([("web", "job")], [])


def test_failing_names_of_an_organization_are_those_of_all_its_projects(
    project: ProjectRef,
) -> None:
    other = make_project("acme", "worker")
    foreign = make_project("globex", "api")
    run(project, "first", ago=3 * HOUR, status="error")
    run(other, "second", ago=2 * HOUR, status="error")
    run(foreign, "theirs", ago=HOUR, status="error")
    count()

    assert names(project) == [("worker", "second"), ("web", "first")]
    assert names(foreign) == [("api", "theirs")]


def test_monitors_and_names_are_counted_apart_up_to_the_cap(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "COUNT_CAP", 2)
    for number in range(3):
        make_incident(project, f"name {number}")
    make_incident(project, "over", closed_at=NOW)
    make_incident(project, None, monitor_id=Watch(project).monitor.id)

    found = failing.count_failing(project.organization_id)

    assert (found, found.total) == (Failing(monitors=1, names=2), 3)


def test_open_incidents_are_found_by_an_index_of_them_alone(project: ProjectRef) -> None:
    over = [{"name": f"job {number}"} for number in range(2000)]
    values = {
        "organization_id": project.organization_id,
        "project_id": project.id,
        "opened_at": NOW,
        "closed_at": NOW,
        "bad_slots": 0,
        "notified": False,
    }
    db.session.execute(insert(Incident).values(**values), over)
    db.session.execute(text("ANALYZE"))
    explained: list[str] = []
    prefix = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"

    def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"{prefix} {statement}", parameters)
        explained.extend(str(row[-1]) for row in cursor.fetchall())

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        failing.count_failing(project.organization_id)
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)

    assert "\n".join(explained).count("ix_incident_open") == 3


def test_count_is_one_query(project: ProjectRef) -> None:
    with count_queries() as statements:
        failing.count_failing(project.organization_id)

    assert len(statements) == 1
