"""A real Chromium, and what every page must hold in it."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser.team import live_server, team, team_servers  # noqa: F401 - fixtures
from flask import Flask
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError
from werkzeug.serving import make_server

HERE = Path(__file__).parent
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP insecure.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
SCREENSHOTS = HERE.parent.parent / "artifacts/screenshots"
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
RULES = {"light": WCAG, "dark": COLOURS}
"""What to ask of each theme: themes differ in their colours only."""
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 375, "height": 812}


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests on SQLite alone, except those that a module's ``ON_BOTH_DATABASES`` names.

    How pages look, and what their scripts do, does not depend on the database.
    """
    on_both = getattr(metafunc.module, "ON_BOTH_DATABASES", ())
    if "backend" in metafunc.fixturenames and metafunc.function.__name__ not in on_both:
        metafunc.definition.add_marker(
            pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")
        )


def watch(context: BrowserContext, problems: list[str]) -> None:
    """Collect console errors (breaches of the CSP among them), exceptions and foreign requests."""

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(f"{message.text} ({message.location.get('url')})")

    def on_request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname != "127.0.0.1":
            problems.append(f"request to {request.url}")

    context.on("console", on_console)
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on("request", on_request)


def leave_pages(context: BrowserContext) -> None:
    """Leave every page, so that none is loading when it is closed.

    Chromium can forget to close a page whose navigation is just being committed:
    microsoft/playwright#42366. A page that navigates by itself can interrupt this.
    """
    for page in context.pages:
        with suppress(PlaywrightError):
            page.goto("about:blank")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{CHROMIUM} is missing: apt-get install chromium")
        pytest.skip(f"needs {CHROMIUM}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serve an app from a thread of the test's own process; gives its address."""
    with ExitStack() as stack:

        def start(app: Flask) -> str:
            server = make_server("127.0.0.1", 0, app, threaded=True)
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.fixture
def expected_problems() -> list[str]:
    """Parts of console messages that a test means to cause, such as ``status of 403``."""
    return []


@pytest.fixture
def new_page(
    browser: Browser, expected_problems: list[str], serve: Callable[[Flask], str]
) -> Iterator[Callable[..., Page]]:
    """Open pages, each in a context of its own; fails the test for any problem in any of them.

    Asks for *serve* only so that pages are closed before their server stops.
    """
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def open_page(**options: object) -> Page:
        defaults = {"viewport": DESKTOP, "reduced_motion": "reduce", "timezone_id": "Europe/Berlin"}
        context = browser.new_context(**(defaults | options))
        context.set_default_timeout(15_000)
        watch(context, problems)
        contexts.append(context)
        return context.new_page()

    yield open_page
    for context in contexts:
        leave_pages(context)
        context.close()
    assert [one for one in problems if not any(part in one for part in expected_problems)] == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A desktop page."""
    return new_page()


@pytest.fixture
def phone(new_page: Callable[..., Page]) -> Page:
    """A page as wide as a phone."""
    return new_page(viewport=PHONE, has_touch=True)


def use_theme(page: Page, theme: str) -> None:
    """Show the page in ``light`` or ``dark``, or as the ``system`` has it."""
    page.evaluate(
        "theme => { const { dataset } = document.documentElement;"
        " if (theme === 'system') delete dataset.theme; else dataset.theme = theme }",
        theme,
    )
    page.evaluate("document.dispatchEvent(new Event('theme:changed'))")
    page.evaluate("new Promise(requestAnimationFrame)")


AXE = (HERE / "vendor/axe/axe.min.js").read_text()


def broken_rules(page: Page, theme: str) -> list[str]:
    """Say where a page in a theme does not meet WCAG 2.2 AA, as far as axe can tell."""
    # Evaluated over the debugging protocol, which the page's own policy does not cover.
    page.evaluate(f"if (!window.axe) {{ {AXE} }}")
    use_theme(page, theme)
    found = page.evaluate(
        "rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})",
        RULES.get(theme, WCAG),
    )
    return [
        f"{theme}: {rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], None]:
    """Assert that a page meets WCAG 2.2 AA in both themes."""

    def check(page: Page) -> None:
        broken = broken_rules(page, "light") + broken_rules(page, "dark")
        assert broken == [], json.dumps(broken, indent=1)

    return check


@pytest.fixture(scope="session")
def screenshot() -> Callable[..., None]:
    """Keep a picture of a page, by default in both themes, as ``<name>-<theme>.png``."""

    def take(
        page: Page,
        name: str,
        *,
        themes: tuple[str, ...] = ("light", "dark"),
        full_page: bool = True,
    ) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for theme in themes:
            use_theme(page, theme)
            page.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png", full_page=full_page)

    return take
