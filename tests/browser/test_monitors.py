"""The pages of monitors in a real browser, against a live gunicorn."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from browser.team import Team
from conftest import FIXTURES
from playwright.sync_api import Page, Route, expect
from watching import close_due_slots

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db, writing
from taskbadger.services.monitors import manage
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.tasks import write

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
OUTCOMES = ("success", "success", "error", "", "success", "success", "processing")
MAIL = [{"integration": "email", "config": {"to": "ops@example.com"}}]


def fill(team: Team) -> str:
    """Make monitors with a past; return the id of the one that runs every hour."""
    actor, now = Actor("key", "ci"), utcnow()
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=len(OUTCOMES))
    with team.server.app.app_context(), writing():
        organization = organizations.ensure_organization(
            team.project.organization, actor=FIXTURES, now=now
        )
        project = projects.ensure_project(organization, team.project.slug, actor=FIXTURES, now=now)
        ref = projects.project_ref(project, organization)

        def make(name: str, **fields: Any) -> Any:
            data = {"name": name, "type": "cron", "schedule": "0 * * * *", "action": MAIL}
            data |= {"interval": None, **fields}
            return manage.create_monitor(ref, data, now=since, actor=actor)

        hourly = make("hourly import", timezone="America/New_York")
        make("nightly backup", schedule="30 2 * * *", timezone="Europe/Paris")
        make("stock sync", type="interval", schedule=None, interval=600)
        make(HOSTILE, schedule="@weekly", status="paused")
        make("muted report", schedule="0 6 * * 1-5", status="muted")
        number = str(hourly.id)
        for hour, status in enumerate(OUTCOMES, start=1):
            start = since + timedelta(hours=hour)
            if status:
                data = {"name": "import", "status": "processing"}
                task = write.create_task(ref, data, now=start, actor=actor, monitor_id=hourly.id)
                end = start + timedelta(seconds=90 + hour)
                if status != "processing":
                    write.update_task(ref, task.id, {"status": status}, now=end, actor=actor)
            close_due_slots(start + timedelta(minutes=30))
        db.session.commit()
        db.session.remove()
    return number


def test_monitor_is_made_by_clicking_and_explained_while_typing(
    team: Team,
    expected_problems: list[str],
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    page = team.open("monitors/")
    axe(page)
    page.get_by_role("button", name="New monitor").first.click()
    page.wait_for_url("**/monitors/new/**")  # Until its scripts run.
    preview = page.locator("#preview")
    expected_problems.append("net::ERR_FAILED")
    held: list[Route] = []
    page.route("**/monitors/preview?**", lambda route: held.append(route))
    with page.expect_request("**/monitors/preview?**"):
        page.get_by_label("Name", exact=True).fill("nightly")
    expect(preview).to_have_attribute("aria-busy", "true")
    held[0].abort()
    expect(preview).to_have_text("No preview is available.")
    expect(preview).not_to_have_attribute("aria-busy", "true")
    page.unroute("**/monitors/preview?**")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")

    page.get_by_label("Name", exact=True).fill("nightly backup")
    page.get_by_label("Schedule", exact=True).press_sequentially("30 2 * *")
    expect(preview).to_contain_text("day-of-week: the field is missing")
    page.get_by_label("Schedule", exact=True).press_sequentially(" 1-5")
    page.get_by_label("Time zone").fill("Europe/Paris")
    expect(preview).to_contain_text("At 02:30 on Monday through Friday in Europe/Paris")
    expect(preview.locator("li")).to_have_count(5)
    page.get_by_label("Alert if not started within").fill("10 min")
    expect(preview.locator("li").first).to_contain_text(
        re.compile(r"02:30:00 GMT\+[12], late after 02:40")
    )
    expect(preview).to_contain_text("The clocks go")
    preview.evaluate("element => element.setAttribute('aria-busy', 'true')")
    expect(preview).to_have_css("white-space", "normal")
    page.get_by_label("E-mail addresses").first.fill("ops@example.com")
    page.evaluate("scrollTo(0, 0)")  # The bar covers what is scrolled below it.
    axe(page)
    screenshot(page, "monitor-edit")
    page.get_by_label("At a fixed interval").check()
    expect(page.get_by_label("Schedule", exact=True)).to_be_hidden()
    page.get_by_label("Every", exact=True).fill("2 h")
    expect(preview).to_contain_text("Every 2 hours after the last run's start")
    page.get_by_label("On a schedule (cron)").check()
    page.get_by_role("button", name="Create monitor").click()

    expect(page.locator("h1")).to_have_text("nightly backup")
    expect(page.locator("#next li")).to_have_count(5)
    axe(page)
    screenshot(page, "monitor-new", themes=("light",))


def test_run_appears_on_the_open_page(team: Team) -> None:
    number = fill(team)
    page = team.open(f"monitors/{number}/")
    expect(page.locator("#slots tr[data-row]")).to_have_count(8)

    headers = {"X-TASKBADGER-MONITOR": number}
    team.project.request("POST", "/tasks/", json={"name": "one more"}, headers=headers)

    expect(page.locator("#slots")).to_contain_text("one more")


def test_clock_of_the_monitor_shows_on_hover_and_on_focus(team: Team) -> None:
    page = team.open(f"monitors/{fill(team)}/", timezone_id="Europe/Berlin")
    first = page.locator("#slots tr[data-row]").last
    mine, there = first.locator(".zoned").first.locator("> *").all()

    expect(there).to_have_text(re.compile("E[SD]T$"))
    expect(mine).to_have_css("opacity", "1")
    expect(there).to_have_css("opacity", "0")
    first.locator(".zoned").first.hover()
    expect(mine).to_have_css("opacity", "0")
    expect(there).to_have_css("opacity", "1")
    page.mouse.move(0, 0)
    expect(there).to_have_css("opacity", "0")
    first.locator("[data-row-link]").focus()
    expect(there).to_have_css("opacity", "1")


def test_monitor_is_paused_muted_and_deleted_by_clicking(team: Team) -> None:
    number = fill(team)
    page = team.open(f"monitors/{number}/")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#head")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#head")).not_to_contain_text("paused")
    page.get_by_role("button", name="Mute").click()
    expect(page.locator("#standing")).to_contain_text("Muted until")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Continue").click()

    expect(page.locator("h1")).to_have_text("Monitors")
    expect(page.locator("[data-row]")).to_have_count(4)


def _check_zone_of_slots(page: Page) -> None:
    """The marks of a strip follow the visitor's choice of local time or UTC."""
    slot = page.locator(".slots li").first
    expect(slot).to_have_attribute("title", re.compile("GMT[+]"))
    expect(slot.locator(".hidden")).to_have_text(re.compile("GMT[+]"))
    page.locator("summary[aria-label='Your menu']").click()
    page.locator("[data-zone-toggle]").click()
    expect(slot).to_have_attribute("title", re.compile("UTC$"))
    page.locator("[data-zone-toggle]").click()
    page.keyboard.press("Escape")


def test_pages_read_and_preview_without_scripts(team: Team) -> None:
    number = fill(team)
    page = team.open("monitors/", java_script_enabled=False)
    expect(page.locator("[data-row]")).to_have_count(5)

    page.goto(f"{team.home}monitors/{number}/edit/")
    page.get_by_label("Schedule", exact=True).fill("15 4 * * *")
    page.get_by_role("button", name="Preview").click()

    expect(page.locator("#preview")).to_contain_text("At 04:15 every day")
    page.goto(f"{team.home}monitors/{number}/")
    expect(page.locator("#slots [data-row]")).to_have_count(8)
