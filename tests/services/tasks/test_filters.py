"""Filters of lists of tasks: which tasks each of them finds."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from services.tasks.searching import ADA, NOW, make_task
from sqlalchemy import select
from watching import Watch

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Task
from taskbadger.models.task_rows import TASKS
from taskbadger.services.tasks import write
from taskbadger.services.tasks.filters import NO_FILTERS, Filters, conditions


def found(filters: Filters) -> str:
    """Return the first letters of the names that *filters* find, in order."""
    query = select(TASKS.c.name).where(*conditions(filters)).order_by(TASKS.c.name)
    return "".join(name[0] for name in db.session.scalars(query))


def ago(seconds: float) -> Any:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (NO_FILTERS, "abcdefgz"),
        (Filters(status=("error",)), "bcz"),
        (Filters(status=("stale", "success")), "df"),
        (Filters(name=("c Export",)), "c"),
        (Filters(name=("c export",)), ""),
        (Filters(name=("a import", "b import", "none")), "ab"),
        (Filters(queue=("high",)), "a"),
        (Filters(queue=("",)), "bcefgz"),
        (Filters(external_id=("celery-1",)), "e"),
        (Filters(tags=(("env", "prod"),)), "bgz"),
        (Filters(tags=(("env", "prod"), ("team", "ops"))), "b"),
        (Filters(tags=(("env", ""),)), "bcgz"),
        (Filters(tags=(("env", "PROD"),)), ""),
        (Filters(search="EXPORT"), "c"),
        (Filters(search="100%"), "f"),
        (Filters(search="%"), "f"),
        (Filters(search="_"), ""),
        (Filters(words=("import", "A")), "a"),
        (Filters(search="import", words=("g",)), "g"),
        (Filters(status=("error",), tags=(("env", "prod"),)), "bz"),
    ],
)
def test_filters_narrow_together(filters: Filters, expected: str) -> None:
    assert found(filters) == expected


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(prefixes=(("name", "C EX"),)), "c"),
        (Filters(prefixes=(("name", "C%"),)), ""),
        (Filters(prefixes=(("queue", "HIGH"),)), "ad"),
        (Filters(prefixes=(("queue", "highe"),)), "d"),
        (Filters(prefixes=(("external_id", "Celery"),)), "e"),
        (Filters(queue=("high",), prefixes=(("queue", "highest"),)), "ad"),
        (Filters(name=("a import",), prefixes=(("name", "b"),)), "ab"),
        (Filters(name=("a import",), prefixes=(("queue", "highest"),)), ""),
        (Filters(tag_prefixes=(("env", "PR"),)), "bgz"),
        (Filters(tag_prefixes=(("env", "pr"), ("team", "o"))), "b"),
        (Filters(tag_prefixes=(("team", "p"),)), ""),
    ],
)
def test_prefixes_ignore_case_and_widen_their_own_field(filters: Filters, expected: str) -> None:
    assert found(filters) == expected


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ({"created_after": ago(60)}, "abz"),
        ({"created_before": ago(60)}, "cdefg"),
        ({"created_after": ago(180), "created_before": ago(60)}, "cd"),
        ({"updated_after": ago(0)}, "az"),
        ({"updated_before": ago(300)}, "g"),
        ({"ended_after": ago(120)}, "bcz"),
        ({"ended_before": ago(120)}, "d"),
    ],
)
def test_span_of_time_begins_at_its_moment_and_ends_before_it(
    moments: dict[str, Any], expected: str
) -> None:
    assert found(Filters(moments=moments)) == expected


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ((Filters(status=("error",)),), "adefg"),
        ((Filters(status=("error",)), Filters(search="import")), "ef"),
        ((Filters(status=("error",), search="import"),), "acdefgz"),
        ((Filters(tags=(("env", "prod"),)),), "acdef"),
        # A task that has not ended is not one that ended before.
        ((Filters(moments={"ended_before": ago(120)}),), "abcefgz"),
        ((Filters(without=(Filters(status=("error",)),)),), "bcz"),
    ],
)
def test_excluded_tasks_match_all_of_one_exclusion(
    without: tuple[Filters, ...], expected: str
) -> None:
    assert found(Filters(without=without)) == expected


def test_tasks_are_found_by_id_and_parent(project: ProjectRef) -> None:
    parent = make_task(project, "parent")
    child = make_task(project, "child", parent=parent.id)
    make_task(project, "other")

    assert found(Filters(id=(parent.id, child.id))) == "cp"
    assert found(Filters(parent=(parent.id,))) == "c"
    assert found(Filters(parent=(child.id,))) == ""
    # A task without a parent is not excluded by somebody's parent.
    assert found(Filters(without=(Filters(parent=(parent.id,)),))) == "op"


def test_tasks_are_found_by_their_monitor(project: ProjectRef) -> None:
    watch = Watch(project)
    monitor_id = watch.monitor.id
    db.session.commit()
    watched = write.create_task(
        project, {"name": "watched"}, now=NOW, actor=ADA, monitor_id=monitor_id
    )
    db.session.commit()
    make_task(project, "free")

    assert watched.monitor_id == monitor_id
    assert found(Filters(monitor=(monitor_id,))) == "w"
    assert found(Filters(monitor=(monitor_id, UUID(int=1)))) == "w"
    assert found(Filters(monitor=(UUID(int=1),))) == ""
    assert found(Filters(without=(Filters(monitor=(monitor_id,)),))) == "f"


def test_conditions_can_be_about_an_alias(project: ProjectRef) -> None:
    make_task(project, "a", tags={"env": "prod"})
    make_task(project, "b", tags={"env": "dev"})
    other = TASKS.alias()
    filters = Filters(search="A", tags=(("env", "prod"),), status=("pending",))

    query = select(other.c.name).where(*conditions(filters, other.c))

    assert list(db.session.scalars(query)) == ["a"]
    assert "task_1" in str(query)
    assert " task," not in str(query)


def test_tags_of_another_task_do_not_count(project: ProjectRef) -> None:
    make_task(project, "a", tags={"env": "prod"})
    make_task(project, "b", tags={"team": "prod"})

    assert found(Filters(tags=(("env", "prod"),))) == "a"
    assert db.session.scalars(select(Task.name).order_by(Task.name)).all() == ["a", "b"]


def test_many_tags_are_all_required_and_few_are_joins(project: ProjectRef) -> None:
    tags = {f"name {number}": "value" for number in range(50)}
    make_task(project, "a", tags=tags)
    make_task(project, "b", tags={**tags, "name 49": "another value"})
    filters = Filters(tags=tuple(tags.items())[:49], tag_prefixes=(("name 49", "val"),))

    conditioned = [str(condition) for condition in conditions(filters)]

    assert found(filters) == "a"
    assert [text.startswith("EXISTS") for text in conditioned] == [True] * 4 + [False]


def test_many_excluded_tags_are_one_look_up(project: ProjectRef) -> None:
    make_task(project, "a", tags={"env": "prod"})
    make_task(project, "b", tags={"env": "dev", "team": "Red"})
    make_task(project, "c", tags={"env": "dev"})
    make_task(project, "d")
    one_by_one = (
        Filters(tags=(("env", "prod"),)),
        Filters(tag_prefixes=(("team", "r"),)),
        *(Filters(tags=((f"name {number}", ""),)) for number in range(28)),
    )

    assert found(Filters(without=one_by_one)) == "cd"
    assert len(conditions(Filters(without=one_by_one))) == 1
    assert found(Filters(without=(Filters(tags=(("env", "dev"), ("team", "Red"))),))) == "acd"
