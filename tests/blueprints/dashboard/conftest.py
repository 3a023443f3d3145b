"""Browsers in which somebody is signed in."""

import threading
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from people import WebClient, browser_for, make_member

from taskbadger.blueprints.dashboard.guide import demo
from taskbadger.caches import TimedCache
from taskbadger.extensions import db
from taskbadger.process import process_of


@pytest.fixture
def web(app: Flask) -> WebClient:
    """The browser of the owner of the organization ``acme``."""
    return browser_for(app, make_member())


@pytest.fixture
def fresh_versions(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open pages see each change at once, not after VERSION_SECONDS."""
    monkeypatch.setattr(process_of(app), "versions", TimedCache(0.0))


@pytest.fixture
def wait_for_demo(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Let demo tasks run fast, and to their end before the test does."""
    monkeypatch.setattr(demo, "STEP_SECONDS", 0.001)

    def wait() -> None:
        db.session.rollback()
        for thread in threading.enumerate():
            if thread.name == demo.THREAD:
                thread.join(30)

    yield wait
    wait()
