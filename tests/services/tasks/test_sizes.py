"""What a project stores, and what a retention would delete: bounded or estimated."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from incidents import make_incident, make_kind
from plans import plan_of
from watching import Watch

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.tasks import sizes, write
from taskbadger.services.tasks.sizes import Number, count_deleted, read_sizes

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CI = Actor("key", "ci")
DAY = timedelta(days=1)


def create(place: ProjectRef, *statuses: str, ago: int = 0, **fields: Any) -> list[str]:
    made = [
        write.create_task(
            place, {"name": "a", "status": one, **fields}, now=NOW - ago * DAY, actor=CI
        )
        for one in statuses
    ]
    db.session.commit()
    return [task.id for task in made]


def numbers(place: ProjectRef) -> dict[str, Number]:
    return {size.kind: size.number for size in read_sizes(db.session.get_one(Project, place.id))}


def test_rows_of_each_kind_are_counted(project: ProjectRef) -> None:
    other = make_project(slug="other")
    create(other, "success", "error")
    create(project, "success", "success", "cancelled", "pending", "stale", tags={"env": "prod"})
    mail = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
    create(project, "success", actions=[mail])
    Watch(project)
    make_incident(project)
    make_kind(project, "kind")

    assert numbers(project) == {
        "success": Number(3),
        "failure": Number(0),
        "cancelled": Number(1),
        "unfinished": Number(2),
        "events": Number(6),
        "tags": Number(5),
        "slots": Number(1),
        "incidents": Number(1),
        "kinds": Number(2),  # One of the stale task.
        "deliveries": Number(1),
    }


def test_no_more_rows_are_counted_than_the_limit(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "LIMIT", 2)
    create(project, "success", "success", "pending", "stale", "stale", "stale", ago=9)

    found = numbers(project)
    deleted = count_deleted(Retention(project.id, 7), Retention(project.id), now=NOW)

    assert (found["success"], found["unfinished"]) == (Number(2), Number(3, is_more=True))
    assert found["events"] == Number(5, is_more=True)
    assert deleted["success"] == Number(2)
    assert deleted["unfinished"] == Number(3, is_more=True)


def test_sizes_are_estimated_from_the_newest_tasks(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "SAMPLE", 2)
    create(project, "success", ago=1, data=f'"{"x" * 50_000}"', tags={"env": "prod"})
    create(project, "success", "success", data=f'"{"x" * 10_000}"')

    found = {size.kind: size for size in read_sizes(db.session.get_one(Project, project.id))}

    assert 30_000 < found["success"].bytes < 36_000
    assert found["events"].number == Number(3)
    assert found["tags"].number == Number(0)


def test_project_without_anything_takes_nothing(project: ProjectRef) -> None:
    found = read_sizes(db.session.get_one(Project, project.id))

    assert {(size.number, size.bytes) for size in found} == {(Number(0), 0)}


def test_only_what_is_kept_for_a_shorter_time_is_counted(project: ProjectRef) -> None:
    for ago in (1, 10, 40):
        create(project, "success", "error", "cancelled", "processing", ago=ago)
    [late, touched] = create(project, "success", "pending", ago=40)
    write.update_task(project, late, {"end_time": NOW}, now=NOW, actor=CI)
    write.update_task(project, touched, {"value": 1}, now=NOW - DAY, actor=CI)
    db.session.commit()

    def deleted(wanted: Retention, before: Retention) -> dict[str, int]:
        found = count_deleted(wanted, before, now=NOW)
        return {outcome: number.rows for outcome, number in found.items()}

    nothing, project_id = Retention(project.id), project.id
    assert deleted(Retention(project_id, 30), nothing) == {
        "success": 1,
        "failure": 1,
        "cancelled": 1,
        "unfinished": 1,
    }
    assert deleted(Retention(project_id, None, failure=7), nothing) == {"failure": 2}
    assert deleted(Retention(project_id, 7, failure=60), Retention(project_id, 30)) == {
        "success": 2,
        "cancelled": 2,
        "unfinished": 2,
    }
    assert deleted(Retention(project_id, 30), Retention(project_id, 7)) == {}


def test_cost_is_three_statements_that_read_indexes(project: ProjectRef) -> None:
    row = db.session.get_one(Project, project.id)
    wanted, before = Retention(project.id, 30), Retention(project.id)

    with count_queries() as statements:
        read_sizes(row)
        count_deleted(wanted, before, now=NOW)
    plan = plan_of(lambda: (read_sizes(row), count_deleted(wanted, before, now=NOW)))

    assert len(statements) == 3
    assert "SCAN task" not in plan.replace("SCAN tasks", "")
    assert "SCAN delivery" not in plan
    assert "Seq Scan" not in plan
    assert plan.count("ix_task_project_id_status_id") >= 8
