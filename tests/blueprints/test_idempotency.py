"""``Idempotency-Key``: the same request twice is answered twice, but done once."""

from datetime import timedelta
from typing import Any

import pytest
from answers import assert_problem, assert_wrong
from conftest import ApiClient, make_key, make_project
from flask import Flask
from simultaneous import at_once
from sqlalchemy import select
from werkzeug.test import TestResponse

from taskbadger.extensions import db
from taskbadger.models import IdempotencyRecord
from taskbadger.services.tasks import idempotency

KEY = {"Idempotency-Key": "5f0c"}
REUSED = ("conflict", "This Idempotency-Key was already used with a different request body.")


def post(api: ApiClient, body: str = '{"name":"job"}', **headers: str) -> TestResponse:
    return api.open("POST", data=body, content_type="application/json", headers={**KEY, **headers})


def names(api: ApiClient) -> list[str]:
    return [task["name"] for task in (api.get().json or {})["results"]]


def test_same_request_is_answered_again_and_done_once(api: ApiClient) -> None:
    first = post(api, '{"name":"job","data":{"x":1.0}}')
    second = post(api, ' {"data": {"x": 1}, "name":"job"} ')

    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (201, "true")
    assert second.headers["Content-Type"] == "application/json"
    assert second.data == first.data
    assert names(api) == ["job"]


def test_first_answer_stays_after_the_task_has_changed(api: ApiClient) -> None:
    first = post(api)
    api.patch(f"/tasks/{(first.json or {})['id']}/", json={"status": "success"})

    assert post(api).json == first.json


def test_another_body_is_a_conflict(api: ApiClient) -> None:
    post(api)

    assert_problem(post(api, '{"name":"other"}'), 409, *REUSED)
    assert names(api) == ["job"]


def test_another_key_is_another_task(api: ApiClient) -> None:
    post(api)
    post(api, **{"Idempotency-Key": "5F0C"})

    assert names(api) == ["job", "job"]


def test_keys_are_those_of_a_project(app: Flask, api: ApiClient) -> None:
    make_project(slug="other")
    other = ApiClient(app.test_client(), make_key(slug="other"), "/api/acme/other")

    first, second = post(api), post(other, '{"name":"other"}')

    assert (first.status_code, second.status_code) == (201, 201)
    assert (names(api), names(other)) == (["job"], ["other"])


def test_every_key_of_a_project_shares_its_idempotency_keys(app: Flask, api: ApiClient) -> None:
    first = post(api)

    second = post(ApiClient(app.test_client(), make_key(slug=None)))

    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.json == first.json


@pytest.mark.parametrize(
    ("hours", "replayed"), [(timedelta(hours=24, minutes=-1), True), (timedelta(hours=24), False)]
)
def test_answer_is_kept_for_a_day(api: ApiClient, hours: timedelta, replayed: bool) -> None:
    first = post(api)
    record = db.session.scalars(select(IdempotencyRecord)).one()
    record.created -= hours
    db.session.commit()

    second = post(api)

    assert (second.json == first.json) is replayed
    assert ("Idempotency-Replayed" in second.headers) is replayed
    assert second.status_code == 201


def test_old_record_does_not_refuse_another_body(api: ApiClient) -> None:
    post(api)
    db.session.scalars(select(IdempotencyRecord)).one().created -= idempotency.KEPT
    db.session.commit()

    assert post(api, '{"name":"other"}').status_code == 201
    assert_problem(post(api), 409, *REUSED)


def test_refused_request_is_not_kept(api: ApiClient) -> None:
    refused = post(api, '{"name":"job","parent":"AAAAAAAAAAAAAAAAAAAAAA"}')
    accepted = post(api)

    assert (refused.status_code, accepted.status_code) == (400, 201)
    assert "Idempotency-Replayed" not in accepted.headers


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_key_has_1_to_255_characters(api: ApiClient, key: str) -> None:
    answer = post(api, **{"Idempotency-Key": key})

    detail = "Ensure this field has 1 to 255 printable characters."
    assert_wrong(answer, ("Idempotency-Key", "invalid", detail))
    assert names(api) == []


@pytest.mark.parametrize("key", ["x", "x" * 255, "a b", "'; --", "é"])
def test_any_printable_key_will_do(api: ApiClient, key: str) -> None:
    assert post(api, **{"Idempotency-Key": key}).status_code == 201
    assert post(api, **{"Idempotency-Key": key}).headers["Idempotency-Replayed"] == "true"


def test_old_records_are_purged_and_young_ones_stay(api: ApiClient) -> None:
    post(api)
    post(api, **{"Idempotency-Key": "young"})
    record = db.session.scalars(
        select(IdempotencyRecord).where(IdempotencyRecord.key == KEY["Idempotency-Key"])
    ).one()
    record.created -= idempotency.KEPT
    now = record.created + idempotency.KEPT
    db.session.commit()

    assert idempotency.purge(now=now) == 1
    db.session.commit()
    assert list(db.session.scalars(select(IdempotencyRecord.key))) == ["young"]


def test_key_is_in_use_while_the_first_request_runs(api: ApiClient, backend: str) -> None:
    if backend == "sqlite":
        pytest.skip("SQLite has one writer at a time: the second request waits for the first")
    other = db.engine.connect()
    post(api)
    project_id = db.session.scalars(select(IdempotencyRecord.project_id)).one()
    other.exec_driver_sql(
        f"SELECT pg_advisory_xact_lock(hashtextextended('idempotency/{project_id}/5f0c', 0))"
    )

    answer = post(api)
    other.close()

    detail = "Another request with this Idempotency-Key is still in progress."
    assert_problem(answer, 409, "conflict", detail)
    assert post(api).headers["Idempotency-Replayed"] == "true"


def test_sixteen_equal_requests_at_once_make_one_task(app: Flask, api: ApiClient) -> None:
    assert api.get().status_code == 200
    answers: list[tuple[int, Any]] = []

    def send() -> None:
        client = app.test_client()
        headers = {**KEY, "Authorization": f"Bearer {api.key}"}
        answer = client.post("/api/acme/web/tasks/", json={"name": "job"}, headers=headers)
        answers.append((answer.status_code, (answer.json or {}).get("id")))

    at_once(app, *[send] * 16)

    made = {task_id for status, task_id in answers if status == 201}
    assert len(answers) == 16
    assert {status for status, _ in answers} <= {201, 409}
    assert len(made) == 1
    assert [task["id"] for task in (api.get().json or {})["results"]] == list(made)
