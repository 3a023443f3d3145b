"""A task that fails twice, or is renamed: its run counts once, or not at all."""

from collections.abc import Callable
from datetime import datetime

import pytest
from alerting import NOW, after, make_global_action, update
from services.incidents.happening import Seen, end, follow, incidents, kinds, tell, work
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, Incident
from taskbadger.services.stats import runs
from taskbadger.services.stats.rows import STATS, read_stats
from taskbadger.services.stats.runs import DAY, MINUTE
from taskbadger.services.tasks import write


def counts(seconds: int = DAY) -> list[tuple[str, int, int, int]]:
    """Name, stale runs, runs with errors and retried attempts, without rows that count none."""
    rows = read_stats(STATS.c.seconds == seconds)
    found = [(row.name, row.stale, row.error, row.retried) for row in rows]
    return sorted(row for row in found if any(row[1:]))


def make_late(project: ProjectRef, **fields: str) -> str:
    """Make a task that is stale two minutes after NOW."""
    task_id = end(project, "processing", stale_timeout=60, **fields)
    write.mark_stale(project, [task_id], now=after(minutes=2))
    db.session.commit()
    return task_id


def fail(project: ProjectRef, task_id: str, minute: float, **fields: str) -> None:
    update(project, task_id, after(minutes=minute), status="error", **fields)


def failed_in() -> dict[str, str | None]:
    """The names of the incidents of failed tasks."""
    db.session.rollback()
    query = select(Failure.task_id, Incident.name)
    query = query.join(Incident, Incident.id == Failure.incident_id, isouter=True)
    return {row.task_id: row.name for row in db.session.execute(query)}


@pytest.fixture(params=["at once", "in parts", "one by one"])
def follow_now_and_then(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[float], None]:
    """Follow the history at each step, only at the end, or in parts of one entry."""
    if request.param == "one by one":
        monkeypatch.setattr(runs, "BATCH", 1)
    if request.param == "at once":
        return lambda minute: None
    return follow


Follow = Callable[[float], None]


def test_stale_task_that_ends_in_error_is_one_failed_run(
    project: ProjectRef, follow_now_and_then: Follow
) -> None:
    task_id = make_late(project)
    follow_now_and_then(2)
    fail(project, task_id, 5)
    follow(5)

    assert counts() == [("job", 0, 1, 0)]
    assert [(stale, error) for _, stale, error, _ in counts(MINUTE)] == [(0, 1)]
    assert [(one.name, one.runs) for one in incidents()] == [("job", 1)]


def test_stale_task_that_ends_in_error_and_is_tried_again_is_none(
    project: ProjectRef, follow_now_and_then: Follow
) -> None:
    task_id = make_late(project, external_id="a")
    follow_now_and_then(2)
    fail(project, task_id, 5)
    follow_now_and_then(5)
    end(project, "success", 6, external_id="a")
    follow(6)

    assert counts() == [("job", 0, 0, 1)]
    assert incidents() == []


def test_stale_task_that_is_tried_again_and_then_ends_in_error_is_none(
    project: ProjectRef, follow_now_and_then: Follow
) -> None:
    task_id = make_late(project, external_id="a")
    follow_now_and_then(2)
    end(project, "processing", 3, external_id="a")
    follow_now_and_then(3)
    fail(project, task_id, 5)
    follow(5)

    assert counts() == [("job", 0, 0, 1)]
    assert incidents() == []


def test_run_that_fails_again_in_the_next_incident_counts_there(project: ProjectRef) -> None:
    task_id = make_late(project)
    end(project, minute=2)
    follow(2)
    end(project, "success", 3)
    follow(3)
    assert incidents() == [Seen("job", 2, 3, 2)]

    fail(project, task_id, 5)
    follow(5)

    assert incidents() == [Seen("job", 2, 3, 1), Seen("job", 5, None, 1)]
    assert counts() == [("job", 0, 2, 0)]


def test_task_that_is_tried_again_by_itself_is_two_runs(project: ProjectRef) -> None:
    task_id = make_late(project)
    update(project, task_id, after(minutes=3), status="processing")
    fail(project, task_id, 5)
    follow(5)

    assert counts() == [("job", 1, 1, 0)]


@pytest.mark.parametrize("is_followed", [True, False])
def test_failure_counts_under_the_name_that_the_task_had(
    project: ProjectRef, is_followed: bool
) -> None:
    task_id = end(project, error="boom")
    if is_followed:
        follow()
    update(project, task_id, after(minutes=1), name="renamed")
    follow(1)

    assert counts() == [("job", 0, 1, 0)]
    assert incidents() == [Seen("job", 0, None, 1)]
    assert db.session.scalars(select(FailureKind.name)).all() == ["job"]


def test_renamed_task_that_is_tried_again_is_taken_out_of_its_old_name(project: ProjectRef) -> None:
    task_id = end(project, external_id="a")
    end(project, name="renamed")
    follow()
    update(project, task_id, after(minutes=1), name="renamed")
    end(project, "processing", 2, name="renamed", external_id="a")
    follow(2)

    assert counts() == [("job", 0, 0, 1), ("renamed", 0, 1, 0)]
    assert incidents() == [Seen("renamed", 0, None, 1)]


def test_late_task_that_fails_under_a_new_name_counts_there(project: ProjectRef) -> None:
    task_id = make_late(project)
    follow(2)
    fail(project, task_id, 5, name="renamed")
    follow(5)

    assert counts() == [("renamed", 0, 1, 0)]
    assert incidents() == [Seen("renamed", 5, None, 1)]
    assert failed_in() == {task_id: "renamed"}


def test_what_was_told_of_the_old_name_stays_and_is_over_in_time(project: ProjectRef) -> None:
    make_global_action(project, trigger="stale,error", mode="incident")
    task_id = make_late(project)
    work(2)
    fail(project, task_id, 5, name="renamed")
    work(5)
    tell(2 + 1440)

    assert incidents() == [Seen("job", 2, 1442, 0), Seen("renamed", 5, None, 1)]
    assert kinds() == ["task.failing", "task.failing", "task.recovered"]


def test_figures_of_before_the_day_are_taken_back_there(project: ProjectRef) -> None:
    task_id = make_late(project)
    follow(2)
    next_day: datetime = after(days=1)
    update(project, task_id, next_day, status="error")
    follow(1440)

    rows = read_stats(STATS.c.seconds == DAY)
    assert sorted((row.start.day, row.stale, row.error, row.last_outcome) for row in rows) == [
        (NOW.day, 0, 0, None),
        (next_day.day, 0, 1, "error"),
    ]
