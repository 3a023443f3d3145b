"""Searches as few projects are searched, and as many are."""

import pytest

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.tasks.search import many_projects


@pytest.fixture(params=["few", "many"])
def many(
    many: list[ProjectRef], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> list[ProjectRef]:
    """Eight tasks in two projects, which are searched by a branch each or by one for both."""
    if request.param == "many":
        monkeypatch.setattr(many_projects, "MANY", 1)
    return many
