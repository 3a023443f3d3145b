"""Rows of the counts of runs."""

from datetime import timedelta

import pytest
from conftest import count_queries, make_project
from services.stats.counting import NOW, count, run

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.run_times import bin_of
from taskbadger.models import RunStat
from taskbadger.services.stats.rows import OUTCOMES, STATS, StatRow, outcomes_of, read_stats
from taskbadger.services.stats.runs import DAY, HOUR, MINUTE, floor

_stat = STATS.c


def test_row_has_every_column_of_the_table() -> None:
    assert set(StatRow._fields) == set(RunStat.__table__.columns.keys())


def test_every_outcome_has_a_column() -> None:
    assert OUTCOMES == ("success", "error", "cancelled", "stale")
    assert set(OUTCOMES) < set(_stat.keys())


def test_rows_are_read_whole(project: ProjectRef) -> None:
    run(project, ago=20, took=5, status="error")
    run(project, ago=10, took=5, status="success")
    run(project, took=5, status="cancelled")
    count()

    [row] = read_stats(_stat.name == "job", _stat.seconds == DAY)

    assert tuple(row) == StatRow(
        project_id=project.id,
        seconds=DAY,
        name="job",
        start=floor(NOW, DAY),
        success=1,
        error=1,
        cancelled=1,
        stale=0,
        retried=0,
        last=NOW,
        last_outcome="success",
        run_times=f'{{"{bin_of(5)}":2}}',  # Cancelled runs say nothing about run times.
    )


def test_all_conditions_must_be_true(project: ProjectRef) -> None:
    other = make_project("acme", "other")
    run(project, "a", status="success")
    run(other, "a", ago=86_400, status="error")
    count()

    def found(*conditions: object) -> list[tuple[int, int]]:
        rows = read_stats(_stat.name == "a", *conditions)  # type: ignore[arg-type]  # as SQLAlchemy types comparisons
        return sorted((row.project_id, row.seconds) for row in rows)

    assert found() == [(project.id, HOUR), (project.id, DAY), (other.id, HOUR), (other.id, DAY)]
    assert found(_stat.project_id == other.id) == [(other.id, HOUR), (other.id, DAY)]
    assert found(_stat.seconds == DAY, _stat.last >= NOW - timedelta(hours=1)) == [
        (project.id, DAY)
    ]
    assert found(_stat.seconds == MINUTE) == []


def test_nothing_counted_is_nothing_read_in_one_query(project: ProjectRef) -> None:
    run(project, status="success")

    with count_queries() as statements:
        assert read_stats() == []

    assert len(statements) == 1


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes_are_numbers_of_runs_by_name(project: ProjectRef, outcome: str) -> None:
    for ago in (0, 1):
        run(project, ago=ago, status=outcome)
    count()

    [row] = read_stats(_stat.name == "job", _stat.seconds == DAY)

    assert outcomes_of(row) == {**dict.fromkeys(OUTCOMES, 0), outcome: 2}
