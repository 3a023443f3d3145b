"""Statements of a search: walks of an index."""

from collections.abc import Sequence

import pytest
from flask import Flask
from services.tasks.searching import assert_walks_alone, explained, filters_of

from taskbadger.domain.identity import ProjectRef
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
        ("", "ix_task_project_id_created_id"),
        ("status:error", "ix_task_project_id_status_created_id"),
        ("name:job", "ix_task_project_id_name_created_id"),
    ],
)
def test_lists_are_walks_of_an_index_alone(
    app: Flask, many: list[ProjectRef], search: str, index: str
) -> None:
    walks = 1 if len(many) > many_projects.MANY else 2
    assert_walks_alone(plans(app, many, search), index, walks=walks)
