"""Statements about many projects: as short for 500 as for 60, and they find the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from conftest import make_project
from services.tasks.searching import filters_of, found_names, make_task, walk
from sqlalchemy import event

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models.task_rows import LIST_COLUMNS
from taskbadger.services.tasks import failures, versions
from taskbadger.services.tasks.search import many_projects, statements
from taskbadger.services.tasks.search.counts import count_by_status
from taskbadger.services.tasks.search.pages import search_tasks
from taskbadger.services.tasks.search.plan import make_plan

SEARCHES = ("", "status:error,stale", "tag:env:prod", "import", "name:job", "queue:high", "-job")


def lengths(project: ProjectRef, search: str, count: int) -> list[int]:
    projects = [ProjectRef(number, "x", 1, "acme", "x") for number in range(count)]
    plan = make_plan(projects, filters_of(search))
    queries = [
        statements.page(plan, LIST_COLUMNS, statements.FROM_NEWEST, 51),
        failures.walk_failed([one.id for one in projects], 8),
    ]
    return [len(str(query.compile(db.engine))) for query in queries]


@pytest.mark.parametrize("search", SEARCHES)
def test_statement_is_as_short_for_500_projects(project: ProjectRef, search: str) -> None:
    assert lengths(project, search, 500) == lengths(project, search, 60)
    assert max(lengths(project, search, 500)) < 10_000


@pytest.mark.parametrize("search", SEARCHES)
def test_statements_have_no_more_parameters_for_500_projects(
    project: ProjectRef, search: str
) -> None:
    def parameters(count: int) -> list[int]:
        projects = [ProjectRef(number, "x", 1, "acme", "x") for number in range(count)]
        with count_parameters() as numbers:
            search_tasks(projects, filters_of(search), None, 50)
            count_by_status(projects, filters_of(search))
            versions.last_change(projects)
        return numbers

    assert parameters(500) == parameters(60)


@contextmanager
def count_parameters() -> Iterator[list[int]]:
    """Collect how many parameters each statement of the block has."""
    numbers: list[int] = []

    def collect(_c: Any, _cursor: Any, _statement: str, parameters: Any, *_rest: Any) -> None:
        numbers.append(len(parameters))

    event.listen(db.engine, "before_cursor_execute", collect)
    try:
        yield numbers
    finally:
        event.remove(db.engine, "before_cursor_execute", collect)


def test_many_names_in_many_projects_are_searched_by_time_instead(project: ProjectRef) -> None:
    projects = [ProjectRef(number, "x", 1, "acme", "x") for number in range(500)]

    few = make_plan(projects, filters_of("name:a,b"))
    many = make_plan(projects, filters_of("name:" + ",".join(f"job{one}" for one in range(11))))

    assert (len(few.branches), few.rest_conditions) == (2, [])
    assert (len(many.branches), len(many.rest_conditions)) == (1, 1)


def test_60_projects_are_searched_as_one_is(project: ProjectRef) -> None:
    projects = [make_project("acme", f"p{number:02}") for number in range(many_projects.MANY + 10)]
    for number, one in enumerate(projects):
        status = "error" if number % 3 else "success"
        make_task(one, f"job {number:02}", ago=number, status=status, tags={"env": "prod"})
        make_task(one, "import", ago=100 + number, status=status)
    jobs = [f"job {number:02}" for number in range(60)]

    assert found_names(projects, "job", 60) == jobs
    assert found_names(projects, "tag:env:prod", 60) == jobs
    assert found_names(projects, "name:import", 100) == ["import"] * 60
    assert found_names(projects, "job status:success", 60) == jobs[::3]
    down, up = walk(projects, filters_of("tag:env:prod"), 25)
    assert down == [jobs[:25], jobs[25:50], jobs[50:]]
    assert up == [jobs[25:50], jobs[:25]]
    counts = count_by_status(projects, filters_of(""))
    numbers = {status: number for status, number in counts.by_status.items() if number}
    assert (numbers, counts.capped) == ({"error": 80, "success": 40}, False)
    assert [row.name[:3] for row in failures.list_recent_failures(projects, 3)] == ["job"] * 3


def test_all_tasks_of_many_projects_are_counted_in_full(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_projects, "MANY", 1)
    for name in ("MAX_SCAN", "MIN_SCAN_OF_MANY"):
        monkeypatch.setattr(f"taskbadger.services.tasks.search.plan.{name}", 1)

    counts = count_by_status(many, filters_of("status:error"))

    assert (counts.capped, counts.of(["error"])) == (False, 2)


def test_tag_alone_is_found_without_looking_up_each_task(project: ProjectRef) -> None:
    def joins(search: str) -> int:
        plan = make_plan([project], filters_of(search))
        query = statements.page(plan, LIST_COLUMNS, statements.FROM_NEWEST, 51)
        return str(query.compile(db.engine)).count("JOIN task ")

    # The rows of the page are looked up in any case.
    assert [joins(search) for search in ("tag:env:prod", "tag:env:prod queue:high")] == [1, 2]


def test_scan_of_many_projects_is_bounded(project: ProjectRef) -> None:
    depths = {}
    for count in (1, 40, 51, 700, 2000):
        projects = [ProjectRef(number, "x", 1, "acme", "x") for number in range(count)]
        depths[count] = make_plan(projects, filters_of("queue:high")).depth

    assert depths == {1: 20_000, 40: 500, 51: 392, 700: 28, 2000: 20}


def test_scan_of_each_project_ends_by_itself(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_projects, "MANY", 1)
    monkeypatch.setattr("taskbadger.services.tasks.search.plan.MAX_SCAN", 4)
    monkeypatch.setattr("taskbadger.services.tasks.search.plan.MIN_SCAN_OF_MANY", 2)
    other = make_project("acme", "worker")
    for number in range(6):
        make_task(project, f"a{number}", ago=number * 10, queue="q" if number == 5 else "")
        make_task(other, f"b{number}", ago=number * 10 + 5, queue="q" if number == 1 else "")

    down, _ = walk([project, other], filters_of("queue:q"), 10)

    assert [name for page in down for name in page] == ["b1", "a5"]
    assert len(down) > 1


def test_failures_of_the_same_projects_are_found_on_both_databases(project: ProjectRef) -> None:
    projects = [ProjectRef(number, "x", 1, "acme", "x") for number in range(50_000, 50_060)]

    # This test runs on both in one process.
    assert failures.list_recent_failures(projects, 3) == []
