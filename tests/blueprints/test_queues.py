"""The endpoint of queues."""

from datetime import timedelta

import pytest
from answers import problem
from conftest import ApiClient, count_queries, make_key, make_project
from flask import Flask
from managing import DENIED, walk
from services.stats.counting import NOW, count
from services.stats.queueing import queued
from time_machine import travel

from taskbadger.clock import to_wire
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db


def test_queue_is_shown_whole(api: ApiClient, project: ProjectRef) -> None:
    queued(project, ago=1300)
    queued(project, "", ago=20, started=10, ended=5)
    queued(make_project("acme", "worker"), "foreign", ago=10)
    count()

    with travel(NOW, tick=False):
        listed = api.get("/queues/").json

    since = {
        "trend_since": "2026-11-23T11:45:00.000000Z",
        "rates_since": "2026-11-23T11:00:00.000000Z",
    }
    assert listed == {
        "next": None,
        "previous": None,
        "results": [
            {
                "name": "",
                "pending": 0,
                "running": 0,
                "oldest_pending": None,
                "trend": "empty",
                "arrived": 1,
                "departed": 1,
                "finished": 1,
                "wait_p95": pytest.approx(10, rel=0.05),
                **since,
            },
            {
                "name": "mail",
                "pending": 1,
                "running": 0,
                "oldest_pending": to_wire(NOW - timedelta(seconds=1300)),
                "trend": "stuck",
                "arrived": 0,
                "departed": 0,
                "finished": 0,
                "wait_p95": None,
                **since,
            },
        ],
    }


def test_queues_are_walked_by_name(api: ApiClient) -> None:
    names = [f"{a}{b}" for a in "abcd" for b in "efg"]
    for name in reversed(names):
        api.create(queue=name)

    assert walk(api, "/queues/", "name") == names


@pytest.mark.parametrize("queues", [1, 50])
def test_statements_do_not_grow_with_the_queues(api: ApiClient, queues: int) -> None:
    for number in range(queues):
        api.create(queue=f"q{number}")
    db.session.rollback()

    with count_queries() as statements:
        assert len(api.get("/queues/").json["results"]) == queues

    assert len(statements) == 2


def test_reading_needs_the_scope_read(app: Flask, project: ProjectRef) -> None:
    writer = ApiClient(app.test_client(), make_key(scopes="ingest"))
    reader = ApiClient(app.test_client(), make_key(scopes="read"))

    assert writer.get("/queues/").json == DENIED
    assert reader.get("/queues/").json == {"next": None, "previous": None, "results": []}


def test_cursor_of_no_queue_is_not_found(api: ApiClient) -> None:
    answer = api.get("/queues/?cursor=nonsense")

    assert (answer.status_code, answer.json) == (404, problem("not_found", "Invalid cursor"))
