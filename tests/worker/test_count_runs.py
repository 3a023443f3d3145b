"""The step that counts runs."""

import pytest
from conftest import count_queries
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import RunStat
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write
from taskbadger.worker import groups, steps, sweeps


def make_tasks(project: ProjectRef, number: int) -> None:
    for _ in range(number):
        data = {"name": "job", "status": "success"}
        write.create_task(project, data, now=utcnow(), actor=Actor("key", "ci"))
    db.session.commit()


def counted() -> int:
    query = select(func.sum(RunStat.success)).where(RunStat.seconds == runs.DAY)
    number = db.session.scalar(query) or 0
    db.session.rollback()
    return int(number)


def test_runs_are_counted_and_the_step_says_when_there_are_more(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH", 2)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    make_tasks(project, 3)

    assert [steps.run_safely(sweeps.count_runs) for _ in range(3)] == [True, False, False]
    assert counted() == 3


def test_step_goes_on_until_all_are_counted(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "BATCH", 2)
    make_tasks(project, 5)

    assert not sweeps.count_runs()
    assert counted() == 5


def test_idle_step_asks_four_questions(project: ProjectRef) -> None:
    make_tasks(project, 1)
    steps.run_safely(sweeps.count_runs)

    with count_queries() as statements:
        steps.run_safely(sweeps.count_runs)

    assert [one.split()[0] for one in statements if "clock_timestamp" not in one] == ["SELECT"] * 4


def test_step_is_one_of_the_sweeps() -> None:
    assert sweeps.count_runs in [step for step, _ in sweeps.SWEEPS]
