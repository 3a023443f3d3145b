"""Plans: which index a search walks."""

from dataclasses import replace

import pytest
from plans import plan_of
from services.tasks.searching import filters_of, found_names

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search import plan
from taskbadger.services.tasks.search.pages import search_tasks


def test_many_states_in_many_projects_are_searched_by_time_instead(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_BRANCHES", 3)

    assert [name[0] for name in found_names(many, "status:error,stale")] == list("bcf")


def test_tasks_of_an_incident_are_one_range_that_leaves_nothing_to_check(
    many: list[ProjectRef],
) -> None:
    found = plan.make_plan(many, filters_of("incident:7,8"))

    assert (len(found.branches), found.rest, found.rest_conditions) == (1, Filters(), [])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("filters", [Filters(), Filters(name=("a",))])
def test_sqlite_finds_an_external_id_in_its_index_without_statistics(
    project: ProjectRef, filters: Filters
) -> None:
    filters = replace(filters, external_id=("celery-1",))

    plan = plan_of(lambda: search_tasks([project], filters, None, 20))

    assert "ix_task_project_id_external_id" in plan, plan
