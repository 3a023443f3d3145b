"""Plans: which index a search walks."""

import pytest
from services.tasks.searching import found_names

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.tasks.search import plan


def test_many_states_in_many_projects_are_searched_by_time_instead(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "MAX_BRANCHES", 3)

    assert [name[0] for name in found_names(many, "status:error,stale")] == list("bcf")
