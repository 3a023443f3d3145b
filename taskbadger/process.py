"""The state of a process: its settings, what start-up found out, and what it keeps in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flask import Flask, current_app

from taskbadger.caches import SharedTexts, TimedCache
from taskbadger.channels import SendContext
from taskbadger.domain.identity import Access, ProjectRef, ProviderMetadata
from taskbadger.settings import Settings

KEY_SECONDS = 3.0
"""How long a process trusts a cached key. docs/contract.md#authentication allows 5 in all."""
VERSION_SECONDS = 2.0
"""How old the version of an open page may be: as often as such a page asks."""
COUNT_SECONDS = 5.0
"""How old the numbers beside tabs may be on an open page."""
FIGURE_SECONDS = 60.0
"""How old figures over months may be on an open page."""
PROVIDER_SECONDS = 600.0
OUTAGE_SECONDS = 10.0
"""How often the reason of an outage is logged."""
PAGE_SECONDS = 60.0
ROW_SECONDS = 300.0
METRICS_SECONDS = 10.0
"""How old the figures of ``/metrics`` may be."""
MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_ROW_BYTES = 8 * 1024 * 1024
MAX_METRICS_BYTES = 16 * 1024 * 1024
_EXTENSION = "taskbadger"

SendHint = Callable[[list[str]], None]
"""Tells a worker which deliveries a commit has queued: a hint, which may get lost."""


@dataclass
class ProcessState:
    """What one process knows, shared by its threads; tests may replace any part of it."""

    settings: Settings
    send_hint: SendHint | None = None
    """None where nobody listens."""
    keys: TimedCache[str, Access] = field(default_factory=lambda: TimedCache(KEY_SECONDS))
    """What API keys open, by the digest of the key."""
    projects: TimedCache[tuple[int, str], ProjectRef] = field(
        default_factory=lambda: TimedCache(KEY_SECONDS)
    )
    """Projects that organization keys opened, by the organization's id and the slug."""
    versions: TimedCache[Any, Any] = field(
        default_factory=lambda: TimedCache(VERSION_SECONDS, max_entries=2_000)
    )
    """Versions of open pages, and what they are made of."""
    counts: TimedCache[Any, Any] = field(
        default_factory=lambda: TimedCache(COUNT_SECONDS, max_entries=2_000)
    )
    """Numbers on open pages."""
    figures: TimedCache[Any, Any] = field(
        default_factory=lambda: TimedCache(FIGURE_SECONDS, max_entries=2_000)
    )
    """Figures over months on open pages."""
    searches: TimedCache[Any, Any] = field(
        default_factory=lambda: TimedCache(COUNT_SECONDS, max_entries=200)
    )
    """Prepared searches of open pages, which hold their statements."""
    identity_providers: TimedCache[str, ProviderMetadata] = field(
        default_factory=lambda: TimedCache(PROVIDER_SECONDS, max_entries=10)
    )
    """What the provider of single sign-on published about itself, by issuer."""
    logged_outages: TimedCache[str, bool] = field(
        default_factory=lambda: TimedCache(OUTAGE_SECONDS, max_entries=100)
    )
    """Why the database was not available, as far as the log has it."""
    pages: SharedTexts = field(
        default_factory=lambda: SharedTexts(MAX_PAGE_BYTES, seconds=PAGE_SECONDS)
    )
    """Rendered answers to open pages."""
    rows: SharedTexts = field(
        default_factory=lambda: SharedTexts(MAX_ROW_BYTES, seconds=ROW_SECONDS)
    )
    """Rendered rows of tables on open pages."""
    metrics: SharedTexts = field(
        default_factory=lambda: SharedTexts(MAX_METRICS_BYTES, seconds=METRICS_SECONDS)
    )
    """Rendered answers to scrapes."""

    @property
    def base_url(self) -> str:
        """What links start with outside of requests; empty where the setting is."""
        return self.settings.BASE_URL.rstrip("/")

    @cached_property
    def send_context(self) -> SendContext:
        """What channels need of this server."""
        return SendContext.from_settings(self.settings)

    def forget(self) -> None:
        """Empty all caches."""
        timed = (
            self.keys,
            self.projects,
            self.versions,
            self.counts,
            self.figures,
            self.searches,
            self.identity_providers,
            self.logged_outages,
        )
        for cache in (*timed, self.pages, self.rows, self.metrics):
            cache.clear()


def init_process(app: Flask, settings: Settings) -> None:
    """Give *app* its state."""
    app.extensions[_EXTENSION] = ProcessState(settings)


def process_of(app: Flask) -> ProcessState:
    """Return the state of the process that runs *app*."""
    state: ProcessState = app.extensions[_EXTENSION]
    return state


def current_process() -> ProcessState:
    """Return the state of the process that runs the current application."""
    state: ProcessState = current_app.extensions[_EXTENSION]
    return state
