"""The Host of a request is one that links can start with, or the answer is a 400."""

from typing import Any

import pytest
from answers import assert_problem
from conftest import ApiClient
from flask import Flask
from people import make_member, session_cookie
from werkzeug.test import create_environ, run_wsgi_app
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.blueprints.hosts import read_host
from taskbadger.extensions import db

INVALID = ("parse_error", "The Host header does not name a valid host.")
LABEL = "a" * 63
BAD = [
    *("", " ", "..", ".a", "a..b", "a" * 64, f"{LABEL}." * 3 + LABEL, "xn--a", "xn--", "xn--a:80"),
    *("a/b", "a\\b", "a?b", "a#b", "u@h", "a b", "a:99999", "a:0", "a:b", "a:", ":80"),
    *("[", "[]", "[::1", "::1", "[g::]", "a\x00b", "bücher.example", "a, b", "<script>", "%00"),
    *("_:99999", "a_b/c", "_" * 64, "a_b..c"),
]
GOOD = {
    "localhost": "localhost",
    "badger.example:8000": "badger.example:8000",
    "badger.example:80": "badger.example",
    "127.0.0.1:8000": "127.0.0.1:8000",
    "[::1]:8000": "[::1]:8000",
    "task_badger:8000": "task_badger:8000",
    "task_badger:80": "task_badger",
    "_": "_",
    "a.": "a.",
    f"{LABEL}.example": f"{LABEL}.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
}


def send(app: Flask, path: str, host: str, **headers: str) -> Response:
    """Send a GET; werkzeug's own client cannot, as it reads the host as a URL."""
    environ = create_environ(path, headers={"Host": host, **headers})
    db.session.rollback()
    with app.app_context():
        return Response(*run_wsgi_app(app, environ, buffered=True))


@pytest.mark.parametrize("host", BAD)
def test_invalid_host_is_a_400_of_the_api(app: Flask, api: ApiClient, host: str) -> None:
    task = api.create()

    for path in ("/tasks/", f"/tasks/{task['id']}/", "/nothing/"):
        answer: Any = send(app, api.base + path, host, Authorization=f"Bearer {api.key}")
        assert_problem(answer, 400, *INVALID)


@pytest.mark.parametrize("host", BAD)
def test_invalid_host_is_a_page_with_links(app: Flask, host: str) -> None:
    owner = f"{COOKIE}={session_cookie(make_member())}"

    for path, cookie in (("/a/acme/", owner), ("/a/acme", ""), ("/healthz", ""), ("/no", owner)):
        answer = send(app, path, host, Cookie=cookie)

        page = answer.get_data(as_text=True)
        assert (answer.status_code, INVALID[1] in page) == (400, True)
        assert 'href="/assets/dashboard.css?v=' in page


@pytest.mark.parametrize("host", GOOD)
def test_links_start_with_the_host(api: ApiClient, host: str) -> None:
    start = f"http://{GOOD[host]}"
    task = api.create()
    api.create()

    one: Any = api.get(f"/tasks/{task['id']}/", headers={"Host": host}).json
    page: Any = api.get("/tasks/?page_size=1", headers={"Host": host}).json

    assert (one["url"], one["public_url"]) == (
        f"{start}/a/acme/tasks/{task['id']}/",
        f"{start}/public/tasks/{task['id']}/",
    )
    assert page["next"].startswith(f"{start}/api/acme/web/tasks/?cursor=")


@pytest.mark.parametrize("host", GOOD)
def test_redirects_stay_on_the_host(app: Flask, host: str) -> None:
    answer = app.test_client().get("/a/acme/tasks", headers={"Host": host})

    assert (answer.status_code, answer.location) == (308, f"http://{GOOD[host]}/a/acme/tasks/")


def test_request_without_a_host_names_the_address_of_the_server() -> None:
    environ = {"wsgi.url_scheme": "http", "SERVER_NAME": "10.0.0.1", "SERVER_PORT": "8000"}

    assert read_host(environ) == "10.0.0.1:8000"
