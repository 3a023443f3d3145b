"""Pages of a search: in both directions, and within scans."""

from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from flask import Flask
from services.tasks.searching import NOW, filters_of, found_names, make_task, walk
from sqlalchemy import insert

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services.organizations import projects as projects_service
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.stats import figures
from taskbadger.services.tasks import failures, versions
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search import plan
from taskbadger.services.tasks.search.counts import count_by_status
from taskbadger.services.tasks.search.pages import PreparedSearch, search_tasks
from taskbadger.services.tasks.search.positions import at_and_below, cursor_at


def test_fewer_projects_narrow_the_list(many: list[ProjectRef]) -> None:
    assert found_names(many[1:], "") == ["b import", "e nightly", "f 100%"]
    assert found_names([], "") == []


@pytest.mark.parametrize("search", ["", "tag:kind:odd", "job", "queue:q", "-name:other"])
@pytest.mark.parametrize("size", [2, 3, 7])
def test_pages_hold_every_task_once_in_both_directions(
    project: ProjectRef, search: str, size: int
) -> None:
    other = make_project("acme", "worker")
    for number in range(7):
        make_task(
            (project, other)[number % 2],
            f"job {number}",
            ago=number // 2,
            queue="q",
            tags={"kind": "odd"},
        )
    filters = filters_of(search)

    down, up = walk([project, other], filters, size)

    assert sorted(name for page in down for name in page) == [f"job {n}" for n in range(7)]
    assert [len(page) for page in down] == [size] * (7 // size) + ([7 % size] if 7 % size else [])
    assert up == down[-2::-1]


def test_cursor_from_elsewhere_is_refused(project: ProjectRef) -> None:
    for key in (("yesterday",), ("2026-11-23T12:00:00Z",)):
        with pytest.raises(InvalidCursor):
            search_tasks([project], Filters(), Cursor(key), 10)


def test_page_says_how_far_it_looked_and_the_next_one_looks_further(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_SCAN", 4)
    monkeypatch.setattr(plan, "MIN_SCAN", 4)
    for number in range(10):
        make_task(project, f"job {number}", ago=number, queue="rare" if number in (1, 9) else "")
    filters = filters_of("queue:rare")

    first = search_tasks([project], filters, None, 5)
    second = search_tasks([project], filters, first.next, 5)
    third = search_tasks([project], filters, second.next, 5)

    assert [row.name for row in first.rows] == ["job 1"]
    assert first.looked_back_to == NOW - timedelta(seconds=3)
    assert (list(second.rows), second.looked_back_to) == ([], NOW - timedelta(seconds=7))
    assert [row.name for row in third.rows] == ["job 9"]
    assert (third.next, third.looked_back_to) == (None, None)


def test_scans_of_several_branches_lose_and_repeat_nothing(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_SCAN", 6)
    monkeypatch.setattr(plan, "MIN_SCAN", 3)
    other = make_project("acme", "worker")
    for number in range(12):
        # One project is much busier, so its scan ends sooner.
        target = other if number % 4 == 3 else project
        make_task(target, f"job {number:02}", ago=number, queue="odd" if number % 3 else "q")
    for search in ("queue:q", "queue:q tag:kind:odd", "-queue:odd"):
        filters = filters_of(search.partition(" tag")[0])

        down, _ = walk([project, other], filters, 5)

        assert [name for page in down for name in page] == ["job 00", "job 03", "job 06", "job 09"]


def test_scans_over_a_tag_lose_and_repeat_nothing(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_SCAN", 3)
    monkeypatch.setattr(plan, "MIN_SCAN", 3)
    for number in range(9):
        queue = "q" if number % 4 == 0 else ""
        make_task(project, f"job {number}", ago=number, queue=queue, tags={"env": "prod"})
    filters = filters_of("tag:env:prod queue:q")

    down, _ = walk([project], filters, 5)

    assert [name for page in down for name in page] == ["job 0", "job 4", "job 8"]


def test_newcomers_are_counted_and_wait_above_the_anchor(many: list[ProjectRef]) -> None:
    filters = filters_of("import")
    rows = search_tasks(many, filters, None, 10).rows
    anchor = cursor_at(rows[2])

    below = search_tasks(many, filters, at_and_below(anchor), 10)

    assert [row.name[0] for row in below.rows] == ["d", "g"]
    search = PreparedSearch(many, filters)
    assert [search.count_newer(anchor, limit) for limit in (10, 1)] == [2, 1]
    assert PreparedSearch([], filters).count_newer(anchor, 10) == 0


def test_organization_may_have_more_projects_than_a_union_takes_terms(app: Flask) -> None:
    first, last = make_project("acme", "first"), make_project("acme", "last")
    made = [
        {"organization_id": first.organization_id, "slug": f"p{number}", "name": "p"}
        for number in range(510)
    ]
    db.session.execute(insert(Project).values(created=NOW), made)
    db.session.commit()
    make_task(first, "old", ago=9, status="error")
    make_task(last, "new", ago=5, status="error", tags={"a": "b"})
    projects = projects_service.list_project_refs(first.organization_id, "acme")

    found = {
        text: found_names(projects, text) for text in ("", "status:error", "tag:a:b", "queue:x")
    }

    assert found == {
        "": ["new", "old"],
        "status:error": ["new", "old"],
        "tag:a:b": ["new"],
        "queue:x": [],
    }
    failed = failures.list_recent_failures(projects, 5)
    assert [row.name for row in failed] == ["new", "old"]
    assert count_by_status(projects, Filters()).of(["error"]) == 2
    assert figures.count_tasks(projects, ("error",)) == 2
    assert len(versions.last_change(projects).strip("|").split("|")) >= 2


def test_number_of_queries_is_pinned(many: list[ProjectRef]) -> None:
    filters = filters_of("status:error")
    for work, number in (
        (lambda: search_tasks(many, filters, None, 10), 1),
        (lambda: count_by_status(many, filters), 1),
        (lambda: versions.last_change(many), 1),
        (lambda: failures.list_recent_failures(many, 10), 1),
    ):
        with count_queries() as statements:
            work()
        assert len(statements) == number
