"""Browsers in which somebody is signed in."""

import pytest
from flask import Flask
from people import WebClient, browser_for, make_member

from taskbadger.caches import TimedCache
from taskbadger.process import process_of


@pytest.fixture
def web(app: Flask) -> WebClient:
    """The browser of the owner of the organization ``acme``."""
    return browser_for(app, make_member())


@pytest.fixture
def fresh_versions(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let open pages see each change at once, not after VERSION_SECONDS."""
    monkeypatch.setattr(process_of(app), "versions", TimedCache(0.0))
