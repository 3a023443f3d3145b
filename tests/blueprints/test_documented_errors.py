"""The error responses that the OpenAPI document promises are those that are answered.

The hosted service's operations have none in it; those of our own have all that can happen.
"""

from collections.abc import Callable
from typing import Any

import pytest
from conftest import NO_DATABASE, ApiClient, make_key, settings
from flask import Flask
from werkzeug.test import TestResponse

from taskbadger.app import create_app

MakeApp = Callable[..., Flask]
HOSTED = {
    f"{subject}_{verb}"
    for subject in ("task", "action")
    for verb in ("list", "create", "get", "update", "partial_update", "cancel")
}
PARTS = {"organization_slug": "acme", "project_slug": "web", "slug": "web"}
METHODS = ("get", "post", "put", "patch", "delete")
MIB = 1024 * 1024
MONITOR = {"name": "nightly", "type": "cron", "schedule": "@daily"}


def make_offline_app() -> Flask:
    """Return an application whose database is not there."""
    return create_app(settings(DATABASE_URL=NO_DATABASE))


DOCUMENT: Any = make_offline_app().test_client().get("/api/schema.json").json
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
OWN = sorted(OPERATIONS.keys() - HOSTED)
TAKES_BODY = [name for name in OWN if "requestBody" in OPERATIONS[name][2]]
TAKES_QUERY = [
    name
    for name in OWN
    if any(one["in"] == "query" for one in OPERATIONS[name][2].get("parameters", ()))
]


def call(client: ApiClient, name: str, *, known: str = "1", **options: Any) -> TestResponse:
    """Send a request to an operation on what has the id *known*."""
    method, path, operation = OPERATIONS[name]
    for parameter in operation["parameters"]:
        part = PARTS.get(parameter["name"], known)
        path = path.replace(f"{{{parameter['name']}}}", part)
    return client.open(method, path, **options)


def assert_documented(answer: TestResponse, name: str, status: int) -> None:
    """Check status and shape, and that the document has them."""
    assert (answer.status_code, answer.content_type) == (status, "application/json"), answer.text
    described = OPERATIONS[name][2]["responses"][str(status)]
    component = DOCUMENT["components"]["responses"][described["$ref"].rpartition("/")[2]]
    schema = component["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Error"}
    assert set(component.get("headers", ())) <= set(answer.headers.keys())
    assert set(answer.json or {}) == {"type", "errors"}


@pytest.fixture
def client(app: Flask, project: object) -> ApiClient:
    return ApiClient(app.test_client(), make_key(slug=None, scopes="admin"))


@pytest.mark.parametrize("name", sorted(HOSTED))
def test_hosted_operations_have_no_error_responses(name: str) -> None:
    assert {status[0] for status in OPERATIONS[name][2]["responses"]} == {"2"}


@pytest.mark.parametrize("name", OWN)
def test_documented_errors_of_the_request(client: ApiClient, make_app: MakeApp, name: str) -> None:
    method, _, _ = OPERATIONS[name]
    other = "ingest" if method == "GET" else "read"
    unable = ApiClient(client.client, make_key(slug=None, scopes=other))
    elsewhere = ApiClient(client.client, make_key("elsewhere", None, scopes="admin"))
    limited = ApiClient(make_app(RATE_LIMIT=1).test_client(), client.key)
    limited.get("/api/acme/-/projects/")
    limited.get("/api/acme/-/projects/")

    assert_documented(call(ApiClient(client.client, None), name), name, 401)
    assert_documented(call(unable, name), name, 403)
    assert_documented(call(elsewhere, name), name, 404)
    assert_documented(call(client, name, headers={"Accept": "text/html"}), name, 406)
    assert_documented(call(limited, name), name, 429)


@pytest.mark.parametrize("name", TAKES_BODY)
def test_documented_errors_of_the_body(client: ApiClient, name: str) -> None:
    json = "application/json"

    assert_documented(call(client, name, data="{", content_type=json), name, 400)
    large = b" " * (4 * MIB + 1 if name == "task_batch" else MIB + 1)
    assert_documented(call(client, name, data=large, content_type=json), name, 413)
    assert_documented(call(client, name, data="{}", content_type="text/plain"), name, 415)


@pytest.mark.parametrize("name", TAKES_QUERY)
def test_documented_errors_of_the_query(client: ApiClient, name: str) -> None:
    monitor = client.post("/monitors/", MONITOR).json or {}
    subject = name.partition("_")[0]
    known = {"monitor": monitor["id"], "task": client.create()["id"]}

    answer = call(
        client, name, known=known.get(subject, "1"), query_string={"page_size": 0, "count": 0}
    )

    assert_documented(answer, name, 400)


@pytest.mark.parametrize("name", OWN)
def test_documented_errors_of_the_database(name: str) -> None:
    app = make_offline_app()
    method, path, _ = OPERATIONS[name]

    answer = app.test_client().open(path, method=method, headers={"Authorization": "Bearer a.key"})

    assert_documented(answer, name, 503)


def test_no_other_errors_are_documented_but_conflicts() -> None:
    always = {"401", "403", "404", "406", "429", "503"}
    found = {
        name: set(OPERATIONS[name][2]["responses"])
        - always
        - ({"400", "413", "415"} if name in TAKES_BODY else set())
        - ({"400"} if name in TAKES_QUERY else set())
        for name in OWN
    }

    # Their answers are in test_channels.py, test_deliveries.py and test_incidents.py.
    assert {name for name, left in found.items() if "409" in left} == {
        "channel_create",
        "channel_test",
        "delivery_replay",
        "incident_acknowledge",
        "incident_snooze",
    }
    assert {status[0] for left in found.values() for status in left - {"409"}} == {"2"}
