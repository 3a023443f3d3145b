"""The step that tells of incidents, and the one before it that follows the history."""

from datetime import timedelta

import pytest
from alerting import KEY, make_global_action
from conftest import count_queries
from flask import Flask
from simultaneous import at_once, numbered
from sqlalchemy import func, select, update

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, IncidentNotice
from taskbadger.services.tasks import write
from taskbadger.worker import steps, sweeps


def fail(project: ProjectRef, name: str = "job", status: str = "error") -> None:
    write.create_task(project, {"name": name, "status": status}, now=utcnow(), actor=KEY)
    db.session.commit()


def queued() -> int:
    number = db.session.scalar(select(func.count()).select_from(Delivery))
    db.session.rollback()
    return number or 0


def work() -> None:
    """Do what the worker does each second."""
    steps.run_safely(sweeps.count_runs)
    steps.run_safely(sweeps.tell_incidents)


def test_failure_is_told_by_the_next_sweeps(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    fail(project)
    work()
    assert queued() == 1

    fail(project, status="success")
    work()
    assert queued() == 2


def test_step_goes_on_until_all_is_told(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "NOTICE_GROUP", 2)
    make_global_action(project, mode="incident")
    for number in range(5):
        fail(project, f"job {number}")
    steps.run_safely(sweeps.count_runs)

    steps.run_safely(sweeps.tell_incidents)

    assert queued() == 5


def test_incident_of_which_nothing_failed_for_a_day_is_closed(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    fail(project)
    work()
    db.session.execute(update(Incident).values(quiet_at=utcnow() - timedelta(seconds=1)))
    db.session.commit()

    work()

    assert queued() == 2
    assert db.session.scalars(select(Incident.closed_at)).one() is not None


def test_workers_at_once_tell_each_step_once(app: Flask, project: ProjectRef) -> None:
    step = {
        "after": 60,
        "channels": [{"integration": "email", "config": {"to": "boss@example.com"}}],
    }
    make_global_action(project, mode="incident", escalation=[step])
    for number in range(20):
        fail(project, f"job {number}")
    steps.run_safely(sweeps.count_runs)

    at_once(app, *numbered(4, lambda _: steps.run_safely(sweeps.tell_incidents)))
    assert queued() == 20

    earlier = utcnow() - timedelta(seconds=61)
    db.session.execute(update(IncidentNotice).values(steps_from=earlier, next_at=utcnow()))
    db.session.commit()
    at_once(app, *numbered(4, lambda _: steps.run_safely(sweeps.tell_incidents)))
    assert queued() == 40


def test_retry_within_the_wait_keeps_it_silent(project: ProjectRef) -> None:
    make_global_action(project, mode="incident", wait_for_retry=1)
    task = {"name": "job", "status": "error", "external_id": "a"}
    now = utcnow()
    write.create_task(project, task, now=now - timedelta(seconds=1.2), actor=KEY)
    db.session.commit()
    steps.run_safely(sweeps.count_runs)
    again = {**task, "status": "pending"}
    write.create_task(project, again, now=now - timedelta(seconds=0.7), actor=KEY)
    db.session.commit()

    steps.run_safely(sweeps.tell_incidents)
    assert queued() == 0
    work()
    assert queued() == 0


def test_idle_step_asks_five_questions(project: ProjectRef) -> None:
    fail(project)
    work()

    with count_queries() as statements:
        steps.run_safely(sweeps.tell_incidents)

    asked = [one.split()[0] for one in statements if "clock_timestamp" not in one]
    assert asked == ["SELECT"] * 5
