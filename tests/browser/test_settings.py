"""The settings pages in a real browser, with whatever people may have typed into them."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urljoin

import pytest
from conftest import FIXTURES
from flask import Flask
from people import make_member, session_cookie
from playwright.sync_api import Page, expect
from sqlalchemy import select

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.organizations import audit, keys, organizations, projects
from taskbadger.services.tasks import write

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def url(app: Flask, serve: Callable[[Flask], str]) -> str:
    """The settings of an organization with a bit of everything."""
    now = utcnow()
    make_member()
    organization = organizations.ensure_organization("acme", actor=FIXTURES, now=now)
    fill(organization)
    return f"{serve(app)}/a/acme/settings/"


def fill(organization: Organization) -> None:
    now = utcnow()
    organization.name = "Acme"
    web = projects.ensure_project(organization, "web", actor=FIXTURES, now=now, name="Web shop")
    projects.ensure_project(organization, "hostile", actor=FIXTURES, now=now, name=HOSTILE)
    keys.create_key(organization, web, actor=SERVER, name="web server", now=now)
    keys.create_key(organization, None, actor=SERVER, name=HOSTILE, scopes="read,admin", now=now)
    old, _ = keys.create_key(organization, web, actor=SERVER, name="old laptop", now=now)
    old.revoked = now
    make_member("grace@example.org", "admin").name = "Grace Hopper"
    make_member("linus@example.org", "viewer").name = HOSTILE
    ada = Actor("user", "ada@example.org")
    for number in range(60):
        audit.record(
            Actor("key", "deploy") if number % 3 else ada,
            organization.id,
            "project.change",
            HOSTILE if number == 58 else "web",
            "public_pages: true → false; retention_days: none → 30" if number % 2 else "",
            now=now,
        )
    db.session.commit()


def enter(page: Page, url: str) -> None:
    cookie = session_cookie(make_member())
    page.context.add_cookies([{"name": COOKIE, "value": cookie, "url": urljoin(url, "/")}])


def test_key_is_made_shown_once_and_revoked(
    page: Page, url: str, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    enter(page, url)
    page.goto(f"{url}keys/")
    page.get_by_label("Name").fill("worker")
    page.get_by_label("Project", exact=True).select_option("Web shop")
    page.get_by_role("button", name="Create key").dblclick()

    expect(page.get_by_text("Copy the key now")).to_be_visible()
    axe(page)
    screenshot(page, "settings-key-made")
    page.reload()
    expect(page.get_by_text("The key was already created")).to_be_visible()
    page.get_by_role("button", name="Revoke worker").click()
    expect(page.locator("#confirm")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_text("The key worker has been revoked.")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="worker")
    expect(row.get_by_text("revoked")).to_be_visible()


def test_owner_makes_an_owner_and_leaves(page: Page, url: str) -> None:
    enter(page, url)
    page.goto(f"{url}members/")
    page.get_by_label("Role of grace@example.org").select_option("owner")
    page.get_by_role("button", name="Change the role of grace@example.org").click()
    expect(page.get_by_text("grace@example.org is now owner.")).to_be_visible()

    page.get_by_role("button", name="Leave").click()
    page.get_by_role("button", name="Continue").click()

    expect(page.get_by_role("heading", name="No organization yet")).to_be_visible()


def test_project_says_when_its_incidents_close(
    page: Page,
    url: str,
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
    expected_problems: list[str],
) -> None:
    expected_problems.append("status of 400")
    enter(page, url)
    page.goto(f"{url}projects/web/")
    page.get_by_label("Close incidents after").fill("2 min")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("At least 5 min.")).to_be_visible()
    axe(page)
    screenshot(page, "settings-project-wrong")
    page.set_viewport_size({"width": 390, "height": 844})
    screenshot(page, "settings-project-wrong-phone")
    page.get_by_label("Close incidents after").fill("1h30")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Close incidents after")).to_have_value("1 h 30 min")


def test_shorter_retention_is_shown_and_confirmed(
    page: Page, url: str, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    organization = db.session.scalars(select(Organization)).one()
    web = projects.find_project(organization.id, "web")
    place, old = projects.project_ref(web, organization), utcnow() - timedelta(days=40)
    for status in ("success", "success", "error"):
        write.create_task(place, {"name": "job", "status": status}, now=old, actor=FIXTURES)
    db.session.commit()
    enter(page, url)
    page.goto(f"{url}projects/web/")
    expect(page.get_by_role("row", name="Successful tasks")).to_contain_text("2")

    page.get_by_label("All tasks").fill("30")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("Saving this deletes 3 tasks soon")).to_be_visible()
    axe(page)
    screenshot(page, "retention")
    page.get_by_role("button", name="Save and delete 3 tasks").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("All tasks")).to_have_value("30")
