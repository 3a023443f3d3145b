"""What becomes of a notice whose teller is away."""

from alerting import make_global_action
from conftest import count_queries
from holding import make_window
from services.incidents.happening import end, follow, kinds, minutes, tell, work
from sqlalchemy import select, update
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, IncidentNotice


def turn(enabled: bool) -> None:
    db.session.execute(update(GlobalAction).values(enabled=enabled))
    db.session.commit()


def next_look() -> float | None:
    db.session.rollback()
    at = db.session.scalars(select(IncidentNotice.next_at)).one()
    return None if at is None else minutes(at)


def test_it_is_looked_for_again_each_minute(project: ProjectRef) -> None:
    make_global_action(project, mode="incident", remind_after=600)
    end(project)
    work()
    turn(False)
    work(10)

    assert next_look() == 11


def test_recovery_waits_for_it_for_a_day(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    end(project)
    work()
    turn(False)
    end(project, "success", 1)
    work(1)
    work(2)
    assert (kinds(), next_look()) == (["task.failing"], 3)

    turn(True)
    work(3)
    assert kinds() == ["task.failing", "task.recovered"]


def test_recovery_is_given_up_after_a_day(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    end(project)
    work()
    turn(False)
    end(project, "success", 1)
    work(1)
    work(24 * 60 + 2)

    assert (kinds(), next_look()) == (["task.failing"], None)


def test_monitor_is_looked_for_only_if_a_window_names_one(project: ProjectRef) -> None:
    """Of a name without a monitor, that walks through all failures of the incident."""
    make_global_action(project, mode="incident")
    make_window(project, name_pattern="other")
    end(project)
    follow()
    with count_queries() as statements:
        tell()
    assert (kinds(), looks_for_monitor(statements)) == (["task.failing"], False)

    make_window(project, monitor=str(Watch(project).monitor.id))
    end(project, name="next")
    follow()
    with count_queries() as statements:
        tell()
    assert (kinds(), looks_for_monitor(statements)) == (["task.failing"] * 2, True)


def looks_for_monitor(statements: list[str]) -> bool:
    return any("monitor_id IS NOT NULL" in each for each in statements)
