"""Static files: who may keep them, and for how long."""

import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from taskbadger.blueprints import assets

STYLE = (assets.FOLDER / "docs.css").read_bytes()


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
        return assets.asset_url("docs.css")


def test_current_version_may_be_kept_forever(app: Flask, client: FlaskClient) -> None:
    response = client.get(address(app))

    assert (response.data, response.headers["Cache-Control"], response.mimetype) == (
        STYLE,
        "public, max-age=31536000, immutable",
        "text/css",
    )


@pytest.mark.parametrize("query", ["", "?v=00000000"])
def test_any_other_version_is_asked_for_again(client: FlaskClient, query: str) -> None:
    response = client.get(f"/assets/docs.css{query}")

    assert (response.data, response.headers["Cache-Control"]) == (STYLE, "no-cache")


def test_unchanged_file_is_not_sent_again(client: FlaskClient) -> None:
    etag = client.get("/assets/docs.css").headers["ETag"]

    response = client.get("/assets/docs.css", headers={"If-None-Match": etag})

    assert (response.status_code, response.data) == (304, b"")


def test_file_is_sent_compressed_to_those_who_take_it(client: FlaskClient) -> None:
    response = client.get("/assets/docs.css", headers={"Accept-Encoding": "gzip"})

    assert response.headers["Content-Encoding"] == "gzip"
    assert response.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(response.data) == STYLE


def test_address_keeps_the_prefix_of_a_proxy(app: Flask) -> None:
    assert address(app, "/badger").startswith("/badger/assets/docs.css?v=")


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


def test_modules_import_each_other_by_their_versions(app: Flask, client: FlaskClient) -> None:
    pages, remaining = {}, ["page.js", "live.js", "charts.js"]
    while remaining:
        name = remaining.pop()
        pages[name] = client.get(f"/assets/{name}").text
        for imported, version in re.findall(r'^import .*"\./([a-z]+\.js)(.*)";', pages[name], re.M):
            with app.test_request_context():
                assert assets.asset_url(imported) == f"/assets/{imported}{version}"
            remaining.append(imported)

    assert {"times.js", "morph.js", "toasts.js"} <= pages.keys()


CACHES = (assets._read, assets._files, assets._modules, assets._parts)


@pytest.fixture
def folder(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder in place of the one whose files are served, in debug mode."""
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    monkeypatch.setattr(app, "debug", True)
    for cache in CACHES:
        cache.cache_clear()
    with app.app_context():
        yield tmp_path
    for cache in CACHES:
        cache.cache_clear()


def edit(path: Path, text: str) -> None:
    path.write_text(text)
    later = path.stat().st_mtime + 1
    os.utime(path, (later, later))


def test_version_of_a_module_changes_with_what_it_imports(folder: Path) -> None:
    scripts = {"a.js": 'import "./b.js";\n', "b.js": 'import "./c.js";\n', "c.js": "1\n"}
    for name, text in scripts.items():
        (folder / name).write_text(text)
    first = assets.find_asset("a.js")

    edit(folder / "c.js", "2\n")
    second = assets.find_asset("a.js")

    assert first is not None
    assert second is not None
    assert first.version != second.version


def test_edited_file_is_read_again_in_debug_mode_only(app: Flask, folder: Path) -> None:
    (folder / "a.js").write_text("1\n")
    app.debug = False
    first = assets.find_asset("a.js")

    edit(folder / "a.js", "2\n")

    assert assets.find_asset("a.js") is first
    app.debug = True
    assert assets.find_asset("a.js") != first


def test_sheet_is_sent_joined_with_what_it_imports_in_that_order(folder: Path) -> None:
    (folder / "styles").mkdir()
    (folder / "page.css").write_text(
        '/* 1 */\n@import "./styles/b.css";\n@import "./styles/a.css";\n'
    )
    (folder / "styles/a.css").write_text("a {}\n")
    (folder / "styles/b.css").write_text("b {}\n")
    first = assets.find_asset("page.css")

    edit(folder / "styles/a.css", "a { top: 0 }\n")
    second = assets.find_asset("page.css")

    assert first is not None
    assert second is not None
    assert (first.body, second.body) == (
        b"/* 1 */\nb {}\n\na {}\n\n",
        b"/* 1 */\nb {}\n\na { top: 0 }\n\n",
    )
    assert first.version != second.version


def test_pages_get_every_sheet_once_in_one_file(app: Flask) -> None:
    with app.app_context():
        asset = assets.find_asset("dashboard.css")
    sheets = sorted(path.read_bytes() for path in (assets.FOLDER / "styles").iterdir())
    named = re.findall(
        rb'"\./(styles/[a-z]+\.css)"', (assets.FOLDER / "dashboard.css").read_bytes()
    )

    assert asset is not None
    assert sorted((assets.FOLDER / name.decode()).read_bytes() for name in named) == sheets
    assert b"@import" not in asset.body
    assert all(sheet in asset.body for sheet in sheets)


COMPOSED = {"ok", "bad", "warn", "run", "idle", "json-number", "json-word"}
"""Classes whose names templates make of values."""


def classes_in_use() -> set[str]:
    """Return the classes that the templates of the pages and the scripts name."""
    folder = assets.FOLDER.parent.parent
    paths = [path for part in ("dashboard", "public") for path in folder.glob(f"{part}/**/*.html")]
    text = "".join(path.read_text() for path in [*paths, *folder.glob("dashboard/**/*.svg")])
    lists = re.findall(r"{% block body_class %}(.*?){%", text)
    lists += re.findall(r'class="([^"]*)"', re.sub(r"{{.*?}}|{%.*?%}", " ", text, flags=re.DOTALL))
    for path in assets.FOLDER.glob("*.js"):
        lists += re.findall(r'(?:className: |classList.add\()"(.*?)"', path.read_text())
    return {name for one in lists for name in one.split() if not name.endswith("-")}


def test_each_class_of_the_pages_has_a_style_and_no_style_is_unused(app: Flask) -> None:
    with app.app_context():
        asset = assets.find_asset("dashboard.css")
    assert asset is not None
    selectors = re.sub(r'/\*.*?\*/|"[^"]*"', "", asset.body.decode(), flags=re.DOTALL)
    # uPlot names its own classes u-….
    styled = set(re.findall(r"\.(?!u-)([a-z][\w-]*)", selectors))

    assert styled == classes_in_use() | COMPOSED
