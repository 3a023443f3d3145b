"""Writers take turns: one at a time, in the order in which they came, and nobody waits for ever."""

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from taskbadger.extensions import turns
from taskbadger.extensions.turns import Turns

WRITER = """
import sys, time
from pathlib import Path
from taskbadger.extensions.turns import Turns

lock, number, count = sys.argv[1:]
turns, number = Turns(lock), Path(number)
for _ in range(int(count)):
    turns.take(time.monotonic() + 30)
    value = int(number.read_text())
    time.sleep(0.0005)
    number.write_text(str(value + 1))
    turns.give_back()
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "test.db.lock")


def soon() -> float:
    return time.monotonic() + 20


def wait_until(is_true: Callable[[], bool]) -> None:
    end = soon()
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_threads_and_processes_write_one_at_a_time(path: str, tmp_path: Path) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    command = [sys.executable, "-c", WRITER, path, str(number), "100"]
    others = [subprocess.Popen(command) for _ in range(2)]
    ours = Turns(path)

    def add() -> None:
        ours.take(soon())
        value = int(number.read_text())
        time.sleep(0.0005)
        number.write_text(str(value + 1))
        ours.give_back()

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(add) for _ in range(200)]
    for future in done:
        future.result()

    assert [other.wait(30) for other in others] == [0, 0]
    assert number.read_text() == "400"


def test_threads_get_their_turn_in_the_order_in_which_they_came(path: str) -> None:
    ours, order = Turns(path), list[int]()
    ours.take(soon())

    def write(number: int) -> None:
        ours.take(soon())
        order.append(number)
        ours.give_back()

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(write, number)
            wait_until(lambda: len(ours._waiting) > number)  # noqa: B023 - called in this turn
        ours.give_back()

    assert order == [0, 1, 2, 3, 4]


def test_only_the_first_thread_tries_the_file_lock(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = list[str]()
    flock = fcntl.flock

    def count(file: int, operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            attempts.append(threading.current_thread().name)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", count)
    ours = Turns(path)
    ours.take(soon())
    attempts.clear()
    threads = [threading.Thread(target=ours.take, args=[soon()]) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ours._waiting) == 3)
    time.sleep(0.05)

    assert attempts == []
    for _ in threads:
        ours.give_back()
    for thread in threads:
        thread.join(20)
    ours.give_back()


def test_a_thread_that_waited_in_vain_leaves_the_queue(path: str) -> None:
    ours = Turns(path)
    ours.take(soon())

    with pytest.raises(TimeoutError):
        ours.take(time.monotonic() + 0.05)

    ours.give_back()
    ours.take(time.monotonic() + 0.05)
    ours.give_back()


class Interrupted(BaseException):
    """What a signal handler raises."""


def test_a_thread_that_is_interrupted_passes_its_turn_on(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Turns(path)
    ours.take(soon())

    class Place:
        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is None:
                return True
            raise Interrupted

        def release(self) -> None:
            """Nobody waits any more."""

    with monkeypatch.context() as patch:
        patch.setattr(turns.threading, "Lock", Place)
        with pytest.raises(Interrupted):
            ours.take(soon())

    ours.give_back()
    ours.take(time.monotonic() + 0.05)
    ours.give_back()


def test_another_process_that_never_ends_its_turn_is_not_waited_for(path: str) -> None:
    ours = Turns(path)
    with open(path, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        with pytest.raises(TimeoutError):
            ours.take(time.monotonic() + 0.05)

    ours.take(time.monotonic() + 0.05)
    ours.give_back()


def test_busy_threads_leave_other_processes_a_chance(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HOLD_SECONDS", 0.0)
    ours, other = Turns(path), Turns(path)  # Two files are two processes to the kernel.
    is_over = threading.Event()
    written = [0]

    def write() -> None:
        while not is_over.is_set():
            ours.take(soon())
            written[0] += 1
            ours.give_back()

    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(write)
        try:
            for _ in range(20):
                other.take(soon())
                before = written[0]
                other.give_back()
                wait_until(lambda: written[0] > before)  # noqa: B023 - called in this turn
        finally:
            is_over.set()


def test_a_failed_attempt_passes_the_turn_on(path: str) -> None:
    Path(path).mkdir()
    ours = Turns(path)

    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            ours.take(time.monotonic() + 0.05)


def test_the_file_stays_open_during_a_turn(path: str) -> None:
    ours, other = Turns(path), Turns(path)
    ours.take(soon())
    ours.close()

    with pytest.raises(TimeoutError):
        other.take(time.monotonic() + 0.05)

    ours.give_back()
    ours.close()
    other.take(time.monotonic() + 0.05)
    other.give_back()


FORK = """
import os, sys, time
from taskbadger.extensions.turns import Turns

ours = Turns(sys.argv[1])
ours.take(time.monotonic() + 5)
child = os.fork()
if not child:
    try:
        ours.take(time.monotonic() + 0.05)
    except TimeoutError:
        os._exit(3)
    os._exit(0)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_waits_for_its_parent(path: str) -> None:
    command = [sys.executable, "-c", FORK, path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "3\n"
