"""A monitor and the name of its runs are one job, and open incidents of both are listed once."""

import pytest
from conftest import make_project
from incidents import make_incident
from watching import Watch, at

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.incidents import lists
from taskbadger.services.incidents.lists import OpenIncident
from taskbadger.services.stats import failing
from taskbadger.services.stats.failing import Failing

NOW = at("12:00")


def listed(project: ProjectRef) -> list[OpenIncident]:
    return lists.list_open(project.organization_id, 10, now=NOW)


def subjects(project: ProjectRef) -> list[tuple[str, bool]]:
    """Return what is listed, and whether it is a monitor."""
    return [(each.subject, each.is_monitor) for each in listed(project)]


def fail(watch: Watch, **values: object) -> int:
    return make_incident(watch.project, None, monitor_id=watch.monitor.id, **values)


@pytest.mark.parametrize("task_name", ["job", None])
def test_failing_monitor_and_its_failing_name_are_one(
    project: ProjectRef, task_name: str | None
) -> None:
    watch = Watch(project, fields={"task_name": task_name})
    watch.run("11:40", "error", name="an earlier name" if task_name is None else "job")
    watch.run("11:41", "error")
    make_incident(project, "job")
    make_incident(project, "other")

    assert sorted(subjects(project)) == [("nightly", True), ("other", False)]
    assert failing.count_failing(project.organization_id) == Failing(monitors=1, names=1)


def test_names_elsewhere_and_monitors_that_recovered_take_nothing_away(
    project: ProjectRef,
) -> None:
    watch = Watch(project, fields={"task_name": "job"})
    fail(watch, closed_at=NOW)
    fail(Watch(project))
    other = make_project("acme", "other")
    fail(Watch(other, fields={"task_name": "job"}))
    foreign = make_project("globex", "web")
    fail(Watch(foreign, fields={"task_name": "job"}))
    make_incident(project, "job")

    assert sorted(subjects(project)) == [("job", False), ("nightly", True), ("nightly", True)]
    assert failing.count_failing(project.organization_id) == Failing(monitors=2, names=1)


def test_whoever_is_on_the_name_is_on_the_job(project: ProjectRef) -> None:
    watch = Watch(project, fields={"task_name": "job"})
    fail(watch)
    make_incident(project, "job", acknowledged_by="ada@example.org")

    assert [each.acknowledged_by for each in listed(project)] == ["ada@example.org"]


def test_list_of_all_incidents_has_both(project: ProjectRef) -> None:
    watch = Watch(project, fields={"task_name": "job"})
    fail(watch)
    make_incident(project, "job")

    found = lists.list_incidents(project.organization_id, lists.Filters(), None, 10).rows

    assert [each.subject for each in found] == ["job", "nightly"]
