"""Whether a queue is backing up."""

from datetime import UTC, datetime, timedelta

import pytest

from taskbadger.domain.queues import Flow, backlog_of, span_of, time_to_empty, trend_of


@pytest.mark.parametrize(
    ("pending", "waited", "arrived", "departed", "trend"),
    [
        (0, 0, 0, 0, "empty"),
        (0, 0, 500, 500, "empty"),
        (80, 59, 900, 100, "keeping_up"),
        (80, 60, 900, 810, "growing"),
        (80, 60, 900, 811, "steady"),
        (80, 60, 900, 990, "shrinking"),
        (80, 60, 900, 989, "steady"),
        (5, 600, 5, 0, "growing"),
        (4, 600, 4, 0, "steady"),
        (3, 900, 0, 0, "steady"),
        (3, 901, 0, 0, "stuck"),
        (300, 901, 300, 0, "stuck"),
        (300, 901, 300, 1, "growing"),
    ],
)
def test_trend_follows_from_what_waits_and_what_came_and_left(
    pending: int, waited: int, arrived: int, departed: int, trend: str
) -> None:
    assert trend_of(Flow(pending, timedelta(seconds=waited), arrived, departed)) == trend


def test_shrinking_backlog_lasts_as_long_as_its_pace_says() -> None:
    elapsed, waited = timedelta(minutes=15), timedelta(hours=1)

    assert time_to_empty(Flow(40, waited, 10, 30), elapsed) == timedelta(minutes=30)
    assert time_to_empty(Flow(40, waited, 30, 30), elapsed) is None
    assert time_to_empty(Flow(40, waited, 31, 30), elapsed) is None


def test_backlog_is_counted_back_from_what_waits_now() -> None:
    assert backlog_of(7, [5, 0, 10, -3]) == [0, 0, 10, 7]
    assert backlog_of(0, [0, 0]) == [0, 0]
    assert backlog_of(2, [0, -1, -4]) == [7, 6, 2]


def test_spans_begin_every_five_minutes() -> None:
    moment = datetime(2026, 11, 23, 12, 9, 59, 999999, tzinfo=UTC)

    assert span_of(moment) == datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
    assert span_of(datetime(2026, 11, 23, 12, 10, tzinfo=UTC)) == datetime(
        2026, 11, 23, 12, 10, tzinfo=UTC
    )
