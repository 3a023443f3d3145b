"""People and workers that change one incident at the same moment."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alerting import KEY, NOW, after, make_global_action
from flask import Flask
from services.incidents.happening import BASE_URL, change_incident, end, follow, kinds, work
from simultaneous import at_once
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident, Task
from taskbadger.schemas.batch import UPDATE, Operation
from taskbadger.services.incidents import following, handling, notices
from taskbadger.services.stats import runs
from taskbadger.services.tasks import batch

MINUTE = timedelta(minutes=1)


@pytest.fixture
def slow_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker takes its time between its decision and what it writes."""
    write: Callable[..., None] = notices._write

    def write_slowly(*arguments: Any) -> None:
        time.sleep(0.5)
        write(*arguments)

    monkeypatch.setattr(notices, "_write", write_slowly)


def tell(ids: list[int]) -> None:
    now = after(minutes=2)
    notices.tell_due(ids, now=now, followed_until=now, base_url=BASE_URL)


def later(operation: Callable[[], object]) -> Callable[[], object]:
    """Return *operation* as one that begins a little later."""

    def run() -> object:
        time.sleep(0.2)
        return operation()

    return run


@pytest.mark.usefixtures("slow_writes")
def test_acknowledging_while_a_new_kind_ends_a_snooze_waits_and_succeeds(
    app: Flask, project: ProjectRef
) -> None:
    for name in ("one", "two"):
        make_global_action(project, name=name, mode="incident")
    end(project, error="old")
    work()
    change_incident(snoozed_at=NOW, snoozed_until=None)
    end(project, error="new", minute=1)
    follow(1)
    number = db.session.scalars(select(Incident.id)).one()
    ids = list(notices.list_due(now=after(minutes=2), limit=10))
    acknowledge = later(
        lambda: handling.acknowledge(
            project.organization_id, number, actor=KEY, now=after(minutes=2)
        )
    )

    at_once(app, lambda: tell(ids), acknowledge)

    db.session.rollback()
    incident = db.session.scalars(select(Incident)).one()
    assert (incident.acknowledged_by, incident.snoozed_at) == ("ci", None)
    assert kinds() == ["task.failing"] * 2 + ["task.new_failure"] * 2


@pytest.mark.usefixtures("slow_writes")
def test_workers_that_end_a_snooze_at_once_tell_each_rule_once(
    app: Flask, project: ProjectRef
) -> None:
    for name in ("one", "two"):
        make_global_action(project, name=name, mode="incident")
    end(project, error="old")
    work()
    change_incident(snoozed_at=NOW, snoozed_until=None)
    end(project, error="new", minute=1)
    follow(1)
    first, second = notices.list_due(now=after(minutes=2), limit=10)

    at_once(app, lambda: tell([first]), lambda: tell([second]))
    tell([first, second])
    db.session.commit()

    assert kinds() == ["task.failing"] * 2 + ["task.new_failure"] * 2


@pytest.mark.parametrize("tried_again", [0, 1])
def test_tasks_that_fail_again_while_their_failures_are_followed_wait_in_turn(
    app: Flask, project: ProjectRef, monkeypatch: pytest.MonkeyPatch, tried_again: int
) -> None:
    """Of two tasks, one is superseded and the other is linked to an incident, one after another."""
    tasks = [end(project, "stale", external_id=str(number)) for number in range(2)]
    end(project, "pending", 1, external_id=str(tried_again))
    follow_incidents: Callable[..., None] = following.follow

    def follow_slowly(*arguments: Any, **options: Any) -> None:
        time.sleep(0.5)
        follow_incidents(*arguments, **options)

    monkeypatch.setattr(following, "follow", follow_slowly)
    part = runs.read_batch(now=after(minutes=2))
    assert part is not None
    operations = [
        Operation(UPDATE, id=task_id, data={"status": "error"}) for task_id in reversed(tasks)
    ]

    at_once(
        app,
        lambda: runs.count_batch(part, now=after(minutes=2)),
        later(lambda: batch.run(project, operations, clock=lambda: after(minutes=2), actor=KEY)),
    )

    db.session.rollback()
    failed = db.session.scalars(select(Task.status).where(Task.id.in_(tasks))).all()
    assert failed == ["error", "error"]
