"""The layout, its parts and its scripts, on a page that shows all of them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from browser.conftest import broken_rules
from flask import Flask, Response
from flask_wtf import CSRFProtect
from playwright.sync_api import Page, expect
from processes import wait_until

from taskbadger.blueprints import assets, dashboard, docs
from taskbadger.blueprints.dashboard import formats
from taskbadger.blueprints.dashboard.formats import machine, relative
from taskbadger.blueprints.dashboard.frame import Frame, Link
from taskbadger.blueprints.live import live_anchor, render_live
from taskbadger.domain.run_times import BAR_NAMES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
STATUSES = [
    "processing",
    "pending",
    "pre_processing",
    "post_processing",
    "success",
    "error",
    "cancelled",
    "stale",
]
FRAME = Frame(
    organization="Acme",
    organizations=(Link("acme", "Acme", "/"), Link("other", "Other organization", "/other")),
    nav=(
        Link("overview", "Overview", "/?overview", "o"),
        Link("tasks", "Tasks", "/", "t"),
        Link("names", "Names", "/?names"),
        Link("monitors", "Monitors", "/?monitors", "m"),
        Link("alerts", "Alerts", "/?alerts", "a"),
        Link("settings", "Settings", "/?settings"),
    ),
    user="ada@example.org",
    menu=(Link("account", "Account", "/?account"),),
    sign_out="/sign-out",
    failing=2,
)


@dataclass
class Row:
    """As much of a task as the parts look at."""

    id: str
    name: str
    status: str
    value: int | None
    tags: dict[str, str]
    start_time: datetime | None
    took: timedelta | None

    @property
    def value_percent(self) -> int | None:
        return self.value


@dataclass
class Sink:
    """The state behind the page; a test changes it and bumps the version."""

    version: int = 1
    failing: int = 2
    moving: bool = True
    rows: list[Row] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    url: str = ""

    def context(self) -> dict[str, Any]:
        now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
        ids = [row.id for row in self.rows]
        first = ids.index(live_anchor() or ids[0])
        x = [1795435200 + 3600 * hour for hour in range(24)]
        return {
            "frame": FRAME,
            "failing": self.failing,
            "moving": self.moving,
            "tasks": self.rows[first:],
            "fresh": first,
            "now": now,
            "x": x,
            "bars": BAR_NAMES,
            "throughput": [
                {"label": "success", "tone": "ok", "values": [20 + h % 7 * 5 for h in range(24)]},
                {"label": "error", "tone": "bad", "values": [h % 5 for h in range(24)]},
                {"label": "cancelled", "tone": "idle", "values": [h % 3 for h in range(24)]},
            ],
            "runtimes": [
                {"label": "p50", "tone": "run", "values": [700 + h % 4 for h in range(24)]},
                {
                    "label": "p95",
                    "tone": "warn",
                    "dash": True,
                    "values": [None if h in (3, 5) else 871 + h % 6 * 100 for h in range(24)],
                },
            ],
            "tag_href": lambda name, value: f"?q=tag:{name}:{value}",
            "data": {
                "file": HOSTILE,
                "rows": 12_000,
                "dry_run": False,
                "owner": None,
                "items": [{"sku": "A-1", "price": 12.5}, [], {}],
            },
            "slots": [
                {"status": status, "expected_at": now - timedelta(hours=slot)}
                for slot in range(5, 0, -1)
                for status in (
                    "ok",
                    "ok",
                    "late",
                    "error",
                    "missed",
                    "timeout",
                    "unknown",
                    "skipped",
                )
            ],
        }


def make_rows() -> list[Row]:
    start = datetime.now(UTC) - timedelta(minutes=4)
    return [
        Row(
            id=f"row-{number}",
            name=HOSTILE if number == 3 else f"import-customers-{number}",
            status=status,
            value=None if number == 1 else number * 14,
            tags={"env": "prod", "region": "eu-central-1"} if number % 2 == 0 else {},
            start_time=None if status == "pending" else start - timedelta(minutes=number * 17),
            took=None if status == "pending" else timedelta(seconds=0.4 + number**4),
        )
        for number, status in enumerate(STATUSES)
    ]


@pytest.fixture
def sink(serve: Callable[[Flask], str]) -> Sink:
    sink = Sink(rows=make_rows())
    app = Flask(__name__, template_folder=str(Path(__file__).parent / "templates"))
    app.config.update(SECRET_KEY="for the tests of the pages only..")
    CSRFProtect(app)

    @app.get("/")
    def page() -> Response:
        return render_live("sink.html", str(sink.version), sink.context)

    @app.post("/")
    def post() -> str:
        return "<!doctype html><title>posted</title><p>posted"

    @app.get("/api/schema.json")
    def document() -> dict[str, Any]:
        operation = {"summary": "List tasks", "responses": {"200": {"description": "Tasks"}}}
        info = {"title": "Task Badger", "version": "1"}
        return {"openapi": "3.1.0", "info": info, "paths": {"/tasks/": {"get": operation}}}

    @app.after_request
    def secure(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        if response.mimetype == "text/html":
            sink.answers.append(response.status_code)
        return response

    # After the page, which has the address of the dashboard's start.
    for module in (assets, docs, dashboard):
        module.register(app, None)
    sink.url = serve(app)
    return sink


def change(sink: Sink, row: int, **values: Any) -> None:
    for name, value in values.items():
        setattr(sink.rows[row], name, value)
    sink.version += 1


RECORD_DRAWING = """
window.words = {};
window.points = new Set();
const { clearRect, fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...place) {
  words[this.canvas.closest("figure").id] = [];
  return clearRect.apply(this, place);
};
CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
  words[this.canvas.closest("figure").id].push(text);
  return fillText.call(this, text, ...place);
};
const { arc } = Path2D.prototype;
Path2D.prototype.arc = function (x, y, ...rest) {
  points.add(y);
  return arc.call(this, x, y, ...rest);
};
"""
"""What charts write, and how high they draw points; a canvas tells nobody."""


def test_page_of_all_parts_meets_wcag_and_is_pictured(
    page: Page, sink: Sink, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page.add_init_script(RECORD_DRAWING)
    page.goto(sink.url)
    expect(page.locator(".uplot")).to_have_count(4)

    # Ticks are round and differ; a value without neighbours is a point; every bar has its label.
    words = page.evaluate("words")
    assert words["progress"] == [":00", "11-23 13:00", ":01", ":02", ":03", "0", "1"]
    assert words["runtime"][-3:] == ["0 s", "10 min", "20 min"]
    assert " ".join(words["histogram"]) == " ".join([*BAR_NAMES, "0", "50"])
    assert page.evaluate("points.size") == 1

    axe(page)
    screenshot(page, "foundation-desktop")


def test_page_of_all_parts_fits_a_phone(
    phone: Page, sink: Sink, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    phone.goto(sink.url)
    expect(phone.locator(".uplot")).to_have_count(4)
    phone.locator("[data-key=row-2]").scroll_into_view_if_needed()
    screenshot(phone, "foundation-phone-rows", full_page=False)

    assert phone.evaluate("document.documentElement.scrollWidth") == 375
    axe(phone)
    screenshot(phone, "foundation-phone")


def test_dialogs_menus_and_the_bulk_bar_meet_wcag(
    page: Page, sink: Sink, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page.goto(sink.url)
    page.locator("[data-key=row-2] [data-select]").check()
    page.locator("summary[aria-label='Your menu']").click()
    axe(page)
    screenshot(page, "foundation-menu", full_page=False)

    page.locator("main").focus()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    axe(page)
    screenshot(page, "foundation-help", full_page=False)


NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SPANS = sorted(
    {0, 0.4, 0.0123, 1, 1.5, 9.94, 42.7, 86_400 * 12_345}
    | {edge + step for edge in (60, 600, 3600, 86_400, 172_800) for step in (-1, 0, 1, 61)}
)
WORDS_OF_SCRIPTS = """
async ([now, spans]) => {
  const times = await import("/assets/times.js");
  return spans.map((span) => [
    times.relative(now - span * 1000, now),
    times.relative(now + span * 1000, now),
    times.elapsed(now - span * 1000, now),
    times.about(span || null),
  ]);
}
"""


def words_of_server(span: float) -> list[str]:
    ago, ahead = NOON - timedelta(seconds=span), NOON + timedelta(seconds=span)
    return [
        formats.relative(ago, now=NOON),
        formats.relative(ahead, now=NOON),
        formats.elapsed(ago),
        formats.about(span or None),
    ]


def test_scripts_write_times_as_the_server_does(page: Page, sink: Sink) -> None:
    page.goto(sink.url)

    words = page.evaluate(WORDS_OF_SCRIPTS, [NOON.timestamp() * 1000, SPANS])

    with time_machine.travel(NOON, tick=False):
        assert words == [words_of_server(span) for span in SPANS]


def test_hostile_text_stays_text(page: Page, sink: Sink) -> None:
    page.goto(sink.url)

    expect(page.locator("[data-key=row-3] .row-link")).to_have_text(HOSTILE)
    expect(page.locator(".json-string").first).to_have_text(f'"{HOSTILE}"')


def test_change_appears_without_a_reload_and_keeps_focus_and_ticks(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    page.locator("[data-key=row-2] [data-select]").check()
    page.locator("[data-key=row-0] .row-link").focus()
    page.evaluate("window.sameDocument = true")

    change(sink, 0, status="success", value=100)
    sink.failing = 0
    expect(page.locator("[data-key=row-0] .badge")).to_have_text("success")

    assert page.evaluate("window.sameDocument") is True
    expect(page.locator("[data-key=row-0] progress")).to_have_count(0)
    expect(page.locator("[data-key=row-0] .row-link")).to_be_focused()
    expect(page.locator("[data-key=row-2] [data-select]")).to_be_checked()
    expect(page).to_have_title("Kitchen sink · Acme")
    assert "badge.svg" in (page.locator("link[rel=icon]").get_attribute("href") or "")


def test_row_that_leaves_costs_the_row_below_no_focus(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    page.locator("[data-key=row-5] .row-link").focus()

    del sink.rows[4]
    sink.version += 1
    expect(page.locator("[data-key=row-4]")).to_have_count(0)

    expect(page.locator("[data-key=row-5] .row-link")).to_be_focused()


def test_newcomers_wait_until_they_are_asked_for(page: Page, sink: Sink) -> None:
    page.goto(sink.url)

    sink.rows[:0] = [Row("row-new", "newcomer", "pending", None, {}, None, None)]
    sink.version += 1
    expect(page.locator(".newcomers")).to_have_text("1 new — show")
    assert page.locator("[data-row]").first.get_attribute("data-key") == "row-0"

    page.locator(".newcomers").click()
    newcomer = page.locator("[data-row]").first
    expect(newcomer).to_have_attribute("data-key", "row-new")
    expect(page.locator(".newcomers")).to_have_count(0)
    look = "row => getComputedStyle(row).animationName"
    assert newcomer.evaluate(look) == "none", "Who asks for less motion sees it at rest."
    page.emulate_media(reduced_motion="no-preference")
    assert newcomer.evaluate(look) == "fresh"


def test_unchanged_page_is_answered_with_304(page: Page, sink: Sink) -> None:
    with page.expect_response(lambda response: response.status == 304):
        page.goto(sink.url)

    assert set(sink.answers) == {200, 304}
    expect(page.locator(".live")).to_contain_text("updated")


def open_with_still_clock(page: Page, url: str) -> None:
    """Open a page whose timers stand still until the test lets time pass."""
    page.clock.install(time=0)
    page.goto(url)
    page.clock.pause_at(60)
    page.wait_for_timeout(100)


COUNT_POLLS = """() => {
  if (window.polls) return;
  const ask = window.fetch;
  window.polls = {begun: 0, ended: 0};
  window.fetch = (...given) => {
    window.polls.begun += 1;
    return ask(...given).finally(() => { window.polls.ended += 1; });
  };
}"""


def waits(page: Page, number: int) -> list[int]:
    """Return how many seconds pass, by the page's clock, before each of its next polls."""
    page.evaluate(COUNT_POLLS)
    found = []
    for _ in range(number):
        before, seconds = page.evaluate("polls.begun"), 0
        while page.evaluate("polls.begun") == before and seconds < 60:
            page.clock.run_for(1000)
            seconds += 1
        wait_until(lambda: bool(page.evaluate("polls.begun == polls.ended")), "the answer")
        page.wait_for_timeout(150)  # For the next poll to be planned.
        found.append(seconds)
    return found


def test_open_page_asks_often_while_things_move_and_ever_less_when_idle(
    page: Page, sink: Sink
) -> None:
    open_with_still_clock(page, sink.url)
    moving = waits(page, 4)[1:]
    sink.moving = False
    sink.version += 1

    slowing = waits(page, 9)

    assert moving == [2, 2, 2]
    assert slowing[:2] == [2, 2]
    assert slowing == sorted(slowing)
    assert slowing[-1] == 30


def test_hidden_page_asks_nothing_and_one_that_is_looked_at_again_asks_at_once(
    page: Page, sink: Sink
) -> None:
    def hide(hidden: bool) -> None:
        page.evaluate(
            "value => { Object.defineProperty(document, 'hidden', {value, configurable: true});"
            " document.dispatchEvent(new Event('visibilitychange')) }",
            hidden,
        )

    open_with_still_clock(page, sink.url)
    hide(True)
    assert waits(page, 1) == [60]
    expect(page.locator(".live")).to_contain_text("paused")
    before = len(sink.answers)

    hide(False)

    page.wait_for_timeout(200)
    assert len(sink.answers) == before + 1
    assert waits(page, 1) == [2]


def test_title_and_icon_tell_what_is_failing(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    icon = page.locator("link[rel=icon]")
    failing = (page.title(), icon.get_attribute("href"))
    sink.failing = 0
    sink.version += 1

    expect(page).to_have_title(re.compile(r"^Kitchen sink"))
    assert failing[0].startswith("(2) Kitchen sink")
    assert "badge-failing.svg" in (failing[1] or "")
    expect(icon).to_have_attribute("href", re.compile(r"icons/badge\.svg"))


def test_server_that_goes_away_is_announced(
    page: Page, sink: Sink, expected_problems: list[str]
) -> None:
    expected_problems.append("net::ERR_FAILED")
    open_with_still_clock(page, sink.url)

    page.route(f"{sink.url}/", lambda route: route.abort())
    waits(page, 1)
    expect(page.locator(".live")).to_have_text(re.compile(r"^offline, updated \d+ s ago$"))
    expect(page.locator("main")).to_have_attribute("data-unanswered", "")
    assert page.locator("#tasks").evaluate("one => getComputedStyle(one).filter") == "grayscale(1)"
    expect(page.locator(".toast")).to_have_count(0)
    waits(page, 1)
    expect(page.locator(".toast")).to_have_text("The server is not responding. Trying again.")

    page.unroute(f"{sink.url}/")
    waits(page, 1)
    expect(page.locator(".live")).to_contain_text("updated")
    expect(page.locator("main")).not_to_have_attribute("data-unanswered", "")
    expect(page.locator(".toast")).to_have_count(0)


def test_keyboard_moves_selects_searches_and_goes(page: Page, sink: Sink) -> None:
    page.goto(sink.url)

    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("[data-key=row-0] .row-link")).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("[data-selected]")).to_have_text("1 selected")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.press("Tab")
    page.locator("main").focus()
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.wait_for_url("**/?monitors")


def test_shortcuts_can_be_switched_off(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    page.keyboard.press("?")
    page.locator("[data-shortcuts-switch]").uncheck()
    page.keyboard.press("Escape")

    page.reload()
    page.locator("main").focus()
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).not_to_be_focused()

    page.locator("[data-dialog=help]").first.click()
    page.locator("[data-shortcuts-switch]").check()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()


def test_menu_closes_by_escape_and_by_a_click_elsewhere(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    summary = page.locator("summary[aria-label='Your menu']")
    menu = page.locator("details.menu[open]")

    summary.click()
    expect(menu).to_have_count(1)
    page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(summary).to_be_focused()

    summary.click()
    expect(menu).to_have_count(1)
    page.locator("h1").click()
    expect(menu).to_have_count(0)


def test_focus_is_seen_wherever_it_goes_and_can_skip_to_the_content(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    unseen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const one = document.activeElement;"
            " const { outlineStyle, outlineWidth } = getComputedStyle(one);"
            " return [one.outerHTML.slice(0, 120),"
            " outlineStyle === 'solid' ? parseFloat(outlineWidth) : 0] }"
        )
        if focused[1] < 2:
            unseen.append(focused)
    assert unseen == []

    page.reload()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_selecting_the_page_offers_all_that_match_and_asks_before_it_acts(
    page: Page, sink: Sink
) -> None:
    page.goto(sink.url)

    page.locator("[data-select-page]").check()
    expect(page.locator("[data-selected]")).to_have_text("8 selected")
    page.locator("[data-select-matching]").click()
    expect(page.locator("[data-selected]")).to_have_text("All 1,204,312 selected")
    page.locator("[data-bulk-bar] .danger").click()
    expect(page.locator("#confirm-text")).to_have_text("Cancel these tasks?")
    with page.expect_response(lambda response: response.request.method == "POST") as answered:
        page.locator("[data-confirm-yes]").click()

    body = answered.value.request.post_data or ""
    assert (body.count("task=row-"), "all=1" in body) == (8, True)


def test_theme_is_kept_by_the_server(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    page.locator("[data-theme-toggle]").click()
    page.locator("[data-theme-toggle]").click()

    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("[data-theme-toggle]")).to_have_attribute("aria-label", "Theme: dark")


def test_times_are_local_until_utc_is_asked_for(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    moment = page.locator(".timeline time").first
    expect(moment).to_have_text("2026-11-23 13:00:00 GMT+1")
    expect(moment).to_have_attribute("title", "2026-11-23 13:00:00 GMT+1")
    assert first_hour_of_the_chart(page) == "2026-11-23 13:00"

    page.locator("summary[aria-label='Your menu']").click()
    page.locator("[data-zone-toggle]").click()

    expect(moment).to_have_text("2026-11-23 12:00:00 UTC")
    assert first_hour_of_the_chart(page) == "2026-11-23 12:00"
    page.reload()
    expect(moment).to_have_text("2026-11-23 12:00:00 UTC")
    start = sink.rows[0].start_time
    relative_one = page.locator("[data-key=row-0] time")
    expect(relative_one).to_have_attribute("title", f"{start:%Y-%m-%d %H:%M:%S} UTC")


def first_hour_of_the_chart(page: Page) -> str:
    """Point at the left end of a chart over time; return what it says the time there is."""
    chart = page.locator("#runtime")
    chart.locator(".u-over").hover(position={"x": 2, "y": 20})
    return chart.locator(".u-legend .u-value").first.inner_text()


def test_relative_times_go_on_while_nothing_else_happens(page: Page, sink: Sink) -> None:
    start = sink.rows[0].start_time
    assert start is not None
    page.clock.install(time=start)
    page.goto(sink.url)
    page.route(f"{sink.url}/", lambda route: route.fulfill(status=304))
    page.clock.pause_at(start + timedelta(seconds=30))
    moment = page.locator("[data-key=row-0] time")
    before = moment.inner_text()

    page.clock.run_for(5000)

    ages = [int(re.sub(r" s ago$", "", text)) for text in (before, moment.inner_text())]
    assert ages[1] - ages[0] == 5


def test_times_read_the_same_from_the_server_and_in_the_browser(page: Page, sink: Sink) -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    sizes = (0, 0.9, 1, 59, 60, 119, 3599, 3600, 86_399, 86_400, 86_400 * 400)
    moments = [now - timedelta(seconds=sign * size) for size in sizes for sign in (1, -1)]
    page.clock.install(time=now - timedelta(minutes=1))  # Clocks run until they are paused.
    page.clock.pause_at(now)
    page.goto(sink.url)

    shown = page.evaluate(
        "moments => { const times = moments.map((one) => "
        "Object.assign(document.createElement('time'), {dateTime: one}));"
        "document.body.append(...times);"
        "document.dispatchEvent(new Event('live:updated'));"
        "return times.map((one) => one.textContent) }",
        [machine(moment) for moment in moments],
    )

    assert shown == [relative(moment, now=now) for moment in moments]


def test_theme_is_that_of_the_system_until_one_is_chosen(page: Page, sink: Sink) -> None:
    page.goto(sink.url)
    background = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(background)

    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)

    assert (light, dark) == ("rgb(247, 248, 250)", "rgb(14, 16, 20)")
    # Of the scroll bars and of what is there before the style sheets are.
    expect(page.locator("meta[name=color-scheme]")).to_have_attribute("content", "light dark")
    assert broken_rules(page, "system") == []


def test_page_reads_without_scripts(
    new_page: Callable[..., Page], sink: Sink, screenshot: Callable[..., None]
) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(sink.url)

    expect(page.locator("[data-row]")).to_have_count(8)
    expect(page.locator(".js-only:visible")).to_have_count(0)
    expect(page.locator(".chart-table")).to_have_count(4)


def test_interactive_documentation_loads_under_the_policy(
    page: Page, sink: Sink, screenshot: Callable[..., None]
) -> None:
    page.goto(f"{sink.url}/api/docs/")

    expect(page.locator(".opblock-summary-description")).to_have_text("List tasks")
    screenshot(page, "api-docs", themes=("light",))
    page.reload()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark-mode")
    screenshot(page, "api-docs", themes=("dark",))
