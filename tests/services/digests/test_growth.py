"""Which names a digest calls slower, by the counts of real runs."""

from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from plans import plan_of
from services.digests import reading
from services.digests.reading import HOME
from services.stats.counting import NOW, count, run

from taskbadger.domain.digests import Entry, Period
from taskbadger.domain.identity import ProjectRef
from taskbadger.services.digests import growth
from taskbadger.services.digests.sections import Scope

HOUR, DAY = 3600, 86_400


def scope_of(project: ProjectRef, days: float) -> Scope:
    """Return the scope of a digest about the last *days* before NOW."""
    period = Period(NOW - timedelta(days=days), NOW)
    return replace(reading.scope_of(project), period=period)


def runs(project: ProjectRef, name: str, took: float, *, ago: float, number: int = 5) -> None:
    for _ in range(number):
        run(project, name, ago=ago, took=took, status="success")


@pytest.mark.parametrize(
    ("days", "now", "before"), [(1, 2 * HOUR, DAY + HOUR), (7, 2 * DAY, 9 * DAY)]
)
def test_slower_names_come_with_both_run_times(
    project: ProjectRef, days: int, now: float, before: float
) -> None:
    other = make_project("other")
    for name, took, was in (("import", 30, 10), ("report", 400, 100), ("steady", 5, 5)):
        runs(project, name, was, ago=before)
        runs(project, name, took, ago=now)
    runs(project, "few", 5, ago=before)
    runs(project, "few", 50, ago=now, number=4)
    runs(other, "of others", 5, ago=before)
    runs(other, "of others", 50, ago=now)
    count()

    found = growth.read_slower(scope_of(project, days))

    assert found.title == "Slower"
    assert list(found.entries) == [
        Entry(
            "report (web)",
            "p95 is about 6 min 46 s, was 1 min 37 s (4.2 times as long)",
            f"{HOME}/names/web/?name=report",
        ),
        Entry(
            "import (web)",
            "p95 is about 31 s, was 9.9 s (3.1 times as long)",
            f"{HOME}/names/web/?name=import",
        ),
    ]


def test_runs_of_neither_period_count_for_nothing(project: ProjectRef) -> None:
    runs(project, "import", 10, ago=60 * HOUR)
    runs(project, "import", 90, ago=2 * HOUR)
    count()

    assert list(growth.read_slower(scope_of(project, 1)).entries) == []
    assert len(growth.read_slower(scope_of(project, 2)).entries) == 1


def test_short_period_is_compared_with_the_hour_before(project: ProjectRef) -> None:
    runs(project, "import", 10, ago=2 * HOUR)
    runs(project, "import", 90, ago=HOUR)
    count()

    assert len(growth.read_slower(scope_of(project, 0.001)).entries) == 1


def test_names_cost_three_queries_by_an_index(project: ProjectRef) -> None:
    for number in range(30):
        runs(project, f"job {number}", 10, ago=DAY + HOUR)
        runs(project, f"job {number}", 30, ago=HOUR)
    count()
    scope = scope_of(project, 1)

    with count_queries() as statements:
        found = growth.read_slower(scope)

    assert (len(statements), found.count, found.more) == (3, 30, "and 10 more")
    plan = plan_of(lambda: growth.read_slower(scope))
    assert "Seq Scan" not in plan
    assert "SCAN" not in plan.replace("USE TEMP B-TREE", "")
