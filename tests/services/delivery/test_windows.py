"""Which window covers a task now."""

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from conftest import count_queries, make_project
from holding import HOUR, MINUTE, NOW, make_many_windows, make_window
from plans import plan_of
from watching import Watch

from taskbadger.domain import windows as domain_windows
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.windows import Span
from taskbadger.services.delivery import windows
from taskbadger.services.delivery.windows import Covering, WindowRow


def covering(
    project: ProjectRef, name: str = "job", monitor_id: UUID | None = None
) -> Covering | None:
    return windows.covering(
        project.organization_id, project_id=project.id, name=name, monitor_id=monitor_id, now=NOW
    )


def test_window_covers_its_organization_only(project: ProjectRef) -> None:
    window_id = make_window(project)

    assert covering(project) == Covering(window_id, "deploy", Span(NOW, NOW + HOUR))
    assert covering(make_project("other")) is None


def test_window_covers_a_project_a_monitor_or_names(project: ProjectRef) -> None:
    other = make_project(slug="api")
    monitor = Watch(project).monitor.id
    in_project = make_window(project, project="web")
    assert [covering(place) is not None for place in (project, other)] == [True, False]

    of_monitor = make_window(other, name="monitor", monitor=str(monitor))
    of_names = make_window(other, name="names", name_pattern="^night")

    found = [covering(other), covering(other, "nightly"), covering(other, monitor_id=monitor)]
    assert [one and one.window_id for one in found] == [None, of_names, of_monitor]
    assert in_project != of_monitor


def test_of_several_windows_the_one_that_ends_last_covers(project: ProjectRef) -> None:
    make_window(project)
    longest = make_window(project, name="longest", ends=NOW + 2 * HOUR, starts=NOW)
    make_window(project, name="later", starts=NOW + MINUTE, ends=NOW + 9 * HOUR)
    make_window(project, name="over", starts=NOW - HOUR, ends=NOW)

    assert covering(project) == Covering(longest, "longest", Span(NOW, NOW + 2 * HOUR))


def ids(found: Iterable[WindowRow]) -> set[int]:
    return {window.id for window in found}


def test_looking_reads_those_that_have_started_from_an_index(project: ProjectRef) -> None:
    make_many_windows(project, 40)

    with count_queries() as statements:
        covering(project)

    assert len(statements) == 1
    for look in (
        lambda: covering(project),
        lambda: windows.has_active(project.organization_id, now=NOW),
    ):
        assert re.search(STARTED, plan_of(look))


STARTED = (
    r"ix_maintenance_window_current \(organization_id=\? AND starts_at<\?\)"
    r"|ix_maintenance_window_current on[^\n]*\n *Index Cond: \(.*organization_id = .*starts_at <= "
)


def test_no_schedule_is_computed_to_find_what_is_active(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = make_window(project, schedule="0 3 * * *", duration=600)
    make_window(project, schedule="0 4 * * *", duration=600)
    monkeypatch.setattr(domain_windows, "parse_cron", None)

    found = windows.list_active(project.organization_id, now=NOW)

    start = NOW.replace(minute=0, second=0)
    span = Span(start, start + 10 * MINUTE)
    assert [windows.active_span(window, NOW) for window in found] == [span]
    assert covering(project) == Covering(active, "deploy", span)


def test_window_that_the_worker_has_not_moved_on_is_found(project: ProjectRef) -> None:
    number = make_window(project, schedule="0 3 * * *", duration=600)
    tomorrow = NOW + timedelta(days=1)

    active = [
        ids(windows.list_active(project.organization_id, now=now))
        for now in (NOW, NOW + 10 * MINUTE, tomorrow)
    ]

    assert active == [{number}, set(), {number}]


def test_active_windows_are_those_of_their_organizations(project: ProjectRef) -> None:
    other, third = make_project("other"), make_project("third")
    first, second = make_window(project), make_window(other)
    make_window(other, starts=NOW + timedelta(days=1), ends=NOW + timedelta(days=2))
    make_window(third)

    numbers = [project.organization_id, other.organization_id]
    assert ids(windows.list_active_of(numbers, now=NOW)) == {first, second}
    assert ids(windows.list_active(other.organization_id, now=NOW)) == {second}
    assert windows.list_active_of([], now=NOW) == []
    found = [windows.has_active(number, now=NOW) for number in numbers]
    assert found == [True, True]
    assert not windows.has_active(project.organization_id, now=NOW - MINUTE)


def test_windows_of_monitors_leave_out_what_covers_others(project: ProjectRef) -> None:
    monitor, other = Watch(project).monitor, Watch(make_project(slug="api")).monitor
    of_all, of_project = make_window(project), make_window(project, project="web")
    of_monitor = make_window(project, monitor=str(monitor.id))
    make_window(project, monitor=str(other.id))
    make_window(project, project="api")
    make_window(project, name_pattern=".")
    make_window(project, starts=NOW + MINUTE, ends=NOW + HOUR)
    recurring = make_window(project, schedule="0 4 * * *", duration=60)

    active = windows.list_active_of_monitors([monitor], now=NOW)
    past = windows.list_past_of_monitors([monitor], now=NOW)

    assert ids(each.window for each in active) == {of_all, of_project, of_monitor}
    assert ids(each.window for each in past) == {of_all, of_project, of_monitor, recurring}
    assert windows.list_active_of_monitors([], now=NOW) == []
