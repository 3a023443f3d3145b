"""When the steps of workers last ended, and the step that counts attempts to deliver."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from taskbadger.extensions import db
from taskbadger.services import outage
from taskbadger.services.stats import delivery_counts
from taskbadger.worker import steps, sweeps
from taskbadger.worker.turns import Turns, turns

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def tick(seconds: float, **ended: float | None) -> dict[str, float]:
    """Tick so many seconds after NOW; return the last turns as seconds after NOW."""
    times = {
        step: None if at is None else NOW + timedelta(seconds=at) for step, at in ended.items()
    }
    outage.tick(now=NOW + timedelta(seconds=seconds), turns=times)
    db.session.commit()
    found = outage.read_turns()
    db.session.rollback()
    return {step: at - NOW.timestamp() for step, at in found.items()}


def test_workers_write_down_their_turns_together(app: Flask) -> None:
    tick(0)
    assert tick(2, purge=1, keep_time=2) == {"purge": 1, "keep_time": 2}
    assert tick(4, purge=None, keep_time=3) == {"purge": 1, "keep_time": 3}
    assert tick(6, purge=0.5, keep_time=None) == {"purge": 1, "keep_time": 3}


def test_step_that_is_no_more_is_forgotten(app: Flask) -> None:
    tick(0)
    tick(2, old=1, keep_time=1)

    assert tick(4, keep_time=3) == {"keep_time": 3}


def test_turns_begin_anew_when_the_clock_was_set_back(app: Flask) -> None:
    tick(0)
    tick(2, purge=1, keep_time=1)

    assert tick(-100, purge=None, keep_time=-101) == {"keep_time": -101}


def test_step_that_fails_has_no_turn(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Turns()
    own.expect("keep_time")
    own.expect("purge")
    monkeypatch.setattr(steps, "turns", own)

    def purge() -> None:
        raise ValueError("broken")

    steps.run_safely(sweeps.keep_time)
    steps.run_safely(purge)
    steps.run_safely(sweeps.count_runs)

    times = own.times(NOW)
    assert times["purge"] is None
    assert NOW - timedelta(seconds=5) < (times["keep_time"] or NOW) <= NOW
    assert set(times) == {"purge", "keep_time"}


def test_all_sweeps_are_expected() -> None:
    assert list(turns.times(NOW)) == [step.__name__ for step, _ in sweeps.SWEEPS]


def test_attempts_are_counted_by_a_step(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = delivery_counts.Batch(0, 7, [], True)
    found = iter([batch, None])
    monkeypatch.setattr(delivery_counts, "read_batch", lambda now: next(found))

    assert not sweeps.count_deliveries()
    assert delivery_counts._cursor.read() == 7
    assert sweeps.count_deliveries in [step for step, _ in sweeps.SWEEPS]
