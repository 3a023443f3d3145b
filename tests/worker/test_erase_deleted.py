"""The step that erases what was deleted: in small transactions, and beside other steps."""

import pytest
from blueprints.dashboard.doing import make_task
from conftest import FIXTURES, make_project
from filling_tables import all_rows, fill
from flask import Flask
from psycopg.errors import DeadlockDetected
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Organization, Task
from taskbadger.services.deletion import closing, erasing
from taskbadger.worker import erasing as step
from taskbadger.worker import groups, sweeps


def delete_project(organization_id: int, project_id: int) -> None:
    organization = db.session.get_one(Organization, organization_id)
    since = utcnow() - erasing.GRACE
    closing.delete_project(organization, project_id, actor=FIXTURES, now=since)
    db.session.commit()


@pytest.fixture(autouse=True)
def anew() -> None:
    """Forget the deletions of another database."""
    step.under_way.clear()


def erase_all() -> None:
    """Run the step as long as there may be more to do; on a slow machine, several times."""
    while step.erase_deleted():
        pass


def left() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Task)) or 0


def make_deleted(project: ProjectRef, tasks: int) -> None:
    for _ in range(tasks):
        make_task(project)
    delete_project(project.organization_id, project.id)


def test_step_erases_all_that_was_deleted(app: Flask) -> None:
    fill(1)
    kept = all_rows()
    for number in (2, 3):
        made = fill(number)
        organization = db.session.get_one(Organization, made["organization"]["id"])
        since = utcnow() - erasing.GRACE
        closing.delete_organization(organization, actor=FIXTURES, now=since)
        db.session.commit()

    erase_all()

    rows = all_rows()
    assert {name for name in rows if rows[name] != kept[name]} == {
        "user_account", "user_session", "identity",
    }  # fmt: skip


def test_step_that_takes_long_lets_others_run_and_goes_on(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_deleted(project, 5)
    monkeypatch.setattr(erasing, "TASKS_AT_ONCE", 2)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)

    numbers = []
    while step.erase_deleted():
        numbers.append(left())

    assert numbers[:3] == [3, 1, 0]
    assert closing.list_deletions() == []
    assert step.under_way == {}


def test_step_that_meets_a_deadlock_does_it_the_next_time(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_deleted(project, 1)

    def collide(*_arguments: object, **_options: object) -> object:
        raise OperationalError("DELETE", {}, DeadlockDetected())
        yield

    with monkeypatch.context() as patched:
        patched.setattr(erasing, "erase", collide)
        first = step.erase_deleted()
    after = left()
    erase_all()

    assert (first, after, left()) == (False, 1, 0)


def test_step_waits_with_the_end_until_no_process_trusts_a_key(
    app: Flask, project: ProjectRef
) -> None:
    make_task(project)
    organization = db.session.get_one(Organization, project.organization_id)
    closing.delete_project(organization, project.id, actor=FIXTURES, now=utcnow())
    db.session.commit()

    erase_all()

    assert left() == 0
    assert [each.label for each in closing.list_deletions()] == ["acme/web"]
    assert make_project().id != project.id


def test_step_is_one_of_the_sweeps() -> None:
    assert (step.erase_deleted, 5.0) in sweeps.SWEEPS
