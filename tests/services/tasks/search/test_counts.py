"""Counts of a search by status."""

import pytest
from services.tasks.searching import filters_of, make_task

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.tasks.search import counts, plan
from taskbadger.services.tasks.search.counts import count_by_status


def test_counts_are_by_state_and_leave_the_chosen_state_aside(many: list[ProjectRef]) -> None:
    def counted(search: str) -> dict[str, int]:
        filters = filters_of(search)
        found = count_by_status(many, filters)
        assert not found.capped
        return {status: number for status, number in found.by_status.items() if number}

    everything = {"pending": 2, "processing": 1, "success": 1, "error": 2, "stale": 1}
    assert counted("") == everything
    assert counted("status:error") == everything
    assert counted("import") == {"pending": 1, "processing": 1, "success": 1, "error": 1}
    assert counted("tag:env:prod") == {"pending": 1, "error": 1}
    assert counted("queue:high*") == {"processing": 1, "success": 1}
    assert counted("name:nothing") == {}


def test_counts_stop_at_the_cap(project: ProjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "COUNT_CAP", 3)
    for number in range(5):
        make_task(project, ago=number, queue="q")
    for search in ("", "queue:q"):
        filters = filters_of(search)

        found = count_by_status([project], filters)

        assert found.of(["pending"]) == 3
        assert found.is_at_least(["pending"])
        assert not found.is_at_least(["error"])


def test_counts_within_a_scan_say_so(project: ProjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_SCAN", 3)
    monkeypatch.setattr(plan, "MIN_SCAN", 3)
    for number in range(5):
        make_task(project, ago=number, queue="q")
    filters = filters_of("queue:q")

    assert count_by_status([project], filters).capped
