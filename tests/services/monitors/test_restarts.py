"""Deadlines that start afresh, of many monitors with a few statements."""

from conftest import count_queries
from watching import Watch, at, make_many, states

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.windows import Scope, Span
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.monitors import restarts
from taskbadger.services.monitors.restarts import Restarted

SPAN = Span(at("11:45"), at("12:15"))


def restart(project: ProjectRef, time: str = "12:15") -> None:
    restarts.restart_all(project.organization_id, Scope(), SPAN, now=at(time))
    db.session.commit()


def test_statements_do_not_grow_with_the_monitors(project: ProjectRef) -> None:
    counts = []
    for count in (2, 20):
        make_many(project, count)
        with count_queries() as statements:
            restart(project)
        counts.append(len(statements))

    assert counts[0] == counts[1]
    assert states() == {"skipped": 22, "expected": 22}


def test_second_time_changes_nothing(project: ProjectRef) -> None:
    watch = Watch(project, "11:30", {"interval": 600})
    watch.run("11:40", "success")
    restart(project)
    before = watch.slots

    restart(project, "12:20")

    assert before == [
        "11:40 ok",
        "11:50 skipped",
        "12:00 skipped",
        "12:10 skipped",
        "12:25 expected",
    ]
    assert watch.slots == before


def test_window_that_ends_early_restarts_from_now(project: ProjectRef) -> None:
    watch = Watch(project, "11:30", {"interval": 600})
    watch.run("11:40", "success")

    restart(project, "11:52")

    assert watch.slots == ["11:40 ok", "11:50 skipped", "12:02 expected"]


def test_run_in_progress_goes_on(project: ProjectRef) -> None:
    watch = Watch(project, "11:30", {"interval": 600, "anchor": "end"})
    task_id = watch.run("11:40")

    restart(project)
    watch.report(task_id, "12:20", "success")

    assert watch.slots == ["11:40 ok", "12:30 expected"]


def test_monitor_that_cannot_be_read_stops_no_other(project: ProjectRef) -> None:
    broken, other = make_many(project, 2)
    db.session.get_one(Monitor, broken).timezone = "Mars/Olympus"
    db.session.commit()

    restart(project)

    assert db.session.get_one(Monitor, other).expected_at == at("13:00")
    assert states() == {"skipped": 1, "expected": 2}


def test_walk_goes_on_where_it_stopped(project: ProjectRef) -> None:
    ids = sorted(make_many(project, 3))

    def some(after: object) -> Restarted:
        found = restarts.restart_some(
            project.organization_id,
            Scope(),
            SPAN,
            after=after,  # type: ignore[arg-type]  # an id or None
            limit=2,
            now=at("12:15"),
        )
        db.session.commit()
        return found

    first = some(None)
    assert first == Restarted(ids[1], is_complete=True)
    assert some(first.last) == Restarted(None, is_complete=True)
    assert states() == {"skipped": 3, "expected": 3}


def test_window_of_names_restarts_none(project: ProjectRef) -> None:
    make_many(project, 1)

    restarts.restart_all(project.organization_id, Scope(name_pattern="."), SPAN, now=at("12:15"))

    assert states() == {"expected": 1}
