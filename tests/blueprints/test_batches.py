"""Batches over HTTP: each operation has the effect and the answer that it has by itself."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from conftest import ApiClient, count_queries, make_key, make_project
from flask import Flask
from simultaneous import at_once
from sqlalchemy import func, select
from watching import Watch

from taskbadger.domain import ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import TaskEvent, TaskTag
from taskbadger.services.tasks import batch as batches
from taskbadger.services.tasks import idempotency

START = datetime(2026, 1, 1, tzinfo=UTC)
EMAIL = {"trigger": "error,50", "integration": "email", "config": {"to": "a@example.com"}}
URL = "/tasks/batch/"
PARENT_CHANGED = "A task's parent can not be changed once set."


def batch(api: ApiClient, *operations: Any, **options: Any) -> list[dict[str, Any]]:
    answer = api.post(URL, json={"operations": operations, **options})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json["results"]
    assert len(results) == len(operations)
    return results


def create(ref: str | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if ref is None else {"ref": ref}
    return {"op": "create", **named, "task": {"name": "job", **fields}}


def update(ref: str, **fields: Any) -> dict[str, Any]:
    return {"op": "update", "ref": ref, "task": fields}


def test_operations_are_done_in_order(api: ApiClient) -> None:
    old = api.create()

    results = batch(
        api,
        create("a", name="import", status="processing"),
        update("a", value_increment=5, data_merge={"rows": 10}),
        update("a", status="success"),
        {"op": "cancel", "id": old["id"]},
        {"op": "cancel", "ref": "a"},
    )

    assert [each["status"] for each in results] == [201, 200, 200, 204, 204]
    tasks = [each["task"] for each in results[:3]]
    assert [(each["status"], each["value"], each["data"]) for each in tasks] == [
        ("processing", None, None),
        ("processing", 5, {"rows": 10}),
        ("success", 5, {"rows": 10}),
    ]
    assert results[3] == {"status": 204}
    assert api.get(f"/tasks/{tasks[0]['id']}/").json == tasks[2]
    assert api.get(f"/tasks/{old['id']}/").json["status"] == "cancelled"


def test_minimal_results_have_ids_only(api: ApiClient) -> None:
    results = batch(
        api, create("a"), update("a"), {"op": "cancel", "ref": "a"}, **{"return": "minimal"}
    )

    task_id = api.get().json["results"][0]["id"]
    assert results == [
        {"status": 201, "id": task_id},
        {"status": 200, "id": task_id},
        {"status": 204},
    ]


def test_no_operations_are_no_error(api: ApiClient) -> None:
    assert batch(api) == []


def failed(code: str, detail: str, attr: str | None, status: int = 400) -> dict[str, Any]:
    return {
        "status": status,
        "type": "validation_error" if status == 400 else "client_error",
        "errors": [{"code": code, "detail": detail, "attr": attr}],
    }


REQUIRED = "This field is required."
UNKNOWN = ids.new_id(START)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (7, failed("invalid", "Invalid data. Expected an object, but got number.", None)),
        ([], failed("invalid", "Invalid data. Expected an object, but got a list.", None)),
        ({}, failed("required", REQUIRED, "op")),
        ({"op": "move"}, failed("invalid_choice", '"move" is not a valid choice.', "op")),
        ({"op": "create"}, failed("required", REQUIRED, "task")),
        ({"op": "create", "task": {}}, failed("required", REQUIRED, "name")),
        (
            {"op": "create", "task": [1]},
            failed("invalid", "Invalid data. Expected an object, but got a list.", "task"),
        ),
        (
            {"op": "create", "task": None},
            failed("null", "This field may not be null.", "task"),
        ),
        (
            {**create(), "id": UNKNOWN},
            failed("invalid", "The server chooses the ID of a new task.", "id"),
        ),
        ({**create(), "ref": 5}, failed("invalid", "Not a valid string.", "ref")),
        ({**create(), "ref": ""}, failed("blank", "This field may not be blank.", "ref")),
        (
            create("made"),
            failed("invalid", "“made” names another task of this batch.", "ref"),
        ),
        (create(parent=UNKNOWN), None),
        ({"op": "update"}, failed("required", REQUIRED, "id")),
        ({"op": "cancel"}, failed("required", REQUIRED, "id")),
        ({"op": "update", "id": UNKNOWN}, failed("not_found", "Not found.", None, 404)),
        ({"op": "cancel", "id": "x"}, failed("not_found", "Not found.", None, 404)),
        ({"op": "cancel", "id": 7}, failed("invalid", "Not a valid string.", "id")),
        (
            {"op": "update", "id": UNKNOWN, "ref": "made"},
            failed("invalid", "This field cannot be sent together with “id”.", "ref"),
        ),
        (
            update("later"),
            failed(
                "does_not_exist", "No task was created as “later” earlier in this batch.", "ref"
            ),
        ),
        (
            update("made", value=1, value_increment=1),
            failed(
                "invalid", "This field cannot be sent together with “value”.", "value_increment"
            ),
        ),
        (
            update("made", value_increment=-1),
            failed("min_value", "The value would be less than 0.", "value_increment"),
        ),
        (
            update("made", data_merge={"a": 1}, tags={"kept": "no"}),
            failed("invalid", "The data of the task is not an object.", "data_merge"),
        ),
        (
            update("made", tags={"kept": "no"}, parent=UNKNOWN),
            failed(
                "does_not_exist", f'Invalid parent "{UNKNOWN}" - task does not exist.', "parent"
            ),
        ),
    ],
)
def test_wrong_operation_has_its_error_and_changes_nothing(
    api: ApiClient, operation: Any, expected: dict[str, Any] | None
) -> None:
    operations = [create("made", data=[1]), operation, create("later"), update("made", queue="q")]

    results = batch(api, *operations)

    if expected is not None:
        assert results[1] == expected
    assert results[1]["status"] in (400, 404)
    assert [results[place]["status"] for place in (0, 2, 3)] == [201, 201, 200]
    assert len(api.get().json["results"]) == 2
    assert results[3]["task"]["tags"] == {}
    assert db.session.scalar(select(func.count()).select_from(TaskTag)) == 0


def test_operation_on_a_task_of_another_project_is_a_404(api: ApiClient) -> None:
    make_project(slug="other")
    other = ApiClient(api.client, make_key(slug="other"), "/api/acme/other")
    task = other.create()

    results = batch(api, {"op": "update", "id": task["id"], "task": {"name": "taken"}})

    assert results == [failed("not_found", "Not found.", None, 404)]
    assert other.get(f"/tasks/{task['id']}/").json == task


@pytest.mark.parametrize(
    ("body", "code", "detail", "attr"),
    [
        ({}, "required", REQUIRED, "operations"),
        ({"operations": None}, "null", "This field may not be null.", "operations"),
        ({"operations": {}}, "invalid", "Expected a list of operations.", "operations"),
        (
            {"operations": [create()] * 1001},
            "max_length",
            "Ensure this field has no more than 1000 operations.",
            "operations",
        ),
        ({"operations": [], "atomic": 1}, "invalid", "Must be a valid boolean.", "atomic"),
        (
            {"operations": [], "return": "all"},
            "invalid_choice",
            '"all" is not a valid choice.',
            "return",
        ),
        ([], "invalid", "Invalid data. Expected an object, but got a list.", None),
    ],
)
def test_wrong_batch_is_a_400(
    api: ApiClient, body: Any, code: str, detail: str, attr: str | None
) -> None:
    answer = api.post(URL, json=body)

    assert answer.status_code == 400
    assert answer.json["errors"] == [{"code": code, "detail": detail, "attr": attr}]
    assert api.get().json["results"] == []


def test_batch_in_a_batch_is_no_operation(api: ApiClient) -> None:
    [result] = batch(api, {"op": "batch", "operations": [create()]})

    assert result["errors"][0]["attr"] == "op"


def test_lone_surrogates_are_errors_of_their_operation(api: ApiClient) -> None:
    names = ("\\ud800", "a")
    text = ",".join(f'{{"op":"create","task":{{"name":"{name}"}}}}' for name in names)

    answer = api.open(
        "POST", URL, data=f'{{"operations":[{text}]}}', content_type="application/json"
    )

    wrong, right = answer.json["results"]
    assert wrong["errors"][0]["attr"] == "name"
    assert right["status"] == 201


def test_atomic_batch_that_fails_changes_nothing(api: ApiClient) -> None:
    old = api.create()
    operations = [
        create("a", actions=[EMAIL]),
        {"op": "update", "id": old["id"], "task": {"name": "changed"}},
        update("b"),
    ]

    answer = api.post(URL, json={"operations": operations, "atomic": True})

    assert answer.status_code == 409
    assert {name: answer.json[name] for name in ("type", "errors")} == {
        "type": "client_error",
        "errors": [
            {
                "code": "conflict",
                "detail": "An operation failed, so none of the batch was applied.",
                "attr": None,
            }
        ],
    }
    assert [each["status"] for each in answer.json["results"]] == [424, 424, 400]
    assert api.get().json["results"] == [old]
    assert db.session.scalar(select(func.count()).select_from(TaskEvent)) == 1


def test_atomic_batch_without_errors_is_applied(api: ApiClient) -> None:
    assert [each["status"] for each in batch(api, create(), create(), atomic=True)] == [201, 201]
    assert len(api.get().json["results"]) == 2


def test_same_idempotency_key_gets_the_first_results(api: ApiClient) -> None:
    body = {"operations": [create("a"), update("b")]}
    first, again = (api.post(URL, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2))
    other = api.post(URL, json={"operations": []}, headers={"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 409)
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.get().json["results"]) == 1


def test_batch_may_be_larger_than_other_bodies(api: ApiClient) -> None:
    def of_size(size: int) -> bytes:
        start = b'{"operations":[{"op":"create","task":{"name":"a","data":"'
        end = b'"}}]}'
        return start + b"x" * (size - len(start) - len(end)) + end

    sizes = [2**20 + 1, 4 * 2**20, 4 * 2**20 + 1]
    answers = [
        api.open("POST", URL, data=of_size(size), content_type="application/json") for size in sizes
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 413]


def test_a_key_that_may_only_read_sends_no_batch(api: ApiClient) -> None:
    reader = ApiClient(api.client, make_key(scopes="read"))

    assert reader.post(URL, json={"operations": []}).status_code == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_batch_has_one_method(api: ApiClient, method: str) -> None:
    for path in (URL, URL[:-1]):
        answer = api.open(method, path)

        assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST")


def test_statements_do_not_grow_with_the_batch(
    app: Flask, api: ApiClient, project: ProjectRef
) -> None:
    Watch(project, fields={"task_name": "watched"})
    counts = []
    for size in (2, 50):
        results = batch(api, *[create(tags={"a": "b"}) for _ in range(size)])
        operations = [
            {"op": "update", "id": each["task"]["id"], "task": {"status": "processing"}}
            for each in results
        ]
        for sent in ([create(tags={"a": "b"}) for _ in range(size)], operations):
            db.session.rollback()
            with count_queries() as statements:
                batch(api, *sent)
            counts.append(len(statements))

    assert counts == [4, 4, 4, 4]


@pytest.mark.parametrize(("name", "count"), [("nightly", 3), ("new", 3), ("watched", 4)])
def test_renames_take_at_most_one_statement_more(
    app: Flask, api: ApiClient, project: ProjectRef, name: str, count: int
) -> None:
    Watch(project, fields={"task_name": "watched"})
    Watch(project, fields={"task_name": "nightly"})
    made = [each["task"]["id"] for each in batch(api, *[create(name="nightly")] * 20)]
    rename = [{"op": "update", "id": each, "task": {"name": name}} for each in made]
    db.session.rollback()

    with count_queries() as statements:
        batch(api, *rename)

    assert len(statements) == count


# Limits and conflicts


def test_data_of_an_operation_is_as_long_as_in_a_request_of_its_own(api: ApiClient) -> None:
    results = batch(api, *[create(data="x" * size) for size in (2**20 - 2, 2**20 - 1)])

    detail = "Ensure this field has no more than 1048576 characters."
    assert results[0]["status"] == 201
    assert results[1] == failed("max_length", detail, "data")


def test_merges_of_a_batch_have_a_limit(api: ApiClient) -> None:
    """Each reads all of the task's data, while the batch holds its locks."""
    task = api.create(data={"text": "x" * 1_000_000})
    merge = {"op": "update", "id": task["id"], "task": {"data_merge": {"a": 1}}}

    results = batch(api, *[merge] * 5, **{"return": "minimal"})

    detail = "The batch merges more than 4194304 characters of data in all."
    assert [each["status"] for each in results] == [200, 200, 200, 200, 400]
    assert results[-1] == failed("max_length", detail, "data_merge")


def test_results_that_get_too_long_go_on_with_ids(api: ApiClient) -> None:
    task = api.create(data="x" * 1_000_000)

    results = batch(api, *[{"op": "update", "id": task["id"]}] * 20)

    assert {each["status"] for each in results} == {200}
    assert ["task" in each for each in results] == [True] * 17 + [False] * 3
    assert results[-1]["id"] == task["id"]


@pytest.mark.usefixtures("project")
def test_batches_that_cross_do_not_fail(app: Flask, api: ApiClient) -> None:
    """Each of them marks two parents, in opposite orders: a deadlock on PostgreSQL."""
    answers: list[int] = []
    for _ in range(10):
        parents = [api.create()["id"] for _ in range(2)]

        def send(order: list[str]) -> None:
            operations = [create(parent=parent) for parent in order] * 5
            client = ApiClient(app.test_client(), api.key)
            answer = client.post(URL, json={"operations": operations})
            answers.append(answer.status_code)
            answers.extend(each["status"] for each in (answer.json or {})["results"])

        at_once(app, partial(send, parents), partial(send, parents[::-1]))

    assert sorted(set(answers)) == [200, 201]


def test_conflict_of_an_idempotency_key_does_nothing(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise idempotency.KeyInUse()

    monkeypatch.setattr(idempotency, "find_answer", refuse)
    monkeypatch.setattr(batches, "run", None)

    answer = api.post(URL, json={"operations": [create()]}, headers={"Idempotency-Key": "k"})

    assert answer.status_code == 409
    assert answer.json["errors"][0]["detail"].startswith("Another request")
