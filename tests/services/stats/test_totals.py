"""Counting runs for good, for metrics."""

from datetime import timedelta
from typing import NamedTuple

import pytest
from conftest import count_queries, make_project
from services.stats.counting import ADA, NOW, run
from services.stats.queueing import queued
from sqlalchemy import delete, func, select

from taskbadger.domain.buckets import Durations
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Organization, RunStat, RunTotal, Task
from taskbadger.services.stats import runs, totals
from taskbadger.services.tasks import write


class Found(NamedTuple):
    """How the runs of a name ended."""

    success: int = 0
    error: int = 0
    cancelled: int = 0
    stale: int = 0


def count(max_names: int = 200) -> None:
    while (batch := runs.read_batch(now=NOW)) is not None:
        assert runs.count_batch(batch, now=NOW, max_names=max_names)
        db.session.commit()
    db.session.rollback()


def counted(project: ProjectRef) -> dict[str, Found]:
    query = select(RunTotal).where(RunTotal.project_id == project.id)
    found = {
        row.name: Found(row.success, row.error, row.cancelled, row.stale)
        for row in db.session.scalars(query)
    }
    db.session.rollback()
    return found


def change(project: ProjectRef, task_id: str, status: str) -> None:
    write.update_task(project, task_id, {"status": status}, now=NOW, actor=ADA)
    db.session.commit()


def stored(*seconds: float) -> tuple[str, float]:
    found = Durations()
    for each in seconds:
        found.add(each)
    return found.stored(), found.seconds


def test_runs_are_counted_by_name_and_outcome(project: ProjectRef) -> None:
    for status in ("success", "success", "error", "cancelled", "stale"):
        run(project, status=status)
    count()
    run(project, "mail", status="error")
    run(project, status="success")
    run(project)
    count()

    assert counted(project) == {"job": Found(3, 1, 1, 1), "mail": Found(error=1)}


def test_run_times_and_waits_are_counted_by_bucket(project: ProjectRef) -> None:
    run(project, took=0.05, status="success")
    run(project, took=4000, status="error")
    run(project, took=10, status="cancelled")
    queued(project, ago=60, started=20, ended=18)
    queued(project, ago=9, started=8)
    count()
    run(project, took=3, status="success")
    queued(project, ago=2, ended=1, status="cancelled")
    count()

    row = db.session.scalars(select(RunTotal)).one()
    assert (row.run_times, row.run_seconds) == stored(0.05, 4000, 3, 2)
    assert (row.waits, row.wait_seconds) == stored(40, 1)


def test_every_attempt_counts_and_none_is_taken_back(project: ProjectRef) -> None:
    tried_again = run(project, status="error")
    gone = run(project, "slow", status="stale")
    count()
    change(project, tried_again.id, "processing")
    change(project, tried_again.id, "success")
    change(project, gone.id, "error")
    count()
    at_once = run(project, "quick", status="stale")
    change(project, at_once.id, "error")
    count()

    both = Found(error=1, stale=1)
    assert counted(project) == {"job": Found(1, 1), "slow": both, "quick": both}


def test_counts_outlive_what_is_deleted(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    db.session.execute(delete(Task))
    runs.forget_old(now=NOW + timedelta(days=399))
    db.session.commit()
    assert db.session.scalar(select(func.count()).select_from(RunStat)) == 1

    assert counted(project) == {"job": Found(1)}


def test_names_without_room_are_one(project: ProjectRef) -> None:
    for name in ("a", "b", "a", "c", "d"):
        run(project, name, status="success")
    count(max_names=2)
    for name in ("d", "a"):
        run(project, name, status="error")
    count(max_names=2)

    assert counted(project) == {"a": Found(2, 1), "b": Found(1), "other": Found(2, 1)}


def test_name_stays_where_it_was_when_there_is_more_room(project: ProjectRef) -> None:
    for name in ("a", "b"):
        run(project, name, status="success")
    count(max_names=1)
    for name in ("b", "c"):
        run(project, name, status="success")
    count(max_names=3)

    assert counted(project) == {
        "a": Found(1),
        "other": Found(1),
        "b": Found(1),
        "c": Found(1),
    }


def test_room_is_that_of_an_organization(project: ProjectRef) -> None:
    sibling, stranger = make_project("acme", "worker"), make_project("globex", "web")
    for owner in (project, sibling, stranger):
        run(owner, "a", status="success")
        run(owner, "b", status="success")
    count(max_names=3)

    own = {"a": Found(1), "b": Found(1)}
    assert [counted(each) for each in (project, stranger)] == [own, own]
    assert counted(sibling) == {"a": Found(1), "other": Found(1)}


def test_task_named_other_is_counted_with_the_others(project: ProjectRef) -> None:
    for name in ("other", "a", "b"):
        run(project, name, status="success")
    count(max_names=1)

    assert counted(project) == {"a": Found(1), "other": Found(2)}


@pytest.mark.parametrize(("days", "left"), [(399, {"a", "b"}), (401, {"b"})])
def test_name_that_runs_no_more_makes_room_at_last(
    project: ProjectRef, days: int, left: set[str]
) -> None:
    run(project, "a", status="success")
    run(project, "b", status="success")
    run(project, "c", status="success")
    count(max_names=2)
    row = db.session.get_one(RunTotal, (project.id, "b"))
    row.last_day = NOW + timedelta(days=days)
    db.session.commit()

    totals.forget_old(now=NOW + timedelta(days=days))
    db.session.commit()

    assert set(counted(project)) == left | {"other"}


def test_counts_go_with_their_project(project: ProjectRef) -> None:
    run(project, status="success")
    count()
    db.session.execute(delete(Organization))
    db.session.commit()

    assert counted(project) == {}


def test_statements_do_not_grow_with_the_names(project: ProjectRef) -> None:
    numbers = []
    for names in (2, 20):
        for _ in range(2):
            for number in range(names):
                run(project, f"{names} {number}", status="success")
            batch = runs.read_batch(now=NOW)
            assert batch is not None
            with count_queries() as statements:
                totals.count(batch.entries, batch.moves, max_names=50, now=NOW)
            runs.count_batch(batch, now=NOW)
            db.session.rollback()
            count()
        numbers.append(len(statements))

    assert numbers == [2, 2]
