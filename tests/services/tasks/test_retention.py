"""Retention: tasks that ended, or were left alone, long ago are deleted, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import make_project
from plans import plan_of
from sqlalchemy import func, select
from watching import Watch, at

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.domain.status import STATUSES
from taskbadger.extensions import db
from taskbadger.models import Delivery, Project, Slot, SlotRun, Task
from taskbadger.services.organizations.retention import list_retentions
from taskbadger.services.tasks import write
from taskbadger.services.tasks.retention import (
    Place,
    cancel_old_runs,
    delete_old_tasks,
    list_candidates,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
CI = Actor("key", "ci")
DAY = timedelta(days=1)


def create(project: ProjectRef, *, at: datetime = NOW, **fields: Any) -> str:
    task = write.create_task(project, {"name": "job", **fields}, now=at, actor=CI)
    db.session.commit()
    return task.id


def candidates(retention: Retention, *, now: datetime, after: Place | None = None) -> list[Place]:
    found = list_candidates(retention, after, now=now, limit=10)
    db.session.rollback()
    return found


def purge_tasks(retention: Retention, *, now: datetime) -> int:
    found = [place for place in candidates(retention, now=now) if place.is_old]
    deleted = sum(delete_old_tasks(retention, place.status, [place.id], now=now) for place in found)
    db.session.commit()
    return deleted


def left() -> set[str]:
    return set(db.session.scalars(select(Task.id)))


def test_tasks_that_nobody_touches_are_deleted_and_no_others(project: ProjectRef) -> None:
    mail = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
    create(project, status="success", actions=[mail])
    running, resumed, touched = (
        create(project, status=status) for status in ("processing", "error", "pending")
    )
    changes = {"value": 1, "end_time": NOW + DAY * 9}
    write.update_task(project, resumed, changes, now=NOW + DAY * 9, actor=CI)
    write.update_task(project, touched, {"value": 1}, now=NOW + DAY * 2, actor=CI)
    db.session.commit()

    assert purge_tasks(Retention(project.id, 7, unfinished=9), now=NOW + DAY * 8) == 1
    assert left() == {running, resumed, touched}
    assert purge_tasks(Retention(project.id, 7), now=NOW + DAY * 8) == 1
    assert left() == {resumed, touched}
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == 1


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_has_a_time_of_its_own(project: ProjectRef, status: str) -> None:
    days = {"success": 1, "error": 2, "cancelled": 9}.get(status, 3)
    create(project, status=status)
    retention = Retention(project.id, 9, 1, 2, 3)

    moments = (NOW + DAY * days, NOW + DAY * days + timedelta(microseconds=1))

    assert [purge_tasks(retention, now=now) for now in moments] == [0, 1]


def test_projects_that_keep_all_tasks_for_ever_are_not_listed(project: ProjectRef) -> None:
    others = [make_project("acme", name) for name in ("forever", "failures", "unfinished")]
    db.session.get_one(Project, project.id).retention_days = 7
    db.session.get_one(Project, others[1].id).retention_days_failure = 30
    db.session.get_one(Project, others[2].id).retention_days_unfinished = 3
    db.session.commit()
    kept = create(others[1], status="success")

    found = list_retentions()

    assert sorted(found) == [
        Retention(project.id, 7),
        Retention(others[1].id, None, None, 30),
        Retention(others[2].id, None, None, None, 3),
    ]
    for retention in found:
        purge_tasks(retention, now=NOW + DAY * 400)
    assert left() == {kept}


def test_walk_goes_on_after_a_task_status_by_status(project: ProjectRef) -> None:
    made = {
        create(project, at=NOW + timedelta(seconds=number), status=status): status
        for number, status in enumerate(("success", "error", "stale", "success", "error"))
    }
    by_status = sorted(made, key=lambda task_id: (made[task_id], task_id))
    late = by_status[1]
    write.update_task(project, late, {"end_time": NOW + DAY * 9}, now=NOW, actor=CI)
    db.session.commit()
    retention = Retention(project.id, 1)

    found = candidates(retention, now=NOW + DAY * 2)
    rest = [candidates(retention, now=NOW + DAY * 2, after=place) for place in found]
    first_two = list_candidates(retention, None, now=NOW + DAY * 2, limit=2)

    assert found == [Place(made[one], one, is_old=one != late) for one in by_status]
    assert rest == [found[place + 1 :] for place in range(5)]
    assert first_two == found[:2]


def test_task_that_was_changed_since_it_was_found_is_kept(project: ProjectRef) -> None:
    old, resumed = create(project, status="error"), create(project, status="error")
    open_, touched = create(project, status="stale"), create(project, status="stale")
    retention, later = Retention(project.id, 7), NOW + DAY * 8
    found = candidates(retention, now=later)
    write.update_task(project, resumed, {"status": "processing"}, now=later, actor=CI)
    write.update_task(project, touched, {"value": 1, "status": "stale"}, now=later, actor=CI)
    db.session.commit()

    assert {place.id for place in found if place.is_old} == {old, resumed, open_, touched}
    deleted = [
        delete_old_tasks(retention, status, [place.id for place in found], now=later)
        for status in STATUSES
    ]
    assert sum(deleted) == 2
    assert left() == {resumed, touched}


def test_run_of_a_monitor_is_cancelled_first_so_that_its_slot_ends(project: ProjectRef) -> None:
    watch = Watch(project)
    hung = watch.run("12:00", status="processing")
    retention, later = Retention(project.id, 7), at("12:00") + DAY * 8

    def purge(status: str, now: datetime) -> tuple[int, int]:
        deleted = delete_old_tasks(retention, status, [hung], now=now)
        cancelled = cancel_old_runs(
            project, retention, status, [hung], now=now, base_url="https://tasks.example.com"
        )
        db.session.commit()
        return deleted, cancelled

    assert purge("processing", later - DAY * 3) == (0, 0)
    assert purge("processing", later) == (0, 1)
    run = db.session.get_one(SlotRun, hung)
    slot = db.session.get_one(Slot, run.slot_id)
    assert (slot.state, slot.ended_at, run.ended_at) == ("skipped", later, later)
    assert purge("cancelled", later + DAY * 6) == (0, 0)
    assert purge("cancelled", later + DAY * 8) == (1, 0)
    assert left() == set()


def test_walk_reads_a_range_of_an_index(project: ProjectRef) -> None:
    retention = Retention(project.id, 7)
    place = Place("error", create(project), is_old=True)

    plan = plan_of(lambda: list_candidates(retention, place, now=NOW, limit=10))

    assert plan.count("ix_task_project_id_status_id") == len([s for s in STATUSES if s >= "error"])
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_deletion_looks_up_ids_and_walks_nothing(
    project: ProjectRef, backend: str, status: str
) -> None:
    """A walk of all that is old, for each few that are deleted, took most of the time."""
    if backend == "postgresql":
        pytest.skip("PostgreSQL plans by how many rows there are")
    made = [create(project) for _ in range(3)]
    retention = Retention(project.id, 7)

    plan = plan_of(lambda: delete_old_tasks(retention, status, made, now=NOW))

    assert "USING INDEX sqlite_autoindex_task_1 (id=?)" in plan.splitlines()[0]
