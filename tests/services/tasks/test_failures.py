"""Recent failures."""

from flask import Flask
from incidents import after, make_failure, make_incident, make_kind
from services.tasks.searching import ADA, NOW, assert_walks_alone, explained, make_task

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import failures, write


def test_what_failed_last_is_a_walk_of_an_index_alone(app: Flask, many: list[ProjectRef]) -> None:
    query = failures.walk_failed([project.id for project in many], 8)

    assert_walks_alone(explained(query), "ix_task_project_id_end_time_id")


def test_what_failed_last_is_what_ended_last(many: list[ProjectRef]) -> None:
    long = make_task(many[0], "long", ago=9000, status="processing")
    write.update_task(many[0], long.id, {"status": "error"}, now=NOW, actor=ADA)
    make_task(many[1], "soon", ago=30, status="error")
    make_task(many[1], "never ended", status="error", end_time=None)
    db.session.commit()

    def found(limit: int) -> list[str]:
        return [row.name for row in failures.list_recent_failures(many, limit)]

    assert found(9) == ["long", "soon", "b import", "c Export"]
    assert found(1) == ["long"]
    assert failures.list_recent_failures([], 9) == []


def test_failures_of_an_incident_are_listed_newest_first(project: ProjectRef) -> None:
    kind, number = make_kind(project, "x"), make_incident(project)
    made = [make_failure(project, kind, number, now=after(seconds=place)) for place in range(4)]
    make_failure(project, kind, make_incident(project, "other"))

    def found(limit: int) -> list[str]:
        return [row.id for row in failures.list_failures_of(number, limit)]

    assert found(9) == made[::-1]
    assert found(2) == made[:1:-1]
    assert failures.list_failures_of(number + 9, 9) == []
