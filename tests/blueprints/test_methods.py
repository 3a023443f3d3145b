"""Every route names its methods: in ``Allow``, on OPTIONS and on a 405."""

from contextlib import suppress
from typing import Any

import pytest
from answers import assert_problem
from blueprints.dashboard.routes import path_of
from conftest import NO_DATABASE, settings
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import RequestRedirect, Rule

from taskbadger.app import create_app

KNOWN = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
METHODS = (*KNOWN, "TRACE", "PROPFIND", "BREW")


def make_offline_app() -> Flask:
    """Return an application whose database is not there."""
    return create_app(settings(DATABASE_URL=NO_DATABASE))


RULES = sorted(make_offline_app().url_map.iter_rules(), key=lambda rule: (rule.rule, rule.endpoint))


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make_offline_app().test_client()


def allowed(client: FlaskClient, path: str) -> set[str]:
    """Return the methods for which some route matches *path* without a redirect."""
    routes = client.application.url_map.bind("localhost")
    found = set()
    for method in METHODS:
        with suppress(MethodNotAllowed, RequestRedirect):
            routes.match(path, method)
            found.add(method)
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.rule} {rule.endpoint}")
def test_allow_names_exactly_the_methods_of_the_path(client: FlaskClient, rule: Rule) -> None:
    path = path_of(rule)
    methods = allowed(client, path)
    allow = ", ".join(sorted(methods))

    options = client.options(path)

    assert {"HEAD", "OPTIONS"} <= methods if "GET" in methods else "OPTIONS" in methods
    is_healthchecks = rule.endpoint.startswith("healthchecks_api.")
    status = 204 if is_healthchecks else 200
    assert (options.status_code, options.data, options.headers["Allow"]) == (status, b"", allow)
    for method in sorted(set(METHODS) - methods):
        answer = client.open(path, method=method)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allow), method
        if is_healthchecks:
            assert method == "HEAD" or set(answer.json) == {"error"}
        elif path.startswith("/api/") and method != "HEAD":
            detail = f"Method “{method.lower()}” not allowed."
            assert_problem(answer, 405, "method_not_allowed", detail)


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/acme/web/monitors/1/", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/api/acme/-/global-actions/dry-run/", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("/api/acme/-/deliveries/replay/", "GET, HEAD, OPTIONS, POST"),
        ("/a/acme/tasks/", "GET, HEAD, OPTIONS"),
        ("/a/acme/settings/keys/", "GET, HEAD, OPTIONS, POST"),
        ("/a/acme/tasks/cancel", "OPTIONS, POST"),
        ("/sign-out", "OPTIONS, POST"),
        ("/public/tasks/x/", "GET, HEAD, OPTIONS"),
        ("/assets/base.css", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
    ],
)
def test_allow_of_some_paths(client: FlaskClient, path: str, allow: str) -> None:
    found: dict[str, Any] = {
        method: client.open(path, method=method).headers["Allow"] for method in ("OPTIONS", "BREW")
    }

    assert found == {"OPTIONS": allow, "BREW": allow}
