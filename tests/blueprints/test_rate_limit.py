"""The limit of requests per key and minute: off by default, counted for all workers together."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import time_machine
from answers import assert_problem
from conftest import ApiClient, make_key
from flask import Flask
from sqlalchemy import select

from taskbadger.extensions import db
from taskbadger.models import RequestCount
from taskbadger.services import throttle

MakeApp = Callable[..., Flask]
NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def limited(api: ApiClient, make_app: MakeApp) -> ApiClient:
    """A client of an application that takes three requests a minute."""
    return ApiClient(make_app(RATE_LIMIT=3).test_client(), api.key)


def test_there_is_no_limit_by_default(api: ApiClient) -> None:
    assert {api.get().status_code for _ in range(50)} == {200}
    assert db.session.scalars(select(RequestCount)).all() == []


def test_request_over_the_limit_is_told_when_to_come_back(limited: ApiClient) -> None:
    with time_machine.travel(NOON.replace(second=18), tick=False):
        statuses = [limited.get().status_code for _ in range(3)]
        answer = limited.get()

    assert statuses == [200, 200, 200]
    detail = "Request was throttled. Expected available in 42 seconds."
    assert_problem(answer, 429, "throttled", detail)
    assert answer.headers["Retry-After"] == "42"


def test_next_minute_is_open_again(limited: ApiClient) -> None:
    with time_machine.travel(NOON.replace(second=59), tick=False):
        before = [limited.get().status_code for _ in range(5)]
    with time_machine.travel(NOON.replace(minute=1), tick=False):
        after = limited.get().status_code

    assert (before, after) == ([200, 200, 200, 429, 429], 200)


def test_workers_count_together_and_keys_apart(limited: ApiClient, make_app: MakeApp) -> None:
    worker = ApiClient(make_app(RATE_LIMIT=3).test_client(), limited.key)
    stranger = ApiClient(limited.client, make_key(name="other"))

    with time_machine.travel(NOON, tick=False):
        statuses = [client.get().status_code for client in (limited, worker) * 2]
        other = stranger.get().status_code

    assert (statuses, other) == ([200, 200, 200, 429], 200)


def test_writes_are_counted_and_a_throttled_one_is_not_done(limited: ApiClient) -> None:
    with time_machine.travel(NOON, tick=False):
        made = [limited.post(json={"name": "job"}).status_code for _ in range(4)]
    with time_machine.travel(NOON.replace(minute=1), tick=False):
        listed = limited.get().json

    assert made == [201, 201, 201, 429]
    assert len((listed or {})["results"]) == 3


def test_options_are_not_counted(limited: ApiClient) -> None:
    with time_machine.travel(NOON, tick=False):
        statuses = {limited.open("OPTIONS").status_code for _ in range(9)}
        assert limited.get().status_code == 200

    assert statuses == {200}


def test_old_counters_are_purged(app: Flask) -> None:
    for day in (1, 2, 3):
        throttle.count("key:1", limit=1, seconds=60, now=NOON.replace(day=day))
    db.session.commit()

    throttle.purge(now=NOON.replace(day=3))
    db.session.commit()

    kept = sorted(db.session.scalars(select(RequestCount.window)))
    assert kept == [int(NOON.replace(day=day).timestamp()) for day in (2, 3)]
