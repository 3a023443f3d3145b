"""Nothing that is typed is lost: an ended session, the Back button, links in forms."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acceptance import live
from browser.team import Team
from oidc_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from people import PASSWORD, make_member, session_cookie
from playwright.sync_api import Page, expect
from sqlalchemy import delete, select

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.extensions import db, writing
from taskbadger.models import Membership, User, UserSession


def end_sessions(server: live.LiveServer) -> None:
    """Let all sessions end, as they do by themselves in the night."""
    with server.app.app_context(), writing():
        db.session.execute(delete(UserSession))
        db.session.commit()
        db.session.remove()


def type_monitor(page: Page) -> None:
    page.get_by_label("Name", exact=True).fill("nightly backup")
    page.get_by_label("At a fixed interval after the last run").check()
    page.get_by_label("Every").fill("1h30")
    page.get_by_label("E-mail addresses").first.fill("ops@example.org")


def expect_monitor(page: Page) -> None:
    expect(page.get_by_label("Name", exact=True)).to_have_value("nightly backup")
    expect(page.get_by_label("At a fixed interval after the last run")).to_be_checked()
    expect(page.get_by_label("Every")).to_have_value("1h30")
    expect(page.get_by_label("E-mail addresses").first).to_have_value("ops@example.org")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_form_sent_too_late_comes_back_after_the_sign_in(
    team: Team, screenshot: Callable[..., None], has_scripts: bool
) -> None:
    page = team.open("monitors/new/", java_script_enabled=has_scripts)
    type_monitor(page)
    if not has_scripts:
        page.get_by_label("Time zone").fill("Asia/Tokyo")
    end_sessions(team.server)

    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_text("What you typed is kept.")).to_be_visible()
    page.get_by_label("E-mail address").fill(f"owner@{team.project.organization}.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()

    expect(page.get_by_text("What you typed is filled in again")).to_be_visible()
    expect_monitor(page)
    zone = "Europe/Berlin" if has_scripts else "Asia/Tokyo"
    expect(page.get_by_label("Time zone")).to_have_value(zone)
    if has_scripts:
        expect(page.locator("#preview")).to_contain_text("late after")
        screenshot(page, "draft")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_role("heading", name="nightly backup")).to_be_visible()


@pytest.fixture
def expected_problems() -> list[str]:
    # Chromium reports every answer that is no success.
    return ["status of 400"]


def test_form_that_expired_in_another_tab_can_be_sent_again(team: Team) -> None:
    page = team.open("monitors/new/")
    type_monitor(page)
    end_sessions(team.server)
    other = page.context.new_page()
    other.goto(f"{team.home}monitors/")
    other.get_by_label("E-mail address").fill(f"owner@{team.project.organization}.example")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Sign in", exact=True).click()
    expect(other.get_by_role("heading", name="Monitors", exact=True)).to_be_visible()

    page.get_by_role("button", name="Create monitor").click()
    expect(page.get_by_text("Go back, check what you typed and send it again.")).to_be_visible()
    page.go_back()
    expect_monitor(page)
    page.get_by_role("button", name="Create monitor").click()

    expect(page.get_by_role("heading", name="nightly backup")).to_be_visible()


@pytest.mark.parametrize("away", ["Monitors", "Back"])
def test_back_button_keeps_what_was_typed(team: Team, away: str) -> None:
    page = team.open("monitors/new/")
    type_monitor(page)
    page.get_by_label("Time zone").fill("Asia/Tokyo")

    page.get_by_role(
        "link" if away == "Monitors" else "button", name=away, exact=True
    ).first.click()
    page.wait_for_url(f"{team.home}monitors/")
    page.go_back()

    expect_monitor(page)
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")


def expect_nothing_selected(page: Page) -> None:
    page.wait_for_load_state("load")
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("[data-select]").first).to_be_visible()
    expect(page.locator("[data-select]:checked")).to_have_count(0)
    expect(page.locator("[data-bulk-bar]")).to_be_hidden()


def test_back_button_selects_no_tasks(team: Team) -> None:
    for number in range(55):
        team.project.create(name=f"job {number}")
    page = team.open("tasks/")
    page.locator("[data-select]").nth(0).check()
    page.locator("[data-select]").nth(2).check()
    expect(page.locator("[data-selected]")).to_have_text("2 selected")

    page.get_by_role("link", name="job 54", exact=True).click()
    expect(page.get_by_role("heading", name="job 54", exact=True)).to_be_visible()
    for name in ("newer", "newest"):
        team.project.create(name=name)
    page.go_back()

    expect(page.get_by_role("link", name="newest", exact=True)).to_be_visible()
    expect_nothing_selected(page)


def fail_in_a_new_way(team: Team, error: str) -> None:
    team.project.create(name=error, status="error", data={"error": error})


def test_back_button_selects_no_failures(team: Team) -> None:
    for error in ("disk is full", "no route to host"):
        fail_in_a_new_way(team, error)
    page = team.open("failures/")
    page.locator("[data-select]").first.check()
    expect(page.locator("[data-selected]")).to_have_text("1 selected")

    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url(f"{team.home}tasks/")
    page.go_back()

    expect_nothing_selected(page)


def add_member(team: Team, name: str) -> str:
    email = f"{name}@{team.project.organization}.example"
    with team.server.app.app_context(), writing():
        make_member(email, "viewer", team.project.organization)
        db.session.remove()
    return email


def remove_member(team: Team, email: str) -> None:
    with team.server.app.app_context(), writing():
        found = db.session.scalar(
            select(Membership).join(Membership.user).where(User.email == email)
        )
        db.session.delete(found)
        db.session.commit()
        db.session.remove()


def test_back_button_keeps_a_role_beside_the_person_it_was_chosen_for(team: Team) -> None:
    earlier, chosen, later = (add_member(team, name) for name in ("ada", "mia", "zoe"))
    page = team.open("settings/members/")
    page.get_by_label(f"Role of {chosen}").select_option("admin")
    page.get_by_label("E-mail address").fill("guest@example.org")
    page.get_by_role("radio", name="viewer").check()

    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url(f"{team.home}tasks/")
    remove_member(team, earlier)
    newcomer = add_member(team, "newcomer")
    page.go_back()

    expect(page.get_by_label("E-mail address")).to_have_value("guest@example.org")
    expect(page.get_by_role("radio", name="viewer")).to_be_checked()
    roles = [page.get_by_label(f"Role of {email}") for email in (chosen, later, newcomer)]
    assert [role.input_value() for role in roles] == ["admin", "viewer", "viewer"]


def test_secret_of_a_channel_is_not_kept_for_the_back_button(team: Team) -> None:
    page = team.open("alerts/channels/new/webhook/")
    page.get_by_label("Name", exact=True).fill("Operations")
    for secret in page.locator("[type=password], [data-secret]").all():
        secret.fill("hidden value")
    assert page.locator("[type=password], [data-secret]").count() == 2

    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url(f"{team.home}tasks/")
    assert "hidden value" not in page.evaluate("JSON.stringify({...sessionStorage})")
    page.go_back()

    expect(page.get_by_label("Name", exact=True)).to_have_value("Operations")
    for secret in page.locator("[type=password], [data-secret]").all():
        expect(secret).to_have_value("")


def test_what_was_typed_is_forgotten_at_the_sign_in_and_not_shown_to_others(team: Team) -> None:
    page = team.open("monitors/new/")
    type_monitor(page)
    page.goto(f"{team.home}monitors/")
    with team.server.app.app_context(), writing():
        other = make_member(
            f"bo@{team.project.organization}.example", "owner", team.project.organization
        )
        token = session_cookie(other)
        db.session.remove()
    page.context.add_cookies([{"name": COOKIE, "value": token, "url": team.server.host}])

    page.go_back()

    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    page.context.clear_cookies()
    page.goto(f"{team.server.host}/sign-in")
    assert (
        page.evaluate("Object.keys(sessionStorage).filter(key => key.startsWith('typed:'))") == []
    )


def test_page_that_is_opened_afresh_is_empty(team: Team) -> None:
    page = team.open("monitors/new/")
    type_monitor(page)
    page.goto(f"{team.home}monitors/")

    page.goto(f"{team.home}monitors/new/")

    expect(page.get_by_label("Name", exact=True)).to_have_value("")


def test_links_in_forms_open_a_new_tab_and_say_so(team: Team) -> None:
    page = team.open("alerts/new/")
    page.get_by_label("Name", exact=True).fill("to the team")

    with page.expect_popup() as opened:
        page.get_by_role("link", name="Set up a channel (opens a new tab)").first.click()

    expect(opened.value).to_have_url(f"{team.home}alerts/channels/")
    expect(page.get_by_label("Name", exact=True)).to_have_value("to the team")


@pytest.fixture
def trusting(
    new_database: Callable[[], str], tmp_path: Path
) -> Iterator[tuple[live.LiveServer, live.LiveProject]]:
    """A server that trusts a provider, and a project on it."""
    with running_provider() as provider:
        settings = {
            "TASKBADGER_OIDC_ISSUER": provider.url,
            "TASKBADGER_OIDC_CLIENT_ID": CLIENT_ID,
            "TASKBADGER_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        }
        serving = live.serve(new_database(), tmp_path / "gunicorn", **settings)
        with serving as server, server.new_project() as project:
            yield server, project


def test_single_sign_on_leads_back_to_the_form(
    trusting: tuple[live.LiveServer, live.LiveProject], page: Page
) -> None:
    server, project = trusting
    with server.app.app_context(), writing():
        owner = make_member("ada@example.org", "owner", project.organization)
        token = session_cookie(owner)
        db.session.remove()
    page.context.add_cookies([{"name": COOKIE, "value": token, "url": server.host}])
    page.goto(f"{server.host}/a/{project.organization}/monitors/new/")
    type_monitor(page)
    end_sessions(server)

    page.get_by_role("button", name="Create monitor").click()
    page.get_by_role("button", name="Single sign-on").click()

    expect(page.get_by_text("What you typed is filled in again")).to_be_visible()
    expect_monitor(page)
