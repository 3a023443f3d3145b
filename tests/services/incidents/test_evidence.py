"""Which failures of an incident may be told."""

from datetime import timedelta

import pytest
from alerting import NOW, after
from services.incidents.happening import end, follow
from sqlalchemy import select, update

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, Incident
from taskbadger.services.incidents import evidence

CAUSES = ["error"]
LATER = after(minutes=9)


@pytest.fixture
def incident(project: ProjectRef) -> int:
    """An incident with three failed runs of two kinds, and one that went stale."""
    end(project, "stale")
    end(project, minute=1, error="one")
    end(project, minute=2, error="two")
    end(project, minute=3, error="two")
    follow(3)
    return db.session.scalars(select(Incident.id)).one()


def ignore(title: str, **values: object) -> None:
    db.session.execute(
        update(FailureKind).where(FailureKind.title == title).values(state="ignored", **values)
    )
    db.session.commit()


def test_first_failure_that_reaches_the_trigger(incident: int) -> None:
    found = evidence.first(incident, CAUSES, now=NOW)

    assert found is not None
    assert found.failed_at == after(minutes=1)
    assert evidence.first(incident, ["max_runtime_exceeded"], now=NOW) is None


def test_failures_of_ignored_kinds_are_left_out(incident: int) -> None:
    ignore("one", ignored_until=after(hours=1))

    assert evidence.times(incident, CAUSES, until=LATER, now=NOW) == [
        after(minutes=3),
        after(minutes=2),
    ]
    assert len(evidence.times(incident, CAUSES, until=LATER, now=after(hours=1))) == 3


def test_failures_that_were_tried_again_are_left_out(incident: int) -> None:
    first = evidence.first(incident, CAUSES, now=NOW)
    assert first is not None
    db.session.execute(
        update(Failure).where(Failure.task_id == first.task_id).values(superseded_by=first.task_id)
    )
    db.session.commit()

    assert evidence.times(incident, CAUSES, until=LATER, now=NOW) == [
        after(minutes=3),
        after(minutes=2),
    ]


def test_new_kinds_are_those_that_were_not_told(incident: int) -> None:
    first = evidence.first(incident, CAUSES, now=NOW)
    assert first is not None

    def new(told: list[int]) -> list[timedelta]:
        found = evidence.new_kinds(incident, CAUSES, told, since=None, now=LATER)
        return [one.failed_at - NOW for one in found]

    assert new([]) == [timedelta(minutes=1), timedelta(minutes=2)]
    assert new([first.kind_id]) == [timedelta(minutes=2)]


def test_incident_is_silent_when_all_its_kinds_are_ignored(incident: int) -> None:
    for title in ("one", "two", "stale"):
        assert not evidence.are_all_ignored(incident, now=NOW)
        ignore(title)

    assert evidence.are_all_ignored(incident, now=NOW)


def test_incident_whose_tasks_are_gone_is_not_ignored(incident: int) -> None:
    db.session.execute(Failure.__table__.delete())
    db.session.commit()

    assert not evidence.are_all_ignored(incident, now=NOW)
