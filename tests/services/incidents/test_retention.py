"""Closed incidents are deleted in time, and never what is open or of use."""

from datetime import datetime, timedelta

import pytest
from conftest import make_project
from incidents import NOW, after, make_event, make_failure, make_incident, make_kind, make_notice
from plans import plan_of
from sqlalchemy import delete, func, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.extensions import db
from taskbadger.models import Incident, IncidentEvent, IncidentNotice, Task
from taskbadger.services.incidents.retention import HISTORY
from taskbadger.services.organizations.retention import Position

LONG_AFTER = after(days=60)


def delete_old(project: ProjectRef, *, days: int = 7, now: datetime = LONG_AFTER) -> int:
    """Delete what a project that keeps tasks for so many days keeps no longer."""
    keeping = Retention(project.id, days)
    old = HISTORY.list_old(keeping, None, now=now, limit=10)
    db.session.rollback()
    number = HISTORY.delete_unused(keeping, [each.id for each in old], now=now)
    db.session.commit()
    return number


def left() -> set[int]:
    db.session.rollback()
    return set(db.session.scalars(select(Incident.id)))


def test_closed_incident_is_deleted_with_its_timeline_and_notices(project: ProjectRef) -> None:
    number = make_incident(project, closed_at=NOW)
    make_event(number, "opened")
    make_notice(number, is_over=True)

    assert delete_old(project, now=after(days=30)) == 0
    assert delete_old(project, now=after(days=30, seconds=1)) == 1

    assert left() == set()
    for model in (IncidentEvent, IncidentNotice):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0


def test_incident_is_kept_as_long_as_tasks_would_be(project: ProjectRef) -> None:
    make_incident(project, closed_at=NOW)

    assert delete_old(project, days=90, now=after(days=90)) == 0
    assert delete_old(project, days=90, now=after(days=91)) == 1


def test_open_incident_and_those_of_other_projects_stay(project: ProjectRef) -> None:
    other = make_project(slug="other")
    kept = {make_incident(project), make_incident(other, closed_at=NOW)}
    make_incident(project, closed_at=NOW)

    assert delete_old(project) == 1

    assert left() == kept


def test_incident_of_a_task_that_is_kept_stays(project: ProjectRef) -> None:
    number = make_incident(project, closed_at=NOW)
    task_id = make_failure(project, make_kind(project, "boom"), number)

    assert delete_old(project) == 0
    db.session.execute(delete(Task).where(Task.id == task_id))
    db.session.commit()

    assert delete_old(project) == 1


def test_incident_of_which_somebody_is_still_to_be_told_stays(project: ProjectRef) -> None:
    waiting = make_incident(project, closed_at=NOW)
    make_notice(waiting, next_at=LONG_AFTER)
    owing = make_incident(project, None, closed_at=NOW, owes_recovery=True)

    assert delete_old(project) == 0

    assert left() == {waiting, owing}


def test_walk_goes_on_where_it_stopped_through_an_index(project: ProjectRef) -> None:
    ids = [make_incident(project, closed_at=NOW + timedelta(hours=n // 2)) for n in range(5)]
    keeping = Retention(project.id, 7)

    first = HISTORY.list_old(keeping, None, now=LONG_AFTER, limit=2)
    second = HISTORY.list_old(keeping, first[-1], now=LONG_AFTER, limit=3)

    assert [each.id for each in (*first, *second)] == ids
    assert first[0] == Position(NOW, ids[0])
    plan = plan_of(lambda: HISTORY.list_old(keeping, first[-1], now=LONG_AFTER, limit=3))
    assert "ix_incident_project_id_closed_at_id" in plan


@pytest.mark.parametrize("number", [1, 3])
def test_no_more_than_asked_for_are_looked_at(project: ProjectRef, number: int) -> None:
    for _ in range(3):
        make_incident(project, closed_at=NOW)

    found = HISTORY.list_old(Retention(project.id, 7), None, now=LONG_AFTER, limit=number)

    assert len(found) == number
