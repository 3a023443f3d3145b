"""Log records as lines, for people and for machines."""

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import pytest
from processes import wait_until

from taskbadger import log_lines
from taskbadger.log_lines import GatheringHandler, LineFormatter


def write(kind: str) -> str:
    """Return what the formatter makes of a record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(kind))
    try:
        raise ValueError("the reason")
    except ValueError:
        record = logging.LogRecord(
            "taskbadger.test", logging.ERROR, __file__, 1, "task %s failed", ("7",), None
        )
        record.delivery = 12
        handler.handle(record)
        record.exc_info = sys.exc_info()
        handler.handle(record)
    return stream.getvalue()


def test_records_are_one_json_object_per_line_tracebacks_included() -> None:
    plain, failed = [json.loads(line) for line in write("json").splitlines()]

    timestamp = plain.pop("timestamp")
    assert plain == {
        "event": "task 7 failed",
        "level": "error",
        "logger": "taskbadger.test",
        "delivery": 12,
    }
    assert timestamp.endswith("Z")
    assert failed["exception"].splitlines()[-1] == "ValueError: the reason"


def test_records_for_people_are_lines_of_text() -> None:
    lines = write("console").splitlines()

    assert lines[0].partition(" ")[2] == "ERROR task 7 failed delivery=12 (taskbadger.test)"
    assert lines[-1] == "ValueError: the reason"


def test_requests_are_short_lines_for_people() -> None:
    facts = {"method": "GET", "path": "/a b", "status": 404, "address": "127.0.0.1", "ms": 13.1}
    record = logging.makeLogRecord(
        {"name": "taskbadger.request", "levelname": "INFO", "levelno": 20, "created": 0.5}
        | {"msg": "request", **facts}
    )
    when = time.strftime("%H:%M:%S", time.localtime(0))

    assert LineFormatter("console").format(record) == f"{when} GET /a b 404 13.1 ms"


def test_both_formats_have_what_a_record_adds() -> None:
    record = logging.makeLogRecord(
        {"name": "taskbadger.supervisor", "levelname": "INFO", "levelno": 20, "created": 0.5}
        | {"msg": "ended", "child": "worker", "pid": 7, "code": -9}
    )

    line = LineFormatter("json").format(record)
    text = LineFormatter("console").format(record)

    assert json.loads(line) == {
        "event": "ended",
        "level": "info",
        "logger": "taskbadger.supervisor",
        "child": "worker",
        "pid": 7,
        "code": -9,
        "timestamp": "1970-01-01T00:00:00.500000Z",
    }
    when = time.strftime("%H:%M:%S", time.localtime(0))
    assert text == f"{when} ended child=worker pid=7 code=-9"


def test_what_clients_send_stays_within_its_line() -> None:
    record = logging.makeLogRecord(
        {"msg": "request %s", "args": ("a\nb",), "path": "/x\n\x1b[2J", "levelno": 20}
    )

    lines = LineFormatter("console").format(record).splitlines()
    fact = json.loads(LineFormatter("json").format(record))

    assert len(lines) == 1
    assert "'request a\\nb'" in lines[0]
    assert r"path='/x\n\x1b[2J'" in lines[0]
    assert fact["path"] == "/x\n\x1b[2J"


class CountingStream(io.StringIO):
    """Text that counts how often somebody wrote to it."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def stream() -> CountingStream:
    return CountingStream()


@pytest.fixture
def logger(stream: CountingStream) -> logging.Logger:
    made = logging.Logger("test")
    made.addHandler(GatheringHandler(stream))
    return made


def test_records_of_a_moment_are_written_together(
    logger: logging.Logger, stream: CountingStream
) -> None:
    for number in range(100):
        logger.info("line %s", number)
    assert stream.getvalue() == ""

    wait_until(lambda: stream.writes, "the lines")

    assert stream.getvalue().splitlines() == [f"line {number}" for number in range(100)]
    assert stream.writes == 1
    logger.info("later")
    wait_until(lambda: stream.getvalue().endswith("later\n"), "the last line")


def test_a_warning_is_written_at_once_after_what_came_before(
    logger: logging.Logger, stream: CountingStream
) -> None:
    logger.info("first")
    logger.warning("second")

    assert stream.getvalue() == "first\nsecond\n"


def test_records_that_are_too_many_are_written_at_once(
    logger: logging.Logger, stream: CountingStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "MAX_WAITING", 2)

    for number in range(3):
        logger.info("%s", number)

    assert stream.getvalue() == "0\n1\n2\n"


def test_without_a_thread_records_are_written_at_once(
    logger: logging.Logger, stream: CountingStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    logger.info("first")
    assert stream.getvalue() == "first\n"

    monkeypatch.undo()
    logger.info("second")
    wait_until(lambda: stream.getvalue() == "first\nsecond\n", "the second line")


def test_a_stream_that_nobody_reads_stops_nobody(logger: logging.Logger) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as broken:
        logger.handlers[:] = [GatheringHandler(broken)]
        logger.info("first")
        logger.warning("second")
        with suppress(OSError):
            broken.close()


def test_a_record_that_cannot_be_written_leaves_the_others(
    logger: logging.Logger, stream: CountingStream, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.info("%s")
    logger.info("%d", "wrong")
    logger.warning("right")

    assert stream.getvalue() == "%s\nright\n"
    assert "--- Logging error ---" in capsys.readouterr().err


def test_what_is_left_at_the_end_is_written_once_also_after_a_fork() -> None:
    code = (
        "import logging, os, sys\n"
        "from taskbadger.log_lines import GatheringHandler\n"
        "handlers = [GatheringHandler(sys.stderr)]\n"
        "logging.basicConfig(level='INFO', format='%(message)s', handlers=handlers)\n"
        "logging.info('parent')\n"
        "child = os.fork()\n"
        "if child:\n"
        "    os.waitpid(child, 0)\n"
        "else:\n"
        "    logging.info('child')\n"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stderr == "child\nparent\n"


def test_lines_of_several_processes_stay_whole_when_the_reader_is_slow() -> None:
    code = (
        "import logging, sys\n"
        "from taskbadger.log_lines import GatheringHandler\n"
        "handlers = [GatheringHandler(sys.stderr)]\n"
        "logging.basicConfig(level='INFO', format='%(message)s', handlers=handlers)\n"
        "for number in range(3000):\n"
        "    logging.info('%s', sys.argv[1] * 99)\n"
    )
    reader, writer = os.pipe()
    writing = [
        subprocess.Popen([sys.executable, "-c", code, letter], stderr=writer) for letter in "ab"
    ]
    os.close(writer)
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        text = b""
        while read := pipe.read(4096):
            text += read
            time.sleep(0.0005)
    assert [process.wait() for process in writing] == [0, 0]

    assert Counter(text.decode().split()) == {"a" * 99: 3000, "b" * 99: 3000}


def test_without_standard_error_nobody_fails(logger: logging.Logger) -> None:
    handler = GatheringHandler(None)  # type: ignore[arg-type]  # So it is after `2>&-`.
    handler.stream = None  # type: ignore[assignment]
    logger.handlers[:] = [handler]

    logger.info("first")
    logger.warning("second")


def test_filters_of_the_handler_apply(logger: logging.Logger, stream: CountingStream) -> None:
    logger.handlers[0].addFilter(lambda record: record.getMessage() != "left out")

    logger.warning("left out")
    logger.warning("kept")

    assert stream.getvalue() == "kept\n"
