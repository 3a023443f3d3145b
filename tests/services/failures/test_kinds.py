"""Failure kinds: lists, their tasks, and changes of their state."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from alerting import KEY, NOW, after, create
from conftest import audit_entries, count_queries, make_project
from flask import Flask
from services.failures.failing import fail, set_state
from simultaneous import at_once, numbered
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import FailureKind
from taskbadger.models.failure import IGNORED, OPEN, RESOLVED
from taskbadger.services.failures import kinds
from taskbadger.services.failures.kinds import KindChanges, KindFilters
from taskbadger.services.pagination import Cursor, InvalidCursor

ALL = KindFilters()


def titles(
    projects: Sequence[ProjectRef], filters: KindFilters = ALL, size: int = 100
) -> list[str]:
    """All titles of a list that is walked in pages of this size."""
    found: list[str] = []
    cursor: Cursor | None = None
    while True:
        ids = [project.id for project in projects]
        page = kinds.list_kinds(ids, filters, cursor, size)
        found += [kind.title for kind in page.rows]
        cursor = page.next
        if cursor is None:
            return found


def kind_of(title: str) -> FailureKind:
    return db.session.scalars(select(FailureKind).where(FailureKind.title == title)).one()


def state(title: str) -> tuple[str, datetime | None]:
    db.session.rollback()
    kind = kind_of(title)
    return kind.state, kind.ignored_until


WORDS = ("ab", "bc", "cd", "de", "ef")


@pytest.fixture
def projects(project: ProjectRef) -> list[ProjectRef]:
    """Two projects whose kinds are named by WORDS, the last one seen last; others have more."""
    found = [project, make_project("acme", "worker")]
    for number, word in enumerate(WORDS):
        fail(found[number % 2], word, now=after(minutes=number))
    fail(make_project("rival", "web"), "secret")
    return found


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("walks", [0, 50])
def test_kinds_are_listed_by_the_latest_failure_across_projects(
    projects: list[ProjectRef], size: int, walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "MAX_WALKS", walks)

    assert titles(projects, size=size) == ["ef", "de", "cd", "bc", "ab"]
    assert titles(projects[:1], size=size) == ["ef", "cd", "ab"]
    assert titles([]) == []


@pytest.mark.parametrize("walks", [0, 50])
def test_pages_lead_back(
    projects: list[ProjectRef], walks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "MAX_WALKS", walks)
    ids = [project.id for project in projects]
    first = kinds.list_kinds(ids, KindFilters(), None, 2)
    second = kinds.list_kinds(ids, KindFilters(), first.next, 2)
    back = kinds.list_kinds(ids, KindFilters(), second.previous, 2)

    assert [kind.title for kind in second.rows] == ["cd", "bc"]
    assert (back.rows, back.previous) == (first.rows, None)


@pytest.mark.parametrize("key", [("x", "1"), ("2026-01-01T00:00:00Z", "x")])
def test_wrong_cursor_is_not_found(project: ProjectRef, key: tuple[str, str]) -> None:
    with pytest.raises(InvalidCursor):
        kinds.list_kinds([project.id], KindFilters(), Cursor(key), 2)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"state": OPEN}, ["xerror: 50% of it", "timeout"]),
        ({"state": RESOLVED}, ["other"]),
        ({"state": IGNORED}, []),
        ({"name": "import"}, ["xerror: 50% of it"]),
        ({"name": "imp"}, []),
        ({"search": "TIME"}, ["timeout"]),
        ({"search": "IMP"}, ["xerror: 50% of it"]),
        ({"search": "50%"}, ["xerror: 50% of it"]),
        ({"search": "_"}, []),
    ],
)
def test_filters_narrow_the_list(
    project: ProjectRef, filters: dict[str, str], expected: list[str]
) -> None:
    fail(project, "other")
    fail(project, "timeout", now=after(seconds=1))
    fail(project, "xerror", name="import", now=after(seconds=2))
    kind_of("xerror").title = "xerror: 50% of it"
    set_state("other", RESOLVED)

    assert titles([project], KindFilters(**filters)) == expected


def test_kind_of_a_task_is_that_of_its_last_failure(project: ProjectRef) -> None:
    task_id, fine = fail(project, "boom"), create(project)
    fail(project, "bang")

    assert titles([project], KindFilters(task=task_id)) == ["boom"]
    assert titles([project], KindFilters(task=fine)) == []
    assert kinds.kind_of_task(task_id) == kind_of("boom")
    assert kinds.kind_of_task(fine) is None


def test_wrong_parameters_are_named(project: ProjectRef) -> None:
    with pytest.raises(ValidationFailed) as caught:
        kinds.read_filters({"state": "bad", "task": "x", "name": "a\0", "search": "\0"})

    assert [(error.attr, error.code) for error in caught.value.errors] == [
        ("name", "invalid"),
        ("search", "invalid"),
        ("state", "invalid_choice"),
        ("task", "invalid"),
    ]


def test_kind_of_another_project_is_not_found(projects: list[ProjectRef]) -> None:
    number = str(kind_of("secret").id)
    ids = [project.id for project in projects]

    for text in (number, "0", "x", "9" * 30):
        with pytest.raises(NotFound):
            kinds.get_kind(ids, text)
    own, foreign = kind_of("ab"), kind_of("secret")
    assert kinds.get_kind(ids, str(own.id)) == own
    assert kinds.get_kinds(ids, [foreign.id, own.id]) == [own]


def test_tasks_of_a_kind_come_newest_first_in_pages(project: ProjectRef) -> None:
    task_ids = [fail(project, now=after(seconds=number)) for number in range(5)]
    fail(project, "bang")
    kind = kind_of("boom")

    first = kinds.list_tasks(kind.id, None, 3)
    rest = kinds.list_tasks(kind.id, first.next, 3)

    assert [task.id for task in [*first.rows, *rest.rows]] == task_ids[::-1]
    assert rest.next is None
    with pytest.raises(InvalidCursor):
        kinds.list_tasks(kind.id, Cursor(("x",)), 3)


def change(project: ProjectRef, *names: str, **changes: Any) -> None:
    found = [kind_of(name) for name in names]
    data: KindChanges = changes  # type: ignore[assignment]  # as the schema loads it
    kinds.change_kinds(project.organization_id, found, data, actor=KEY, now=NOW)
    db.session.commit()


def details() -> list[tuple[str, str, str]]:
    return [(one.verb, one.subject, one.detail) for one in db.session.scalars(audit_entries())]


def test_states_change_and_are_recorded(project: ProjectRef) -> None:
    fail(project)
    until = after(days=1)

    change(project, "boom", state=IGNORED, ignored_until=until)
    assert state("boom") == (IGNORED, until)
    change(project, "boom", ignored_until=None)
    assert state("boom") == (IGNORED, None)
    change(project, "boom", state=RESOLVED)
    assert state("boom") == (RESOLVED, None)
    change(project, "boom", state=RESOLVED)
    change(project, "boom")
    change(project, "boom", state=OPEN, ignored_until=None)
    assert state("boom") == (OPEN, None)

    day = "2026-05-05T03:02:01.000000Z"
    assert [detail for *_, detail in details()] == [
        f"open → ignored until {day}",
        f"ignored until {day} → ignored",
        "ignored → resolved",
        "resolved → open",
    ]
    assert {entry[:2] for entry in details()} == {("failure.change", "job: boom")}


def test_resolving_forgets_since_when_it_was_back(project: ProjectRef) -> None:
    fail(project)
    set_state("boom", RESOLVED)
    fail(project, now=after(hours=1))
    assert kind_of("boom").back_since == after(hours=1)

    change(project, "boom", state=RESOLVED)

    assert kind_of("boom").back_since is None


@pytest.mark.parametrize(
    "changes",
    [
        {"ignored_until": NOW + timedelta(days=1)},
        {"state": RESOLVED, "ignored_until": NOW + timedelta(days=1)},
        {"state": IGNORED, "ignored_until": NOW},
        {"state": IGNORED, "ignored_until": NOW - timedelta(days=1)},
    ],
)
def test_wrong_end_changes_nothing(project: ProjectRef, changes: dict[str, Any]) -> None:
    fail(project)
    fail(project, "bang")
    set_state("bang", IGNORED)

    with pytest.raises(ValidationFailed) as caught:
        change(project, "bang", "boom", **changes)

    assert [error.attr for error in caught.value.errors] == ["ignored_until"]
    assert (state("boom"), state("bang"), details()) == ((OPEN, None), (IGNORED, None), [])


def test_many_kinds_are_changed_with_a_constant_number_of_statements(project: ProjectRef) -> None:
    for word in WORDS:
        fail(project, word)
    counts = []
    for number, target in ((2, RESOLVED), (5, IGNORED)):
        ids = db.session.scalars(
            select(FailureKind.id).order_by(FailureKind.id).limit(number)
        ).all()
        found = kinds.get_kinds([project.id], ids)
        with count_queries() as statements:
            kinds.change_kinds(
                project.organization_id, found, {"state": target}, actor=KEY, now=NOW
            )
            db.session.flush()
        counts.append(len(statements))
        db.session.commit()

    assert counts == [2, 2]
    assert [state(word)[0] for word in WORDS] == [IGNORED] * 5
    assert details() == [
        ("failure.change", "2 failures", "→ resolved; job: ab; job: bc"),
        (
            "failure.change",
            "5 failures",
            "→ ignored; job: ab; job: bc; job: cd; job: de; job: ef",
        ),
    ]


def test_entry_lists_only_the_first_of_many(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "MAX_RECORDED", 2)
    for word in WORDS:
        fail(project, word)

    change(project, *WORDS, state=RESOLVED)

    [(_, subject, detail)] = details()
    assert (subject, detail.count("job: "), detail[-10:]) == ("5 failures", 2, "and 3 more")


def test_simultaneous_changes_and_failures_wait_in_turn(app: Flask, project: ProjectRef) -> None:
    for word in WORDS:
        fail(project, word)

    def work(number: int) -> None:
        for turn in range(5):
            found = db.session.scalars(select(FailureKind)).all()
            wanted: KindChanges = {"state": (OPEN, RESOLVED, IGNORED)[(turn + number) % 3]}  # type: ignore[typeddict-item]  # one of these
            kinds.change_kinds(project.organization_id, found, wanted, actor=KEY, now=NOW)
            db.session.commit()

    def keep_failing(number: int) -> None:
        for turn in range(10):
            fail(project, WORDS[(turn + number) % 5])

    at_once(app, *numbered(2, work), *numbered(2, keep_failing))

    assert [kind_of(word).count for word in WORDS] == [5] * 5


def test_ignoring_ends_at_its_time(project: ProjectRef) -> None:
    for word, until in (("ab", after(hours=1)), ("bc", after(hours=2)), ("cd", None)):
        fail(project, word)
        set_state(word, IGNORED, until)
    kind = kind_of("ab")
    now = after(hours=1)
    states = [kinds.state_of(kind, now=moment) for moment in (after(minutes=59), now)]
    assert states == [IGNORED, OPEN]
    assert not kinds.is_ignoring_over(now=after(minutes=59))
    assert kinds.is_ignoring_over(now=now)

    assert kinds.end_ignoring(now=now, limit=10) == 1
    db.session.commit()

    assert kinds.end_ignoring(now=now, limit=10) == 0
    assert [state(word) for word in ("ab", "bc", "cd")] == [
        (OPEN, None),
        (IGNORED, after(hours=2)),
        (IGNORED, None),
    ]
