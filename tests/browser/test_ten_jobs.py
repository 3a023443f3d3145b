"""Ten jobs that people do most, and how many clicks from the overview each of them takes."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
from browser.clicks import Walk
from browser.team import Team
from conftest import FIXTURES
from playwright.sync_api import Page, expect
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db, writing
from taskbadger.models import GlobalAction, MaintenanceWindow, Monitor, Organization
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.tasks import write

CI = Actor("key", "ci")
BERLIN = ZoneInfo("Europe/Berlin")


def project_of(team: Team) -> ProjectRef:
    slug, now = team.project.organization, utcnow()
    organization = organizations.ensure_organization(slug, actor=FIXTURES, now=now)
    return projects.find_project_ref(organization.id, slug, team.project.slug)


def run(team: Team, name: str, status: str = "", *, ago: timedelta, **fields: Any) -> None:
    """Let a task start so long ago; it ends 228 seconds later, if it has a status."""
    with team.server.app.app_context(), writing():
        began, project = utcnow() - ago, project_of(team)
        made = write.create_task(
            project, {"name": name, "status": "processing", **fields}, now=began, actor=CI
        )
        if status:
            end = began + timedelta(seconds=228)
            write.update_task(project, made.id, {"status": status}, now=end, actor=CI)
        db.session.commit()
        db.session.remove()


def test_yesterdays_failed_import_of_a_customer_and_its_reason(team: Team) -> None:
    error = {"data": json.dumps({"exception": "ValueError: column “email” is empty"})}
    day = timedelta(days=1)
    run(team, "import customers", "error", ago=day, tags={"customer": "42"}, **error)
    run(team, "import customers", "error", ago=day, tags={"customer": "43"})
    run(team, "import customers", "error", ago=timedelta(0), tags={"customer": "42"})
    walk = Walk(team.open())

    walk.click(walk.page.get_by_role("link", name="Tasks", exact=True))
    walk.type("Search tasks", "name:import* customer=42 yesterday")
    walk.press("Enter")

    rows = walk.page.locator("#tasks [data-row]")
    expect(rows).to_have_count(1)
    expect(rows.locator(".why")).to_have_text("ValueError: column “email” is empty")
    walk.click(rows.locator("[data-row-link]"))
    expect(walk.page.locator("#error-title")).to_have_text("ValueError: column “email” is empty")
    assert walk.clicks <= 3


def test_why_no_alert_came(team: Team) -> None:
    rule = {"trigger": "success", "integration": "email", "config": {"to": "ops@example.com"}}
    team.project.create(name="nightly import", status="error", actions=[rule])
    walk = Walk(team.open())

    walk.click(walk.page.locator("#failed [data-row-link]"))

    expect(walk.page.locator("#alerts")).to_contain_text("did not fire Action of this task")
    expect(walk.page.locator("#alerts li")).to_have_text("success: the status is error.")
    assert walk.clicks <= 2


def test_how_long_it_will_take(team: Team) -> None:
    for days in (1, 2, 3):
        run(team, "nightly import", "success", ago=timedelta(days=days))
    run(team, "nightly import", ago=timedelta(seconds=70))
    team.count()

    walk = Walk(team.open())

    row = walk.page.locator("#running [data-row]")
    expect(row).to_contain_text("1 min")
    expect(row).to_contain_text("usually 3.8 min")
    assert walk.clicks == 0


def test_progress_of_a_job_in_a_readme(team: Team, new_page: Callable[..., Page]) -> None:
    run(team, "nightly import", "success", ago=timedelta(days=1))
    team.count()
    run(team, "nightly import", ago=timedelta(seconds=70), value=62)
    walk = Walk(team.open(permissions=["clipboard-read", "clipboard-write"]))

    walk.click(walk.page.get_by_role("link", name="Names", exact=True))
    walk.click(walk.page.locator("[data-row-link]").first)
    walk.click(walk.page.get_by_role("button", name="Copy the badge as Markdown"))

    expect(walk.page.locator(".toast")).to_have_text("Copied")
    assert walk.clicks <= 3
    markdown = walk.page.evaluate("navigator.clipboard.readText()")
    badge = markdown.partition("](")[2].partition(")")[0]
    stranger = new_page()
    stranger.goto(badge)
    assert "62" in stranger.content()


def begin(team: Team) -> Walk:
    """Open the overview of a team that has sent a task."""
    team.project.create(name="nightly import", status="error")
    page = team.open()
    expect(page.locator("h1")).to_have_text("Overview")
    return Walk(page)


def test_mail_when_any_import_fails(team: Team) -> None:
    walk = begin(team)
    page = walk.page

    walk.click(page.get_by_role("link", name="Alerts", exact=True))
    walk.click(page.get_by_role("button", name="New alert rule").first)
    walk.type("Name", "imports")
    walk.type("Task name", "import")
    walk.type("E-mail addresses", "ops@example.com")
    expect(page.locator("#dry-run")).to_contain_text("Would have reported 1 incident")
    walk.click(page.get_by_role("button", name="Create alert rule"))

    expect(page.locator("[data-row]")).to_contain_text("name contains “import”")
    assert walk.clicks <= 4
    with team.server.app.app_context():
        made = db.session.scalars(select(GlobalAction).order_by(GlobalAction.id.desc())).first()
        assert made is not None
        found = (made.trigger, made.mode, made.name_pattern, json.loads(made.channels))
        db.session.remove()
    mail = {"integration": "email", "config": {"to": "ops@example.com"}}
    assert found == ("error", "incident", "import", [mail])


def test_told_when_the_nightly_backup_has_not_started_by_02_40_in_berlin(team: Team) -> None:
    walk = begin(team)
    page = walk.page

    walk.click(page.locator("[data-go=m]"))
    walk.click(page.get_by_role("button", name="New monitor").first)
    page.wait_for_url("**/monitors/new/**")
    expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
    walk.type("Name", "nightly backup")
    walk.type("Schedule", "30 2 * * *")
    walk.type("Alert if not started within", "10 min")
    walk.type("E-mail addresses", "ops@example.com")
    expect(page.locator("#preview li").first).to_contain_text("late after 02:40")
    walk.click(page.get_by_role("button", name="Create monitor"))

    expect(page.locator("h1")).to_have_text("nightly backup")
    assert walk.clicks <= 6
    with team.server.app.app_context():
        made = db.session.scalars(select(Monitor).order_by(Monitor.id.desc())).first()
        assert made is not None
        found = (made.schedule, made.timezone, made.start_grace, json.loads(made.targets))
        db.session.remove()
    mail = {"integration": "email", "config": {"to": "ops@example.com"}}
    assert found == ("30 2 * * *", "Europe/Berlin", 600, [mail])


def test_silence_for_tonight(team: Team) -> None:
    walk = begin(team)
    page = walk.page

    walk.click(page.get_by_role("link", name="Alerts", exact=True))
    walk.click(page.get_by_role("link", name="Windows", exact=True))
    walk.click(page.get_by_role("button", name="until tomorrow 08:00", exact=True))

    expect(page.get_by_text("Silence of everything until")).to_be_visible()
    assert walk.clicks <= 4
    with team.server.app.app_context():
        window = db.session.scalars(
            select(MaintenanceWindow)
            .join(Organization, Organization.id == MaintenanceWindow.organization_id)
            .where(Organization.slug == team.project.organization)
        ).one()
        ends, db_now = window.ends, utcnow()
        db.session.remove()
    assert ends is not None
    morning = ends.astimezone(BERLIN)
    assert (morning.hour, morning.minute) == (8, 0)
    assert timedelta(0) < ends - db_now < timedelta(hours=33)


def test_colleague_who_may_only_look(team: Team, new_page: Callable[..., Page]) -> None:
    run(team, "nightly import", "success", ago=timedelta(days=1))
    walk = Walk(team.open())
    page = walk.page

    walk.click(page.get_by_role("link", name="Settings", exact=True))
    walk.click(page.get_by_role("link", name="Members", exact=True))
    walk.type("E-mail address", f"grace@{team.project.organization}.example")
    walk.click(page.get_by_label("viewer:"))
    walk.click(page.get_by_role("button", name="Create invitation link"))

    link = page.locator(".code code").inner_text()
    assert walk.clicks <= 4
    guest = new_page()
    guest.goto(link)
    guest.get_by_label("Password").fill("correct horse battery")
    guest.get_by_role("button", name="Join").click()
    expect(guest.locator("h1")).to_have_text("Overview")
    guest.goto(f"{team.home}settings/members/")
    expect(guest.locator("tr", has_text="grace@")).to_contain_text("viewer")


def test_key_for_the_ci_that_may_only_send(team: Team) -> None:
    run(team, "nightly import", "success", ago=timedelta(days=1))
    walk = Walk(team.open())
    page = walk.page

    walk.click(page.get_by_role("link", name="Settings", exact=True))
    walk.click(page.get_by_role("link", name="Keys", exact=True))
    walk.type("Name", "ci")
    walk.click(page.get_by_label("read: read everything"))
    walk.click(page.get_by_role("button", name="Create key"))

    key = page.locator(".code code").first.inner_text()
    assert walk.clicks <= 4
    tasks = f"/api/{team.project.organization}/{team.project.slug}/tasks/"
    headers = {"Authorization": f"Bearer {key}"}
    sent = httpx2.post(team.server.host + tasks, json={"name": "built"}, headers=headers)
    read = httpx2.get(team.server.host + tasks, headers=headers)
    assert (sent.status_code, read.status_code) == (201, 403)


def wait(team: Team, queue: str, *, ago: timedelta) -> None:
    """Let a task arrive in a queue so long ago, and wait there."""
    with team.server.app.app_context(), writing():
        fields = {"name": "send", "queue": queue}
        write.create_task(project_of(team), fields, now=utcnow() - ago, actor=CI)
        db.session.commit()
        db.session.remove()


def test_failed_import_of_a_customer_by_what_it_sent(team: Team) -> None:
    day = timedelta(days=1)
    for customer, status, ago in ((42, "error", day), (43, "error", day), (42, "success", day)):
        data = json.dumps({"customer": customer, "exception": f"ValueError: {customer}"})
        run(team, f"import {status}", status, ago=ago, data=data)
    walk = Walk(team.open())

    walk.click(walk.page.get_by_role("link", name="Tasks", exact=True))
    walk.type("Search tasks", "import status:error data.customer:42 yesterday")
    walk.press("Enter")

    expect(walk.page.locator("#tasks [data-row]")).to_have_count(1)
    walk.click(walk.page.locator("#tasks [data-row-link]"))
    expect(walk.page.locator("#error-title")).to_have_text("ValueError: 42")
    assert walk.clicks <= 3


def test_whether_a_queue_is_backing_up(team: Team) -> None:
    for _ in range(6):
        wait(team, "mail", ago=timedelta(minutes=2))
    run(team, "resize", queue="images", ago=timedelta(seconds=1))
    team.count()
    walk = Walk(team.open())

    walk.click(walk.page.get_by_role("link", name="Queues", exact=True))

    expect(walk.page.locator("#queues .flash")).to_have_text("“mail” is backing up.")
    assert walk.clicks <= 2
