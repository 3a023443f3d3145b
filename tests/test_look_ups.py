"""Look-ups of host names: how long they take at most, and how many threads they cost."""

import socket
import threading
from collections.abc import Iterator

import pytest

from taskbadger.look_ups import look_up, resolve


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Ends what hangs in a test."""
    event = threading.Event()
    yield event
    event.set()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "look-up"]


def test_system_answers_with_addresses() -> None:
    assert "127.0.0.1" in look_up("localhost", 80, seconds=30)
    assert "127.0.0.1" in resolve("localhost", 80)


def test_error_of_the_resolver_is_raised() -> None:
    def unknown(*_: object) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(socket.gaierror):
        look_up("nowhere.example", 80, seconds=30, resolver=unknown)


def test_those_who_wait_for_a_name_share_a_thread(released: threading.Event) -> None:
    def hang(*_: object) -> list[str]:
        released.wait(60)
        return ["192.0.2.1"]

    before = len(threads())
    for _ in range(5):
        with pytest.raises(TimeoutError):
            look_up("slow.example", 80, seconds=0.05, resolver=hang)
    assert len(threads()) == before + 1

    released.set()
    assert look_up("slow.example", 80, seconds=30, resolver=hang) == ["192.0.2.1"]


def test_each_look_up_that_begins_later_asks_again() -> None:
    answers = iter([["192.0.2.1"], ["192.0.2.2"]])

    def resolver(*_: object) -> list[str]:
        return next(answers)

    found = [look_up("a.example", 80, seconds=30, resolver=resolver) for _ in range(2)]

    assert found == [["192.0.2.1"], ["192.0.2.2"]]


def test_limit_may_be_infinite() -> None:
    assert look_up("a.example", 80, seconds=float("inf"), resolver=lambda *_: ["192.0.2.1"])


def test_process_with_all_its_threads_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            look_up("localhost", 80, seconds=1)

    assert look_up("localhost", 80, seconds=30)
