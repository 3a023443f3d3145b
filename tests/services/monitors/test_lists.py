"""What pages about many monitors ask, and how many queries that takes."""

import pytest
from conftest import count_queries, make_project
from watching import Watch, at, clock, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.incidents import lists as incidents
from taskbadger.services.monitors import lists
from taskbadger.services.stats import failing


def make_failing(project: ProjectRef, name: str, time: str) -> Watch:
    watch = Watch(project, fields={"name": name})
    watch.run(time, "error")
    return watch


def test_failing_monitors_of_an_organization_latest_first(project: ProjectRef) -> None:
    make_failing(project, "first", "12:00")
    make_failing(make_project("acme", "jobs"), "second", "12:10")
    make_failing(make_project("globex", "api"), "theirs", "12:20")
    Watch(project, fields={"name": "healthy"}).run("12:00", "success")

    found = incidents.list_open(project.organization_id, 10, now=at("12:30"))

    assert [(one.subject, one.project, clock(one.opened_at)) for one in found] == [
        ("second", "jobs", "12:10"),
        ("first", "web", "12:00"),
    ]
    assert failing.count_failing(project.organization_id).monitors == 2
    assert len(incidents.list_open(project.organization_id, 1, now=at("12:30"))) == 1


def test_next_expected_runs_of_an_organization_soonest_first(project: ProjectRef) -> None:
    Watch(project, fields={"name": "daily", "schedule": "0 0 * * *"})
    Watch(make_project("acme", "jobs"), fields={"name": "hourly"})
    Watch(make_project("globex", "api"), fields={"name": "theirs"})
    Watch(project, fields={"name": "never run", "interval": 60})
    Watch(project, fields={"name": "paused", "status": "paused"})

    found = lists.list_next_expected(project.organization_id, 10)

    assert [(one.name, one.project, clock(one.expected_at)) for one in found] == [
        ("hourly", "jobs", "12:00"),
        ("daily", "web", "2026-06-02 00:00"),
    ]
    assert len(lists.list_next_expected(project.organization_id, 1)) == 1


def test_strip_shows_the_last_slots_oldest_first(project: ProjectRef) -> None:
    busy, idle = Watch(project), Watch(project, fields={"interval": 60})
    busy.run("11:40", "success")
    for hour in (12, 13, 14):
        sweep(f"{hour}:01")

    ids = [busy.monitor.id, idle.monitor.id]
    strips = [lists.recent_slots(ids, count) for count in (3, 10)]

    shown = [[clock(slot.expected_at) for slot in strip[busy.monitor.id]] for strip in strips]
    assert shown == [["13:00", "14:00", "15:00"], ["11:00", "12:00", "13:00", "14:00", "15:00"]]
    assert [strip[idle.monitor.id] for strip in strips] == [[], []]


@pytest.mark.parametrize("count", [1, 4])
def test_overview_takes_the_same_queries_for_one_monitor_and_for_four(
    project: ProjectRef, count: int
) -> None:
    watched = [make_failing(project, f"job {number}", "12:00") for number in range(count)]
    ids = [watch.monitor.id for watch in watched]

    with count_queries() as statements:
        incidents.list_open(project.organization_id, 10, now=at("12:30"))
        lists.list_next_expected(project.organization_id, 10)
        failing.count_failing(project.organization_id)
        lists.recent_slots(ids, 30)
        page = lists.list_monitors(project, None, 10)

    assert len(statements) == 6
    assert [is_failing for _, is_failing in page.rows] == [True] * count
