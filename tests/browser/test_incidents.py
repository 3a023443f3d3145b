"""The pages of incidents in a real browser, and a link from a real mail."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from browser.team import Team
from conftest import FIXTURES
from incidents import make_event, make_failure, make_incident, make_kind
from playwright.sync_api import Page, expect
from processes import run_module
from receivers import SmtpReceiver

from taskbadger.channels import Message
from taskbadger.channels.text import incident_title
from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, writing
from taskbadger.models import Incident
from taskbadger.process import process_of
from taskbadger.schemas.incidents import incident_url, show_incident
from taskbadger.services.delivery import outbox
from taskbadger.services.organizations import organizations, projects


def project_of(team: Team) -> ProjectRef:
    now = utcnow()
    organization = organizations.ensure_organization(
        team.project.organization, actor=FIXTURES, now=now
    )
    project = projects.ensure_project(organization, team.project.slug, actor=FIXTURES, now=now)
    return projects.project_ref(project, organization)


def fail(team: Team) -> int:
    """Make an open incident with two kinds of failures; return its id."""
    with team.server.app.app_context(), writing():
        project, began = project_of(team), utcnow() - timedelta(hours=2)
        tomorrow = utcnow() + timedelta(days=1)
        number = make_incident(project, "import", opened_at=began, runs=14, quiet_at=tomorrow)
        for title in ("ConnectionError: no route to ‹address›", "ValueError: no"):
            kind = make_kind(project, title)
            task = make_failure(project, kind, number, now=utcnow())
        make_event(number, "opened", created=began, task_id=task)
        make_event(number, "told", created=began, detail="slack:ops")
        db.session.commit()
        db.session.remove()
    return number


def send_mail(team: Team, number: int, folder: Path) -> str:
    """Send a mail about an incident with a real worker; return its text."""
    settings = process_of(team.server.app).settings
    with team.server.app.app_context(), writing():
        project, now = project_of(team), utcnow()
        shown = show_incident(
            db.session.get_one(Incident, number), project=project.slug, failures=()
        )
        message = Message(
            id="",
            kind="task.failing",
            created=now,
            organization=project.organization,
            project=project.slug,
            title=incident_title("task.failing", "import", shown, now=now),
            incident=shown,
            url=incident_url(team.server.host, project.organization, number),
        )
        outbox.queue(
            message,
            organization_id=project.organization_id,
            integration="email",
            config={"to": "grace@example.org"},
            now=now,
        )
        db.session.commit()
        db.session.remove()
    with SmtpReceiver() as smtp:
        variables = {
            "TASKBADGER_DATABASE_URL": settings.DATABASE_URL,
            "TASKBADGER_SECRET_KEY": settings.SECRET_KEY,
            "TASKBADGER_BASE_URL": team.server.host,
            "TASKBADGER_SMTP_URL": smtp.url,
            "TASKBADGER_PLUGINS": "false",
        }
        with run_module(folder / "worker", ("taskbadger_server", "worker"), variables):
            [mail] = smtp.wait(1, seconds=60)
    return mail.text


def test_incident_is_acknowledged_snoozed_and_given_back_by_clicking(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    fail(team)
    page = team.open("incidents/")
    axe(page)
    page.get_by_role("link", name="import").click()
    standing = page.locator("#standing")
    expect(standing).to_contain_text("import is failing: ValueError: no (14 failed runs since")
    expect(standing).to_contain_text("Nobody is on it yet.")

    page.get_by_role("button", name="Acknowledge").click()
    expect(standing).to_contain_text(f"owner@{team.project.organization}.example is on it")
    page.get_by_label("For how long").select_option("until tomorrow 08:00")
    page.get_by_role("button", name="Snooze", exact=True).click()
    expect(standing).to_contain_text(re.compile(r"Snoozed until \d{4}-\d\d-\d\d 08:00:00"))
    page.evaluate("scrollTo(0, 0)")  # The bar covers what is scrolled below it.
    axe(page)
    screenshot(page, "incident")
    page.get_by_role("button", name="End the snooze").click()
    expect(standing).not_to_contain_text("Snoozed")
    page.get_by_role("button", name="Undo acknowledgement").click()
    expect(standing).to_contain_text("Nobody is on it yet.")
    expect(page.locator("#timeline li")).to_have_count(6)


def test_link_of_a_mail_acknowledges_and_open_pages_show_it(
    team: Team, tmp_path: Path, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    number = fail(team)
    owner = team.open(f"incidents/{number}/")
    overview = team.open()
    text = send_mail(team, number, tmp_path)
    assert text.startswith("import is failing (14 runs since ")
    urls = dict(re.findall(r"^(Open|Acknowledge|Snooze): (\S+)$", text, re.MULTILINE))
    page = team.new_page()

    page.goto(urls["Acknowledge"])
    expect(page.locator("h1")).to_have_text("Acknowledge this incident?")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("h1")).to_have_text("You are on it")
    axe(page)
    screenshot(page, "incident-link-done")

    expect(owner.locator("#standing")).to_contain_text("grace@example.org is on it")
    expect(overview.locator("#failing")).to_contain_text("grace@example.org")
    page.goto(urls["Snooze"])
    page.get_by_label("until tomorrow 08:00").check()
    page.get_by_role("button", name="Snooze").click()
    expect(page.locator("#main")).to_contain_text(re.compile(r"silent until \S+ 08:00:00"))
    expect(owner.locator("#head")).to_contain_text("snoozed")
    page.goto(urls["Open"])
    expect(page.locator("h1")).to_have_text("Sign in")


def test_incident_is_handled_without_scripts(team: Team) -> None:
    number = fail(team)
    page = team.open(f"incidents/{number}/", java_script_enabled=False)

    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("#standing")).to_contain_text("is on it since")
    expect(page.locator("main")).to_contain_text("08:00 is in UTC.")
    page.get_by_label("For how long").select_option("until it changes")
    page.get_by_role("button", name="Snooze", exact=True).click()

    expect(page.locator("#standing")).to_contain_text("Snoozed until it changes.")


def test_list_is_searched_while_typing_and_learns_of_new_incidents(team: Team) -> None:
    fail(team)
    page = team.open("incidents/")
    expect(page.locator("[data-row]")).to_have_count(1)

    with team.server.app.app_context(), writing():
        make_incident(project_of(team), "export", opened_at=utcnow())
        db.session.remove()
    expect(page.locator("[data-row]")).to_have_count(2)
    page.get_by_label("Name").fill("EXP")
    page.get_by_label("Name").press("Enter")

    expect(page.locator("[data-row]")).to_have_count(1)
    expect(page.locator("[data-row]")).to_contain_text("export")
