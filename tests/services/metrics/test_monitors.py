"""Monitors and what is failing, as a scrape shows them."""

from conftest import count_queries, make_project
from plans import plan_of
from services.stats.counting import count, run
from watching import Watch, at, make_many, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.metrics.monitors import (
    Failing,
    MonitorFigures,
    read_failing,
    read_monitors,
)
from taskbadger.services.metrics.scope import Place, Scope, read_places

WEB = Place("acme", "web")


def monitors() -> list[MonitorFigures]:
    return list(read_monitors(Scope(), read_places(Scope())))


def test_monitor_is_up_until_it_fails_and_keeps_its_last_success(project: ProjectRef) -> None:
    watch = Watch(project)
    assert monitors() == [MonitorFigures(WEB, "nightly", True, None, None)]

    first = watch.run("12:00")
    watch.report(first, "12:03", "success")
    good = MonitorFigures(WEB, "nightly", True, at("12:03"), 180.0)
    assert monitors() == [good]

    failed = watch.run("13:00")
    watch.report(failed, "13:01", "error")
    sweep("15:30")
    assert monitors() == [good._replace(is_up=False)]

    again = watch.run("16:00")
    watch.report(again, "16:00:30", "success")
    assert monitors() == [MonitorFigures(WEB, "nightly", True, at("16:00:30"), 30.0)]


def test_paused_monitor_is_neither_up_nor_down(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.edit("11:40", status="paused")

    assert [each.is_up for each in monitors()] == [None]


def test_monitors_of_the_same_name_are_told_apart_by_their_ids(project: ProjectRef) -> None:
    twins = [Watch(project, fields={"schedule": f"{minute} * * * *"}) for minute in (1, 2)]
    Watch(make_project("acme", "worker"))

    assert {each.label for each in monitors()} == {
        "nightly",
        *(f"nightly ({each.monitor.id})" for each in twins),
    }


def test_last_success_has_an_index_of_its_own(project: ProjectRef) -> None:
    make_many(project, 3)

    assert plan_of(monitors).count("ix_slot_good") == 2


def test_open_incidents_are_counted_in_each_project(project: ProjectRef) -> None:
    other = make_project("globex", "api")
    watch = Watch(project)
    watch.report(watch.run("12:00"), "12:01", "success")
    watch.report(watch.run("13:00"), "13:01", "error")
    run(project, "mail", status="error")
    run(project, "once", ago=9, status="error")
    run(project, "once", status="success")
    count()

    with count_queries() as statements:
        found = read_failing(Scope(), {project.id: WEB, other.id: Place("globex", "api")})

    assert found == {WEB: Failing(names=2, incidents=3), Place("globex", "api"): Failing(0, 0)}
    assert len(statements) == 1
