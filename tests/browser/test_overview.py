"""The overview, the welcome and the names in a real browser, against a live gunicorn."""

import random
from collections.abc import Callable
from datetime import timedelta

from browser.team import Team
from conftest import FIXTURES
from playwright.sync_api import Page, expect
from sqlalchemy import update

from taskbadger.channels import Message
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db, writing
from taskbadger.models import Delivery
from taskbadger.services.delivery import outbox
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.tasks import write

NAMES = ("import customers", "send newsletter", "nightly backup", "resize images", "sync stock")


HOLE = """
(() => {
  const place = document.querySelector(".stats").getBoundingClientRect();
  const last = [...document.querySelectorAll(".stat")].at(-1).getBoundingClientRect();
  return Math.floor(place.right - last.right) - 1;
})()
"""
"""How much of the row of figures is left empty, in pixels."""


def fill(team: Team, number: int = 240) -> None:
    """Let tasks run through the last day."""
    random.seed(7)
    actor = Actor("key", "ci")
    with team.server.app.app_context(), writing():
        now = utcnow()
        organization = organizations.ensure_organization(
            team.project.organization, actor=FIXTURES, now=now
        )
        project = projects.ensure_project(organization, team.project.slug, actor=FIXTURES, now=now)
        ref = projects.project_ref(project, organization)
        for _ in range(number):
            end = utcnow() - timedelta(seconds=random.uniform(0, 86_000))
            start = end - timedelta(seconds=random.lognormvariate(2, 1.2))
            name = random.choice(NAMES)
            task = write.create_task(
                ref, {"name": name, "status": "processing"}, now=start, actor=actor
            )
            status = random.choices(("success", "error", "cancelled"), (20, 2, 1))[0]
            write.update_task(ref, task.id, {"status": status}, now=end, actor=actor)
        db.session.commit()
        db.session.remove()
    for value in (15, 62, 90):
        team.project.create(name=random.choice(NAMES), status="processing", value=value)
    team.project.create(name="sync stock", status="stale")
    team.count()


def test_overview_meets_wcag_and_is_pictured(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open()
    expect(page.locator(".uplot")).to_have_count(2)

    axe(page)
    screenshot(page, "overview")
    long = team.project.create(name="Fetch/exchange/rates " * 9, status="processing", value=5)
    row = page.locator(f"[data-key='Running-{long['id']}']")
    expect(row).to_be_visible()
    assert row.evaluate("row => row.offsetHeight") < 45
    page.set_viewport_size({"width": 1280, "height": 500})
    page.get_by_role("link", name="7 days").click()
    expect(page.locator(".uplot")).to_have_count(2)
    expect(page.get_by_role("heading", name="History")).to_be_in_viewport()
    page.evaluate("scrollTo(0, 0)")  # The bar covers what is scrolled below it.
    axe(page)


def test_overview_fits_a_phone(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team, 40)
    page = team.open(viewport={"width": 375, "height": 812}, has_touch=True)
    expect(page.locator(".uplot")).to_have_count(2)

    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert page.evaluate(HOLE) == 0
    axe(page)
    screenshot(page, "overview-phone")


def test_overview_of_one_task_is_pictured(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    task = team.project.create(name="import customers", status="processing", value=5)
    page = team.open()
    bar = page.locator("#running progress")
    expect(bar).to_have_js_property("value", 5)
    axe(page)
    screenshot(page, "overview-one", themes=("light",))

    team.project.request("PATCH", f"/tasks/{task['id']}/", json={"value": 80})

    expect(bar).to_have_js_property("value", 80)


def test_overview_reads_without_scripts(team: Team) -> None:
    fill(team, 10)
    page = team.open(java_script_enabled=False)

    expect(page.locator(".chart-table")).to_have_count(2)
    expect(page.locator("#running [data-row]")).to_have_count(3)


def test_line_turns_green_when_the_first_task_arrives(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page = team.open()
    expect(page.locator("#arrival")).to_contain_text("Waiting for the first task")
    axe(page)
    screenshot(page, "welcome")
    page.get_by_role("button", name="Create a key").click()
    key = page.locator(".code", has_text="Key").first.locator("code").inner_text()
    expect(page.locator(".code", has_text="curl")).to_contain_text(key)
    expect(page.locator(".code", has_text="curl")).to_contain_text(team.server.host)

    team.project.create(name="first")

    expect(page.locator("#arrival .ok")).to_contain_text("Your task has arrived: first")
    expect(page.locator(".code", has_text="curl")).to_contain_text(key)
    axe(page)
    screenshot(page, "welcome-arrived", themes=("light",))
    page.get_by_role("link", name="Go to the overview").click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_ways_to_send_tasks_are_tabs_with_addresses(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page = team.open("how-to/")
    ways, shown = page.get_by_label("Ways to send tasks"), page.locator(".way:visible")
    expect(shown).to_have_attribute("id", "python")
    page.get_by_role("button", name="Create a key").click()
    key = page.locator(".code", has_text="Key").first.locator("code").inner_text()

    ways.get_by_role("link", name="Celery", exact=True).focus()
    page.keyboard.press("Enter")

    expect(shown).to_have_attribute("id", "celery")
    expect(shown).to_contain_text(key)
    axe(page)
    screenshot(page, "how-to")
    page.go_back()
    expect(shown).to_have_attribute("id", "python")
    plain = team.open("how-to/#cron", java_script_enabled=False)
    expect(plain.locator(".way:visible")).to_have_attribute("id", "cron")


def test_demo_task_moves_before_the_visitors_eyes(team: Team) -> None:
    page = team.open("how-to/")
    page.get_by_role("button", name="Send a demo task").click()

    expect(page.locator("h1")).to_have_text("demo task")
    expect(page.locator("#head .badge")).to_have_text("processing")
    percentage = page.locator("progress + .num").first
    expect(percentage).not_to_have_text(percentage.inner_text())


def test_names_meet_wcag_and_are_pictured(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fill(team)
    page = team.open("names/")
    expect(page.locator("[data-row]")).to_have_count(5)
    axe(page)
    screenshot(page, "names")

    page.locator("main").focus()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator(".uplot")).to_have_count(3)
    axe(page)
    screenshot(page, "name")


def test_undelivered_alerts_are_readable_beside_a_long_channel(team: Team) -> None:
    with team.server.app.app_context(), writing():
        organization = organizations.ensure_organization(
            team.project.organization, actor=FIXTURES, now=utcnow()
        )
        message = Message(
            id="", kind="task", created=utcnow(), organization=organization.slug, title="Hello"
        )
        outbox.queue(
            message,
            organization_id=organization.id,
            integration="webhook:operations-team-europe-and-africa-on-call",
            config={},
            now=utcnow(),
        )
        error = "The receiver answered 500 Internal Server Error, for the third time today."
        spoiled = {"state": "dead", "finished": utcnow(), "next_attempt_at": None, "error": error}
        mine = Delivery.organization_id == organization.id
        db.session.execute(update(Delivery).where(mine).values(**spoiled))
        db.session.commit()
        db.session.remove()
    team.project.create(name="sync stock")

    page = team.open(viewport={"width": 1280, "height": 860})
    width = page.locator("#dead td.wrap").evaluate("cell => cell.getBoundingClientRect().width")

    assert width > 200
    page.get_by_role("button", name="Send again").click()
    page.get_by_role("dialog").get_by_role("button", name="Send again").click()
    expect(page.get_by_text("Its channel was deleted")).to_be_visible()
