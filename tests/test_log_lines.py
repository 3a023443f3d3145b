"""Log records as lines, for people and for machines."""

import io
import json
import logging
import sys

from taskbadger.log_lines import LineFormatter


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
    written = write("console")

    first = written.splitlines()[0]
    assert "[error" in first
    assert "task 7 failed" in first
    assert "delivery=12" in first
    assert written.splitlines()[-1] == "ValueError: the reason"


def test_both_formats_have_what_a_record_adds() -> None:
    record = logging.makeLogRecord(
        {"name": "taskbadger.supervisor", "levelname": "INFO", "msg": "ended", "created": 0.5}
        | {"child": "worker", "pid": 7, "code": -9}
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
    assert text.split() == [
        *("1970-01-01T00:00:00.500000Z", "[info", "]", "ended", "[taskbadger.supervisor]"),
        *("child=worker", "pid=7", "code=-9"),
    ]


def test_what_clients_send_stays_within_its_line() -> None:
    record = logging.makeLogRecord({"msg": "request %s", "args": ("a\nb",), "path": "/x\n\x1b[2J"})

    lines = LineFormatter("console").format(record).splitlines()
    fact = json.loads(LineFormatter("json").format(record))

    assert len(lines) == 1
    assert "'request a\\nb'" in lines[0]
    assert r"path='/x\n\x1b[2J'" in lines[0]
    assert fact["path"] == "/x\n\x1b[2J"
