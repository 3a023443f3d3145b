"""The task endpoints: every field rule, and what create, PATCH, PUT, POST and DELETE do."""

from datetime import datetime
from typing import Any

import pytest
from answers import NOT_FOUND, assert_problem, assert_wrong
from conftest import ApiClient
from werkzeug.test import TestResponse

from taskbadger.schemas.fields import parse_duration

MOMENT = "2022-09-22T06:53:40.683555Z"
EMAIL = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
NULL = ("null", "This field may not be null.")
STRING = ("invalid", "Not a valid string.")
INTEGER = ("invalid", "A valid integer is required.")


def send(api: ApiClient, body: str, path: str = "/tasks/", method: str = "POST") -> TestResponse:
    return api.open(method, path, data=body, content_type="application/json")


def get(api: ApiClient, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/tasks/{task['id']}/").json or {}
    return found


def patch(api: ApiClient, task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = api.patch(f"/tasks/{task['id']}/", json=changes)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json or {}
    return changed


def times_aside(task: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in task.items() if name not in ("id", "created", "updated")}


def test_least_task_has_every_default(api: ApiClient) -> None:
    answer = api.post(json={"name": "job"})

    task = answer.json or {}
    assert answer.status_code == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert task == {
        "id": task["id"],
        "organization": "acme",
        "project": "web",
        "name": "job",
        "parent": None,
        "queue": "",
        "external_id": "",
        "status": "pending",
        "value": None,
        "value_max": 100,
        "value_percent": None,
        "data": None,
        "created": task["created"],
        "updated": task["created"],
        "start_time": None,
        "end_time": None,
        "time_to_start": None,
        "max_runtime": None,
        "stale_timeout": None,
        "url": f"http://localhost/a/acme/tasks/{task['id']}/",
        "public_url": f"http://localhost/public/tasks/{task['id']}/",
        "tags": {},
    }
    assert get(api, task) == task


def test_whole_task_comes_back_as_it_was_sent(api: ApiClient) -> None:
    body = {
        "name": "job",
        "queue": "fast",
        "external_id": "celery-1",
        "status": "processing",
        "value": 33,
        "value_max": 66,
        "data": {"a": [1, None, "é😀"]},
        "start_time": MOMENT,
        "end_time": MOMENT,
        "time_to_start": "1 02:03:04.500000",
        "max_runtime": 1,
        "stale_timeout": 2**31 - 1,
        "tags": {"env": "prod", "a.b:c/d": "é"},
    }

    task = api.create(**body)

    assert times_aside(task) == times_aside(task) | body | {"value_percent": 50}
    assert get(api, task) == task


@pytest.mark.parametrize("slash", ["", "/"])
def test_every_method_answers_with_and_without_the_slash(api: ApiClient, slash: str) -> None:
    made = api.post(f"/tasks{slash}", json={"name": "job"})
    path = f"/tasks/{(made.json or {})['id']}{slash}"

    assert made.status_code == 201
    assert api.get(path).json == made.json
    for method in ("PATCH", "PUT", "POST"):
        answer = api.open(method, path, json={"name": method})
        assert (answer.status_code, (answer.json or {})["name"]) == (200, method)
    assert api.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("name", '"  a b  "', "a b"),
        ("name", f'"{"é" * 255}"', "é" * 255),
        ("queue", '""', ""),
        ("queue", f'"{"q" * 255}"', "q" * 255),
        ("external_id", '"é\\u2028😀"', "é\u2028😀"),
        ("value", "0", 0),
        ("value", "9223372036854775807", 2**63 - 1),
        ("value", "5.0", 5),
        ("value", "5e1", 50),
        ("value", '"7"', 7),
        ("value", "null", None),
        ("value_max", "0", 0),
        ("value_max", "9223372036854775807", 2**63 - 1),
        ("max_runtime", "1", 1),
        ("max_runtime", '"2147483647"', 2**31 - 1),
        ("max_runtime", "null", None),
        ("stale_timeout", "60.0", 60),
        ("stale_timeout", "null", None),
        ("start_time", '"2022-09-22T08:53:40.683555+02:00"', MOMENT),
        ("start_time", '"2022-09-22T06:53:40"', "2022-09-22T06:53:40.000000Z"),
        ("start_time", '"2022-09-22 06:53:40.1"', "2022-09-22T06:53:40.100000Z"),
        ("start_time", "null", None),
        ("end_time", '"0001-01-01T00:00:00Z"', "0001-01-01T00:00:00.000000Z"),
        ("end_time", '"9999-12-31T23:59:59.999999Z"', "9999-12-31T23:59:59.999999Z"),
        ("time_to_start", '"00:00:00"', "00:00:00"),
        ("time_to_start", '"26:00:00"', "1 02:00:00"),
        ("time_to_start", "90", "00:01:30"),
        ("time_to_start", "0.25", "00:00:00.250000"),
        ("time_to_start", '"90061.5"', "1 01:01:01.500000"),
        ("time_to_start", "null", None),
        ("tags", '{"a":5,"b":1.5," c ":" d "}', {"a": "5", "b": "1.5", "c": "d"}),
        ("tags", "{}", {}),
        ("parent", "null", None),
        ("unknown", '{"x":1}', None),
    ],
)
def test_field_is_kept(api: ApiClient, field: str, sent: str, kept: Any) -> None:
    made = send(api, f'{{"name":"job","{field}":{sent}}}').json or {}
    other = api.create()
    changed = send(api, f'{{"{field}":{sent}}}', f"/tasks/{other['id']}/", "PATCH").json or {}

    for task in (made, changed):
        assert task.get(field) == kept
        assert get(api, task) == task


SCALARS = ("name", "queue", "external_id", "status", "value_max", "tags")


@pytest.mark.parametrize(
    ("field", "sent", "code", "detail"),
    [
        *((field, "null", *NULL) for field in SCALARS),
        *((field, "5", *STRING) for field in ("name", "queue", "external_id", "parent")),
        *((field, "true", *STRING) for field in ("name", "queue", "external_id", "parent")),
        *((field, "[]", *STRING) for field in ("name", "queue", "external_id", "parent")),
        ("name", '" "', "blank", "This field may not be blank."),
        *(
            (
                field,
                f'"{"x" * 256}"',
                "max_length",
                "Ensure this field has no more than 255 characters.",
            )
            for field in ("name", "queue", "external_id")
        ),
        *(
            (field, '"a\\u0000"', "invalid", "Null characters are not allowed.")
            for field in ("name", "queue", "external_id")
        ),
        *(
            (field, '"a\\ud800"', "invalid", "Lone surrogates are not allowed.")
            for field in ("name", "queue", "external_id", "status", "data", "whatever")
        ),
        ("status", "5", "invalid_choice", '"5" is not a valid choice.'),
        ("status", '"Pending"', "invalid_choice", '"Pending" is not a valid choice.'),
        *((field, "true", *INTEGER) for field in ("value", "value_max", "max_runtime")),
        *((field, "1.5", *INTEGER) for field in ("value", "value_max", "stale_timeout")),
        *((field, "1e400", *INTEGER) for field in ("value", "value_max", "stale_timeout")),
        ("value", '"1.5"', *INTEGER),
        ("value", "[]", *INTEGER),
        *(
            ("value", sent, "min_value", "Ensure this value is greater than or equal to 0.")
            for sent in ("-1", '"-1"', "-" + "1" * 5000)
        ),
        *(
            ("value", sent, "max_value", f"Ensure this value is less than or equal to {2**63 - 1}.")
            for sent in ("9223372036854775808", "1e19", "1" * 5000)
        ),
        ("max_runtime", "0", "min_value", "Ensure this value is greater than or equal to 1."),
        (
            "stale_timeout",
            "2147483648",
            "max_value",
            "Ensure this value is less than or equal to 2147483647.",
        ),
        *(
            (
                field,
                sent,
                "invalid",
                "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z.",
            )
            for field, sent in [
                ("start_time", '"soon"'),
                ("start_time", "1663829620"),
                ("end_time", '"2022-09-22"'),
                ("end_time", '"0001-01-01T00:00:00+00:01"'),
                ("end_time", '"9999-12-31T23:59:59-00:01"'),
            ]
        ),
        *(
            (
                "time_to_start",
                sent,
                "invalid",
                "Duration has wrong format. Use [D ]HH:MM:SS[.ffffff] or a number of seconds.",
            )
            for sent in ("-1", '"soon"', "true", "1e400")
        ),
        ("tags", "[]", "invalid", "Expected an object of strings."),
        ("tags", '"a"', "invalid", "Expected an object of strings."),
        ("actions", "{}", "invalid", "Expected a list of actions."),
        ("actions", "null", *NULL),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_field_is_refused(
    api: ApiClient, method: str, field: str, sent: str, code: str, detail: str
) -> None:
    task = api.create()
    path = "/tasks/" if method == "POST" else f"/tasks/{task['id']}/"
    name = "" if field == "name" else '"name":"job",'

    answer = send(api, f'{{{name}"{field}":{sent}}}', path, method)

    assert_wrong(answer, (field, code, detail))
    assert api.get().json == {"next": None, "previous": None, "results": [task]}


@pytest.mark.parametrize(
    ("tags", "attr", "code", "detail"),
    [
        ({"a": ""}, "tags.a", "blank", "This field may not be blank."),
        ({"": "a"}, "tags.", "blank", "This field may not be blank."),
        ({"a": True}, "tags.a", *STRING),
        ({"a": {}}, "tags.a", *STRING),
        (
            {"a": "x" * 256},
            "tags.a",
            "max_length",
            "Ensure this field has no more than 255 characters.",
        ),
        ({"a": "b\x00"}, "tags.a", "invalid", "Null characters are not allowed."),
        ({"a": None}, "tags.a", *NULL),
        (
            {str(number): "x" for number in range(51)},
            "tags",
            "max_length",
            "Ensure this field has no more than 50 tags.",
        ),
    ],
)
def test_tags_are_refused(
    api: ApiClient, tags: dict[str, Any], attr: str, code: str, detail: str
) -> None:
    task = api.create()

    for answer in (
        api.post(json={"name": "job", "tags": tags}),
        api.put(f"/tasks/{task['id']}/", json={"name": "job", "tags": tags}),
    ):
        assert_wrong(answer, (attr, code, detail))


def test_name_is_required_to_create_and_to_replace(api: ApiClient) -> None:
    task = api.create()

    for answer in (api.post(json={}), api.put(f"/tasks/{task['id']}/", json={"value": 1})):
        assert_wrong(answer, ("name", "required", "This field is required."))


@pytest.mark.parametrize(
    "text",
    [
        "1.0",
        "1e400",
        "12345678901234567890",
        "1" * 5000,
        r'"\u0000"',
        r'{"a":"\u0000\ud83d\ude00", "a" : 1.10}',
        "[" * 99 + "]" * 99,
        "0",
        "false",
        '""',
        "[]",
        "{}",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT"])
def test_data_comes_back_to_the_letter(api: ApiClient, method: str, text: str) -> None:
    path = "/tasks/" if method == "POST" else f"/tasks/{api.create()['id']}/"

    answer = send(api, f'{{"name":"job", "data": {text} }}', path, method)

    assert f'"data":{text},' in answer.text
    assert f'"data":{text},' in api.get().text


def test_server_written_fields_are_ignored(api: ApiClient) -> None:
    forged = {
        "id": "A" * 22,
        "organization": "x",
        "project": "x",
        "value_percent": 7,
        "created": MOMENT,
        "updated": MOMENT,
        "url": "x",
        "public_url": "x",
        "version": 9,
        "monitor": "x",
    }
    plain = api.create()

    task = api.create(**forged)

    assert times_aside(task) | {"url": 0, "public_url": 0} == times_aside(plain) | {
        "url": 0,
        "public_url": 0,
    }
    assert task["id"] != forged["id"]
    assert patch(api, task, **forged)["created"] == task["created"]


# Updates


def test_patch_changes_what_it_names(api: ApiClient) -> None:
    task = api.create(queue="fast", value=1, data={"a": 1}, tags={"x": "y"})

    changed = patch(api, task, name=" new ", value=50, data=[2])

    expected = {"name": "new", "value": 50, "value_percent": 50, "data": [2]}
    assert changed == task | expected | {"updated": changed["updated"]}
    assert changed["updated"] > task["updated"]
    assert get(api, task) == changed


def test_empty_patch_is_a_ping(api: ApiClient) -> None:
    task = api.create(status="processing", value=1)
    path = f"/tasks/{task['id']}/"

    answers = [api.patch(path, json={}), api.patch(path), send(api, " ", path, "PATCH")]

    moments = [(answer.json or {}).pop("updated") for answer in answers]
    for answer, moment in zip(answers, moments, strict=True):
        assert (answer.status_code, (answer.json or {}) | {"updated": moment}) == (
            200,
            task | {"updated": moment},
        )
    assert [task["updated"], *moments] == sorted({task["updated"], *moments})


def test_patch_adds_to_the_value_and_merges_into_the_data(api: ApiClient) -> None:
    task = api.create(value=5, data={"a": {"x": 1}, "b": 2})

    body = '{"value_increment": "3", "data_merge": {"a": {"y": 1.50}, "b": null}}'
    answer = send(api, body, f"/tasks/{task['id']}/", "PATCH")

    assert (answer.status_code, answer.json["value"]) == (200, 8)
    assert '"data":{"a":{"x":1,"y":1.50}},' in answer.text


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ('{"value_increment": null}', {"value_increment": "This field may not be null."}),
        ('{"value_increment": 1.5}', {"value_increment": "A valid integer is required."}),
        ('{"value_increment": true}', {"value_increment": "A valid integer is required."}),
        (
            '{"value": null, "value_increment": 1, "data": {}, "data_merge": {}}',
            {
                "value_increment": "This field cannot be sent together with “value”.",
                "data_merge": "This field cannot be sent together with “data”.",
            },
        ),
        ('{"value_increment": -8}', {"value_increment": "The value would be less than 0."}),
        ('{"data_merge": null}', {"data_merge": "This field may not be null."}),
        ('{"data_merge": [1]}', {"data_merge": "Expected an object."}),
        ('{"data_merge": {"a": "\\ud800"}}', {"data_merge": "Lone surrogates are not allowed."}),
    ],
)
def test_wrong_increment_or_merge_changes_nothing(
    api: ApiClient, body: str, errors: dict[str, str]
) -> None:
    task = api.create(value=5)

    answer = send(api, body, f"/tasks/{task['id']}/", "PATCH")

    assert answer.status_code == 400
    assert {error["attr"]: error["detail"] for error in answer.json["errors"]} == errors
    assert api.get(f"/tasks/{task['id']}/").json == task


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_only_a_patch_is_relative(api: ApiClient, method: str) -> None:
    task = api.create(value=5, data={"a": 1})
    path = "/tasks/" if method == "POST" else f"/tasks/{task['id']}/"

    answer = api.open(
        method, path, json={"name": "job", "value_increment": 1, "data_merge": {"b": 2}}
    )

    kept = (None, None) if method == "POST" else (5, {"a": 1})
    assert (answer.json["value"], answer.json["data"]) == kept


def test_patch_merges_tags_and_null_removes_one(api: ApiClient) -> None:
    task = api.create(tags={"a": "1", "b": "2", "c": "3"})

    changed = patch(api, task, tags={"b": None, "c": 4, "d": "5", "none": None})

    assert changed["tags"] == {"a": "1", "c": "4", "d": "5"}
    assert patch(api, task, tags={})["tags"] == changed["tags"]
    assert (api.get("/tasks/?tag=c:4&tag=d:5").json or {})["results"][0]["id"] == task["id"]
    assert (api.get("/tasks/?tag=b:2").json or {})["results"] == []


def test_merged_tags_are_50_at_most(api: ApiClient) -> None:
    task = api.create(tags={str(number): "x" for number in range(50)})
    path = f"/tasks/{task['id']}/"

    answer = api.patch(path, json={"tags": {"more": "x"}})

    detail = "Ensure this field has no more than 50 tags."
    assert_wrong(answer, ("tags", "max_length", detail))
    assert get(api, task) == task
    assert len(patch(api, task, tags={"more": "x", "0": None})["tags"]) == 50


def test_put_replaces_tags_and_leaves_out_nothing_else(api: ApiClient) -> None:
    task = api.create(queue="fast", value=1, data={"a": 1}, tags={"x": "y"}, status="processing")
    path = f"/tasks/{task['id']}/"

    kept = api.put(path, json={"name": "new"}).json or {}
    replaced = api.put(path, json={"name": "new", "tags": {"z": "1"}}).json or {}
    emptied = api.put(path, json={"name": "new", "tags": {}}).json or {}

    assert kept == task | {"name": "new", "updated": kept["updated"]}
    assert (replaced["tags"], emptied["tags"]) == ({"z": "1"}, {})


def test_post_is_treated_as_patch(api: ApiClient) -> None:
    task = api.create(tags={"x": "y"})
    path = f"/tasks/{task['id']}/"

    answer = api.post(path, json={"actions": [EMAIL], "tags": {"x": None}, "value": 7})

    changed = answer.json or {}
    expected = {"tags": {}, "value": 7, "value_percent": 7, "updated": changed["updated"]}
    assert (answer.status_code, changed) == (200, task | expected)
    assert [action["trigger"] for action in api.get(f"{path}actions/").json or []] == ["success"]


def test_actions_are_added_to_those_there(api: ApiClient) -> None:
    task = api.create(actions=[EMAIL])
    path = f"/tasks/{task['id']}/"

    for method in ("PATCH", "PUT", "POST"):
        api.open(method, path, json={"name": "job", "actions": [EMAIL | {"trigger": "error"}]})

    triggers = [action["trigger"] for action in api.get(f"{path}actions/").json or []]
    assert triggers == ["success", "error", "error", "error"]


def test_wrong_action_refuses_the_whole_request(api: ApiClient) -> None:
    wrong = [EMAIL, {"trigger": "success", "integration": "webhook:none", "config": {}}]

    answer = api.post(json={"name": "job", "actions": wrong})

    assert_wrong(
        answer,
        (
            "actions.1.integration",
            "does_not_exist",
            "There is no channel “webhook:none” in this organization.",
        ),
    )
    assert (api.get().json or {})["results"] == []


@pytest.mark.parametrize("status", ["pending", "processing", "stale"])
def test_delete_cancels(api: ApiClient, status: str) -> None:
    task = api.create(status=status)

    answer = api.delete(f"/tasks/{task['id']}/")

    cancelled = get(api, task)
    assert (answer.status_code, answer.data) == (204, b"")
    assert (cancelled["status"], cancelled["end_time"]) == ("cancelled", cancelled["updated"])


@pytest.mark.parametrize("status", ["success", "error", "cancelled"])
def test_delete_of_an_ended_task_changes_nothing(api: ApiClient, status: str) -> None:
    task = api.create(status=status)

    assert api.delete(f"/tasks/{task['id']}/").status_code == 204
    assert get(api, task) == task


@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("task_id", ["A" * 22, "none"])
def test_unknown_task_is_not_found(api: ApiClient, method: str, task_id: str) -> None:
    options = {} if method in ("GET", "DELETE") else {"json": {"name": "job"}}

    assert_problem(api.open(method, f"/tasks/{task_id}/", **options), 404, *NOT_FOUND)


def test_lifecycle_of_a_retried_job(api: ApiClient) -> None:
    task = api.create()
    running = patch(api, task, status="processing")
    failed = patch(api, task, status="error")
    retried = patch(api, task, status="processing")
    done = patch(api, task, status="success", value=100)

    created, started = (datetime.fromisoformat(running[n]) for n in ("created", "start_time"))
    assert parse_duration(running["time_to_start"]) == started - created
    assert running["start_time"] == running["updated"]
    assert (failed["end_time"], failed["start_time"]) == (failed["updated"], running["start_time"])
    assert (retried["end_time"], retried["start_time"]) == (None, running["start_time"])
    assert done["end_time"] == done["updated"]
    assert done["time_to_start"] == running["time_to_start"]


@pytest.mark.parametrize("status", ["processing", "success"])
def test_task_created_past_pending_waited_no_time(api: ApiClient, status: str) -> None:
    assert api.create(status=status)["time_to_start"] == "00:00:00"


def test_ping_wakes_a_stale_task(api: ApiClient) -> None:
    task = api.create(status="processing")
    stale = patch(api, task, status="stale")

    awake = patch(api, task)

    assert (stale["status"], awake["status"]) == ("stale", "processing")
    assert awake == task | {"updated": awake["updated"]}


# Parents

NESTED = "Tasks can only be nested one level deep."
FIXED = "A task's parent can not be changed once set."


def test_parent_is_set_once(api: ApiClient) -> None:
    top, other, task = api.create(), api.create(), api.create()
    path = f"/tasks/{task['id']}/"

    child = patch(api, task, parent=top["id"])

    assert child["parent"] == top["id"]
    assert patch(api, task, parent=top["id"])["parent"] == top["id"]
    for value in (other["id"], None):
        assert_wrong(api.patch(path, json={"parent": value}), ("parent", "invalid", FIXED))
    put = api.put(path, json={"name": "new"}).json or {}
    assert put["parent"] == top["id"]


def test_tasks_are_nested_one_level_deep(api: ApiClient) -> None:
    top = api.create()
    child = api.create(parent=top["id"])
    other = api.create()

    below = api.post(json={"name": "job", "parent": child["id"]})
    moved = api.patch(f"/tasks/{other['id']}/", json={"parent": child["id"]})
    above = api.patch(f"/tasks/{top['id']}/", json={"parent": other["id"]})
    itself = api.patch(f"/tasks/{other['id']}/", json={"parent": other["id"]})

    assert_wrong(below, ("parent", "invalid", NESTED))
    assert_wrong(moved, ("parent", "invalid", NESTED))
    assert_wrong(above, ("parent", "invalid", "A task that has children can not have a parent."))
    assert_wrong(itself, ("parent", "invalid", "A task can not be its own parent."))


@pytest.mark.parametrize("parent", ["A" * 22, "none", "", "A" * 21 + "B"])
def test_unknown_parent_does_not_exist(api: ApiClient, parent: str) -> None:
    task = api.create()
    detail = f'Invalid parent "{parent}" - task does not exist.'

    for answer in (
        api.post(json={"name": "job", "parent": parent}),
        api.patch(f"/tasks/{task['id']}/", json={"parent": parent}),
    ):
        assert_wrong(answer, ("parent", "does_not_exist", detail))


@pytest.mark.parametrize("monitor", ["none", "0190163d-8694-739b-aea5-966c26f8ad91"])
def test_unknown_monitor_is_wrong(api: ApiClient, monitor: str) -> None:
    answer = api.post(json={"name": "job"}, headers={"X-TASKBADGER-MONITOR": monitor})

    detail = f"There is no monitor “{monitor}” in this project."
    assert_wrong(answer, ("X-TASKBADGER-MONITOR", "does_not_exist", detail))
    assert (api.get().json or {})["results"] == []
