"""Runs by name, as a scrape shows them."""

from datetime import timedelta

from conftest import make_project
from services.stats.counting import NOW, count, run

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.metrics.runs import read_runs
from taskbadger.services.metrics.scope import Scope, read_places


def successes(max_names: int = 200) -> dict[tuple[str, str, str], int]:
    found = read_runs(Scope(), read_places(Scope()), max_names=max_names)
    return {(*place, name): runs.outcomes["success"] for (place, name), runs in found.items()}


def test_project_without_runs_is_at_zero(project: ProjectRef) -> None:
    assert successes() == {("acme", "web", "other"): 0}


def test_names_above_a_limit_that_was_lowered_are_one(project: ProjectRef) -> None:
    stranger = make_project("globex", "web")
    run(project, "b", took=2, status="success")
    run(stranger, "b", status="success")
    count()
    run(project, "a", took=3, status="success")
    run(project, "c", status="success")
    count(NOW + timedelta(seconds=1))

    assert successes(max_names=1) == {
        ("acme", "web", "other"): 2,
        ("acme", "web", "b"): 1,
        ("globex", "web", "other"): 0,
        ("globex", "web", "b"): 1,
    }
    found = read_runs(Scope(), read_places(Scope()), max_names=0)
    run_times = next(iter(found.values())).run_times
    assert (run_times.seconds, run_times.cumulative[-1]) == (5, 3)
