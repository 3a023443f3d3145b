"""Statements of a search: walks of an index."""

from collections.abc import Sequence

import pytest
from flask import Flask
from services.tasks.searching import assert_walks_alone, explained, filters_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services.tasks.search import many_projects, statements
from taskbadger.services.tasks.search.plan import make_plan


def plans(app: Flask, projects: Sequence[ProjectRef], search: str) -> str:
    """Return how the database says it finds a page."""
    filters = filters_of(search)
    plan = make_plan(projects, filters)
    return explained(statements._merge(plan, statements.FROM_NEWEST, 11))


@pytest.mark.parametrize(
    ("search", "index"),
    [
        ("", "ix_task_project_id_id"),
        ("status:error", "ix_task_project_id_status_id"),
        ("name:job", "ix_task_project_id_name_id"),
    ],
)
def test_lists_are_walks_of_an_index_alone(
    app: Flask, many: list[ProjectRef], search: str, index: str
) -> None:
    walks = 1 if len(many) > many_projects.MANY else 2
    assert_walks_alone(plans(app, many, search), index, walks=walks)


@pytest.mark.parametrize("search", ["after:2h", "before:2h", "after:2h before:1h"])
def test_times_of_creation_end_the_walk(app: Flask, many: list[ProjectRef], search: str) -> None:
    found = plans(app, many, search)

    is_sqlite = db.engine.dialect.name == "sqlite"
    sides = {"after:2h": [">"], "before:2h": ["<"]}.get(search, [">", "<"])
    lines = [line for line in found.splitlines() if ("ix_task" if is_sqlite else "Cond") in line]
    assert lines
    for side in sides:
        bound = f"id{side}?" if is_sqlite else f"(id {side}"
        assert all(bound in line for line in lines if "project_id" in line), found
