"""The steps about failures: kinds of old ones, and the end of ignoring."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from conftest import count_queries
from flask import Flask
from services.failures.failing import fail, kinds, set_state
from simultaneous import at_once, numbered
from sqlalchemy import delete, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FailureBackfill, FailureKind
from taskbadger.services.failures import backfill
from taskbadger.services.failures.backfill import Part
from taskbadger.worker import groups, sweeps


def make_old(project: ProjectRef, count: int) -> list[str]:
    """Make failed tasks without kinds."""
    task_ids = [fail(project, now=utcnow() - timedelta(days=1)) for _ in range(count)]
    db.session.execute(delete(FailureKind))
    backfill.start(project.id)
    db.session.commit()
    return task_ids


def counts() -> list[int]:
    return [kind.count for kind in kinds()]


def test_step_counts_all_and_costs_one_look_afterwards(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 4)
    monkeypatch.setattr(sweeps, "GROUP", 2)
    make_old(project, 9)

    assert not sweeps.count_old_failures()

    assert counts() == [9]
    with count_queries() as statements:
        assert not sweeps.count_old_failures()
    assert len(statements) == 1


def test_step_goes_on_where_it_was_stopped(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    monkeypatch.setattr(sweeps, "GROUP", 2)
    task_ids = make_old(project, 5)

    seen = []
    while sweeps.count_old_failures():
        db.session.rollback()
        query = select(FailureBackfill.before).order_by(FailureBackfill.status)
        before = db.session.scalars(query).first()
        seen.append((counts(), before))

    assert seen == [([2], task_ids[3]), ([4], task_ids[1]), ([5], task_ids[0])]


def test_worker_that_dies_between_counting_and_noting_counts_none_twice(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(project, 5)
    advance = backfill.advance

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backfill, "advance", die)
    with pytest.raises(KeyboardInterrupt):
        sweeps.count_old_failures()
    db.session.rollback()
    assert counts() == [5]

    monkeypatch.setattr(backfill, "advance", advance)
    assert not sweeps.count_old_failures()
    assert counts() == [5]


def test_several_workers_count_each_task_once(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 4)
    monkeypatch.setattr(sweeps, "GROUP", 2)
    make_old(project, 30)

    def work(_number: int) -> None:
        while sweeps.count_old_failures():
            pass

    at_once(app, *numbered(3, work))

    assert counts() == [30]


def test_task_that_cannot_be_counted_does_not_stop_the_others(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make_old(project, 5)[2]
    record = backfill.record

    def fail_for_one(part: Part, task_ids: Sequence[str]) -> int:
        if broken in task_ids:
            raise ZeroDivisionError
        return record(part, task_ids)

    monkeypatch.setattr(backfill, "record", fail_for_one)

    assert not sweeps.count_old_failures()
    assert counts() == [4]


def test_ignoring_ends_by_a_step(app: Flask, project: ProjectRef) -> None:
    fail(project)
    set_state("boom", "ignored", utcnow() + timedelta(hours=1))
    assert not sweeps.end_ignoring()
    assert [kind.state for kind in kinds()] == ["ignored"]

    set_state("boom", "ignored", utcnow() - timedelta(hours=1))
    assert not sweeps.end_ignoring()
    assert [kind.state for kind in kinds()] == ["open"]


def test_worker_runs_both_steps() -> None:
    assert (sweeps.end_ignoring, 5.0) in sweeps.SWEEPS
    assert (sweeps.count_old_failures, 60.0) in sweeps.SWEEPS
