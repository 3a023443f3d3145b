"""An outage is one line in the log of the worker, and its end is another."""

import logging
from typing import Any

import pytest

from taskbadger.worker import outage_log
from taskbadger.worker.outage_log import OutageLog

REFUSED = Exception("connection refused\nIs the server running?")
STARTING = Exception("the database system is starting up")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock: its last element."""
    moments = [0.0]
    monkeypatch.setattr(outage_log.time, "monotonic", lambda: moments[-1])
    return moments


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger=outage_log.__name__)
    return caplog


def lines(log: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    return [
        (record.message, getattr(record, "error", None) or getattr(record, "seconds", None))
        for record in log.records
    ]


def test_only_what_changes_is_logged(now: list[float], log: pytest.LogCaptureFixture) -> None:
    outages = OutageLog()
    for second in range(60):
        now.append(float(second))
        outages.failed("claim", REFUSED if second < 50 else STARTING)
        outages.failed("tick", REFUSED if second < 51 else STARTING)
    now.append(60.0)
    outages.succeeded("claim")
    outages.succeeded("purge")
    outages.succeeded("tick")
    outages.succeeded("claim")

    assert lines(log) == [
        ("database not available", "connection refused"),
        ("database not available", "the database system is starting up"),
        ("database available again", 60.0),
    ]
    assert not outages.is_on


def test_reads_that_work_do_not_end_an_outage_of_writes(
    now: list[float], log: pytest.LogCaptureFixture
) -> None:
    outages = OutageLog()
    for second in range(30):
        now.append(float(second))
        outages.failed("tick", STARTING)
        outages.succeeded("claim")

    assert lines(log) == [("database not available", "the database system is starting up")]


def test_a_part_that_is_not_tried_again_keeps_no_outage_open(
    now: list[float], log: pytest.LogCaptureFixture
) -> None:
    outages = OutageLog()
    outages.failed("send", REFUSED)
    outages.failed("tick", REFUSED)
    now.append(6.0)
    outages.succeeded("tick")

    assert lines(log)[1:] == [("database available again", 6.0)]
    outages.failed("tick", REFUSED)
    assert lines(log)[2:] == [("database not available", "connection refused")]
