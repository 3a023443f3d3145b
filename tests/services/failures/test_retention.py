"""Kinds of failures that were not seen for long are deleted, unless something still needs them."""

from datetime import datetime

from alerting import NOW
from conftest import make_project
from flask import Flask
from incidents import after, make_failure, make_incident, make_kind
from plans import plan_of
from services.failures.failing import fail, noted
from simultaneous import at_once
from sqlalchemy import delete, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.extensions import db
from taskbadger.models import FailureKind, Task
from taskbadger.services.failures.retention import HISTORY

LONG_AFTER = after(days=60)


def old(project: ProjectRef, *, days: int = 7, now: datetime = LONG_AFTER) -> list[int]:
    found = HISTORY.list_old(Retention(project.id, days), None, now=now, limit=10)
    db.session.rollback()
    return [each.id for each in found]


def delete_old(project: ProjectRef, *, days: int = 7, now: datetime = LONG_AFTER) -> int:
    """Delete what a project that keeps tasks for so many days keeps no longer."""
    ids = old(project, days=days, now=now)
    number = HISTORY.delete_unused(Retention(project.id, days), ids, now=now)
    db.session.commit()
    return number


def left() -> list[str]:
    db.session.rollback()
    return sorted(db.session.scalars(select(FailureKind.title)))


def test_kind_that_was_not_seen_for_long_is_deleted(project: ProjectRef) -> None:
    make_kind(project, "boom")
    make_kind(project, "seen", last_seen=after(days=50))
    make_kind(make_project(slug="other"), "of another project")

    assert delete_old(project, days=90) == 0
    assert delete_old(project, now=after(days=30)) == 0
    assert delete_old(project) == 1

    assert left() == ["of another project", "seen"]


def test_kind_of_a_task_that_is_kept_stays(project: ProjectRef) -> None:
    task_id = make_failure(project, make_kind(project, "boom"), None)

    assert delete_old(project) == 0
    db.session.execute(delete(Task).where(Task.id == task_id))
    db.session.commit()

    assert delete_old(project) == 1


def test_kind_of_a_name_that_is_failing_stays(project: ProjectRef) -> None:
    make_kind(project, "boom")
    make_kind(project, "over", name="export")
    make_incident(project)
    make_incident(project, "export", closed_at=NOW)

    assert delete_old(project) == 1

    assert left() == ["boom"]


def test_kind_that_people_ignore_stays(project: ProjectRef) -> None:
    make_kind(project, "noise", state="ignored")
    make_kind(project, "mended", state="resolved")

    assert delete_old(project) == 1

    assert left() == ["noise"]


def test_walk_reads_an_index(project: ProjectRef) -> None:
    plan = plan_of(lambda: old(project))

    assert "ix_failure_kind_project_id_last_seen_id" in plan


def test_kind_that_is_seen_while_it_is_deleted_stays_or_is_new(
    app: Flask, project: ProjectRef
) -> None:
    for _ in range(10):
        task_id = fail(project, "boom")
        db.session.execute(delete(Task).where(Task.id == task_id))
        db.session.commit()
        ids = old(project)
        keeping = Retention(project.id, 7)

        at_once(
            app,
            lambda ids=ids, keeping=keeping: HISTORY.delete_unused(keeping, ids, now=LONG_AFTER),
            lambda: fail(project, "boom", now=LONG_AFTER),
        )

        assert left() == ["boom"]
        assert len(noted()) == 1
        db.session.execute(delete(FailureKind))
        db.session.execute(delete(Task))
        db.session.commit()
