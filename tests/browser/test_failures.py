"""Failures in a real browser: by mouse and keyboard, live, and without scripts."""

import json
from collections.abc import Callable

from browser.conftest import PHONE
from browser.everything import TRACE
from browser.team import Team
from playwright.sync_api import Page, expect

WORDS = ("first error", "second error", "third error")


def fail(team: Team, text: str, **fields: object) -> str:
    made = team.project.create(
        **{"name": "job", "status": "error", "data": {"exception": text}, **fields}
    )
    return str(made["id"])


def states(team: Team) -> dict[str, str]:
    listed = team.project.request("GET", "/failures/").json()["results"]
    return {kind["title"]: kind["state"] for kind in listed}


def test_keyboard_selects_failures_and_a_button_ignores_them(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    for text in WORDS:
        fail(team, text)
    page = team.open("failures/")
    bar = page.locator("[data-bulk-bar]")
    expect(bar).to_be_hidden()

    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 selected")
    axe(page)
    screenshot(page, "failures-selected")
    bar.get_by_label("Ignore for how long").select_option("for a week")
    bar.get_by_role("button", name="Ignore").click()

    expect(page.locator(".flash")).to_contain_text("Ignored 2 failures.")
    expect(page.locator("[data-row]")).to_have_count(1)
    assert states(team) == dict(zip(WORDS, ("open", "ignored", "ignored"), strict=True))


def test_open_list_shows_new_failures_and_keeps_what_is_ticked(team: Team) -> None:
    fail(team, "first error")
    page = team.open("failures/")
    page.locator("[data-select]").check()

    fail(team, "second error")

    expect(page.locator("[data-row]")).to_have_count(2, timeout=10_000)
    expect(page.locator("[data-row]").first).to_contain_text("second error")
    expect(page.get_by_label("Select first error")).to_be_checked()
    expect(page.get_by_label("Select second error")).not_to_be_checked()


def test_failure_is_found_read_and_resolved(team: Team) -> None:
    task = fail(team, TRACE)
    fail(team, "another")
    page = team.open("failures/")
    page.keyboard.press("/")
    page.keyboard.type("valueerror")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(1)
    page.locator("[data-row-link]").click()

    trace = page.locator(".trace")
    hidden = trace.get_by_text("raw_decode")
    expect(trace.locator(".own").first).to_contain_text("rows = [read(line)")
    expect(hidden).to_be_hidden()
    trace.locator("summary").click()
    expect(hidden).to_be_visible()
    expect(page.locator("#tasks [data-row-link]")).to_have_attribute(
        "href", f"/a/{team.project.organization}/tasks/{task}/"
    )
    page.get_by_role("button", name="Resolve").click()

    expect(page.locator(".flash")).to_contain_text("Resolved 1 failure.")
    expect(page.locator("#head")).to_contain_text("resolved")
    expect(page.get_by_role("button", name="Open again")).to_be_visible()


def test_failed_task_says_why_and_its_error_can_be_copied(team: Team) -> None:
    task = fail(team, TRACE)
    page = team.open(f"tasks/{task}/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    error = page.locator("#error")
    expect(error.get_by_role("heading")).to_have_text("ValueError: no row 17 in stock.csv")
    error.get_by_role("button", name="Copy the error").click()
    expect(page.locator("#toasts")).not_to_be_empty()
    assert page.evaluate("navigator.clipboard.readText()") == TRACE
    error.get_by_role("link", name="1 failure of this kind").click()

    expect(page.locator("h1")).to_have_text("ValueError: no row ‹number› in ‹path›")


def test_error_appears_on_an_open_page_when_the_task_fails(team: Team) -> None:
    task = team.project.create(name="job", status="processing")
    page = team.open(f"tasks/{task['id']}/")
    expect(page.locator("#error")).to_be_empty()

    change = {"status": "error", "data": {"exception": "disk full"}}
    team.project.request("PATCH", f"/tasks/{task['id']}/", json=change)

    expect(page.locator("#error")).to_contain_text("disk full", timeout=10_000)


def test_everything_works_without_scripts(team: Team) -> None:
    for text in WORDS:
        fail(team, text)
    page = team.open("failures/", java_script_enabled=False)
    page.get_by_label("Select first error").check()
    page.get_by_label("Select third error").check()
    page.get_by_role("button", name="Resolve").click()

    expect(page.locator(".flash")).to_contain_text("Resolved 2 failures.")
    page.locator("[data-row-link]").click()
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator("#head")).to_contain_text("ignored")
    assert states(team) == dict(zip(WORDS, ("resolved", "ignored", "resolved"), strict=True))


def test_long_errors_fit_a_phone(team: Team) -> None:
    text = json.dumps({"a" * 300: "b" * 3000})
    task = fail(team, text, name="n" * 200)
    page = team.open(f"tasks/{task}/", viewport=PHONE, has_touch=True)

    for path in (f"tasks/{task}/", "failures/"):
        page.goto(team.home + path)
        wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window
