"""Incidents of names, as the history is followed."""

from datetime import timedelta

from alerting import NOW
from conftest import make_project
from services.incidents.happening import (
    Seen,
    end,
    follow,
    incidents,
    minutes,
    tasks_of_incidents,
    tell,
    timeline,
)
from sqlalchemy import select, update

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, Incident
from taskbadger.services.incidents import following
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

DAY = 24 * 60


def test_name_is_failing_from_its_first_failed_run_until_one_succeeds(project: ProjectRef) -> None:
    first = end(project, error="ValueError: 7", minute=1)
    second = end(project, error="ValueError: 8", minute=2)
    follow(2)
    assert incidents() == [Seen("job", 1, None, 2)]

    last = end(project, "success", 3)
    follow(3)

    assert incidents() == [Seen("job", 1, 3, 2)]
    assert timeline() == [("opened", "ValueError: ‹number›"), ("recovered", "")]
    [number] = set(tasks_of_incidents().values())
    assert tasks_of_incidents() == {first: number, second: number}
    assert last not in tasks_of_incidents()


def test_names_and_projects_have_incidents_of_their_own(
    project: ProjectRef,
) -> None:
    other_project = make_project(slug="other")
    end(project)
    end(project, name="other")
    end(other_project)
    end(project, "success", 1)
    follow(1)

    assert incidents() == [
        Seen("job", 0, 1, 1),
        Seen("other", 0, None, 1),
        Seen("job", 0, None, 1),
    ]


def test_several_incidents_within_one_part_of_the_history(project: ProjectRef) -> None:
    for minute, status in enumerate(["error", "success", "stale", "error", "cancelled", "success"]):
        end(project, status, minute)
    follow(6)

    assert incidents() == [Seen("job", 0, 1, 1), Seen("job", 2, 5, 2)]


def test_incident_goes_quiet_after_a_day_without_failures(project: ProjectRef) -> None:
    end(project)
    end(project, minute=60)
    follow(60)
    tell(DAY + 59)
    assert incidents() == [Seen("job", 0, None, 2)]

    tell(DAY + 60)

    assert incidents() == [Seen("job", 0, DAY + 60, 2)]
    assert timeline()[-1] == ("went_quiet", "")


def test_task_that_was_stale_and_then_failed_is_one_run(project: ProjectRef) -> None:
    task_id = end(project, "processing", stale_timeout=60)
    write.mark_stale(project, [task_id], now=NOW + timedelta(minutes=2))
    db.session.commit()
    follow(2)
    write.update_task(
        project, task_id, {"status": "error"}, now=NOW + timedelta(minutes=3), actor=SERVER
    )
    db.session.commit()
    follow(3)

    assert incidents() == [Seen("job", 2, None, 1)]
    incident = db.session.scalars(select(Incident)).one()
    assert minutes(incident.last_failed_at or NOW) == 3


def test_ignored_kinds_open_nothing(project: ProjectRef) -> None:
    end(project, error="known")
    db.session.execute(update(FailureKind).values(state="ignored"))
    db.session.commit()
    end(project, error="known", minute=1)
    follow(1)
    assert incidents() == []

    end(project, error="surprise", minute=2)
    follow(2)
    assert incidents() == [Seen("job", 2, None, 1)]


def test_kind_that_comes_back_is_in_the_timeline(project: ProjectRef) -> None:
    end(project, error="boom")
    db.session.execute(update(FailureKind).values(state="resolved"))
    db.session.commit()
    end(project, error="crash", minute=1)
    end(project, error="boom", minute=2)
    end(project, error="boom", minute=3)
    follow(3)

    assert timeline() == [("opened", "boom"), ("new_kind", "crash"), ("back", "boom")]


def test_part_of_the_history_is_followed_once(project: ProjectRef) -> None:
    end(project)
    batch = runs.read_batch(now=NOW)
    assert batch is not None
    db.session.rollback()

    assert runs.count_batch(batch, now=NOW)
    db.session.commit()
    assert not runs.count_batch(batch, now=NOW)
    db.session.commit()

    assert incidents() == [Seen("job", 0, None, 1)]


def test_tasks_that_are_gone_open_nothing(project: ProjectRef) -> None:
    end(project)
    db.session.execute(Failure.__table__.delete())
    db.session.commit()
    follow()

    assert incidents() == []


def test_closing_what_went_quiet_looks_first(project: ProjectRef) -> None:
    end(project)
    follow()

    assert not following.is_quiet(now=NOW + timedelta(minutes=DAY - 1))
    assert following.is_quiet(now=NOW + timedelta(minutes=DAY))
