"""The figures of the overview and the series of its charts."""

import pytest
from conftest import count_queries, make_project
from services.stats.counting import NOW, count, run

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.stats import figures as task_stats
from taskbadger.services.stats.figures import Figures


def test_figures_compare_the_day_with_the_one_before(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    foreign = make_project("other", "web")
    for ago in (0, 3600, 86_000, 90_000):
        run(project, ago=ago, status="error")
    run(other, ago=100_000, status="error")
    run(foreign, status="error")
    run(foreign)
    run(project)
    run(other)
    run(other, status="stale")
    count()

    with count_queries() as statements:
        figures = task_stats.read_figures([project, other], now=NOW)

    assert figures == Figures(running=2, stale=1, failed=3, failed_before=2)
    assert len(statements) == 3
    assert task_stats.read_figures([], now=NOW) == Figures(0, 0, 0, 0)


def test_counts_of_tasks_stop_at_the_cap(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_stats, "COUNT_CAP", 2)
    for _ in range(3):
        run(project)

    assert task_stats.count_tasks([project], ["processing", "pending"]) == 2


@pytest.mark.parametrize(
    ("span", "points", "placed"),
    [
        ("1h", 60, {59: 2, 58: 1}),
        ("24h", 24, {23: 2, 22: 2}),
        ("7d", 28, {27: 2, 26: 2, 23: 1}),
    ],
)
def test_series_place_runs_in_their_points(
    project: ProjectRef, span: str, points: int, placed: dict[int, int]
) -> None:
    for ago in (0, 10, 60, 3600, 86_400):
        run(project, ago=ago, took=5, status="success")
    run(project, ago=800_000, status="success")
    count()

    with count_queries() as statements:
        series = task_stats.read_series([project], span, now=NOW)

    assert len(statements) == 1
    assert len(series.times) == points
    assert {at: n for at, n in enumerate(series.outcomes["success"]) if n} == placed
    assert {at for at, seconds in enumerate(series.p50) if seconds is not None} == set(placed)
    assert [seconds for seconds in series.p95 if seconds is not None] == pytest.approx(
        [5] * len(placed), rel=0.05
    )
    assert not series.is_empty


def test_series_of_nothing_is_empty(project: ProjectRef) -> None:
    assert task_stats.read_series([project], "1h", now=NOW).is_empty
