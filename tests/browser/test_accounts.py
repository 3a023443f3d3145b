"""Signing in, the first owner and invitations, in a real browser against a live gunicorn."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance import live
from browser.team import Team
from flask import Flask
from oidc_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from people import PASSWORD, make_member
from playwright.sync_api import Page, expect

from taskbadger.extensions import db, writing


@pytest.fixture
def empty_server(new_database: Callable[[], str], tmp_path: Path) -> Iterator[str]:
    """The address of a server that nobody uses yet."""
    with live.serve(new_database(), tmp_path / "gunicorn") as server:
        yield server.host


def make_user(team: Team) -> str:
    """Make a member with PASSWORD, who is signed in nowhere; return their address."""
    email = f"ada@{team.project.organization}.example"
    with team.server.app.app_context(), writing():
        make_member(email, organization=team.project.organization)
        db.session.remove()
    return email


@pytest.fixture
def expected_problems() -> list[str]:
    # Chromium reports every answer that is no success.
    return ["status of 400", "status of 403", "status of 404"]


def test_first_visitor_sets_the_server_up(
    empty_server: str, page: Page, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page.goto(empty_server)
    expect(page).to_have_url(f"{empty_server}/set-up")

    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_label("Password").fill("short")
    page.get_by_label("Organization", exact=True).fill("Acme")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_text("Use at least 10 characters.")).to_be_visible()
    axe(page)
    screenshot(page, "set-up-wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create").click()

    expect(page).to_have_url(f"{empty_server}/a/acme/")


def test_user_signs_in_and_out(team: Team, page: Page) -> None:
    host, settings = team.server.host, f"{team.home}settings/"
    email = make_user(team)
    page.goto(settings)

    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Wrong e-mail or password.")).to_be_visible()

    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(settings)
    page.locator("summary[aria-label='Your menu']").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{host}/sign-in")
    page.goto(f"{host}/account")
    expect(page).to_have_url(f"{host}/sign-in?next=/account")


def test_user_signs_in_without_scripts(team: Team, new_page: Callable[..., Page]) -> None:
    email = make_user(team)
    page = new_page(java_script_enabled=False)
    page.goto(f"{team.server.host}/account")

    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(f"{team.server.host}/account")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_invited_person_joins(
    team: Team,
    new_page: Callable[..., Page],
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    page = team.open("settings/members/")
    page.get_by_label("E-mail address").fill(f"grace@{team.project.organization}.example")
    page.get_by_role("button", name="Create invitation link").click()
    axe(page)
    screenshot(page, "invitation-made")
    link = page.locator("figure.code code").inner_text()
    assert link.startswith(f"{team.server.host}/invitation?token=")
    expect(page.locator("figure.code [data-copy]")).to_have_attribute("data-copy", link)

    guest = new_page()
    guest.goto(link)
    guest.get_by_label("Password").fill(PASSWORD)
    guest.get_by_role("button", name="Join").click()

    expect(guest).to_have_url(team.home)
    guest.goto(f"{team.home}settings/keys/")
    expect(guest.get_by_text("This requires the role admin; yours is member.")).to_be_visible()
    axe(guest)
    screenshot(guest, "problem")


def test_provider_signs_a_user_in_by_one_click(
    make_app: Callable[..., Flask], serve: Callable[[Flask], str], page: Page
) -> None:
    """The policy lets no form lead to another site, so it must be a link."""
    make_member("ada@example.org")
    with running_provider() as provider:
        options = {
            "OIDC_ISSUER": provider.url,
            "OIDC_CLIENT_ID": CLIENT_ID,
            "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
        url = serve(make_app(**options))
        page.goto(f"{url}/account")

        page.get_by_role("button", name="Single sign-on").click()

        expect(page).to_have_url(f"{url}/account")
        expect(page.locator("main")).to_contain_text("ada@example.org")


def test_visitor_over_http_learns_why_they_are_not_kept_signed_in(
    make_app: Callable[..., Flask],
    serve: Callable[[Flask], str],
    page: Page,
    expected_problems: list[str],
) -> None:
    make_member("ada@example.org")
    url = serve(make_app(BASE_URL="https://tasks.example.com"))
    expected_problems.append("insecure.test")
    told = page.get_by_text("This page came over http")

    page.goto(f"{url}/sign-in")
    expect(page.get_by_label("Password")).to_be_visible()
    expect(told).to_be_hidden()
    page.goto(f"{url}/sign-in".replace("127.0.0.1", "insecure.test"))

    expect(told).to_be_visible()
    link = page.get_by_role("link", name="https://tasks.example.com")
    expect(link).to_have_attribute("href", "https://tasks.example.com")
