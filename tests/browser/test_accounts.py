"""Signing in, the first owner and invitations, in a real browser."""

from collections.abc import Callable

import pytest
from flask import Flask
from people import PASSWORD, make_member, session_cookie
from playwright.sync_api import Page, expect

from taskbadger.blueprints.dashboard.access import COOKIE
from taskbadger.extensions import db
from taskbadger.services import accounts

# How pages look does not depend on the database.
pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True, scope="session")


@pytest.fixture
def url(app: Flask, serve: Callable[[Flask], str]) -> str:
    """The address of a server on an empty database, not signed in."""
    db.session.rollback()
    return serve(app)


def enter(page: Page, user: accounts.User, url: str) -> None:
    """Let *user* be signed in."""
    page.context.add_cookies([{"name": COOKIE, "value": session_cookie(user), "url": url}])


def test_first_visitor_sets_the_server_up(
    page: Page, url: str, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page.goto(url)
    expect(page).to_have_url(f"{url}/set-up")
    axe(page)
    screenshot(page, "set-up")

    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill("short")
    page.get_by_label("Organization", exact=True).fill("Acme")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("Use at least 10 characters.")).to_be_visible()
    axe(page)
    screenshot(page, "set-up-wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create").click()

    expect(page).to_have_url(f"{url}/a/acme/")


@pytest.fixture
def expected_problems() -> list[str]:
    # Chromium reports every answer that is no success.
    return ["status of 400", "status of 403", "status of 404"]


def test_user_signs_in_and_out(
    page: Page, url: str, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    make_member()
    page.goto(f"{url}/a/acme/settings/")
    axe(page)
    screenshot(page, "sign-in")

    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Address or password is wrong.")).to_be_visible()
    axe(page)
    screenshot(page, "sign-in-wrong")

    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/a/acme/settings/")
    page.locator("summary[aria-label='Your menu']").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{url}/sign-in")
    page.goto(f"{url}/account")
    expect(page).to_have_url(f"{url}/sign-in?next=/account")


def test_user_signs_in_without_scripts(new_page: Callable[..., Page], url: str) -> None:
    make_member()
    page = new_page(java_script_enabled=False)
    page.goto(f"{url}/account")

    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(f"{url}/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_invited_person_joins(
    page: Page,
    new_page: Callable[..., Page],
    url: str,
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    enter(page, make_member(), url)
    page.goto(f"{url}/a/acme/settings/members/")
    page.get_by_label("E-mail address").fill("grace@example.org")
    page.get_by_role("button", name="Make the link").click()
    axe(page)
    screenshot(page, "invitation-made")
    link = page.locator("figure.code code").inner_text()

    guest = new_page()
    guest.goto(link)
    axe(guest)
    screenshot(guest, "invitation")
    guest.get_by_label("Password").fill(PASSWORD)
    guest.get_by_role("button", name="Join").click()

    expect(guest).to_have_url(f"{url}/a/acme/")
    guest.goto(f"{url}/a/acme/settings/keys/")
    expect(guest.get_by_text("This needs the role admin; yours is member.")).to_be_visible()
    axe(guest)
    screenshot(guest, "problem")
