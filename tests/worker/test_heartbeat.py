"""The heartbeat, to a real receiver."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from receivers import HttpReceiver, answer, hang_at_headers
from sqlalchemy import update

from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import WorkerTick
from taskbadger.worker import steps, sweeps
from taskbadger.worker.heartbeat import THREAD, send_heartbeat

MakeApp = Callable[..., Flask]


def end_sending() -> None:
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(15)


@pytest.fixture
def watchdog() -> HttpReceiver:
    return HttpReceiver()


def beat(app: Flask) -> None:
    with app.app_context():
        steps.tick()
        assert send_heartbeat() is False


def test_watchdog_hears_once_a_turn(make_app: MakeApp, watchdog: HttpReceiver) -> None:
    with watchdog:
        app = make_app(HEARTBEAT_URL=f"{watchdog.url}?key=1")

        beat(app)

        [request] = watchdog.wait(1)
        end_sending()
    assert (request.method, request.body) == ("GET", b"")
    assert request.path.endswith("?key=1")
    assert (send_heartbeat, 60.0) in sweeps.SWEEPS


def test_worker_without_an_address_is_silent(app: Flask) -> None:
    beat(app)

    assert [thread for thread in threading.enumerate() if thread.name == THREAD] == []


def test_watchdog_that_hangs_holds_up_nothing_and_is_asked_once(
    make_app: MakeApp, watchdog: HttpReceiver
) -> None:
    watchdog.behave(hang_at_headers, answer())
    with watchdog:
        app = make_app(HEARTBEAT_URL=watchdog.url)

        beat(app)
        beat(app)

        watchdog.wait(1)
        waiting = [thread for thread in threading.enumerate() if thread.name == THREAD]
        assert len(waiting) == 1
    end_sending()


@pytest.mark.parametrize("status", [404, 500])
def test_failure_is_logged_without_the_address(
    make_app: MakeApp, watchdog: HttpReceiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    watchdog.behave(answer(status))
    with watchdog, caplog.at_level(logging.WARNING):
        beat(make_app(HEARTBEAT_URL=f"{watchdog.url}?key=secret"))
        end_sending()

    [record] = [each for each in caplog.records if each.message == "heartbeat failed"]
    assert str(status) in record.error  # type: ignore[attr-defined]
    assert "secret" not in record.error  # type: ignore[attr-defined]


def test_worker_that_cannot_tick_is_silent(make_app: MakeApp, watchdog: HttpReceiver) -> None:
    with watchdog:
        app = make_app(HEARTBEAT_URL=watchdog.url)
        with app.app_context():
            steps.tick()
            db.session.execute(update(WorkerTick).values(at=utcnow() - timedelta(seconds=90)))
            db.session.commit()

            send_heartbeat()

            end_sending()
    assert watchdog.requests == []
