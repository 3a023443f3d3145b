"""The sections of a digest: their order, monitors that never ran, and what it all costs."""

from datetime import timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from services.digests.reading import HOME, add_incident, add_kind, ago, lines, scope_of
from services.digests.test_deliveries import add as add_delivery
from sqlalchemy import update
from watching import Watch, at, sweep

from taskbadger.domain.digests import Entry, Section
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.digests import contents
from taskbadger.services.digests.contents import read_sections


def add_silent(project: ProjectRef, **fields: Any) -> Watch:
    """Add an hourly monitor that never has a run, long before the digest."""
    watch = Watch(project, fields=fields)
    sweep("12:05")
    return watch


def test_nothing_happened(project: ProjectRef) -> None:
    assert read_sections(scope_of(project)) == []


def test_monitors_that_never_ran_are_those_that_should_have(project: ProjectRef) -> None:
    silent = add_silent(project)
    paused = add_silent(project, name="paused")
    paused.edit("12:06", status="paused")
    seen = add_silent(project, name="seen")
    seen.run("12:50", "success")
    add_silent(make_project("other"), name="of others")
    Watch(project, fields={"name": "yearly", "schedule": "0 0 1 1 *"})
    broken = Watch(project, fields={"name": "broken"}).monitor
    broken.schedule = "gibberish"
    db.session.commit()

    found = contents.read_silent(scope_of(project))

    assert found == Section(
        "Monitors that never ran",
        (
            Entry(
                "nightly (web)",
                f"no run since it was created on {at('11:30'):%d %b %Y}",
                f"{HOME}/monitors/{silent.monitor.id}/",
            ),
        ),
        1,
    )


def fill(project: ProjectRef, count: int) -> None:
    """Let everything that a digest can say happen so many times."""
    for number in range(count):
        name = f"job {number}"
        add_incident(project, ago(minutes=number), name=name)
        add_incident(project, ago(hours=3), ago(hours=1, minutes=number), name=name)
        add_kind(project, ago(hours=2, seconds=number), ago(hours=1))
        add_delivery(project, "dead", ago(hours=1))
        add_delivery(project, "dropped", ago(hours=1))
        Watch(project, fields={"name": name})
    sweep("12:05")


def test_sections_come_in_one_order_and_each_line_has_its_page(project: ProjectRef) -> None:
    fill(project, 1)

    found = read_sections(scope_of(project))

    assert [section.title for section in found] == [
        "Failing",
        "Recovered",
        "New kinds of failures",
        "Monitors that never ran",
        "Undelivered alerts",
        "Held back",
    ]
    assert all(entry.url for section in found for entry in section.entries)
    without = read_sections(scope_of(project, base_url=""))
    assert {entry.url for section in without for entry in section.entries} == {None}


@pytest.mark.parametrize("count", [0, 1, 30])
def test_digest_costs_the_same_number_of_queries(project: ProjectRef, count: int) -> None:
    fill(project, count)
    scope = scope_of(project)

    with count_queries() as statements:
        read_sections(scope)

    assert len(statements) == 9


def test_history_is_not_looked_at(project: ProjectRef) -> None:
    for number in range(30):
        old = ago(days=20, minutes=number)
        add_incident(project, old - timedelta(hours=1), old, name=f"job {number}")
        add_kind(project, old, old)
        add_delivery(project, "dead", old)

    assert read_sections(scope_of(project)) == []


def test_monitor_that_is_muted_is_told_of(project: ProjectRef) -> None:
    add_silent(project)
    db.session.execute(update(Monitor).values(status="muted"))
    db.session.commit()

    assert len(lines(contents.read_silent(scope_of(project)))) == 1
