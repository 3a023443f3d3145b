"""Every answer below ``/api/`` with a status of 400 or more has one shape:

``{"type", "errors": [{"code", "detail", "attr"}]}``, as ``application/json``. Here is a test per
row of the table in docs/contract.md#errors, and one per neighbouring pair of the order of checks.
"""

import io
from collections.abc import Callable
from typing import Any

import pytest
from answers import (
    AUTHENTICATION_FAILED,
    NOT_AUTHENTICATED,
    NOT_FOUND,
    assert_problem,
    assert_wrong,
)
from conftest import ApiClient, make_key
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from taskbadger.services.tasks import reads

MakeApp = Callable[..., Flask]
SOME_ID = "A" * 22
NOT_ACCEPTABLE = ("not_acceptable", "Could not satisfy the request Accept header.")
TOO_LARGE = ("payload_too_large", "Request body is larger than the limit of 1048576 bytes.")
MIB = 1024 * 1024


def media_type(name: str) -> tuple[str, str]:
    return ("not_acceptable", f"Unsupported media type “{name}” in request.")


def not_allowed(method: str) -> tuple[str, str]:
    return ("method_not_allowed", f"Method “{method}” not allowed.")


def send_chunked(
    api: ApiClient, body: bytes, path: str = "/tasks/", **headers: str
) -> TestResponse:
    """Send a body of unknown length, as gunicorn hands a chunked one on."""
    return api.open(
        "POST",
        path,
        input_stream=io.BytesIO(body),
        headers={"Transfer-Encoding": "chunked", **headers},
        environ_overrides={"wsgi.input_terminated": True},
    )


# Each row of the table


def test_400_for_a_body_that_is_no_json(api: ApiClient) -> None:
    answer = api.open("POST", data="{", content_type="application/json")

    detail = "JSON parse error - Expecting a name in double quotes: line 1 column 2 (char 1)"
    assert_problem(answer, 400, "parse_error", detail)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"name":"\xff"}', "not UTF-8 at byte 9"),
        (b'{"name":NaN}', "NaN is not JSON"),
        (b'{"data":[-Infinity]}', "-Infinity is not JSON"),
        (b'{"data":' + b"[" * 100 + b"]" * 100 + b"}", "nested deeper than 100 levels"),
    ],
)
def test_400_for_json_that_the_contract_refuses(api: ApiClient, body: bytes, detail: str) -> None:
    answer = api.open("POST", data=body, content_type="application/json")

    assert_problem(answer, 400, "parse_error", f"JSON parse error - {detail}")


def test_400_lists_every_wrong_field(api: ApiClient) -> None:
    body = r"""{"queue": null, "external_id": "", "name": " ", "status": "foo", "value": -1,
        "value_max": 1e30, "max_runtime": "soon", "start_time": "now", "time_to_start": [],
        "parent": "nobody", "tags": {"a": "", "b": "\ud800", "c": []}, "stale_timeout": 0,
        "actions": [{"trigger": "never"}], "data": "\udfff", "other": "\udfff"}"""

    answer = api.open("POST", data=body, content_type="application/json")

    lone = ("invalid", "Lone surrogates are not allowed.")
    assert_wrong(
        answer,
        ("queue", "null", "This field may not be null."),
        ("name", "blank", "This field may not be blank."),
        ("status", "invalid_choice", '"foo" is not a valid choice.'),
        ("value", "min_value", "Ensure this value is greater than or equal to 0."),
        ("value_max", "max_value", f"Ensure this value is less than or equal to {2**63 - 1}."),
        ("max_runtime", "invalid", "A valid integer is required."),
        ("stale_timeout", "min_value", "Ensure this value is greater than or equal to 1."),
        (
            "start_time",
            "invalid",
            "Datetime has wrong format. Use ISO 8601, e.g. 2022-09-22T06:53:40.683555Z.",
        ),
        (
            "time_to_start",
            "invalid",
            "Duration has wrong format. Use [D ]HH:MM:SS[.ffffff] or a number of seconds.",
        ),
        ("parent", "does_not_exist", 'Invalid parent "nobody" - task does not exist.'),
        ("tags.a", "blank", "This field may not be blank."),
        ("tags.b", *lone),
        ("tags.c", "invalid", "Not a valid string."),
        ("data", *lone),
        ("other", *lone),
        ("actions.0.integration", "required", "This field is required."),
        next(
            (error["attr"], error["code"], error["detail"])
            for error in (answer.json or {})["errors"]
            if error["attr"] == "actions.0.trigger" and error["code"] == "invalid"
        ),
    )


def test_400_for_a_body_that_is_no_object(api: ApiClient) -> None:
    answer = api.post(json=[{"name": "job"}])

    detail = "Invalid data. Expected an object, but got a list."
    assert_wrong(answer, (None, "invalid", detail))


def test_401_without_credentials(api: ApiClient) -> None:
    api.key = None

    answer = api.get()

    assert_problem(answer, 401, *NOT_AUTHENTICATED)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_401_with_wrong_credentials(api: ApiClient) -> None:
    api.key = "wrong"

    answer = api.get()

    assert_problem(answer, 401, *AUTHENTICATION_FAILED)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_403_for_a_key_that_may_not(api: ApiClient) -> None:
    api.key = make_key(scopes="read")

    answer = api.post(json={"name": "job"})

    detail = "You do not have permission to perform this action."
    assert_problem(answer, 403, "permission_denied", detail)


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/nothing",
        "/api/schema.yaml",
        "/api/acme",
        "/api/acme/",
        "/api/acme/web/",
        "/api//web/tasks/",
        "/api/acme/web/tasks//",
        "/api/acme/web/nothing/",
        f"/api/acme/web/tasks/{SOME_ID}/nothing/",
        f"/api/acme/web/tasks/{SOME_ID}/",
        f"/api/acme/web/tasks/{SOME_ID}/events/",
        f"/api/acme/web/tasks/{SOME_ID}/actions/",
        f"/api/acme/web/tasks/{SOME_ID}/actions/1/",
        "/api/acme/web/tasks/%zz/",
        "/api/acme/web/tasks/%/",
        "/api/acme/web/tasks/%ff%fe/",
        "/api/acme/web/tasks/%00/",
        "/api/acme/web/tasks/" + "%00" * 22 + "/",
        "/api/acme/web/tasks/%ed%a0%80/",
        "/api/acme/web/tasks/%2e%2e/",
        "/api/acme/web/tasks/" + "é" * 22,
        "/api/acme/web/tasks/" + "x" * 8000,
        "/api/acme/%00/tasks/",
        "/api/%00/web/tasks/",
        "/api/acme/" + "x" * 8000 + "/tasks/",
        "/api/acme/web'%20OR%201=1--/tasks/",
        "/api/acme/web/tasks/?cursor=nothing",
    ],
)
@pytest.mark.parametrize("slug", ["web", None])
def test_404_for_what_is_not_there(api: ApiClient, path: str, slug: str | None) -> None:
    api.key = make_key(slug=slug)

    answer = api.get(path)

    detail = "Invalid cursor" if "cursor" in path else "Not found."
    assert_problem(answer, 404, "not_found", detail)


@pytest.mark.parametrize("number", ["0", "1", "-1", "x", "9" * 18, "9" * 30, "%00", "1.0", "٣"])
def test_404_for_an_action_that_is_not_there(api: ApiClient, number: str) -> None:
    task = api.create()

    answer = api.get(f"/tasks/{task['id']}/actions/{number}/")

    assert_problem(answer, 404, *NOT_FOUND)


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/tasks/", "PUT", "GET, HEAD, OPTIONS, POST"),
        ("/tasks/", "PATCH", "GET, HEAD, OPTIONS, POST"),
        ("/tasks/", "DELETE", "GET, HEAD, OPTIONS, POST"),
        ("/tasks/", "TRACE", "GET, HEAD, OPTIONS, POST"),
        ("/tasks/", "BREW", "GET, HEAD, OPTIONS, POST"),
        (f"/tasks/{SOME_ID}/", "BREW", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"),
        (f"/tasks/{SOME_ID}/events/", "POST", "GET, HEAD, OPTIONS"),
        (f"/tasks/{SOME_ID}/actions/", "PUT", "GET, HEAD, OPTIONS, POST"),
        (f"/tasks/{SOME_ID}/actions/1/", "POST", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/api/schema.json", "POST", "GET, HEAD, OPTIONS"),
        ("/api/docs/", "POST", "GET, HEAD, OPTIONS"),
    ],
)
@pytest.mark.parametrize("slash", [True, False])
def test_405_names_the_methods_that_are_allowed(
    api: ApiClient, path: str, method: str, allow: str, slash: bool
) -> None:
    answer = api.open(method, path.rstrip("/") + ("/" if slash else ""))

    assert_problem(answer, 405, *not_allowed(method.lower()))
    assert answer.headers["Allow"] == allow


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml, text/*",
        "application/json;q=0",
        "application/json; q=0.0, */*",
        "application/*;q=0, */*;q=1",
        "*/*;q=0",
        "",
        "json",
    ],
)
def test_406_when_json_is_not_accepted(api: ApiClient, accept: str) -> None:
    assert_problem(api.get(headers={"Accept": accept}), 406, *NOT_ACCEPTABLE)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/*",
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;indent=4;q=0.1, text/html",
        "text/html, application/xhtml+xml, */*;q=0.8",
        "application/json;q=1, */*;q=0",
        "text/html;q=0,application/*;q=0.5",
    ],
)
def test_json_is_sent_where_anything_takes_it(api: ApiClient, accept: str | None) -> None:
    answer = api.get(headers={} if accept is None else {"Accept": accept})

    body = {"next": None, "previous": None, "results": []}
    assert (answer.status_code, answer.json) == (200, body)
    assert answer.headers["Content-Type"] == "application/json"


def test_409_for_an_idempotency_key_with_another_body(api: ApiClient) -> None:
    headers = {"Idempotency-Key": "k"}
    api.post(json={"name": "one"}, headers=headers)

    answer = api.post(json={"name": "two"}, headers=headers)

    detail = "This Idempotency-Key was already used with a different request body."
    assert_problem(answer, 409, "conflict", detail)


def cancelled_action(api: ApiClient) -> str:
    task = api.create()
    action = {"trigger": "success", "integration": "email", "config": {"to": "a@example.com"}}
    made = api.post(f"/tasks/{task['id']}/actions/", json=action).json
    assert made is not None
    path = f"/tasks/{task['id']}/actions/{made['id']}/"
    assert api.delete(path).status_code == 204
    return path


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_409_for_an_update_of_a_cancelled_action(api: ApiClient, method: str) -> None:
    body = {"trigger": "error", "integration": "email", "config": {"to": "a@example.com"}}

    answer = api.open(method, cancelled_action(api), json=body)

    assert_problem(answer, 409, "conflict", "A cancelled action cannot be updated.")


def test_413_for_a_body_over_the_limit(api: ApiClient) -> None:
    answer = api.open("POST", data=b" " * (MIB + 1), content_type="application/json")

    assert_problem(answer, 413, *TOO_LARGE)


def test_413_for_a_chunked_body_over_the_limit(api: ApiClient) -> None:
    answer = send_chunked(api, b" " * (MIB + 1), **{"Content-Type": "application/json"})

    assert_problem(answer, 413, *TOO_LARGE)


def test_body_of_exactly_the_limit_is_read(api: ApiClient) -> None:
    body = b'{"name":"job"}'.ljust(MIB)

    answer = api.open("POST", data=body, content_type="application/json")

    assert answer.status_code == 201


def test_413_names_the_limit_that_was_set(api: ApiClient, make_app: MakeApp) -> None:
    small = ApiClient(make_app(MAX_BODY_BYTES=20).test_client(), api.key)

    answer = small.post(json={"name": "a name too long"})

    detail = "Request body is larger than the limit of 20 bytes."
    assert_problem(answer, 413, "payload_too_large", detail)


@pytest.mark.parametrize(
    "content_type", ["application/xml", "text/plain; charset=utf-8", "application/jsonl", "json"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_415_for_a_body_of_another_type(api: ApiClient, method: str, content_type: str) -> None:
    path = f"/tasks/{api.create()['id']}/"

    answer = api.open(method, path, data="{}", content_type=content_type)

    assert_problem(answer, 415, *media_type(content_type))


def test_415_for_a_body_without_a_type(api: ApiClient) -> None:
    answer = api.open("POST", data="{}")

    assert_problem(answer, 415, *media_type(""))


def test_415_for_a_chunked_body_without_a_type(api: ApiClient) -> None:
    assert_problem(send_chunked(api, b"{}"), 415, *media_type(""))


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"]
)
def test_parameters_of_the_media_type_are_fine(api: ApiClient, content_type: str) -> None:
    answer = api.open("POST", data='{"name":"job"}', content_type=content_type)

    assert answer.status_code == 201


def test_chunked_body_is_read(api: ApiClient) -> None:
    answer = send_chunked(api, b'{"name":"job"}', **{"Content-Type": "application/json"})

    assert (answer.status_code, (answer.json or {})["name"]) == (201, "job")


def test_chunked_body_that_is_empty_is_no_body(api: ApiClient) -> None:
    task = api.create()

    answer = send_chunked(api, b"", f"/tasks/{task['id']}/")

    assert answer.status_code == 200


def test_429_says_when_to_come_back(api: ApiClient, make_app: MakeApp) -> None:
    limited = ApiClient(make_app(RATE_LIMIT=1).test_client(), api.key)
    while limited.get().status_code == 200:
        pass

    answer = limited.get()

    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    detail = f"Request was throttled. Expected available in {seconds} seconds."
    assert_problem(answer, 429, "throttled", detail)


def test_500_tells_nothing_of_what_went_wrong(
    api: ApiClient, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(reads, "get_wire_task", fail)
    client = ApiClient(make_app(TESTING=False).test_client(), api.key)

    answer = client.get(f"/tasks/{SOME_ID}/")

    assert_problem(answer, 500, "error", "A server error occurred.", kind="server_error")


# The order of checks: each request is wrong in two neighbouring ways


def test_path_comes_before_method(api: ApiClient) -> None:
    assert_problem(api.open("BREW", "/nothing/"), 404, *NOT_FOUND)


def test_method_comes_before_accept(api: ApiClient) -> None:
    answer = api.open("DELETE", headers={"Accept": "text/html"})

    assert_problem(answer, 405, *not_allowed("delete"))


def test_accept_comes_before_authentication(api: ApiClient) -> None:
    api.key = None

    assert_problem(api.get(headers={"Accept": "text/html"}), 406, *NOT_ACCEPTABLE)


def test_authentication_comes_before_the_project(api: ApiClient) -> None:
    api.key = "wrong"

    assert_problem(api.get("/api/no/where/tasks/"), 401, *AUTHENTICATION_FAILED)


def test_project_comes_before_the_rate_limit(api: ApiClient, make_app: MakeApp) -> None:
    limited = ApiClient(make_app(RATE_LIMIT=1).test_client(), api.key)
    while limited.get().status_code == 200:
        pass

    assert_problem(limited.get("/api/acme/other/tasks/"), 404, *NOT_FOUND)


def test_rate_limit_comes_before_the_size(api: ApiClient, make_app: MakeApp) -> None:
    limited = ApiClient(make_app(RATE_LIMIT=1).test_client(), api.key)
    while limited.get().status_code == 200:
        pass

    answer = limited.open("POST", data=b" " * (MIB + 1), content_type="application/json")

    assert answer.status_code == 429


def test_size_comes_before_the_media_type(api: ApiClient) -> None:
    answer = api.open("POST", data=b" " * (MIB + 1), content_type="application/xml")
    chunked = send_chunked(api, b" " * (MIB + 1))

    assert_problem(answer, 413, *TOO_LARGE)
    assert_problem(chunked, 413, *TOO_LARGE)


def test_media_type_comes_before_parsing(api: ApiClient) -> None:
    answer = api.open("POST", data="{", content_type="application/xml")

    assert_problem(answer, 415, *media_type("application/xml"))


@pytest.mark.parametrize("path", [f"/tasks/{SOME_ID}/", f"/tasks/{SOME_ID}/actions/1/"])
def test_parsing_comes_before_the_task(api: ApiClient, path: str) -> None:
    answer = api.open("PATCH", path, data="{", content_type="application/json")

    assert (answer.status_code, (answer.json or {})["errors"][0]["code"]) == (400, "parse_error")


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
@pytest.mark.parametrize("body", [{"status": "foo"}, [], {"data": "\ud800"}])
def test_task_comes_before_its_fields(api: ApiClient, method: str, body: Any) -> None:
    assert_problem(api.open(method, f"/tasks/{SOME_ID}/", json=body), 404, *NOT_FOUND)


def test_task_comes_before_the_parameters_of_its_history(api: ApiClient) -> None:
    answer = api.get(f"/tasks/{SOME_ID}/events/?page_size=none")

    assert_problem(answer, 404, *NOT_FOUND)


@pytest.mark.parametrize("task_exists", [True, False])
@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_action_comes_before_its_fields(api: ApiClient, task_exists: bool, method: str) -> None:
    task_id = api.create()["id"] if task_exists else SOME_ID

    answer = api.open(method, f"/tasks/{task_id}/actions/1/", json={"trigger": "never"})

    assert_problem(answer, 404, *NOT_FOUND)


@pytest.mark.parametrize(
    "changes", [{"trigger": "never"}, {"integration": "webhook:none"}, {"config": {"to": "x"}}]
)
def test_fields_of_an_action_come_before_its_being_cancelled(
    api: ApiClient, changes: dict[str, Any]
) -> None:
    answer = api.patch(cancelled_action(api), json=changes)

    assert (answer.status_code, (answer.json or {})["type"]) == (400, "validation_error")


@pytest.mark.parametrize("body", [{"name": ""}, {"name": "two", "parent": SOME_ID}])
def test_fields_come_before_a_used_idempotency_key(api: ApiClient, body: dict[str, Any]) -> None:
    headers = {"Idempotency-Key": "k"}
    api.post(json={"name": "one"}, headers=headers)

    answer = api.post(json=body, headers=headers)

    assert (answer.status_code, (answer.json or {})["type"]) == (400, "validation_error")
    assert len((api.get().json or {})["results"]) == 1


# What else the section says


@pytest.mark.parametrize("path", ["/tasks", "/tasks/"])
def test_head_follows_get(api: ApiClient, path: str) -> None:
    api.create()

    answer = api.open("HEAD", path)

    same = api.get(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == same.headers["Content-Length"]
    assert answer.headers["Content-Type"] == "application/json"


def test_head_of_an_error_has_its_headers_alone(api: ApiClient) -> None:
    answer = api.open("HEAD", f"/tasks/{SOME_ID}/")

    assert (answer.status_code, answer.data) == (404, b"")


@pytest.mark.parametrize("slash", ["", "/"])
def test_options_needs_no_key(api: ApiClient, slash: str) -> None:
    api.key = None

    answer = api.open("OPTIONS", f"/tasks/{SOME_ID}{slash}")

    allowed = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
    assert (answer.status_code, set(answer.headers["Allow"].split(", "))) == (200, allowed)


@pytest.mark.parametrize("path", ["/tasks", "/api/schema.json", "/api/docs"])
def test_path_answers_alike_with_and_without_its_slash(api: ApiClient, path: str) -> None:
    bare, whole = api.get(path), api.get(f"{path}/")

    assert (bare.status_code, bare.data) == (whole.status_code, whole.data)
    assert bare.status_code == 200


path_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    path=st.lists(path_text, max_size=6).map("/".join),
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "X"]),
    query=st.text(st.characters(max_codepoint=255), max_size=30),
)
def test_no_path_gets_past_the_shape(api: ApiClient, path: str, method: str, query: str) -> None:
    environ = {"PATH_INFO": f"/api/{path}".encode().decode("latin-1"), "QUERY_STRING": query}

    answer = api.open(method, "/api/x", environ_overrides=environ)

    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/json"
        if method != "HEAD":
            assert set(answer.json or {}) == {"type", "errors"}
    assert answer.status_code < 500
