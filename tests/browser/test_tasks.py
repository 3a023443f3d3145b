"""The list of tasks in a real browser, against a live gunicorn."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from browser.team import Team
from playwright.sync_api import Page, expect

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.extensions import db, writing
from taskbadger.services.people import sessions

ON_BOTH_DATABASES = {
    "test_bar_moves_on_the_open_page_while_another_process_works",
    "test_all_that_match_are_cancelled",
}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

DRIVER = """
import json, sys, time, urllib.request
url, key, task = sys.argv[1:]
for value in range(10, 101, 10):
    body = {"value": value, "status": "success" if value == 100 else "processing"}
    request = urllib.request.Request(
        f"{url}/tasks/{task}/", json.dumps(body).encode(), method="PATCH",
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    urllib.request.urlopen(request).close()
    time.sleep(1)
"""


CUT_OFF = """
[...document.querySelectorAll("table.cards td")].filter(cell => {
  const card = cell.closest(".card").getBoundingClientRect();
  return cell.getBoundingClientRect().right > card.right + 1;
}).map(cell => cell.textContent)
"""
"""The cells that stand outside of their card."""


COVERED = """
(() => {
  const { left, top, bottom } = document.activeElement.getBoundingClientRect();
  const inside = [top + 1, bottom - 1].map((y) => document.elementFromPoint(left + 3, y));
  return !inside.every((element) => element === document.activeElement);
})()
"""
"""Whether something lies over what has the focus."""


def fill(team: Team) -> None:
    """Make tasks in every state."""
    create = team.project.create
    for number, status in enumerate(
        ("processing", "pending", "success", "error", "stale", "cancelled", "post_processing")
    ):
        create(
            name=f"import-customers-{number}",
            status=status,
            value=number * 14,
            queue="high" if number % 2 else "",
            tags={"env": "prod" if number < 4 else "dev", "region": "eu-central-1"},
        )
    create(name="nightly backup of the whole database with a rather long name", status="processing")
    create(name=HOSTILE, status="error", queue=HOSTILE, tags={HOSTILE[:200]: HOSTILE})
    create(name="Fetch rates", queue="q" * 255, tags={f"tag-{n:02}": "v" * 255 for n in range(50)})


def names(page: Page) -> list[str]:
    return page.locator("[data-row] .row-link").all_inner_texts()


def test_bar_moves_on_the_open_page_while_another_process_works(team: Team) -> None:
    task = team.project.create(name="import", status="processing", value=0)
    page = team.open("tasks/")
    page.evaluate("window.sameDocument = true")
    bar = page.locator(f"[data-key='{task['id']}'] progress")
    url = f"{team.project.host}/api/{team.project.organization}/{team.project.slug}"
    seen: set[float] = set()

    command = [sys.executable, "-c", DRIVER, url, team.project.key, task["id"]]
    with subprocess.Popen(command) as driver:
        while driver.poll() is None:
            # A success has no bar.
            seen.update(bar.evaluate_all("bars => bars.map(bar => bar.value)"))
            page.wait_for_timeout(100)

    expect(page.locator(f"[data-key='{task['id']}'] .badge")).to_have_text("success")
    assert len(seen - {0}) >= 2
    assert page.evaluate("window.sameDocument") is True


def test_list_meets_wcag_and_is_pictured(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open("tasks/")
    expect(page.locator("[data-row]")).to_have_count(10)
    expect(page.locator(f"text={HOSTILE}").first).to_be_visible()
    crowded = page.locator("[data-row]", has_text="Fetch rates")
    expect(crowded.locator(".tags li")).to_have_text([*[re.compile("^tag-")] * 5, "+45"])
    assert page.evaluate(CUT_OFF) == []
    assert page.locator("td.main").first.evaluate("cell => cell.offsetWidth") > 160

    axe(page)
    screenshot(page, "tasks")
    page.locator(".search-help summary").click()
    page.locator("summary", has_text="Views").click()
    axe(page)
    screenshot(page, "tasks-views", themes=("light",), full_page=False)


def test_list_fits_a_phone(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open("tasks/", viewport={"width": 375, "height": 812}, has_touch=True)

    assert page.evaluate("document.documentElement.scrollWidth") == 375
    expect(page.locator(".sections")).to_have_attribute("data-more-after", "")
    page.locator("[data-select-page]").check()
    expect(page.locator("[data-selected]")).to_have_text("10 selected")
    page.locator("[data-select-page]").uncheck()
    axe(page)
    screenshot(page, "tasks-phone")
    page.goto(team.home + "tasks/?q=status:cancelled")
    expect(page.locator("[data-key=tab-Cancelled]")).to_be_in_viewport(ratio=0.99)
    expect(page.locator(".tabs")).to_have_attribute("data-more-before", "")
    screenshot(page, "tasks-phone-tabs", themes=("light",), full_page=False)
    page.goto(team.home + "settings/")
    expect(page.locator(".sections [aria-current]")).to_be_in_viewport(ratio=0.99)


def test_search_narrows_and_says_what_is_wrong(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open()
    page.locator("main").focus()
    page.keyboard.press("/")
    page.wait_for_url("**/tasks/")
    page.keyboard.type("name:import*")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("[data-row] .row-link").first).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.press("End")
    page.keyboard.type(" tag:env:prod -status:success")
    page.keyboard.press("Enter")

    expect(page.locator("[data-row]")).to_have_count(3)
    assert "q=name" in page.url
    page.locator("[data-key=tab-Failed]").click()
    expect(page.locator("[data-row]")).to_have_count(1)
    assert names(page) == ["import-customers-3"]

    page.locator("[data-search]").fill("")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url.rstrip("?") == team.home + "tasks/")
    page.locator("[data-search]").fill("status:error colour:red")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("colour:red")
    axe(page)
    screenshot(page, "tasks-problem", themes=("light",))


def test_empty_list_fills_by_itself(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page = team.open("tasks/")
    expect(page.locator(".empty")).to_contain_text("No tasks yet")
    axe(page)
    screenshot(page, "tasks-empty", themes=("light",))

    team.project.create(name="first")

    expect(page.locator("[data-row] .row-link")).to_have_text("first")


def test_newcomers_wait_until_they_are_asked_for(team: Team) -> None:
    team.project.create(name="old")
    page = team.open("tasks/")

    team.project.create(name="new")
    expect(page.locator(".newcomers")).to_have_text("1 new — show")
    assert names(page) == ["old"]
    page.locator("[data-select]").check()
    page.locator(".newcomers").focus()
    page.keyboard.press("Enter")

    expect(page.locator("[data-row]")).to_have_count(2)
    assert names(page) == ["new", "old"]
    expect(page.locator("[data-selected]")).to_have_text("1 selected")
    expect(page.locator("[data-row] .row-link").first).to_be_focused()
    team.project.create(name="newest")
    page.locator("[data-row] .row-link").last.focus()
    expect(page.locator(".newcomers")).to_have_text("1 new — show")
    expect(page.locator("[data-row] .row-link").last).to_be_focused()


def test_selected_tasks_are_cancelled_after_a_question(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open("tasks/?q=import-customers")
    page.locator("main").focus()
    for key in "jjx":
        page.keyboard.press(key)
    page.locator("[data-select]").first.check()
    expect(page.locator("[data-selected]")).to_have_text("2 selected")
    screenshot(page, "tasks-selected", themes=("light",), full_page=False)
    page.locator("[data-bulk-bar] .danger").click()
    axe(page)
    page.locator("[data-confirm-yes]").click()

    expect(page.locator(".flash")).to_contain_text("Cancelled 1 task")
    states = {task["name"]: task["status"] for task in team.project.tasks()}
    assert states["import-customers-6"] == "cancelled"
    assert states["import-customers-0"] == "processing"


def test_all_that_match_are_cancelled(team: Team) -> None:
    for number in range(60):
        team.project.create(name=f"job {number}")
    other = team.project.create(name="other")
    page = team.open("tasks/?q=job")

    page.locator("[data-select-page]").check()
    page.locator("[data-select-matching]").click()
    expect(page.locator("[data-selected]")).to_have_text("All 60 selected")
    page.locator("main").focus()
    for _ in range(25):
        page.keyboard.press("k")
        assert page.evaluate(COVERED) is False
    late = team.project.create(name="job, too late")
    expect(page.locator(".newcomers")).to_have_text("1 new — show")
    page.locator("[data-bulk-bar] .danger").click()
    expect(page.locator("#confirm-text")).to_contain_text(
        "Mark all 60 matching tasks as cancelled?"
    )
    page.locator("[data-confirm-yes]").click()

    expect(page.locator(".flash")).to_contain_text("Cancelled 60 tasks")
    open_tasks = [task["id"] for task in team.project.tasks() if task["status"] == "pending"]
    assert open_tasks == [other["id"], late["id"]]


def test_view_is_saved_used_and_deleted(team: Team) -> None:
    fill(team)
    page = team.open("tasks/?q=status:error")
    page.locator("summary", has_text="Views").click()
    page.locator("#view-name").fill("What failed")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".flash")).to_contain_text("What failed")

    page.goto(team.home + "tasks/")
    page.locator("summary", has_text="Views").click()
    page.get_by_role("link", name="What failed").click()
    page.wait_for_url(re.compile("status:error|status%3Aerror"))
    page.locator("summary", has_text="Views").click()
    page.get_by_role("button", name="Delete the view").click()
    page.locator("[data-confirm-yes]").click()
    expect(page.locator(".flash")).to_contain_text("has been deleted")


def test_export_is_downloaded(team: Team, tmp_path: Path) -> None:
    team.project.create(name="=1+1")
    page = team.open("tasks/")
    page.locator("summary", has_text="Export").click()

    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "tasks.csv")

    assert "'=1+1" in (tmp_path / "tasks.csv").read_text()
    expect(page.locator("details[open]")).to_have_count(0)
    page.locator("[data-select]").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export JSON Lines").click()
    download.value.save_as(tmp_path / "tasks.jsonl")
    assert '"name": "=1+1"' in (tmp_path / "tasks.jsonl").read_text()


def test_viewer_sees_no_boxes_and_page_reads_without_scripts(team: Team) -> None:
    fill(team)
    page = team.open("tasks/", role="viewer", java_script_enabled=False)

    expect(page.locator("[data-row]")).to_have_count(10)
    expect(page.locator("form[data-bulk] [type=checkbox]")).to_have_count(0)
    expect(page.locator(".js-only:visible")).to_have_count(0)


def test_cancelling_without_scripts_is_confirmed_by_a_tick(team: Team) -> None:
    task = team.project.create(name="job")
    page = team.open("tasks/", java_script_enabled=False)

    expect(page.locator("[data-select-page]")).not_to_be_visible()
    page.locator("[data-select]").check()
    page.locator("[data-bulk-bar] .danger").click()
    assert team.project.request("GET", f"/tasks/{task['id']}/").json()["status"] == "pending"
    page.get_by_label("Yes, cancel them").check()
    page.locator("[data-bulk-bar] .danger").click()
    expect(page.locator(".flash")).to_contain_text("Cancelled 1 task")


def test_keys_lead_to_the_sections(team: Team) -> None:
    page = team.open("settings/")
    for key, path in (("t", "tasks/"), ("m", "monitors/"), ("a", "alerts/"), ("o", "")):
        page.locator("main").focus()
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page).to_have_url(team.home + path)
        page.wait_for_load_state()  # Keys work once the scripts have run.


def test_open_page_leads_to_sign_in_when_its_session_ends(team: Team) -> None:
    team.project.create(status="processing")
    page = team.open("tasks/")
    (token,) = [one["value"] for one in page.context.cookies() if one["name"] == COOKIE]

    with team.server.app.app_context(), writing():
        sessions.end(token)
        db.session.commit()
        db.session.remove()

    expect(page).to_have_url(
        f"{team.server.host}/sign-in?next=/a/{team.project.organization}/tasks/"
    )
