"""Static files: who may keep them, and for how long."""

import gzip

import pytest
from flask import Flask
from flask.testing import FlaskClient

from taskbadger.blueprints import assets

STYLE = (assets.FOLDER / "dashboard.css").read_bytes()


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__, static_folder=None)
    assets.register(app, None)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def address(app: Flask, root: str = "") -> str:
    with app.test_request_context("/", base_url=f"http://localhost{root}"):
        return assets.asset_url("dashboard.css")


def test_current_version_may_be_kept_forever(app: Flask, client: FlaskClient) -> None:
    response = client.get(address(app))

    assert (response.data, response.headers["Cache-Control"], response.mimetype) == (
        STYLE,
        "public, max-age=31536000, immutable",
        "text/css",
    )


@pytest.mark.parametrize("query", ["", "?v=00000000"])
def test_any_other_version_is_asked_for_again(client: FlaskClient, query: str) -> None:
    response = client.get(f"/assets/dashboard.css{query}")

    assert (response.data, response.headers["Cache-Control"]) == (STYLE, "no-cache")


def test_unchanged_file_is_not_sent_again(client: FlaskClient) -> None:
    etag = client.get("/assets/dashboard.css").headers["ETag"]

    response = client.get("/assets/dashboard.css", headers={"If-None-Match": etag})

    assert (response.status_code, response.data) == (304, b"")


def test_file_is_sent_compressed_to_those_who_take_it(client: FlaskClient) -> None:
    response = client.get("/assets/dashboard.css", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(response.data) == STYLE


def test_address_keeps_the_prefix_of_a_proxy(app: Flask) -> None:
    assert address(app, "/badger").startswith("/badger/assets/dashboard.css?v=")


@pytest.mark.parametrize(
    "path", ["../__init__.py", "%2e%2e/__init__.py", "vendor", "vendor/pico/LICENSE.md", "no.css"]
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/assets/{path}").status_code == 404


def test_unknown_asset_fails_where_it_is_named(app: Flask) -> None:
    with app.test_request_context(), pytest.raises(FileNotFoundError):
        assets.asset_url("no.css")


def test_icon_is_at_its_old_address_too(client: FlaskClient) -> None:
    response = client.get("/favicon.ico")

    assert (response.status_code, response.mimetype) == (200, "image/svg+xml")
