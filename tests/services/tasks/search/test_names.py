"""Distinct names: many of them are not gone through."""

import pytest
from services.tasks.searching import found_names

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.tasks.search import names
from taskbadger.services.tasks.search.names import distinct_names


def test_too_many_names_are_searched_by_time_instead(
    many: list[ProjectRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "MAX_NAMES", 2)

    assert [name[0] for name in found_names(many, "import")] == list("abdg")
    assert distinct_names(many[0].id) is None
