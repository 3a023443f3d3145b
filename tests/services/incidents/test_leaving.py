"""Failed runs that no longer count leave their incidents."""

from datetime import datetime

import pytest
from alerting import make_global_action
from incidents import NOW, make_incident, make_notice
from services.incidents.happening import Seen, end, incidents, kinds, work
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident, IncidentNotice
from taskbadger.services.incidents import leaving


def take_out(*incident_ids: int) -> None:
    leaving.take_out(incident_ids)
    db.session.commit()


def runs() -> dict[str | None, int]:
    """How many failed runs each incident has, by its name."""
    rows = db.session.execute(select(Incident.name, Incident.runs))
    return {row.name: row.runs for row in rows}


def test_incident_has_one_run_less_for_each_time_that_it_is_named(project: ProjectRef) -> None:
    first = make_incident(project, "import", runs=3)
    second = make_incident(project, "export", runs=3)
    make_incident(project, "report", runs=3)

    take_out(first, second, first)

    assert runs() == {"import": 1, "export": 2, "report": 3}


def test_incident_without_runs_is_deleted_with_its_notices(project: ProjectRef) -> None:
    empty = make_incident(project, "import", runs=2)
    make_notice(empty, next_at=NOW)
    make_incident(project, "export", runs=0)

    take_out(empty, empty)

    assert runs() == {"export": 0}
    assert db.session.scalars(select(IncidentNotice.id)).all() == []


@pytest.mark.parametrize("told_at", [None, NOW])
def test_incident_without_runs_stays_if_one_of_its_notices_was_told(
    project: ProjectRef, told_at: datetime | None
) -> None:
    incident_id = make_incident(project)
    for each in (None, told_at):
        action = make_global_action(project, mode="incident")
        make_notice(incident_id, global_action_id=action, told_at=each)

    take_out(incident_id)

    assert runs() == ({"import": 0} if told_at else {})


@pytest.mark.parametrize("column", ["acknowledged_at", "snoozed_at"])
def test_incident_without_runs_stays_if_somebody_has_dealt_with_it(
    project: ProjectRef, column: str
) -> None:
    take_out(make_incident(project, **{column: NOW}))

    assert runs() == {"import": 0}


def test_incident_that_somebody_was_told_of_stays(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    end(project, external_id="a")
    work()
    end(project, "success", 1, external_id="a")
    work(1)

    assert incidents() == [Seen("job", 0, 1, 0)]
    assert kinds() == ["task.failing", "task.recovered"]
