"""Stale, overdue, and our own outages: each alarm once, and none that is false."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from simultaneous import at_once
from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import (
    Delivery,
    Destination,
    IdempotencyRecord,
    Task,
    TaskEvent,
    UsedLink,
    WorkerTick,
)
from taskbadger.services import outage
from taskbadger.services.delivery import outbox
from taskbadger.services.tasks import deadlines, reads, write
from taskbadger.worker import purging, steps, sweeps

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
MAIL = {"integration": "email", "config": {"to": "a@example.com"}}


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock of the worker, in seconds after NOW."""

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(steps, "database_now", lambda: after(seconds))

    set_clock(0)
    return set_clock


def run(*moments: float, clock: Callable[[float], None]) -> None:
    """Let the worker look at the clock at each of *moments*."""
    for seconds in moments:
        clock(seconds)
        steps.tick()
        sweeps.mark_stale()
        sweeps.mark_overdue()


def create(project: ProjectRef, **fields: Any) -> str:
    made = write.create_task(project, {"name": "job", **fields}, now=NOW, actor=KEY)
    db.session.commit()
    return str(made.id)


def update(project: ProjectRef, task_id: str, seconds: float, **fields: Any) -> None:
    write.update_task(project, task_id, fields, now=after(seconds), actor=KEY)
    db.session.commit()


def stands(project: ProjectRef, task_id: str) -> str:
    db.session.commit()
    return reads.get_wire_task(project, task_id).status


def fired() -> list[str | None]:
    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.firing_id))
    return [Message.from_json(one.message).trigger for one in found]


def every_second(start: int, end: int) -> list[float]:
    return [float(second) for second in range(start, end + 1)]


def test_no_worker_runs_until_the_first_tick_and_after_a_minute_without_one(app: Flask) -> None:
    never = outage.read_silence(now=NOW)
    outage.tick(now=NOW)

    found = [outage.read_silence(now=after(seconds)) for seconds in (0, 60, 60.1)]

    assert never == (True, None)
    assert found == [(False, None), (False, None), (True, NOW)]


def test_task_without_updates_goes_stale_and_fires(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    task_id = create(
        project,
        status="processing",
        stale_timeout=5,
        actions=[{"trigger": "stale", **MAIL}],
    )

    run(*every_second(0, 4), clock=clock)
    assert stands(project, task_id) == "processing"
    run(*every_second(5, 8), clock=clock)

    assert (stands(project, task_id), fired()) == ("stale", ["stale"])
    event = db.session.scalars(select(TaskEvent).order_by(TaskEvent.id.desc())).first()
    assert event is not None
    assert (event.type, event.actor_type, event.created) == ("status", "server", after(5))


def test_ping_keeps_a_task_from_going_stale(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    task_id = create(project, status="processing", stale_timeout=5)

    for second in every_second(0, 20):
        run(second, clock=clock)
        if second % 4 == 0:
            update(project, task_id, second)

    assert stands(project, task_id) == "processing"


def test_update_brings_a_stale_task_back(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    task_id = create(project, status="processing", stale_timeout=3)
    run(*every_second(0, 4), clock=clock)
    assert stands(project, task_id) == "stale"

    update(project, task_id, 5, value=1)

    assert stands(project, task_id) == "processing"


def test_task_that_runs_too_long_ends_in_error_and_fires_once(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    task_id = create(
        project,
        status="processing",
        max_runtime=5,
        actions=[{"trigger": "error,max_runtime_exceeded", **MAIL}, {"trigger": "error", **MAIL}],
    )

    for second in every_second(0, 9):
        run(second, clock=clock)
        if second < 5:
            update(project, task_id, second, value=int(second))

    assert (stands(project, task_id), fired()) == ("error", ["max_runtime_exceeded", "error"])


def test_task_that_goes_on_after_max_runtime_is_let_be(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    task_id = create(
        project,
        status="processing",
        max_runtime=5,
        actions=[{"trigger": "max_runtime_exceeded", **MAIL}],
    )
    run(*every_second(0, 6), clock=clock)

    update(project, task_id, 7, status="processing")
    run(*every_second(7, 12), clock=clock)

    assert (stands(project, task_id), fired()) == ("processing", ["max_runtime_exceeded"])


def test_new_max_runtime_counts_again(project: ProjectRef, clock: Callable[[float], None]) -> None:
    task_id = create(project, status="processing", max_runtime=5)
    run(*every_second(0, 6), clock=clock)

    update(project, task_id, 7, status="processing", max_runtime=10)
    run(*every_second(7, 10), clock=clock)

    assert stands(project, task_id) == "error"


@pytest.mark.parametrize("mark", [write.mark_stale, write.mark_overdue])
def test_update_that_came_first_wins_over_the_sweep(
    project: ProjectRef, mark: Callable[..., int]
) -> None:
    task_id = create(project, status="processing", stale_timeout=5, max_runtime=5)
    ((found, listed),) = deadlines.list_stale(now=after(5), limit=10)
    update(project, task_id, 5, status="success")

    marked = mark(found, [listed], now=after(5))
    db.session.commit()

    assert (found, listed, marked) == (project, task_id, 0)
    assert stands(project, task_id) == "success"


def test_sweeps_at_the_same_time_mark_a_task_once(app: Flask, project: ProjectRef) -> None:
    made = [
        create(
            project,
            status="processing",
            stale_timeout=1,
            actions=[{"trigger": "stale", **MAIL}],
        )
        for _ in range(10)
    ]
    marked: list[str] = []

    def sweep() -> None:
        for task_id in made:
            if write.mark_stale(project, [task_id], now=after(2)):
                marked.append(task_id)
            db.session.commit()

    at_once(app, *[sweep] * 4)

    assert sorted(marked) == sorted(made)
    assert fired() == ["stale"] * 10


def test_outage_with_a_hundred_tasks_due_alarms_nobody_and_loses_none(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    run(0, clock=clock)
    stale = [
        create(
            project,
            status="processing",
            stale_timeout=60 + number,
            actions=[{"trigger": "stale", **MAIL}],
        )
        for number in range(50)
    ]
    overdue = [
        create(
            project,
            status="processing",
            max_runtime=60 + number,
            actions=[{"trigger": "max_runtime_exceeded", **MAIL}],
        )
        for number in range(50)
    ]
    run(*every_second(1, 10), clock=clock)

    run(*every_second(3600, 3610), clock=clock)
    assert {stands(project, task_id) for task_id in stale + overdue} == {"processing"}
    update(project, overdue[0], 3611, value=1)
    # Not before each has had its time, less what had passed before the outage.
    run(*every_second(3611, 3649), clock=clock)
    assert fired() == []
    run(*every_second(3650, 3780), clock=clock)

    assert {stands(project, task_id) for task_id in stale} == {"stale"}
    assert {stands(project, task_id) for task_id in overdue} == {"error"}
    assert sorted(point or "" for point in fired()) == ["max_runtime_exceeded"] * 50 + (
        ["stale"] * 50
    )


def test_an_outage_extends_more_deadlines_than_fit_into_one_statement(
    project: ProjectRef, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "_ROWS_AT_ONCE", 2)
    made = [create(project, status="processing", stale_timeout=60) for _ in range(5)]
    run(0, clock=clock)

    run(600, clock=clock)

    db.session.expire_all()
    ends = set(db.session.scalars(select(Task.stale_at)))
    assert (len(made), ends) == (5, {after(660)})


def test_short_stall_extends_nothing(project: ProjectRef, clock: Callable[[float], None]) -> None:
    task_id = create(project, status="processing", stale_timeout=5)

    run(0, 6, clock=clock)

    assert stands(project, task_id) == "stale"


@pytest.mark.parametrize("jump", [7200.0, 86_400.0])
def test_clock_that_jumps_ahead_makes_no_storm(
    project: ProjectRef, clock: Callable[[float], None], jump: float
) -> None:
    made = [create(project, status="processing", stale_timeout=60) for _ in range(20)]
    run(*every_second(0, 5), clock=clock)

    run(*[second + jump for second in every_second(6, 20)], clock=clock)

    assert {stands(project, task_id) for task_id in made} == {"processing"}


@pytest.mark.parametrize("jump", [7200.0, 86_400.0])
def test_clock_that_is_set_back_delays_no_delivery(
    project: ProjectRef, clock: Callable[[float], None], jump: float
) -> None:
    clock(jump)
    steps.tick()
    queued = outbox.queue(
        Message(id="", kind="test", created=NOW, organization="acme", title="x"),
        organization_id=project.organization_id,
        integration="email",
        config={"to": "a@example.com"},
        now=after(jump),
        at=after(jump + 5),
    )
    db.session.add(
        Destination(
            key="email:example.com",
            proven=True,
            failures=5,
            hold_until=after(jump + 300),
            seen=NOW,
        )
    )
    db.session.commit()

    clock(0)
    steps.tick()

    db.session.expire_all()
    assert db.session.get_one(Delivery, queued).next_attempt_at == after(5)
    assert db.session.scalars(select(Destination.hold_until)).all() == [after(300)]
    assert db.session.scalars(select(WorkerTick.at)).all() == [NOW]


def test_first_tick_is_no_outage(project: ProjectRef) -> None:
    create(project, status="processing", stale_timeout=5)

    assert outage.tick(now=after(100))
    db.session.commit()

    assert db.session.scalars(select(Task.stale_at)).all() == [after(5)]


def test_tick_is_written_every_other_second(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    found = []
    for second in range(6):
        clock(second)
        found.append(steps.tick())

    assert found == [True, False, True, False, True, False]


def test_purge_step_comes_to_an_end(project: ProjectRef, clock: Callable[[float], None]) -> None:
    answer = {"body_digest": "", "status": 201, "response": "{}", "created": after(0)}
    db.session.add(IdempotencyRecord(project_id=project.id, key="k", **answer))
    db.session.commit()
    clock(86_400 * 30)

    found = [purging.purge(), purging.purge()]

    assert found == [True, False]


def test_purge_step_forgets_links_that_were_used_long_ago(
    project: ProjectRef, clock: Callable[[float], None]
) -> None:
    db.session.add_all(
        [UsedLink(digest="old", used_at=after(0)), UsedLink(digest="new", used_at=after(86_400))]
    )
    db.session.commit()
    clock(86_400 * 90 + 1)

    purging.purge_slowly()

    assert db.session.scalars(select(UsedLink.digest)).all() == ["new"]
