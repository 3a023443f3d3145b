"""When incidents of names close without a success: the project says so."""

from datetime import timedelta

import pytest
from alerting import KEY, NOW, make_global_action
from conftest import make_project
from services.incidents.happening import Seen, end, follow, incidents, tell, told

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.incidents import quiet


def set_quiet_after(project: ProjectRef, minutes: int) -> None:
    values = {"quiet_after": minutes * 60}
    quiet.change_project(db.session.get_one(Project, project.id), values, actor=KEY, now=NOW)
    db.session.commit()


def test_incidents_of_a_project_close_after_its_own_time(project: ProjectRef) -> None:
    other = make_project(slug="other")
    set_quiet_after(project, 30)
    end(project)
    end(other, name="there")
    follow()

    tell(29)
    assert incidents() == [Seen("job", 0, None, 1), Seen("there", 0, None, 1)]
    tell(30)

    assert incidents() == [Seen("job", 0, 30, 1), Seen("there", 0, None, 1)]


def test_message_says_how_long_nothing_failed(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    set_quiet_after(project, 90)
    end(project)
    follow(0.5)
    tell(0.5)

    tell(90.5)

    assert told()[-1][1] == "job: no failure for 1 h 30 min, after 1 failed run in 1 h 30 min"


@pytest.mark.parametrize("minutes", [30, 3 * 1440])
def test_change_of_the_time_counts_for_open_incidents(project: ProjectRef, minutes: int) -> None:
    other = make_project(slug="other")
    end(project)
    end(other, name="there")
    end(project, name="over")
    end(project, "success", name="over", minute=1)
    follow(1)

    set_quiet_after(project, minutes)
    tell(minutes)
    assert Seen("job", 0, None, 1) in incidents()
    tell(minutes + 1)

    closed = 1441 if minutes > 1440 else None
    assert set(incidents()) == {
        Seen("job", 0, minutes + 1, 1),
        Seen("there", 0, closed, 1),
        Seen("over", 0, 1, 1),
    }


def test_time_that_is_over_already_closes_an_incident_at_once(project: ProjectRef) -> None:
    end(project)
    follow()

    set_quiet_after(project, 30)
    tell(600)

    assert incidents() == [Seen("job", 0, 30, 1)]


def test_outage_is_no_quiet_time(project: ProjectRef) -> None:
    set_quiet_after(project, 30)
    end(project)
    follow()

    quiet.extend(NOW + timedelta(minutes=10), NOW + timedelta(minutes=20))
    db.session.commit()
    tell(39)
    assert incidents() == [Seen("job", 0, None, 1)]
    tell(40)

    assert incidents() == [Seen("job", 0, 40, 1)]
