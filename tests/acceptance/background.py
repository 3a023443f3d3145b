"""A process beside a test, whose output is shown if the test fails."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from processes import wait_until


@contextmanager
def running(
    command: Sequence[str | Path], home: Path, environment: dict[str, str]
) -> Iterator[None]:
    """Run *command* in the directory *home* until the block ends, with all that it starts."""
    log = home / "background.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    except BaseException as error:
        error.add_note(log.read_text())
        raise
    finally:
        _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the group of a process; its members may outlive it."""
    if _is_alive(process.pid):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(30)
        wait_until(lambda: not _is_alive(process.pid), "the end of a process")
    finally:
        if _is_alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
