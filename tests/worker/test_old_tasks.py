"""The step that deletes tasks that are kept no longer: many, in small transactions, in turn."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from conftest import count_queries, make_project
from flask import Flask
from sqlalchemy import func, select
from watching import Watch, at

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.retention import Retention
from taskbadger.extensions import db
from taskbadger.models import Project, RunStat, RunStatCursor, Task, TaskEvent
from taskbadger.services.stats import runs
from taskbadger.services.tasks import retention, write
from taskbadger.worker import groups, old_tasks, sweeps

CI = Actor("key", "ci")


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(old_tasks, "FOUND_AT_ONCE", 3)
    monkeypatch.setattr(old_tasks, "DELETED_AT_ONCE", {"sqlite": 2, "postgresql": 2})
    monkeypatch.setattr(old_tasks.random, "shuffle", lambda _projects: None)
    yield
    old_tasks.waiting.clear()
    old_tasks.positions.clear()


def make_old(project: ProjectRef, count: int, *statuses: str, days: int = 30) -> None:
    """Make tasks that ended a month ago, in a project that keeps them for a day."""
    db.session.get_one(Project, project.id).retention_days = 1
    for number in range(count):
        status = statuses[number % len(statuses)] if statuses else "success"
        fields = {"name": "job", "status": status, "tags": {"env": "prod"}}
        write.create_task(project, fields, now=utcnow() - timedelta(days=days), actor=CI)
    db.session.commit()
    sweeps.count_runs()


def left(project: ProjectRef) -> int:
    db.session.rollback()
    number = select(func.count()).select_from(Task).where(Task.project_id == project.id)
    return int(db.session.scalar(number) or 0)


def test_step_goes_on_until_nothing_is_left(app: Flask, project: ProjectRef) -> None:
    make_old(project, 8, "success", "error", "processing", "stale")

    assert not old_tasks.delete_old_tasks()

    assert left(project) == 0


def test_step_that_takes_long_lets_other_steps_run(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    make_old(project, 5)

    numbers = [(old_tasks.delete_old_tasks(), left(project)) for _ in range(5)]

    assert numbers == [(True, 3), (True, 1), (True, 0), (False, 0), (False, 0)]


def test_round_goes_on_where_it_stopped(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must stay is looked at once, however long a round takes."""
    make_old(project, 6)
    write.update_task(project, first(), {"end_time": utcnow()}, now=utcnow(), actor=CI)
    db.session.commit()
    sweeps.count_runs()
    looked_at: list[str] = []
    list_candidates = retention.list_candidates

    def note(*arguments: object, **options: object) -> list[retention.Place]:
        found = list_candidates(*arguments, **options)  # type: ignore[arg-type]
        looked_at.extend(place.id for place in found if not place.is_old)
        return found

    monkeypatch.setattr(retention, "list_candidates", note)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)

    while old_tasks.delete_old_tasks():
        pass

    assert (left(project), looked_at) == (1, [first()])


def first() -> str:
    return str(db.session.scalars(select(Task.id).order_by(Task.id).limit(1)).one())


def test_projects_take_turns(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_project("acme", "other")
    make_old(project, 5)
    make_old(other, 3)
    delete, turns = retention.delete_old_tasks, []

    def note(kept: Retention, status: str, task_ids: Sequence[str], *, now: datetime) -> int:
        turns.append((kept.project_id, len(task_ids)))
        return delete(kept, status, task_ids, now=now)

    monkeypatch.setattr(retention, "delete_old_tasks", note)

    old_tasks.delete_old_tasks()

    one, two = project.id, other.id
    assert turns == [(one, 2), (one, 1), (two, 2), (two, 1), (one, 2)]


def test_project_that_keeps_tasks_for_longer_from_now_on_is_left_alone(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    make_old(project, 5)
    assert old_tasks.delete_old_tasks()
    db.session.get_one(Project, project.id).retention_days = None
    db.session.commit()

    assert not old_tasks.delete_old_tasks()

    assert left(project) == 3


def test_counts_of_deleted_tasks_stay(app: Flask, project: ProjectRef) -> None:
    make_old(project, 4, "success", "error")
    counts = select(RunStat.seconds, RunStat.name, RunStat.success, RunStat.error)
    before = db.session.execute(counts).all()

    old_tasks.delete_old_tasks()
    sweeps.count_runs()

    assert left(project) == 0
    assert len(before) == 4
    assert db.session.execute(counts).all() == before


def test_runs_that_are_not_counted_yet_are_kept_until_they_are(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(project, 2)
    monkeypatch.setattr(runs, "counted_until", lambda: utcnow() - timedelta(days=30))

    assert not old_tasks.delete_old_tasks()
    assert left(project) == 2


def test_runs_after_a_deletion_are_counted_whatever_their_ids(
    app: Flask, project: ProjectRef
) -> None:
    """SQLite gives the ids of deleted entries of the history again."""
    make_old(project, 2)
    old_tasks.delete_old_tasks()
    assert db.session.scalar(select(func.count()).select_from(TaskEvent)) == 0
    if db.engine.dialect.name == "sqlite":
        assert db.session.scalars(select(RunStatCursor.event_id)).one() == 0
    db.session.rollback()
    fields = {"name": "job", "status": "error"}
    write.create_task(project, fields, now=utcnow(), actor=CI)
    db.session.commit()

    sweeps.count_runs()

    found = select(func.sum(RunStat.error)).where(RunStat.seconds == runs.DAY)
    assert db.session.scalar(found) == 1


def test_run_of_a_monitor_that_hangs_is_cancelled(app: Flask, project: ProjectRef) -> None:
    hung = Watch(project).run("12:00", status="processing")
    assert utcnow() > at("12:00") + timedelta(days=2)
    db.session.get_one(Project, project.id).retention_days_unfinished = 1
    db.session.commit()
    sweeps.count_runs()

    assert not old_tasks.delete_old_tasks()

    db.session.rollback()
    assert db.session.get_one(Task, hung).status == "cancelled"


def test_idle_project_asks_one_question_for_each_status(app: Flask, project: ProjectRef) -> None:
    make_old(project, 0)

    with count_queries() as statements:
        old_tasks.delete_old_tasks()

    asked = [one for one in statements if "FROM task" in one and "task_event" not in one]
    assert len(asked) == 8


@pytest.mark.parametrize(
    ("took", "pauses"),
    [
        (0.0, {"sqlite": 0.0015, "postgresql": 0.0015}),
        (0.02, {"sqlite": 0.008, "postgresql": 0.02}),
        (9.0, {"sqlite": 0.05, "postgresql": 0.05}),
    ],
)
def test_others_have_the_disk_after_a_transaction_that_took_long(
    monkeypatch: pytest.MonkeyPatch,
    app: Flask,
    project: ProjectRef,
    backend: str,
    took: float,
    pauses: dict[str, float],
) -> None:
    make_old(project, 1)
    made: list[float] = []
    monkeypatch.setattr(groups.TimeLimit, "pause", lambda _, seconds=0.0: made.append(seconds))
    moments = iter((100.0, 100.0 + took))
    monkeypatch.setattr(old_tasks, "time", SimpleNamespace(monotonic=lambda: next(moments)))

    old_tasks.delete_old_tasks()

    assert made[0] == pytest.approx(pauses[backend])


def test_step_is_one_of_the_sweeps() -> None:
    assert (old_tasks.delete_old_tasks, 60.0) in sweeps.SWEEPS
