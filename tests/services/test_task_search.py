"""The dashboard's list: searches, pages, counts, and cancelling."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from flask import Flask
from sqlalchemy import insert, text

from taskbadger.domain import ids
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.services import failures, task_search, task_stats, tasks
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.task_list import Filters

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA = Actor("user", "ada@example.org")


def make_task(project: ProjectRef, name: str = "job", *, ago: float = 0, **data: Any) -> Any:
    """Create a task so many seconds before NOW."""
    now = NOW - timedelta(seconds=ago)
    task = tasks.create_task(project, {"name": name, **data}, now=now, actor=ADA)
    db.session.commit()
    return task


def names(projects: Sequence[ProjectRef], search: str, size: int = 100) -> list[str]:
    filters, read = task_search.read_search(search, now=NOW)
    assert read.problems == ()
    return [row.name for row in task_search.search_tasks(projects, filters, None, size).rows]


@pytest.fixture
def many(project: ProjectRef) -> list[ProjectRef]:
    """Eight tasks in two projects, a minute apart, the newest first by letter."""
    other = make_project("acme", "worker")
    make_task(project, "a import", ago=0, status="processing", queue="high")
    make_task(other, "b import", ago=60, status="error", tags={"env": "prod", "team": "ops"})
    make_task(project, "c Export", ago=120, status="error", tags={"env": "dev"})
    make_task(project, "d import", ago=180, status="success", queue="highest")
    parent = make_task(other, "e nightly", ago=240, external_id="celery-1")
    make_task(other, "f 100%", ago=300, parent=parent.id, status="stale")
    make_task(project, "g import", ago=3600, status="pending", tags={"env": "prod"})
    make_task(make_project("other", "web"), "z foreign", tags={"env": "prod"}, status="error")
    return [project, other]


@pytest.mark.parametrize(
    ("search", "letters"),
    [
        ("", "abcdefg"),
        ("status:error", "bc"),
        ("status:error,stale", "bcf"),
        ("status:success,error", "bcd"),
        ("status:running", "a"),
        ("-status:error", "adefg"),
        ("import", "abdg"),
        ("IMPORT", "abdg"),
        ("import -status:pending", "abd"),
        ("-import", "cef"),
        ("100%", "f"),
        ("import a", "a"),
        ('"a import"', "a"),
        ('name:"a import","c Export"', "ac"),
        ("name:a*,d*", "ad"),
        ("name:A*", "a"),
        ("name:C*", "c"),
        ("name:c*", "c"),
        ('name:"A import"', ""),
        ("-name:A*", "bcdefg"),
        ("-name:c*", "abdefg"),
        ("queue:high", "a"),
        ("queue:high*", "ad"),
        ("queue:HIGH*", "ad"),
        ("queue:HIGH", ""),
        ("import*", "abdg"),
        ("-queue:high*", "bcefg"),
        ("tag:env:prod", "bg"),
        ("tag:env", "bcg"),
        ("tag:env:prod tag:team:ops", "b"),
        ("tag:env:prod status:pending", "g"),
        ("tag:env:PRO*", "bg"),
        ("tag:env:* -tag:env:d*", "bg"),
        ("-tag:env:prod", "acdef"),
        ("tag:env:prod before:30min", "g"),
        ("external:celery-1", "e"),
        ("external:celery*", "e"),
        ("before:2min", "defg"),
        ("after:2min", "abc"),
        ("-before:2min", "abc"),
        ("ended:150s", "bc"),
        ("ended:1h", "bcd"),
        ("-ended:150s", "adefg"),
        ("ended:2026-11-23T11:58:30 status:error", "b"),
        ("after:10min status:error import", "b"),
        ("nothing", ""),
        ("name:nothing* status:error", ""),
    ],
)
def test_search_finds(many: list[ProjectRef], search: str, letters: str) -> None:
    assert "".join(name[0] for name in names(many, search)) == letters


def test_children_of_a_parent_are_found(many: list[ProjectRef]) -> None:
    filters, _ = task_search.read_search("external:celery-1", now=NOW)
    [parent] = task_search.search_tasks(many, filters, None, 10).rows

    assert names(many, f"parent:{parent.id}") == ["f 100%"]
    assert "f" not in [name[0] for name in names(many, f"-parent:{parent.id}")]
    assert names([many[0]], f"parent:{parent.id}") == []


def test_task_is_found_by_its_id(many: list[ProjectRef]) -> None:
    filters, _ = task_search.read_search("external:celery-1", now=NOW)
    [row] = task_search.search_tasks(many, filters, None, 10).rows

    assert names(many, row.id) == names(many, f"id:{row.id}") == ["e nightly"]
    assert names(many[:1], row.id) == names(many, f"{row.id} status:error") == []
    assert len(names(many, f"-{row.id}")) == 6


def test_tasks_are_found_by_when_they_ended_however_long_they_ran(
    project: ProjectRef,
) -> None:
    long = make_task(project, "long", ago=9000, status="processing")
    tasks.update_task(project, long.id, {"status": "error"}, now=NOW, actor=ADA)
    db.session.commit()

    assert names([project], "status:error ended:1h") == ["long"]
    assert names([project], "status:error after:1h") == []


def test_fewer_projects_narrow_the_list(many: list[ProjectRef]) -> None:
    assert names(many[1:], "") == ["b import", "e nightly", "f 100%"]
    assert names([], "") == []


def walk(
    projects: Sequence[ProjectRef], filters: Filters, size: int
) -> tuple[list[list[str]], list[list[str]]]:
    """Return all pages by name, going down, and going up again."""
    down, up = [], []
    cursor: Cursor | None = None
    while True:
        found = task_search.search_tasks(projects, filters, cursor, size)
        down.append([row.name for row in found.rows])
        if found.next is None:
            break
        cursor = found.next
    while found.previous is not None:
        found = task_search.search_tasks(projects, filters, found.previous, size)
        up.append([row.name for row in found.rows])
    return down, up


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
    filters, _ = task_search.read_search(search, now=NOW)

    down, up = walk([project, other], filters, size)

    assert sorted(name for page in down for name in page) == [f"job {n}" for n in range(7)]
    assert [len(page) for page in down] == [size] * (7 // size) + ([7 % size] if 7 % size else [])
    assert up == down[-2::-1]


def test_cursor_from_elsewhere_is_refused(project: ProjectRef) -> None:
    for key in (("yesterday", ids.new_id(NOW)), ("2026-11-23T12:00:00Z", "x")):
        with pytest.raises(InvalidCursor):
            task_search.search_tasks([project], Filters(), Cursor(key), 10)


def test_page_says_how_far_it_looked_and_the_next_one_looks_further(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "WINDOW", 4)
    monkeypatch.setattr(task_search, "LEAST_WINDOW", 4)
    for number in range(10):
        make_task(project, f"job {number}", ago=number, queue="rare" if number in (1, 9) else "")
    filters, _ = task_search.read_search("queue:rare", now=NOW)

    first = task_search.search_tasks([project], filters, None, 5)
    second = task_search.search_tasks([project], filters, first.next, 5)
    third = task_search.search_tasks([project], filters, second.next, 5)

    assert [row.name for row in first.rows] == ["job 1"]
    assert first.looked_back_to == NOW - timedelta(seconds=3)
    assert (list(second.rows), second.looked_back_to) == ([], NOW - timedelta(seconds=7))
    assert [row.name for row in third.rows] == ["job 9"]
    assert (third.next, third.looked_back_to) == (None, None)


def test_windows_of_several_arms_lose_and_repeat_nothing(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "WINDOW", 6)
    monkeypatch.setattr(task_search, "LEAST_WINDOW", 3)
    other = make_project("acme", "worker")
    for number in range(12):
        # One project is much busier, so its window ends sooner.
        target = other if number % 4 == 3 else project
        make_task(target, f"job {number:02}", ago=number, queue="odd" if number % 3 else "q")
    for search in ("queue:q", "queue:q tag:kind:odd", "-queue:odd"):
        filters, _ = task_search.read_search(search.partition(" tag")[0], now=NOW)

        down, _ = walk([project, other], filters, 5)

        assert [name for page in down for name in page] == ["job 00", "job 03", "job 06", "job 09"]


def test_windows_over_a_tag_lose_and_repeat_nothing(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "WINDOW", 3)
    monkeypatch.setattr(task_search, "LEAST_WINDOW", 3)
    for number in range(9):
        queue = "q" if number % 4 == 0 else ""
        make_task(project, f"job {number}", ago=number, queue=queue, tags={"env": "prod"})
    filters, _ = task_search.read_search("tag:env:prod queue:q", now=NOW)

    down, _ = walk([project], filters, 5)

    assert [name for page in down for name in page] == ["job 0", "job 4", "job 8"]


def test_too_many_names_are_searched_by_time_instead(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "MAX_NAMES", 2)

    assert [name[0] for name in names(many, "import")] == list("abdg")
    assert task_search.distinct_names(many[0].id) is None


def test_many_states_in_many_projects_are_searched_by_time_instead(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "MAX_ARMS", 3)

    assert [name[0] for name in names(many, "status:error,stale")] == list("bcf")


def test_counts_are_by_state_and_leave_the_chosen_state_aside(many: list[ProjectRef]) -> None:
    def counts(search: str) -> dict[str, int]:
        filters, _ = task_search.read_search(search, now=NOW)
        found = task_search.count_by_status(many, filters)
        assert not found.capped
        return {status: number for status, number in found.by_status.items() if number}

    everything = {"pending": 2, "processing": 1, "success": 1, "error": 2, "stale": 1}
    assert counts("") == everything
    assert counts("status:error") == everything
    assert counts("import") == {"pending": 1, "processing": 1, "success": 1, "error": 1}
    assert counts("tag:env:prod") == {"pending": 1, "error": 1}
    assert counts("queue:high*") == {"processing": 1, "success": 1}
    assert counts("name:nothing") == {}


def test_counts_stop_at_the_cap(project: ProjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_search, "COUNT_CAP", 3)
    for number in range(5):
        make_task(project, ago=number, queue="q")
    for search in ("", "queue:q"):
        filters, _ = task_search.read_search(search, now=NOW)

        counts = task_search.count_by_status([project], filters)

        assert counts.of(["pending"]) == 3
        assert counts.is_at_least(["pending"])
        assert not counts.is_at_least(["error"])


def test_counts_within_a_window_say_so(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_search, "WINDOW", 3)
    monkeypatch.setattr(task_search, "LEAST_WINDOW", 3)
    for number in range(5):
        make_task(project, ago=number, queue="q")
    filters, _ = task_search.read_search("queue:q", now=NOW)

    assert task_search.count_by_status([project], filters).capped


def test_newcomers_are_counted_and_wait_above_the_anchor(many: list[ProjectRef]) -> None:
    filters, _ = task_search.read_search("import", now=NOW)
    rows = task_search.search_tasks(many, filters, None, 10).rows
    anchor = task_search.key_of(rows[2])

    below = task_search.search_tasks(many, filters, task_search.at_and_below(anchor), 10)

    assert [row.name[0] for row in below.rows] == ["d", "g"]
    search = task_search.PreparedSearch(many, filters)
    assert [search.count_newer(anchor, most) for most in (10, 1)] == [2, 1]
    assert task_search.PreparedSearch([], filters).count_newer(anchor, 10) == 0


def test_version_changes_with_every_change_of_a_task(many: list[ProjectRef]) -> None:
    before = task_search.last_change(many)
    filters, _ = task_search.read_search("queue:high", now=NOW)
    [row] = task_search.search_tasks(many, filters, None, 1).rows

    tasks.update_task(many[0], row.id, {"value": 5}, now=NOW, actor=ADA)
    db.session.commit()

    assert task_search.last_change(many) != before
    assert task_search.last_change([]) == ""


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
    projects = task_search.find_projects(first.organization_id, "acme")

    found = {text: names(projects, text) for text in ("", "status:error", "tag:a:b", "queue:x")}

    assert found == {
        "": ["new", "old"],
        "status:error": ["new", "old"],
        "tag:a:b": ["new"],
        "queue:x": [],
    }
    failed = failures.list_failed_last(projects, 5)
    assert [row.name for row in failed] == ["new", "old"]
    assert task_search.count_by_status(projects, Filters()).of(["error"]) == 2
    assert task_stats.count_tasks(projects, ("error",)) == 2
    assert len(task_search.last_change(projects).strip("|").split("|")) >= 2


def test_number_of_queries_is_pinned(many: list[ProjectRef]) -> None:
    filters, _ = task_search.read_search("status:error", now=NOW)
    for work, number in (
        (lambda: task_search.search_tasks(many, filters, None, 10), 1),
        (lambda: task_search.count_by_status(many, filters), 1),
        (lambda: task_search.last_change(many), 1),
        (lambda: failures.list_failed_last(many, 10), 1),
    ):
        with count_queries() as statements:
            work()
        assert len(statements) == number


def plans(app: Flask, projects: Sequence[ProjectRef], search: str) -> str:
    """Return how the database says it finds a page."""
    filters, _ = task_search.read_search(search, now=NOW)
    plan = task_search._make_plan(projects, filters)
    arms = [task_search._arm(plan, arm, False, False, 11) for arm in plan.arms]
    return explained(task_search._merge(arms, False))


def explained(query: Any) -> str:
    """Return how the database says it answers a query."""
    sql = str(query.compile(db.engine, compile_kwargs={"literal_binds": True}))
    prefix = "EXPLAIN QUERY PLAN" if db.engine.dialect.name == "sqlite" else "EXPLAIN"
    if prefix == "EXPLAIN":
        # A table of eight rows is read faster in other ways; here only the possible counts.
        for way in ("seqscan", "bitmapscan", "indexscan", "sort"):
            db.session.execute(text(f"SET LOCAL enable_{way} = off"))
    rows = db.session.execute(text(f"{prefix} {sql.replace(':', chr(92) + ':')}")).all()
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize(
    ("search", "index"),
    [
        ("", "ix_task_project_id_created_id"),
        ("status:error", "ix_task_project_id_status_created_id"),
        ("name:job", "ix_task_project_id_name_created_id"),
    ],
)
def test_lists_are_walks_of_an_index_alone(
    app: Flask, many: list[ProjectRef], search: str, index: str
) -> None:
    assert_walks_alone(plans(app, many, search), index)


def assert_walks_alone(found: str, index: str) -> None:
    """Assert that both projects are answered from an index, without a look at the table."""
    lines = [line for line in found.splitlines() if "ix_task" in line]
    word = "COVERING INDEX" if db.engine.dialect.name == "sqlite" else "Index Only Scan"
    assert len(lines) == 2
    assert all(index in line and word in line for line in lines), found


def test_what_failed_last_is_a_walk_of_an_index_alone(app: Flask, many: list[ProjectRef]) -> None:
    query = failures.walk_failed([project.id for project in many], 8)

    assert_walks_alone(explained(query), "ix_task_project_id_end_time_id")


def test_what_failed_last_is_what_ended_last(many: list[ProjectRef]) -> None:
    long = make_task(many[0], "long", ago=9000, status="processing")
    tasks.update_task(many[0], long.id, {"status": "error"}, now=NOW, actor=ADA)
    make_task(many[1], "soon", ago=30, status="error")
    make_task(many[1], "never ended", status="error", end_time=None)
    db.session.commit()

    def found(most: int) -> list[str]:
        return [row.name for row in failures.list_failed_last(many, most)]

    assert found(9) == ["long", "soon", "b import", "c Export"]
    assert found(1) == ["long"]
    assert failures.list_failed_last([], 9) == []


def test_selected_tasks_are_cancelled_where_they_are_open(many: list[ProjectRef]) -> None:
    foreign = make_task(make_project("other", "web"), "y foreign")
    everything = task_search.search_tasks(many, Filters(), None, 100).rows
    chosen = [row.id for row in everything] + [foreign.id, "nonsense", everything[0].id]

    number = task_search.cancel_selected(many, chosen, now=NOW, actor=ADA)
    db.session.commit()

    assert number == 4
    assert sorted(name[0] for name in names(many, "status:cancelled")) == list("aefg")
    assert names([make_project("other", "web")], "status:pending") == ["y foreign"]


def test_only_what_is_open_is_cancelled_of_all_that_match() -> None:
    def narrowed(search: str) -> tuple[str, ...] | None:
        filters = task_search.open_matching(task_search.read_search(search, now=NOW)[0])
        return None if filters is None else filters.status

    running = ("pre_processing", "processing", "post_processing")
    assert narrowed("") == ("pending", *running, "stale")
    assert narrowed("status:running") == running
    assert narrowed("status:error") is None
