"""The steps that delete incidents, kinds of failures and slots that are kept no longer."""

from datetime import timedelta

import pytest
from conftest import make_project
from flask import Flask
from incidents import make_failure, make_incident, make_kind
from sqlalchemy import func, select
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FailureKind, Incident, Project, Slot
from taskbadger.services.monitors import retention
from taskbadger.worker import groups, history, sweeps


def make_old(project: ProjectRef, count: int) -> None:
    """Make incidents and kinds of long ago, in a project that keeps tasks for a day."""
    db.session.get_one(Project, project.id).retention_days = 1
    at = utcnow() - timedelta(days=40)
    for number in range(count):
        make_incident(project, opened_at=at, closed_at=at)
        make_kind(project, str(number), last_seen=at)


def left(project: ProjectRef) -> tuple[int, int]:
    """How many incidents and kinds a project has."""
    db.session.rollback()
    incidents, kinds = (
        db.session.scalar(
            select(func.count()).select_from(model).where(model.project_id == project.id)
        )
        for model in (Incident, FailureKind)
    )
    return incidents or 0, kinds or 0


def test_projects_that_keep_tasks_forever_keep_all_of_it(app: Flask, project: ProjectRef) -> None:
    other = make_project(slug="other")
    make_old(project, 1)
    make_old(other, 1)
    db.session.get_one(Project, other.id).retention_days = None
    db.session.commit()

    assert not history.delete_old_history()

    assert (left(project), left(other)) == ((0, 0), (1, 1))


def test_step_goes_on_where_it_stopped(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 2)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    make_old(project, 3)

    runs = [(history.delete_old_history(), left(project)) for _ in range(4)]

    assert runs == [(True, (1, 3)), (True, (0, 1)), (False, (0, 0)), (False, (0, 0))]
    assert history.positions == {}


def test_what_must_stay_does_not_hide_what_is_behind_it(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 2)
    at = utcnow() - timedelta(days=50)
    kept = [make_incident(project, opened_at=at, closed_at=at) for _ in range(4)]
    for number in kept:
        make_failure(project, make_kind(project, f"kind {number}"), number)
    make_old(project, 1)

    assert not history.delete_old_history()

    assert left(project) == (4, 4)


def test_projects_that_keep_failures_for_ever_keep_all_of_it(
    app: Flask, project: ProjectRef
) -> None:
    make_old(project, 1)
    row = db.session.get_one(Project, project.id)
    row.retention_days, row.retention_days_success = None, 1
    db.session.commit()

    assert not history.delete_old_history()

    assert left(project) == (1, 1)


def make_old_slots(project: ProjectRef, *counts: int) -> list[Watch]:
    """Make monitors with so many slots of long ago."""
    watches = [Watch(project, fields={"name": str(number)}) for number in range(len(counts))]
    for watch, count in zip(watches, counts, strict=True):
        for number in range(count):
            at = utcnow() - timedelta(days=500, hours=number)
            slot = {"monitor_id": watch.monitor.id, "epoch": 0, "state": "missed"}
            db.session.add(Slot(**slot, expected_at=at))
    db.session.commit()
    return watches


def slots_left() -> int:
    """How many slots there are, the current ones aside."""
    db.session.rollback()
    return db.session.scalar(select(func.count()).where(Slot.state == "missed")) or 0


def test_old_slots_are_deleted_in_every_project(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "MIN_KEPT", 1)
    make_old_slots(project, 5, 0, 1)
    make_old_slots(make_project(slug="other"), 3)

    assert not history.delete_old_slots()

    assert slots_left() == 0


def test_walk_through_slots_goes_on_where_it_stopped(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "AT_ONCE", 2)
    monkeypatch.setattr(retention, "MIN_KEPT", 1)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    make_old_slots(project, 3, 0, 1)

    runs = []
    for _ in range(8):
        runs.append((history.delete_old_slots(), slots_left()))
        if not runs[-1][0]:
            break

    assert runs[0] in ((True, 2), (True, 3))  # The order of the monitors is any.
    assert runs[-1] == (False, 0)
    assert [number for _, number in runs] == sorted((n for _, n in runs), reverse=True)
    assert history.walked == {}


def test_steps_are_among_the_sweeps() -> None:
    assert (history.delete_old_history, 600.0) in sweeps.SWEEPS
    assert (history.delete_old_slots, 600.0) in sweeps.SWEEPS
