"""Plug-ins, installed for real: the one of the documents works, and one that fails is named."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT, ApiClient, make_key
from flask import Flask
from processes import install_plugin, run_server, serve

from taskbadger import channels, plugins

MakeApp = Callable[..., Flask]

DOCUMENT = (ROOT / "docs/plugins.md").read_text()


def documented_plugin(number: int = 0) -> str:
    """Return a Python block of docs/plugins.md: the endpoint, then the channel."""
    sources = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    return str(sources[number])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python looks for packages in; what a test imported from it is forgotten."""
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(packages)
    yield packages
    for module in packages.glob("*.py"):
        sys.modules.pop(module.stem, None)


def test_the_documents_plugin_answers_and_is_in_the_openapi_document(
    folder: Path, make_app: MakeApp
) -> None:
    install_plugin(folder, "hello", documented_plugin())

    client = make_app(PLUGINS=True).test_client()

    answer = client.get("/api/hello/")
    assert (answer.status_code, answer.json) == (200, {"hello": "world"})
    assert "/api/hello/" in client.get("/api/schema.json").json["paths"]
    missing = client.get("/api/hello/nobody")
    assert missing.json["errors"][0]["code"] == "not_found"


def test_a_real_server_loads_what_is_installed(folder: Path, tmp_path: Path) -> None:
    install_plugin(folder, "hello", documented_plugin())

    with serve(tmp_path / "home", "--no-worker", PYTHONPATH=str(folder)) as server:
        assert server.get("/api/hello/") == (200, b'{"hello":"world"}\n')


def test_the_documents_channel_delivers(
    folder: Path, make_app: MakeApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_channels", dict(channels._channels))
    install_plugin(folder, "file", documented_plugin(1))
    client = make_app(PLUGINS=True).test_client()
    admin = ApiClient(client, make_key(slug=None, scopes="admin"), "/api/acme/-")
    inbox = tmp_path / "inbox.txt"

    made = admin.post(
        "/channels/", {"kind": "file", "slug": "inbox", "config": {"path": str(inbox)}}
    )
    tested = admin.post("/channels/file:inbox/test/")

    assert (made.status_code, tested.json["delivered"]) == (201, True)
    assert inbox.read_text().startswith(f"{tested.json['delivery']} ")


def test_plugins_can_be_turned_off(folder: Path, make_app: MakeApp) -> None:
    install_plugin(folder, "hello", documented_plugin())

    client = make_app(PLUGINS=False).test_client()

    assert client.get("/api/hello/").status_code == 404


def test_plugins_are_registered_after_ours_and_by_name(folder: Path, make_app: MakeApp) -> None:
    source = "def register(app, api):\n    app.extensions.setdefault('seen', []).append(__name__)\n"
    source += "    assert 'tasks' in app.blueprints\n"
    for name in ("later", "early"):
        install_plugin(folder, name, source)

    app = make_app(PLUGINS=True)

    assert app.extensions["seen"] == ["taskbadger_early", "taskbadger_later"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def register(app, api):\n    raise ZeroDivisionError('oh')\n", ZeroDivisionError),
        ("import no_such_module\n", ModuleNotFoundError),
        ("", AttributeError),
    ],
)
def test_a_plugin_that_fails_stops_the_start_and_is_named(
    folder: Path, make_app: MakeApp, source: str, error: type[Exception]
) -> None:
    install_plugin(folder, "broken", source)

    with pytest.raises(error) as raised:
        make_app(PLUGINS=True)

    assert raised.value.__notes__ == ["raised by the Task Badger plug-in “broken”"]


def test_one_of_ours_that_fails_is_named_too(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def register(app: Flask, api: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(plugins, "BUILT_IN", (register,))

    with pytest.raises(ZeroDivisionError) as raised:
        make_app()

    assert raised.value.__notes__ == [f"raised by the Task Badger plug-in “{__name__}”"]


def test_serve_shows_which_plugin_failed(folder: Path, tmp_path: Path) -> None:
    install_plugin(folder, "broken", "def register(app, api):\n    raise ZeroDivisionError('oh')\n")

    done = run_server("serve", home=tmp_path, PYTHONPATH=str(folder))

    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "ZeroDivisionError: oh",
        "raised by the Task Badger plug-in “broken”",
    ]
