"""The step that marks stale tasks: many in few transactions, and none stops the others."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from conftest import count_queries
from flask import Flask
from sqlalchemy import func, select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.extensions import db
from taskbadger.models import Delivery, Task
from taskbadger.services.alerts import firing, global_actions
from taskbadger.services.tasks import write
from taskbadger.worker import embedded, groups, steps, sweeps
from taskbadger.worker.left_out import LeftOut

CI = Actor("key", "ci")
MAIL = {"trigger": "stale", "integration": "email", "config": {"to": "a@example.com"}}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "unmarked", {"stale": LeftOut(), "overdue": LeftOut()})
    monkeypatch.setattr(groups, "SWEEP_SECONDS", 60.0)


def make_due(project: ProjectRef, count: int, **fields: Any) -> None:
    """Make tasks that went stale a minute ago."""
    data = {"name": "job", "status": "processing", "stale_timeout": 1, **fields}
    for _ in range(count):
        write.create_task(project, data, now=utcnow() - timedelta(minutes=1), actor=CI)
    db.session.commit()
    steps.tick()


def break_firing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let no task of the name *broken* be marked; return what fires triggers otherwise."""
    fire_own = firing.fire_own

    def fail(project: ProjectRef, changes: Any, **options: Any) -> None:
        if any(after.name == "broken" for _, after in changes):
            raise ZeroDivisionError
        fire_own(project, changes, **options)

    monkeypatch.setattr(firing, "fire_own", fail)
    return fire_own


def add_global_action(project: ProjectRef) -> None:
    """Send a mail for each task of the organization that goes stale."""
    target: NotificationTarget = {"integration": "email", "config": {"to": "c@example.com"}}
    global_actions.create_global_action(
        project.organization_id,
        {"name": "stale tasks", "trigger": "stale", "channels": [target]},
        actor=CI,
        now=utcnow(),
    )
    db.session.commit()


def count(status: str) -> int:
    db.session.rollback()
    number = select(func.count()).select_from(Task).where(Task.status == status)
    return int(db.session.scalar(number) or 0)


@pytest.mark.parametrize("actions", [[], [MAIL, {**MAIL, "config": {"to": "b@example.com"}}]])
@pytest.mark.parametrize("is_global", [False, True])
def test_statements_do_not_grow_with_the_tasks(
    app: Flask, project: ProjectRef, actions: list[dict[str, Any]], is_global: bool
) -> None:
    if is_global:
        add_global_action(project)
    counts = []
    for number in (2, sweeps.GROUP):
        make_due(project, number, actions=actions)
        with count_queries() as statements:
            assert not sweeps.mark_stale()
        counts.append(len(statements))

    assert counts[0] == counts[1]
    assert count("stale") == 2 + sweeps.GROUP
    queued = db.session.scalar(select(func.count()).select_from(Delivery))
    assert queued == (2 + sweeps.GROUP) * (len(actions) + is_global)


def test_only_sqlite_is_left_to_others_between_groups(
    app: Flask, project: ProjectRef, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(project, sweeps.GROUP + 1)
    pauses: list[float] = []
    monkeypatch.setattr(groups.time, "sleep", pauses.append)

    sweeps.mark_stale()

    assert (groups.PAUSE_SECONDS in pauses) == (backend == "sqlite")


def test_groups_are_transactions_of_their_own(app: Flask, project: ProjectRef) -> None:
    make_due(project, sweeps.GROUP + 1, actions=[MAIL])

    assert not sweeps.mark_stale()

    assert count("stale") == sweeps.GROUP + 1
    assert db.session.scalar(select(func.count()).select_from(Delivery)) == sweeps.GROUP + 1


def test_task_that_cannot_be_marked_does_not_stop_the_others(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(project, 3)
    make_due(project, 1, name="broken")
    make_due(project, 3)
    break_firing(monkeypatch)

    sweeps.mark_stale()

    assert (count("stale"), count("processing")) == (6, 1)


def test_page_of_tasks_that_cannot_be_marked_hides_none_behind_it(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 2)
    make_due(project, 3, name="broken")
    make_due(project, 1)
    fire_own = break_firing(monkeypatch)

    assert sweeps.mark_stale()
    assert sweeps.mark_stale()
    assert not sweeps.mark_stale()
    assert (count("stale"), count("processing")) == (1, 3)

    monkeypatch.setattr(firing, "fire_own", fire_own)
    assert not sweeps.mark_stale()
    assert count("processing") == 3


def test_sweep_that_takes_long_lets_other_steps_run(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(project, sweeps.GROUP + 1)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)

    assert sweeps.mark_stale()

    assert (count("stale"), count("processing")) == (sweeps.GROUP, 1)


@pytest.mark.timeout(30)
def test_sweep_with_more_to_do_goes_on_at_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    left = list(range(5))
    worker = embedded.Worker(app)

    def step() -> bool:
        left.pop()
        if not left:
            worker.stop()
        return True

    monkeypatch.setattr(sweeps, "SWEEPS", ((step, 3600.0),))

    worker._sweep()

    assert left == []


def test_what_cannot_be_marked_stale_can_still_be_overdue(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_due(project, 1, max_runtime=1)
    monkeypatch.setattr(write, "mark_stale", lambda *_, **__: 1 // 0)

    sweeps.mark_stale()
    sweeps.mark_overdue()

    assert count("error") == 1
