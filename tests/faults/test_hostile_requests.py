"""Hostile requests to a real server: no 500, one shape of errors below /api/, no secret logged."""

import json
import os
import random
import re
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from blueprints.dashboard.filled import addresses, fill, first
from blueprints.dashboard.form_filling import PageForm, read_forms
from blueprints.dashboard.routes import is_door_api, path_of
from conftest import make_key, settings
from faults.attack import MAX_SHOWN, attack
from faults.hostile import Endpoint, World
from flask import Flask
from people import PASSWORD
from processes import Server, serve, wait_until
from test_serving import is_ready

from taskbadger.app import create_app
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig

COUNT = int(os.environ.get("TASKBADGER_TEST_HOSTILE", "300"))
"""Requests for each database; ``make faults`` asks for more."""
SEED = int(os.environ.get("TASKBADGER_TEST_SEED", "0")) or random.randrange(1, 10**6)
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "job"

pytestmark = pytest.mark.timeout(300 + COUNT // 10)


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Server]:
    options = ("--workers", "2", "--threads", "4", "--no-worker")
    with serve(tmp_path / "home", *options, TASKBADGER_DATABASE_URL=database) as server:
        wait_until(lambda: is_ready(server), "a server")
        yield server


def endpoints(app: Flask, known: dict[str, str]) -> list[Endpoint]:
    """Return each endpoint of the API, with ids that exist."""
    document: Any = app.test_client().get("/api/schema.json").json
    found = []
    for rule in app.url_map.iter_rules():
        if is_door_api(rule):  # Its errors have another shape.
            continue
        path = path_of(rule).replace("/x/tasks/", "/web/tasks/").replace("/x/mon", "/web/mon")
        for subject, value in known.items():
            path = re.sub(rf"(?<=/{subject}/)x(?=/|$)", value, path)
        path = re.sub(r"(?<=/)x(?=/|$)", "1", path)
        if path.startswith("/api/"):
            described = document["paths"].get(re.sub(r"<(\w+)>", r"{\1}", rule.rule), {})
            found += [
                Endpoint(method, path, statuses_of(described.get(method.lower())))
                for method in sorted(rule.methods or ())
            ]
    return found


def statuses_of(operation: dict[str, Any] | None) -> frozenset[int]:
    """Return what an operation may answer; nothing for the hosted ones, which do not say."""
    statuses = frozenset(int(status) for status in (operation or {}).get("responses", ()))
    return statuses if any(status >= 400 for status in statuses) else frozenset()


@contextmanager
def signed_in(address: str) -> Iterator[httpx2.Client]:
    """A browser in which the owner has signed in."""
    with httpx2.Client(base_url=address, trust_env=False, timeout=60) as browser:
        (form,) = read_forms("/sign-in", browser.get("/sign-in").text)
        typed = form.standing | {"email": "ada@example.org", "password": PASSWORD}
        assert browser.post(form.action, data=typed).status_code == 303
        yield browser


def explore(address: str, database: str) -> World:
    """Fill the server's database with something of everything, and look around."""
    app = create_app(settings(DATABASE_URL=database))
    with app.app_context():
        fill(TEXT, stop=2)
        first(ChannelConfig).config = json.dumps(
            {"url": "https://127.0.0.1/", "headers": {}, "secret": WEBHOOK_SECRET}
        )
        db.session.commit()
        found = addresses(TEXT)
        pages = [path for some in found.values() for path in some]
        keys = [make_key(scopes="admin"), make_key(slug=None, scopes="admin"), make_key()]
        known = {
            subject: found[f"dashboard.{page}"][0].split("/")[at]
            for subject, page, at in (
                ("tasks", "task", 4),
                ("monitors", "monitor", 4),
                ("deliveries", "delivery", 5),
                ("projects", "project_settings", 5),
                ("channels", "edit_channel", 5),
            )
        }
        api = endpoints(app, known)
        db.session.remove()
        db.engine.dispose()
    with signed_in(address) as browser:
        forms = [form for path in pages for form in read_forms(path, browser.get(path).text)]
        cookies = dict(browser.cookies)
    return World(api, pages, forms, keys, cookies, secrets_of(keys, cookies, forms))


def secrets_of(keys: list[str], cookies: dict[str, str], forms: list[PageForm]) -> list[str]:
    """Return what must not be logged, in each form in which it is sent."""
    bare = [b64decode(key).decode().split("/")[-1] if "." not in key else key for key in keys]
    tokens = {form.standing["csrf_token"] for form in forms if "csrf_token" in form.standing}
    return [*keys, *bare, *cookies.values(), *tokens, PASSWORD, WEBHOOK_SECRET]


def workers(server: Server) -> set[int]:
    return {child.pid for child in server.gunicorn.children()}


def test_hostile_requests_break_nothing(
    server: Server, database: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    address = server.address
    world = explore(address, database)
    before = workers(server)

    verdict = attack(address, world, COUNT, SEED)

    with capsys.disabled():
        sys.stdout.write(f"\n{verdict.line(backend, SEED)}\n")
    log = server.log.read_text()
    errors = [line for line in server.lines if line["level"] in ("error", "critical")]
    assert verdict.faults[:MAX_SHOWN] == []
    assert errors[:MAX_SHOWN] == []
    assert [secret for secret in world.secrets if secret in log] == []
    assert workers(server) == before
    assert is_ready(server)
