"""Counting runs from the history, and the figures, charts and names made of the counts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import count_queries, make_project
from sqlalchemy import delete, select

from taskbadger.extensions import db
from taskbadger.models import RunStat, RunStatCursor, TaskEvent
from taskbadger.services import names, run_stats, task_stats, tasks
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.task_stats import Figures

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
ADA = Actor("user", "ada@example.org")


def run(
    project: ProjectRef, name: str = "job", *, ago: float = 0, took: float = 0, status: str = ""
) -> Any:
    """Let a task run for *took* seconds and end in *status*, so many seconds before NOW."""
    end = NOW - timedelta(seconds=ago)
    start = end - timedelta(seconds=took)
    task = tasks.create_task(project, {"name": name, "status": "processing"}, now=start, actor=ADA)
    if status:
        tasks.update_task(project, task.id, {"status": status}, now=end, actor=ADA)
    db.session.commit()
    return task


def count(now: datetime = NOW) -> int:
    """Count what waits; return how many batches that took."""
    batches = 0
    while (batch := run_stats.read_batch(now=now)) is not None:
        assert run_stats.count_batch(batch, now=now)
        db.session.commit()
        batches += 1
    db.session.rollback()
    return batches


def stats(name: str = "job", seconds: int = run_stats.HOUR) -> list[tuple[datetime, int, int]]:
    query = (
        select(RunStat)
        .where(RunStat.name == name, RunStat.seconds == seconds)
        .order_by(RunStat.start)
    )
    found = [(row.start, row.success, row.error) for row in db.session.scalars(query)]
    db.session.rollback()
    return found


def test_runs_are_counted_once_by_minute_hour_and_day(project: ProjectRef) -> None:
    run(project, ago=0, status="success")
    run(project, ago=60, status="error")
    run(project, ago=3600, status="success")
    assert count() == 1
    run(project, ago=10, status="success")
    assert count() == 1
    assert count() == 0

    hour = NOW.replace(minute=0, second=0)
    assert stats() == [
        (hour - timedelta(hours=1), 1, 1),
        (hour, 2, 0),
    ]
    assert stats(seconds=run_stats.DAY) == [(hour.replace(hour=0), 3, 1)]
    assert stats("", run_stats.MINUTE) == [
        (hour - timedelta(hours=1), 1, 0),
        (hour - timedelta(minutes=1), 0, 1),
        (hour, 2, 0),
    ]


def test_run_that_is_tried_again_counts_both_times(project: ProjectRef) -> None:
    task = run(project, ago=60, status="error")
    tasks.update_task(project, task.id, {"status": "processing"}, now=NOW, actor=ADA)
    tasks.update_task(project, task.id, {"status": "success"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 1, 1)]


def test_task_created_at_its_end_counts(project: ProjectRef) -> None:
    tasks.create_task(project, {"name": "job", "status": "error"}, now=NOW, actor=ADA)
    db.session.commit()
    count()

    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 0, 1)]


def test_batch_is_counted_by_one_worker_only(project: ProjectRef) -> None:
    run(project, status="success")
    first = run_stats.read_batch(now=NOW)
    second = run_stats.read_batch(now=NOW)
    assert first is not None
    assert second is not None

    taken = [run_stats.count_batch(batch, now=NOW) for batch in (first, second)]
    db.session.commit()

    assert taken == [True, False]
    run(project, status="success")
    late = run_stats.read_batch(now=NOW)
    assert late is not None
    count()
    assert not run_stats.count_batch(late, now=NOW)
    db.session.commit()
    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 2, 0)]


def test_missing_entry_is_waited_for_while_it_may_come(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    lost = run(project, status="success")
    run(project, status="error")
    db.session.execute(
        delete(TaskEvent).where(TaskEvent.task_id == lost.id, TaskEvent.type == "status")
    )
    db.session.commit()

    count(NOW + timedelta(seconds=20))
    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 1, 0)]
    assert run_stats.counted_until() == NOW
    db.session.rollback()

    count(NOW + timedelta(seconds=31))
    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 1, 1)]
    assert run_stats.counted_until() is None


def test_ids_that_begin_again_are_counted(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    db.session.execute(delete(TaskEvent))
    db.session.execute(RunStatCursor.__table__.update().values(event_id=2**40))
    db.session.commit()
    assert count() == 1
    cursor = db.session.scalar(select(RunStatCursor.event_id))
    db.session.rollback()

    assert cursor == 0


def test_large_history_is_counted_in_batches(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_stats, "BATCH", 3)
    for number in range(4):
        run(project, ago=number, status="success")

    assert count() == 3
    assert stats(seconds=run_stats.DAY) == [(NOW.replace(hour=0, second=0), 4, 0)]


def test_old_counts_are_forgotten(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    for days, spans in ((4, [3600, 3600, 86400]), (36, [86400]), (401, [])):
        run_stats.forget_old(now=NOW + timedelta(days=days))
        db.session.commit()
        left = sorted(db.session.scalars(select(RunStat.seconds)))
        db.session.rollback()
        assert left == spans


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


def test_names_tell_how_often_how_well_and_how_long(project: ProjectRef) -> None:
    other = make_project("acme", "worker")
    for took in (1, 1, 1, 100):
        run(project, "import", took=took, status="success")
    run(project, "import", ago=86_400, took=1, status="error")
    run(other, "Mail", ago=5, took=1, status="cancelled")
    run(make_project("other", "web"), "foreign", status="success")
    count()

    with count_queries() as statements:
        found, more = names.list_names([project, other], now=NOW)

    assert len(statements) == 2
    assert not more
    assert [(one.project, one.name, one.count) for one in found] == [
        ("web", "import", 5),
        ("worker", "Mail", 1),
    ]
    imports, mails = found
    assert imports.outcomes == {"success": 4, "error": 1, "cancelled": 0, "stale": 0}
    assert (imports.success_rate, mails.success_rate) == (0.8, None)
    assert (imports.last, mails.last) == (NOW, NOW - timedelta(seconds=5))
    assert (imports.p50, imports.p95) == (
        pytest.approx(1, rel=0.05),
        pytest.approx(100, rel=0.05),
    )
    assert imports.trend == [0] * 12 + [1, 4]
    assert sum(imports.histogram) == 5
    assert (mails.p50, mails.histogram) == (None, [0] * 8)


def test_names_are_searched_without_case_and_cut(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("import a", "Import b", "mail%"):
        run(project, name, status="success")
    count()

    def found(search: str) -> list[str]:
        return [one.name for one in names.list_names([project], now=NOW, search=search)[0]]

    assert sorted(found("IMPORT")) == ["Import b", "import a"]
    assert found("%") == ["mail%"]
    assert found("nothing") == []
    monkeypatch.setattr(names, "MAX_NAMES", 2)
    assert [len(found("")), names.list_names([project], now=NOW)[1]] == [2, True]


def test_one_name_is_found_by_project(project: ProjectRef) -> None:
    run(project, "import", status="success")
    count()

    found = names.find_name(project, "import", now=NOW)

    assert found is not None
    assert found.count == 1
    assert names.find_name(make_project("acme", "worker"), "import", now=NOW) is None


def test_neighbours_are_the_runs_of_the_same_name(project: ProjectRef) -> None:
    made = [run(project, "import", ago=ago) for ago in (30, 20, 10)]
    run(project, "other", ago=15)
    run(make_project("acme", "worker"), "import", ago=15)

    with count_queries() as statements:
        found = [names.neighbours(project.id, task) for task in made]

    assert found == [(None, made[1].id), (made[0].id, made[2].id), (made[1].id, None)]
    assert len(statements) == 3
