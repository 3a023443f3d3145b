"""What a digest says about incidents and kinds of failures."""

import re
from datetime import timedelta

from conftest import make_project
from plans import plan_of
from services.digests.reading import HOME, NOW, add_incident, add_kind, ago, lines, scope_of
from watching import Watch

from taskbadger.domain.digests import Entry
from taskbadger.domain.identity import ProjectRef
from taskbadger.services.digests import incidents

ADA = "ada@example.org"


def test_open_incidents_are_failing_whenever_they_opened(project: ProjectRef) -> None:
    old = add_incident(project, ago(days=9), runs=12, acknowledged_by=ADA, name="import")
    new = add_incident(project, ago(hours=2), runs=1, name="report")
    add_incident(project, ago(hours=2), ago(hours=1), name="closed")
    add_incident(make_project("other"), ago(hours=2), name="of others")

    found = incidents.read_failing(scope_of(project))

    assert (found.title, found.count, found.more) == ("Failing", 2, "")
    assert list(found.entries) == [
        Entry(
            "report (web)",
            "failing since Mon 23 Nov 06:00, for 2 h, 1 failed run; nobody is on it",
            f"{HOME}/incidents/{new.id}/",
        ),
        Entry(
            "import (web)",
            "failing since Sat 14 Nov 08:00, for 9 d, 12 failed runs; ada@example.org is on it",
            f"{HOME}/incidents/{old.id}/",
        ),
    ]


def test_incident_of_a_monitor_has_its_name(project: ProjectRef) -> None:
    watch = Watch(project)
    mine = {"monitor_id": watch.monitor.id, "name": None}
    add_incident(project, ago(hours=3), ago(hours=1), bad_slots=2, **mine)
    add_incident(project, ago(minutes=5), bad_slots=1, **mine)
    scope = scope_of(project)

    assert lines(incidents.read_failing(scope)) == [
        (
            "nightly (web)",
            "failing since Mon 23 Nov 07:55, for 5 min, 1 missed or failed run; nobody is on it",
        )
    ]
    assert lines(incidents.read_recovered(scope)) == [
        ("nightly (web)", "recovered Mon 23 Nov 07:00, after 2 h and 2 missed or failed runs")
    ]


def test_recovered_are_those_that_closed_in_the_period(project: ProjectRef) -> None:
    instant = timedelta(microseconds=1)
    for number, closed in enumerate(
        (ago(days=1) - instant, ago(days=1), ago(hours=1), NOW - instant, NOW)
    ):
        add_incident(project, ago(days=3), closed, name=f"job {number}", runs=3)
    add_incident(project, ago(hours=4), ago(hours=3), name="acknowledged", acknowledged_by=ADA)

    found = incidents.read_recovered(scope_of(project))

    assert [title for title, _ in lines(found)] == [
        "job 3 (web)",
        "job 2 (web)",
        "acknowledged (web)",
        "job 1 (web)",
    ]
    assert lines(found)[1:3] == [
        ("job 2 (web)", "recovered Mon 23 Nov 07:00, after 2 d 23 h and 3 failed runs"),
        (
            "acknowledged (web)",
            "recovered Mon 23 Nov 05:00, after 1 h and 0 failed runs; ada@example.org was on it",
        ),
    ]


def test_new_kinds_are_first_seen_in_the_period_or_back_since(project: ProjectRef) -> None:
    new = add_kind(project, ago(hours=5), ago(hours=1), title="KeyError: ‹text›", count=1200)
    second = add_kind(project, ago(days=1), ago(hours=2), title="TimeoutError", name="sync")
    since = {"title": "OSError", "back_since": ago(hours=4)}
    back = add_kind(project, ago(days=30), ago(hours=3), **since)
    add_kind(project, ago(days=20), ago(hours=1), title="known")
    add_kind(project, ago(days=21), ago(days=2), title="gone", back_since=ago(days=3))
    add_kind(project, ago(hours=6), ago(hours=6), title="ignored", state="ignored")
    add_kind(make_project("other"), ago(hours=7), ago(hours=7), title="of others")

    found = incidents.read_new_kinds(scope_of(project))

    pages = [f"{HOME}/failures/{kind.id}/" for kind in (new, second, back)]
    assert list(found.entries) == [
        Entry("KeyError: ‹text›", "job (web): 1,200 times since Mon 23 Nov 03:00", pages[0]),
        Entry("TimeoutError", "sync (web): 1 time since Sun 22 Nov 08:00", pages[1]),
        Entry("OSError", "job (web): back since Mon 23 Nov 04:00", pages[2]),
    ]


def test_kind_is_told_again_when_nobody_ignores_it_any_more(project: ProjectRef) -> None:
    past, future = ago(hours=1), NOW + timedelta(hours=1)
    for number, until in enumerate((past, future)):
        kind = {"title": f"Error {number}", "state": "ignored", "ignored_until": until}
        add_kind(project, ago(hours=3 + number), ago(hours=2), **kind)

    found = incidents.read_new_kinds(scope_of(project))

    assert [title for title, _ in lines(found)] == ["Error 0"]


def test_more_than_twenty_are_counted(project: ProjectRef) -> None:
    for number in range(51):
        add_incident(project, ago(minutes=number), name=f"job {number}", runs=1)

    found = incidents.read_failing(scope_of(project))

    assert (len(found.entries), found.count, found.more) == (20, 51, "and 31 more")


def test_each_section_walks_one_index(project: ProjectRef) -> None:
    scope = scope_of(project)

    assert "ix_incident_open" in plan_of(lambda: incidents.read_failing(scope))
    recovered = plan_of(lambda: incidents.read_recovered(scope))
    # Of one project, that index is as good.
    assert re.search("ix_incident_(organization|project)_id_closed_at_id", recovered)
    kinds = plan_of(lambda: incidents.read_new_kinds(scope))
    assert "ix_failure_kind_project_id_last_seen_id" in kinds
