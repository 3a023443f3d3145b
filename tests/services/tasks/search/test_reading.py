"""What a search finds, by its text."""

import pytest
from conftest import make_project
from incidents import make_failure, make_incident, make_kind
from services.tasks.searching import ADA, NOW, filters_of, found_names, make_task

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks import write
from taskbadger.services.tasks.search.counts import count_by_status
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
        ("today", "abcdefg"),
        ("yesterday", ""),
        ("-yesterday before:today", ""),
        ("env=prod", "bg"),
        ('queue:""', "bcefg"),
        ('-queue:""', "ad"),
        ("queue:high status:running", "a"),
        ("queue:high status:open", "a"),
        ('queue:"" status:pending', "eg"),
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


def test_tasks_of_an_incident_are_found(many: list[ProjectRef]) -> None:
    first, second = (make_incident(many[0], name) for name in ("one", "two"))
    kind = make_kind(many[0], "ValueError", "one")
    for incident, name in ((first, "m"), (first, "n"), (second, "o")):
        make_failure(many[0], kind, incident, name)

    assert sorted(found_names(many, f"incident:{first}")) == ["m", "n"]
    assert sorted(found_names(many, f"incident:{first},{second}")) == ["m", "n", "o"]
    assert found_names(many, f"incident:{first} name:n status:error") == ["n"]
    assert found_names(many, f"incident:{first} status:success") == []
    assert {"m", "n"}.isdisjoint(found_names(many, f"-incident:{first}"))
    assert found_names([many[1]], f"incident:{first}") == []
    assert found_names(many, "incident:999999999999999999") == []


def test_runs_are_found_by_their_last_attempts(project: ProjectRef) -> None:
    other = make_project(slug="other")
    make_task(project, "a", ago=9, external_id="1", status="error")
    make_task(project, "a", ago=8, external_id="1", status="error")
    make_task(project, "a", ago=7, external_id="1", status="success")
    make_task(project, "a", ago=6, external_id="2", status="error")
    make_task(project, "b", ago=5, external_id="1", status="error")
    make_task(project, "c", ago=4, status="error")
    make_task(other, "d", ago=3, external_id="1", status="error")

    assert found_names([project], "attempts:last") == ["c", "b", "a", "a"]
    assert found_names([project], "attempts:last status:error") == ["c", "b", "a"]
    assert found_names([project, other], "attempts:last status:error")[0] == "d"
    assert found_names([project], "-attempts:last") == ["a", "a"]
    counts = count_by_status([project], filters_of("attempts:last")).by_status
    assert (counts["error"], counts["success"]) == (3, 1)


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
