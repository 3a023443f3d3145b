"""Counting requests, and taking what may be taken once."""

from datetime import UTC, datetime, timedelta

from flask import Flask

from taskbadger.extensions import db
from taskbadger.models import RequestCount
from taskbadger.services import throttle

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def count(subject: str, moment: datetime = NOON) -> int:
    return throttle.count(subject, limit=2, seconds=60, now=moment)


def test_requests_over_the_limit_wait_for_the_next_window(app: Flask) -> None:
    assert [count("a"), count("a"), count("a"), count("b")] == [0, 0, 60, 0]
    assert count("a", NOON + timedelta(seconds=45)) == 15
    assert count("a", NOON + timedelta(seconds=60)) == 0


def test_forgotten_subject_starts_again(app: Flask) -> None:
    for _ in range(3):
        count("a")
        count("b")

    throttle.forget("a")

    assert (count("a"), count("b")) == (0, 60)


def test_subject_is_taken_once(app: Flask) -> None:
    assert [throttle.take(name, until=NOON) for name in ("a", "a", "b")] == [True, False, True]


def test_windows_of_the_last_day_are_kept(app: Flask) -> None:
    count("old")
    count("new", NOON + timedelta(hours=2))

    throttle.purge(now=NOON + timedelta(days=1, hours=1))

    assert [row.subject for row in db.session.query(RequestCount)] == ["new"]
