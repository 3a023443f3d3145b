"""Celery's beat: one of several sends, whatever becomes of the others, clocks and brokers."""

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask

from taskbadger.clock import utcnow
from taskbadger.extensions import reading
from taskbadger.services import beat_lease
from taskbadger.services.beat_lease import State
from taskbadger.worker import beat, celery
from taskbadger.worker.beat import LEASE_SECONDS, RENEW_SECONDS, Lease, OneBeat

NOBODY = "redis://127.0.0.1:1/0"


class Monotonic:
    """The monotonic clock that the leases see."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    monkeypatch.setattr(beat, "time", made)
    return made


def run(clock: Monotonic, seconds: float, *leases: Lease) -> list[list[bool]]:
    """Let *leases* look in turn for so long; return who held it at each moment."""
    held = []
    for _ in range(round(seconds / RENEW_SECONDS)):
        clock.now += RENEW_SECONDS
        held.append([lease.hold() for lease in leases])
    return held


def holder() -> str | None:
    """Return who holds the lease, without a lock that the others would wait for."""
    with reading():
        return beat_lease.read().holder


def test_one_of_several_holds_the_lease(app: Flask, clock: Monotonic) -> None:
    leases = [Lease(app) for _ in range(3)]

    assert run(clock, 4 * LEASE_SECONDS, *leases) == [[True, False, False]] * 20


def test_another_one_takes_over_from_one_that_is_silent(app: Flask, clock: Monotonic) -> None:
    dead, other, third = (Lease(app) for _ in range(3))
    run(clock, 3, dead, other, third)

    held = run(clock, 2 * LEASE_SECONDS, other, third)

    assert held == [[False, False]] * 4 + [[True, False]] * 6


def test_the_holder_stops_before_another_one_begins(app: Flask, clock: Monotonic) -> None:
    stalled, other = Lease(app), Lease(app)
    run(clock, 3, stalled, other)
    began = []

    for _ in range(100):
        clock.now += 0.1
        began.append((stalled.is_held, other.hold()))

    assert (True, True) not in began
    assert began[-1] == (False, True)
    assert run(clock, 2, stalled, other) == [[False, True]] * 2


def test_a_lease_that_is_given_back_is_taken_at_once(app: Flask, clock: Monotonic) -> None:
    first, second = Lease(app), Lease(app)
    run(clock, 3, first, second)

    first.release()

    assert not first.is_held
    assert holder() is None
    assert run(clock, 2, second, first) == [[True, False]] * 2
    first.release()
    assert holder() == second.holder


def test_an_outage_of_the_database_ends_the_lease_but_not_at_once(
    app: Flask, clock: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, other = Lease(app), Lease(app)
    run(clock, 3, lease, other)
    read = beat_lease.read

    def fail() -> State:
        raise OSError

    monkeypatch.setattr(beat_lease, "read", fail)
    held = run(clock, 2 * LEASE_SECONDS, lease, other)
    monkeypatch.setattr(beat_lease, "read", read)

    assert held == [[True, False]] * 4 + [[False, False]] * 6
    assert run(clock, 2, lease, other) == [[True, False]] * 2


class Recorder(OneBeat):
    """Records what it would send."""

    sent: list[str]
    producer = None

    def apply_async(self, entry: object, **_: object) -> None:
        self.sent.append(entry.name)  # type: ignore[attr-defined]


@pytest.fixture
def scheduler(make_app: Callable[..., Flask], clock: Monotonic) -> Recorder:
    app = make_app(BROKER_URL=NOBODY)
    made = Recorder(app=celery.make_celery(app), lease=Lease(app))
    made.sent = []
    return made


def test_each_entry_is_sent_at_its_intervals(scheduler: Recorder, clock: Monotonic) -> None:
    for _ in range(60):
        clock.now += scheduler.tick()

    counts = {name: scheduler.sent.count(name) for name in scheduler.schedule}
    passed = clock.now - 1000
    assert counts.keys() == scheduler.schedule.keys()
    for name, entry in scheduler.schedule.items():
        assert abs(counts[name] - passed / entry.schedule.seconds) <= 1, name


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_does_not_stop_the_schedule(
    scheduler: Recorder, clock: Monotonic, hours: int
) -> None:
    scheduler.tick()
    scheduler.sent.clear()

    with time_machine.travel(utcnow() + timedelta(hours=hours), tick=False):
        for _ in range(3):
            clock.now += scheduler.tick()
        clock.now += 2 * LEASE_SECONDS
        scheduler.tick()

    assert scheduler.sent.count("publish") == 3
    assert scheduler.sent.count("purge") == 0


def test_what_is_not_the_turn_of_a_beat_is_not_sent(
    scheduler: Recorder, app: Flask, clock: Monotonic
) -> None:
    Lease(app).hold()

    assert [scheduler.tick(), scheduler.tick()] == [RENEW_SECONDS] * 2
    assert scheduler.sent == []


@pytest.fixture
def unreachable(make_app: Callable[..., Flask], clock: Monotonic) -> OneBeat:
    app = make_app(BROKER_URL=NOBODY)
    return OneBeat(app=celery.make_celery(app), lease=Lease(app))


def test_without_a_broker_it_leaves_the_lease_to_others_and_says_so_once(
    unreachable: OneBeat, app: Flask, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            unreachable.tick()
            assert holder() is None
            clock.now += beat.RETRY_SECONDS

    assert [record.getMessage() for record in caplog.records] == ["broker not available"]
    assert caplog.records[0].error == "ConnectionError"  # type: ignore[attr-defined]
    other = Lease(app)
    assert other.hold()
