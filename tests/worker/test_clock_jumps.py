"""A clock that jumps ends no lease in use, and delays no delivery of a dead worker."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from delivering import get, make_webhook, prove, queue
from flask import Flask
from receivers import Connection, HttpReceiver
from sqlalchemy import select, update
from worker.test_embedded import make_webhook as make_hook
from worker.test_embedded import settled, working

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, WorkerTick
from taskbadger.services import outage
from taskbadger.services.delivery import claims
from taskbadger.services.delivery.claims import Claimed, Receiver
from taskbadger.worker import steps
from taskbadger.worker.clock_jumps import ClockJumps

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
HOURS = timedelta(hours=2)
DAY = timedelta(days=1)


@dataclass
class Clocks:
    """The two clocks that a worker reads."""

    wall: datetime = NOW
    monotonic: float = 1000.0

    def go_on(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic += seconds


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch) -> ClockJumps:
    """What a new process knows: nothing."""
    monkeypatch.setattr(steps, "jumps", ClockJumps())
    return steps.jumps


@pytest.fixture
def clocks(jumps: ClockJumps, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr(steps, "_read_clock", lambda: clocks.wall)
    monkeypatch.setattr(steps, "time", SimpleNamespace(monotonic=lambda: clocks.monotonic))
    return clocks


def work(clocks: Clocks, seconds: int) -> list[Claimed]:
    """Do what a worker does every second, for so long; return what it claimed."""
    claimed: list[Claimed] = []
    for _ in range(seconds):
        clocks.go_on(1)
        steps.tick()
        claimed += steps.claim(10)
    return claimed


@pytest.fixture
def claimed(clocks: Clocks, project: ProjectRef) -> Claimed:
    """A delivery that a worker is sending."""
    make_webhook(project, "ops")
    steps.tick()
    queue(project, now=NOW)
    (claimed,) = work(clocks, 3)
    return claimed


@pytest.mark.parametrize("jump", [HOURS, DAY])
def test_a_delivery_that_is_being_sent_is_sent_by_nobody_else(
    clocks: Clocks, claimed: Claimed, jump: timedelta
) -> None:
    clocks.wall += jump

    assert steps.claim(10) == steps.claim_one(claimed.id) == steps.take_for_publishing() == []
    assert work(clocks, 20) == []
    db.session.expire_all()
    assert db.session.get_one(Delivery, claimed.id).token == claimed.token


@pytest.mark.parametrize("jump", [HOURS, DAY])
def test_the_delivery_of_a_dead_worker_is_sent_again_in_time(
    clocks: Clocks, claimed: Claimed, jump: timedelta
) -> None:
    clocks.wall += jump

    before = work(clocks, 50)
    (again,) = work(clocks, 15)

    assert before == []
    assert (again.id, again.crashes) == (claimed.id, 1)


def test_a_jump_moves_leases_once_however_many_workers_see_it(
    clocks: Clocks, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = steps.jumps, ClockJumps()
    second.note(clocks.wall, clocks.monotonic, clocks.monotonic)
    clocks.wall += HOURS

    for seen in (first, second, first):
        monkeypatch.setattr(steps, "jumps", seen)
        assert steps.claim(10) == []
        assert seen.ahead == timedelta()

    (again,) = work(clocks, 65)
    assert again.id == claimed.id


def test_time_without_a_worker_is_no_jump(clocks: Clocks, claimed: Claimed) -> None:
    clocks.go_on(600)

    (again,) = steps.claim(10)

    assert again.id == claimed.id


def test_a_clock_that_is_slow_to_read_is_no_jump(jumps: ClockJumps) -> None:
    jumps.note(NOW, 1000.0, 1000.0)
    jumps.note(NOW + timedelta(seconds=1), 1001.0, 1031.0)
    jumps.note(NOW + timedelta(seconds=32), 1032.0, 1032.0)

    assert jumps.ahead == timedelta()


def test_a_reading_that_is_noted_late_is_no_jump(jumps: ClockJumps) -> None:
    jumps.note(NOW, 1000.0, 1000.0)
    jumps.note(NOW + HOURS + timedelta(seconds=2), 1002.0, 1002.0)
    jumps.note(NOW + timedelta(seconds=1), 1001.0, 1001.0)
    jumps.note(NOW + HOURS + timedelta(seconds=3), 1003.0, 1003.0)

    assert (jumps.seen.number, jumps.ahead) == (1, HOURS)


def test_a_jump_that_is_seen_meanwhile_stays_to_be_dealt_with(jumps: ClockJumps) -> None:
    jumps.note(NOW, 1000.0, 1000.0)
    before = jumps.seen
    jumps.note(NOW + HOURS, 1000.0, 1000.0)

    jumps.settle(before)

    assert (jumps.is_settled, jumps.ahead) == (False, HOURS)


@pytest.mark.parametrize("jump", [HOURS, DAY])
def test_a_delivery_claimed_just_after_a_jump_back_is_sent_by_nobody_else(
    clocks: Clocks, project: ProjectRef, jump: timedelta
) -> None:
    make_webhook(project, "ops")
    work(clocks, 3)
    clocks.wall -= jump
    queue(project, now=clocks.wall)

    first = steps.claim(10) + steps.claim(10)
    again = work(clocks, 20)

    assert (len(first), again) == (1, [])


def test_a_jump_during_a_claim_ends_no_lease(
    clocks: Clocks, claimed: Claimed, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    prove(claimed.destination)
    other = queue(project, now=clocks.wall)
    list_receivers = claims.list_receivers

    def jump(*, now: datetime) -> list[Receiver]:
        found = list_receivers(now=now)
        clocks.wall += HOURS
        return found

    with monkeypatch.context() as patch:
        patch.setattr(claims, "list_receivers", jump)
        found = steps.claim(10)
    found += work(clocks, 20)

    assert [one.id for one in found] == [other]


def test_a_tick_that_had_to_wait_does_not_take_the_clock_for_set_back(
    clocks: Clocks, claimed: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_tick = outage.lock_tick
    before = get(claimed.id).next_attempt_at

    def wait() -> datetime | None:
        if clocks.wall < NOW + HOURS:
            clocks.wall += HOURS
            db.session.execute(update(WorkerTick).values(at=clocks.wall))
        return lock_tick()

    clocks.go_on(3)
    with monkeypatch.context() as patch:
        patch.setattr(outage, "lock_tick", wait)
        assert not steps.tick()

    assert get(claimed.id).next_attempt_at == before


def answer_late(connection: Connection) -> None:
    """Answer after three seconds."""
    if connection.read_request() and not connection.stopping.wait(3):
        connection.send(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")


def test_two_workers_send_once_while_the_clock_jumps(
    project: ProjectRef,
    make_app: Callable[..., Flask],
    jumps: ClockJumps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(OUTBOUND_ALLOW=("127.0.0.0/8",), WORKER_POLL_SECONDS=0.2)
    read_clock, offsets = steps._read_clock, [timedelta()]
    monkeypatch.setattr(steps, "_read_clock", lambda: read_clock() + offsets[-1])
    with HttpReceiver(answer_late) as http, ExitStack() as stack:
        make_hook(project, "ops", http.url)
        for _ in range(2):
            stack.enter_context(working(app))
        queue(project, now=steps._read_clock())
        http.wait(1)
        offsets.append(HOURS)
        (delivery,) = settled(1)
        db.session.commit()

    assert len(http.requests) == 1
    assert (delivery.attempts, delivery.crashes) == (1, 0)
    assert db.session.scalars(select(Delivery.token)).all() == [None]
