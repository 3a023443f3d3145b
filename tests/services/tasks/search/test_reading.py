"""What a search finds, by its text."""

import pytest
from services.tasks.searching import ADA, NOW, filters_of, found_names, make_task

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import write
from taskbadger.services.tasks.search.pages import search_tasks
from taskbadger.services.tasks.search.reading import open_matching


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
    assert "".join(name[0] for name in found_names(many, search)) == letters


def test_children_of_a_parent_are_found(many: list[ProjectRef]) -> None:
    filters = filters_of("external:celery-1")
    [parent] = search_tasks(many, filters, None, 10).rows

    assert found_names(many, f"parent:{parent.id}") == ["f 100%"]
    assert "f" not in [name[0] for name in found_names(many, f"-parent:{parent.id}")]
    assert found_names([many[0]], f"parent:{parent.id}") == []


def test_task_is_found_by_its_id(many: list[ProjectRef]) -> None:
    filters = filters_of("external:celery-1")
    [row] = search_tasks(many, filters, None, 10).rows

    assert found_names(many, row.id) == found_names(many, f"id:{row.id}") == ["e nightly"]
    assert found_names(many[:1], row.id) == found_names(many, f"{row.id} status:error") == []
    assert len(found_names(many, f"-{row.id}")) == 6


def test_tasks_are_found_by_when_they_ended_however_long_they_ran(
    project: ProjectRef,
) -> None:
    long = make_task(project, "long", ago=9000, status="processing")
    write.update_task(project, long.id, {"status": "error"}, now=NOW, actor=ADA)
    db.session.commit()

    assert found_names([project], "status:error ended:1h") == ["long"]
    assert found_names([project], "status:error after:1h") == []


def test_only_what_is_open_is_cancelled_of_all_that_match() -> None:
    def narrowed(search: str) -> tuple[str, ...] | None:
        filters = open_matching(filters_of(search))
        return None if filters is None else filters.status

    running = ("pre_processing", "processing", "post_processing")
    assert narrowed("") == ("pending", *running, "stale")
    assert narrowed("status:running") == running
    assert narrowed("status:error") is None
