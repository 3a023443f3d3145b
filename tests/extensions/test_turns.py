"""Writers take turns: one at a time, in the order in which they came, and nobody waits for ever."""

import errno
import fcntl
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from taskbadger.extensions import turns
from taskbadger.extensions.turns import Turns, _Place, _State

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
    ours = Turns(path)
    ours.take(soon())

    with waiting(ours, 5) as order:
        ours.give_back()

    assert order == [0, 1, 2, 3, 4]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How the file lock was asked for, call by call."""
    made = list[int]()
    flock = fcntl.flock

    def note(file: IO[bytes], operation: int) -> None:
        if operation != fcntl.LOCK_UN:
            made.append(operation)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", note)
    return made


def test_a_thread_that_waits_for_another_leaves_the_file_lock_alone(
    path: str, attempts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HOLD_SECONDS", 20.0)
    ours = Turns(path)
    ours.take(soon())

    with waiting(ours, 3):
        time.sleep(0.05)
        ours.give_back()

    assert attempts == [fcntl.LOCK_EX | fcntl.LOCK_NB]


def test_a_process_that_waits_for_another_sleeps(path: str, attempts: list[int]) -> None:
    ours, other = Turns(path), Turns(path)
    other.take(soon())
    attempts.clear()

    with waiting(ours, 3):
        time.sleep(0.2)
        assert attempts == [fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX]
        other.give_back()


@contextmanager
def waiting(ours: Turns, count: int) -> Iterator[list[int]]:
    """Let *count* threads wait for a turn; all have had one when the block has ended."""
    order = list[int]()

    def write(number: int) -> None:
        ours.take(soon())
        order.append(number)
        ours.give_back()

    with ThreadPoolExecutor(count) as pool:
        done = list[Future[None]]()
        for number in range(count):
            done.append(pool.submit(write, number))
            wait_until(lambda: len(ours._waiting) > number)  # noqa: B023 - called in this turn
        yield order
    for future in done:
        future.result()


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
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(TimeoutError, match="another process"):
                ours.take(began + 0.1)
            assert 0.1 <= time.monotonic() - began < 0.4

    ours.take(soon())
    ours.give_back()


def test_the_lock_goes_to_the_first_who_still_waits(path: str) -> None:
    ours, other = Turns(path), Turns(path)
    other.take(soon())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ours.take, time.monotonic() + 0.2)
        wait_until(lambda: bool(ours._waiting))
        second = threading.Thread(target=ours.take, args=[soon()])
        second.start()
        with pytest.raises(TimeoutError):
            first.result()
    other.give_back()
    second.join(20)

    assert not second.is_alive()
    assert not is_free(path)
    ours.give_back()
    assert is_free(path)


def is_free(path: str) -> bool:
    """Say whether another process could have the lock now."""
    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_lock_that_comes_when_nobody_waits_is_given_back(path: str) -> None:
    ours = Turns(path)
    with open(path, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            ours.take(time.monotonic() + 0.05)
        assert ours._state is _State.ASKED

    wait_until(lambda: ours._state is _State.FREE)
    assert is_free(path)


def test_a_lock_that_cannot_be_given_back_fails_nobody_else(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Turns(path)
    flock, errors = fcntl.flock, [OSError(errno.EIO, "no such luck")]

    def fail_once(file: IO[bytes], operation: int) -> None:
        if operation == fcntl.LOCK_UN and errors:
            raise errors.pop()
        flock(file, operation)

    with open(path, "ab") as other:
        flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(fcntl, "flock", fail_once)
        with pytest.raises(TimeoutError):
            ours.take(time.monotonic() + 0.05)
    wait_until(lambda: ours._state is _State.FREE)

    ours.take(soon())
    ours.give_back()
    assert is_free(path)


def test_a_signal_ends_the_wait_for_another_process(path: str) -> None:
    ours = Turns(path)

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    with open(path, "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupted):
            ours.take(soon())
    signal.signal(signal.SIGALRM, before)

    wait_until(lambda: ours._state is _State.FREE)
    assert is_free(path)


@pytest.mark.parametrize(("owner", "name"), [(fcntl, "flock"), (_Place, "wait")])
def test_a_signal_right_after_the_lock_frees_it(
    path: str, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    ours, real = Turns(path), getattr(owner, name)

    def succeed_and_be_interrupted(*arguments: Any) -> None:
        real(*arguments)
        monkeypatch.undo()
        raise Interrupted

    monkeypatch.setattr(owner, name, succeed_and_be_interrupted)
    with pytest.raises(Interrupted):
        ours.take(soon())

    assert ours._state is _State.FREE
    assert is_free(path)


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


def test_the_file_stays_open_while_somebody_waits(path: str) -> None:
    ours, other = Turns(path), Turns(path)
    other.take(soon())

    with waiting(ours, 1) as order:
        ours.close()
        other.give_back()

    assert order == [0]
    assert is_free(path)


def test_the_thread_that_waits_for_others_ends_when_the_file_is_closed(path: str) -> None:
    ours, other = Turns(path), Turns(path)
    before = threading.active_count()
    for _ in range(2):
        other.take(soon())
        with waiting(ours, 1):
            wait_until(lambda: threading.active_count() == before + 2)
            other.give_back()
        ours.close()
        wait_until(lambda: threading.active_count() == before)


def test_without_contention_there_is_no_more_thread(path: str) -> None:
    before = threading.active_count()
    ours = Turns(path)
    ours.take(soon())

    assert threading.active_count() == before
    ours.give_back()


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def test_without_a_thread_to_wait_other_processes_are_not_waited_for(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, other = Turns(path), Turns(path)
    other.take(soon())
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(BlockingIOError, match="no thread can wait"):
            ours.take(soon())

    with waiting(ours, 1):
        other.give_back()


def test_without_a_thread_to_wait_a_process_keeps_the_lock(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "HOLD_SECONDS", 0.0)
    ours = Turns(path)
    ours.take(soon())

    with waiting(ours, 3) as order:
        refuse_threads(monkeypatch)
        ours.give_back()

    assert order == [0, 1, 2]


def test_an_error_of_the_lock_is_the_first_waiting_threads(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Turns(path)
    flock, errors = fcntl.flock, [OSError(errno.ENOLCK, "no locks available")]

    def fail_once(file: IO[bytes], operation: int) -> None:
        flock(file, operation)
        if operation == fcntl.LOCK_EX and errors:
            raise errors.pop()

    with open(path, "ab") as other, ThreadPoolExecutor(1) as pool:
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(fcntl, "flock", fail_once)
        first = pool.submit(ours.take, soon())
        wait_until(lambda: bool(ours._waiting))
        second = threading.Thread(target=ours.take, args=[soon()])
        second.start()
        wait_until(lambda: len(ours._waiting) == 2)
        other.close()
        with pytest.raises(OSError, match="no locks available"):
            first.result()

    second.join(20)
    ours.give_back()
    assert is_free(path)


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


FORK_WHILE_WAITING = """
import fcntl, os, sys, threading, time
from taskbadger.extensions.turns import Turns

def is_free():
    with open(sys.argv[1], "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True

ours, other = Turns(sys.argv[1]), open(sys.argv[1], "ab")
fcntl.flock(other, fcntl.LOCK_EX)
waiting = threading.Thread(target=ours.take, args=[time.monotonic() + 20])
waiting.start()
time.sleep(0.2)
child = os.fork()
if not child:
    other.close()
    try:
        ours.take(time.monotonic() + 0.05)
    except TimeoutError:
        ours.close()
        os._exit(3)
    os._exit(0)
_, status = os.waitpid(child, 0)
other.close()
waiting.join(20)
print(os.waitstatus_to_exitcode(status), waiting.is_alive(), is_free())
ours.give_back()
print(is_free())
"""


def test_a_process_forked_while_its_parent_waits_leaves_the_parent_alone(path: str) -> None:
    command = [sys.executable, "-c", FORK_WHILE_WAITING, path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == "3 False False\nTrue\n"


END = """
import sys, time
from taskbadger.extensions.turns import Turns

try:
    Turns(sys.argv[1]).take(time.monotonic() + 0.05)
except TimeoutError:
    print("ended")
"""


def test_a_process_ends_although_it_waits_for_another(path: str) -> None:
    ours = Turns(path)
    ours.take(soon())
    command = [sys.executable, "-c", END, path]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)

    assert (ended.stdout, ended.stderr) == ("ended\n", "")
    ours.give_back()
    assert is_free(path)


BUSY = """
import sys, threading, time
from taskbadger.extensions.turns import Turns

lock, begin, end = sys.argv[1], *map(float, sys.argv[2:])
turns = Turns(lock)
time.sleep(max(0, begin - time.monotonic()))
longest, count, inside = 0.0, 0, 0

def write():
    global longest, count, inside
    while time.monotonic() < end:
        began = time.monotonic()
        turns.take(began + 30)
        longest = max(longest, time.monotonic() - began)
        inside += 1
        assert inside == 1
        time.sleep(0.0005)
        count += 1
        inside -= 1
        turns.give_back()

threads = [threading.Thread(target=write) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(count, longest)
"""


def test_busy_processes_share_the_lock_fairly(path: str) -> None:
    begin = time.monotonic() + 3  # All have started by then.
    command = [sys.executable, "-c", BUSY, path, str(begin), str(begin + 3)]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [other.communicate()[0].split() for other in others]

    counts = [int(count) for count, _ in said]
    assert min(counts) > max(counts) / 3
    assert max(float(longest) for _, longest in said) < 1
    assert is_free(path)
