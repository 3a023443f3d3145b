"""Hints, over the real transport of each database."""

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import settings
from flask import Flask

from taskbadger.app import create_app
from taskbadger.extensions import db
from taskbadger.worker import hints
from taskbadger.worker.hints import Courier, Datagram, Listener, Notifier

MANY_SECONDS = 20


def is_postgresql() -> bool:
    return db.engine.dialect.name == "postgresql"


def send_hint() -> None:
    if is_postgresql():
        Notifier(db.engine).notify(["id"])
    else:
        Datagram(db.engine).send(["id"])


def wait_until_listening(woken: "queue.Queue[None]") -> None:
    """Send hints until one arrives: a listener needs a moment to start."""
    for _ in range(MANY_SECONDS * 10):
        send_hint()
        try:
            woken.get(timeout=0.1)
        except queue.Empty:
            continue
        return
    raise AssertionError("no hint arrived")


def drain(woken: "queue.Queue[None]") -> None:
    while True:
        try:
            woken.get(timeout=0.5)
        except queue.Empty:
            return


def test_hint_wakes_a_listener(app: Flask) -> None:
    woken: queue.Queue[None] = queue.Queue()
    with Listener(app, lambda: woken.put(None)):
        wait_until_listening(woken)
        drain(woken)

        send_hint()

        woken.get(timeout=MANY_SECONDS)


def test_hint_without_a_listener_is_dropped(app: Flask) -> None:
    send_hint()
    send_hint()


def test_closed_listener_wakes_nobody(app: Flask) -> None:
    woken: queue.Queue[None] = queue.Queue()
    with Listener(app, lambda: woken.put(None)):
        wait_until_listening(woken)
    drain(woken)

    send_hint()

    with pytest.raises(queue.Empty):
        woken.get(timeout=1)


def test_courier_delivers_in_another_thread() -> None:
    delivered: queue.Queue[tuple[str, list[str]]] = queue.Queue()
    courier = Courier(lambda ids: delivered.put((threading.current_thread().name, ids)))

    courier.carry(["a", "b"])

    assert delivered.get(timeout=MANY_SECONDS) == ("hints", ["a", "b"])


def test_courier_goes_on_after_a_hint_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_RETRY_SECONDS", 0.0)
    calls: queue.Queue[list[str]] = queue.Queue()

    def deliver(ids: list[str]) -> None:
        calls.put(ids)
        if ids == ["lost"]:
            raise ConnectionError

    courier = Courier(deliver)
    courier.carry(["lost"])
    first = calls.get(timeout=MANY_SECONDS)
    courier.carry(["kept"])

    assert (first, calls.get(timeout=MANY_SECONDS)) == (["lost"], ["kept"])


def test_hints_beyond_the_limit_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "_MAX_HINTS", 2)
    started, go_on = threading.Event(), threading.Event()
    delivered: queue.Queue[Any] = queue.Queue()

    def deliver(ids: list[str]) -> None:
        started.set()
        go_on.wait(MANY_SECONDS)
        delivered.put(ids)

    courier = Courier(deliver)
    courier.carry(["a"])
    assert started.wait(MANY_SECONDS)
    for delivery_id in "bcd":
        courier.carry([delivery_id])
    go_on.set()

    assert [delivered.get(timeout=MANY_SECONDS) for _ in range(2)] == [["a"], ["b", "c"]]
    with pytest.raises(queue.Empty):
        delivered.get(timeout=0.5)


def test_connection_of_hints_is_closed_with_those_of_the_engine(
    new_postgresql: Callable[[], str],
) -> None:
    with create_app(settings(DATABASE_URL=new_postgresql())).app_context():
        notifier = Notifier(db.engine)
        for _ in range(2):
            notifier.notify(["id"])
            connection = notifier._connection
            db.engine.dispose()

            assert connection is not None
            assert connection.closed
            assert notifier._connection is None
