"""Requests that nobody would write: never a 5xx, and only the standard error body."""

import json
from typing import Any

import pytest
import schemathesis
from conftest import ApiClient
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from werkzeug.test import TestResponse

from taskbadger.domain.status import STATUSES

QUIET = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
EMAIL = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
OPERATIONS = [
    "task_list",
    "task_create",
    "task_get",
    "task_update",
    "task_partial_update",
    "task_cancel",
    "task_events",
    "action_list",
    "action_create",
    "action_get",
    "action_update",
    "action_partial_update",
    "action_cancel",
]


def assert_orderly(answer: TestResponse) -> None:
    """Check that the answer is no 5xx, and that an error has the one shape."""
    assert answer.status_code < 500, answer.text
    if answer.status_code < 400:
        return
    body = json.loads(answer.data)
    assert answer.headers["Content-Type"] == "application/json"
    assert set(body) == {"type", "errors"}
    assert body["type"] in ("validation_error", "client_error")
    assert body["errors"]
    for error in body["errors"]:
        assert set(error) == {"code", "detail", "attr"}
        assert isinstance(error["code"], str)
        assert error["detail"]
        assert error["attr"] is None or body["type"] == "validation_error"


@pytest.mark.parametrize("operation_id", OPERATIONS)
def test_no_request_by_the_document_breaks_the_server(
    app: Flask, api: ApiClient, operation_id: str
) -> None:
    document = api.get("/api/schema.json").json
    assert document is not None
    task = api.create(actions=[EMAIL])
    action = (api.get(f"/tasks/{task['id']}/actions/").json or [])[0]["id"]
    operation = schemathesis.openapi.from_dict(document).find_operation_by_id(operation_id)
    cases = operation.as_strategy() | operation.as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )

    @settings(QUIET, max_examples=25)
    @given(cases)
    def check(case: Any) -> None:
        path = operation.path
        for name, value in {
            "organization_slug": "acme",
            "project_slug": "web",
            "task_id": task["id"],
            "id": task["id"] if operation_id.startswith("task") else action,
        }.items():
            path = path.replace(f"{{{name}}}", str(value))
        options: dict[str, Any] = {"query_string": _texts(case.query)}
        if case.body is not NOT_SET:
            body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
            options |= {"data": body, "content_type": "application/json"}
        assert_orderly(api.open(operation.method.upper(), path, **options))

    check()


def _texts(query: Any) -> dict[str, str]:
    return {
        str(name): str(value).encode("utf-8", "replace").decode()
        for name, value in dict(query or {}).items()
    }


NASTY = [
    b"",
    b" ",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b"{",
    b"}",
    b"[",
    b'"',
    b"null",
    b"-",
    b"nul",
    b"[1,]",
    b"{}{}",
    b'{"name"}',
    b'{"name":}',
    b'{"name":"a",}',
    b'{"name":"a" "b"}',
    b'{"name":"\\ud800"}',
    b'{"name":"\\udc00\\ud800"}',
    b'{"name":"\xed\xa0\x80"}',
    b'{"name":"\xf4\x90\x80\x80"}',
    b'{"name":"\xc0\x80"}',
    b'{"name":"\\u0000"}',
    b'{"name":"a\x00"}',
    b'{"name":"\\x41"}',
    b'{"name":"a\nb"}',
    b"{'name':'a'}",
    b'{name:"a"}',
    b'{"name":"a"}\x00',
    b'{"name":"a"}]',
    b'{"name":"a","name":"b","name":null}',
    b'{"name":"a","value":NaN}',
    b'{"name":"a","value":Infinity}',
    b'{"name":"a","value":1e999999999}',
    b'{"name":"a","value":-0}',
    b'{"name":"a","value":0e99999999999999999999}',
    b'{"name":"a","value":' + b"9" * 10_000 + b"}",
    b'{"name":"a","value":"' + b"9" * 10_000 + b'"}',
    b'{"name":"a","value":0.' + b"0" * 10_000 + b"1}",
    b'{"name":"a","time_to_start":' + b"9" * 10_000 + b"}",
    b'{"name":"a","time_to_start":"1e99999999999999999999"}',
    b'{"name":"a","time_to_start":"sNaN"}',
    b'{"name":"a","time_to_start":1e-400}',
    b'{"name":"a","time_to_start":"1e-99999999"}',
    b'{"name":"a","start_time":"9999-12-31T23:59:59.9999999Z"}',
    b'{"name":"a","tags":{"a":' + b"9" * 5000 + b"}}",
    b'{"name":"a","tags":{"a":1e400}}',
    b'{"name":"a","tags":{"\\u0000":"x"}}',
    b'{"name":"a","tags":{"__proto__":{}}}',
    b'{"name":"a","data":' + b"[" * 100_000 + b"}",
    b'{"name":"a","data":' + b'{"a":' * 100_000,
    b'{"name":"a","data":' + b"[" * 99 + b"]" * 99 + b"}",
    b'{"name":"a","data":"' + b"\\u0000" * 10_000 + b'"}',
    b'{"name":"a","data":1e99999999999999999999999}',
    b'{"name":"a","actions":[[[]]]}',
    b'{"name":"a","actions":[null,1,"x",{}]}',
    b'{"name":"a","actions":[{"trigger":1,"integration":1,"config":1}]}',
    b'{"name":"a","actions":[{"trigger":"1","integration":"email","config":{"to":"\\u0000"}}]}',
    b'{"name":"a","actions":[{"trigger":"1","integration":"x:\\u0000","config":{}}]}',
    b'{"name":"a","parent":"' + b"A" * 22 + b'"}',
    b'{"":""}',
    b'{"name":"\\ud83d\\ude00","\\ud83d":1}',
    '{"name":"\u202e\u0000"}'.encode(),
]


@pytest.mark.parametrize("body", NASTY, ids=range(len(NASTY)))
def test_nasty_body_breaks_nothing(api: ApiClient, body: bytes) -> None:
    task = api.create()
    paths = {
        "POST": "/tasks/",
        "PATCH": f"/tasks/{task['id']}/",
        "PUT": f"/tasks/{task['id']}/",
    }

    for method, path in paths.items():
        headers = {"Idempotency-Key": "nasty"} if method == "POST" else {}
        answer = api.open(method, path, data=body, content_type="application/json", headers=headers)
        assert_orderly(answer)
    answer = api.open(
        "POST", f"/tasks/{task['id']}/actions/", data=body, content_type="application/json"
    )
    assert_orderly(answer)
    assert_orderly(api.get())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = (
    *("name", "parent", "queue", "external_id", "status", "value", "value_max", "data", "tags"),
    *("start_time", "end_time", "time_to_start", "max_runtime", "stale_timeout", "actions"),
    *("trigger", "integration", "config"),
)
PARAMETERS = (
    *("cursor", "page_size", "status", "name", "queue", "external_id", "parent", "monitor", "tag"),
    *("created_after", "created_before", "updated_after", "updated_before", "search", "other"),
)


@QUIET
@given(
    body=st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(STATUSES), max_size=6),
    method=st.sampled_from(["POST", "PATCH", "PUT"]),
    named=st.booleans(),
)
def test_no_values_of_the_fields_break_the_server(
    api: ApiClient, body: dict[str, Any], method: str, named: bool
) -> None:
    path = "/tasks/" if method == "POST" else f"/tasks/{api.create()['id']}/"
    if named:
        body = {**body, "name": "job"}

    answer = api.open(method, path, data=json.dumps(body), content_type="application/json")

    assert_orderly(answer)


@QUIET
@given(
    query=st.dictionaries(
        st.sampled_from(PARAMETERS),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        max_size=4,
    )
)
def test_no_parameters_of_a_list_break_the_server(api: ApiClient, query: dict[str, str]) -> None:
    assert_orderly(api.get("/tasks/", query_string=query))


@QUIET
@given(
    headers=st.dictionaries(
        st.sampled_from(
            ["Accept", "Authorization", "Content-Type", "Idempotency-Key", "X-TASKBADGER-MONITOR"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20),
    )
)
def test_no_headers_break_the_server(api: ApiClient, headers: dict[str, str]) -> None:
    assert_orderly(api.open("POST", data='{"name":"job"}', headers=headers))
