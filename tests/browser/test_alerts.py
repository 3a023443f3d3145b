"""The pages of alerts in a real browser, against a live gunicorn and a real worker."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from browser.everything import give_up, make_alerts
from browser.team import LOOPBACK, Team
from conftest import FIXTURES
from playwright.sync_api import Page, expect
from processes import run_module, wait_until
from receivers import HttpReceiver, SmtpReceiver, answer
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain import slugs
from taskbadger.extensions import db, writing
from taskbadger.models import GlobalAction
from taskbadger.process import process_of
from taskbadger.services.organizations import organizations

ON_BOTH_DATABASES = {"test_channel_and_action_are_made_by_clicking_and_their_messages_arrive"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    """A web server that takes what it is sent."""
    with HttpReceiver(answer(204)) as receiver:
        yield receiver


@pytest.fixture
def mailbox(team: Team, tmp_path: Path) -> Iterator[SmtpReceiver]:
    """A mail server, and a worker of the live server that sends to it."""
    database_url = process_of(team.server.app).settings.DATABASE_URL
    with SmtpReceiver() as receiver:
        variables = {
            "TASKBADGER_DATABASE_URL": database_url,
            "TASKBADGER_SMTP_URL": receiver.url,
            "TASKBADGER_PLUGINS": "false",
            "TASKBADGER_OUTBOUND_ALLOW": LOOPBACK,
        }
        with run_module(tmp_path / "worker", ("taskbadger_server", "worker"), variables):
            yield receiver


def give_up_a_delivery(team: Team) -> str:
    """Make a task fail, and the delivery about it too; return the id of the delivery."""
    with team.server.app.app_context(), writing():
        organization = organizations.ensure_organization(
            team.project.organization, actor=FIXTURES, now=utcnow()
        )
        make_alerts(organization.id)
        db.session.commit()
        db.session.remove()
    team.project.create(name="nightly backup", status="error")
    with team.server.app.app_context(), writing():
        found = give_up()
        db.session.commit()
        db.session.remove()
    return found


def test_channel_and_action_are_made_by_clicking_and_their_messages_arrive(
    team: Team,
    mailbox: SmtpReceiver,
    hook: HttpReceiver,
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    team.project.create(name="nightly import", status="error")
    page = team.open("alerts/")
    page.get_by_role("link", name="Channels").click()
    page.get_by_role("button", name="Webhook").click()
    slug = page.get_by_label("Slug")
    for name in ("On call: Team 2!", "Änderungen & Größe", "日本", "a" * 40):
        page.get_by_label("Name").fill(name)
        expect(slug).to_have_value(slugs.from_name(name, 29))
    slug.fill("ops")
    page.get_by_label("Name").fill("Operations")
    expect(slug).to_have_value("ops")
    page.get_by_label("URL").fill(hook.url)
    axe(page)
    page.get_by_role("button", name="Create channel").click()
    expect(page.get_by_text("webhook:ops created.")).to_be_visible()
    page.get_by_role("button", name="Send a test message").click()
    expect(page.get_by_text("Test message delivered in")).to_be_visible()
    assert [json.loads(one.body)["type"] for one in hook.requests] == ["channel.test"]
    page.get_by_role("link", name="Alert rules").click()

    page.get_by_role("button", name="New alert rule").first.click()
    dry_run = page.locator("#dry-run")
    expect(dry_run).to_contain_text("Would have reported 1 incident in the last 7 days")
    page.get_by_label("each time").check()
    expect(dry_run).to_contain_text("Would have fired 1 time in the last 7 days")
    page.get_by_label("Name", exact=True).fill("failures")
    page.get_by_label("stale", exact=True).check()
    page.get_by_label("every N percent").fill("25")
    page.get_by_text("As text").click()
    trigger = page.get_by_label("Trigger", exact=True)
    expect(trigger).to_have_value("error,stale,*/25%")
    page.get_by_label("every N percent").fill("")
    expect(trigger).to_have_value("error,stale")
    page.get_by_label("Task name", exact=True).fill("mail")
    expect(dry_run).to_contain_text("none would have triggered it")
    trigger.fill("soon, success, 10%, 20%")
    expect(dry_run).to_contain_text("is not a trigger point")
    expect(page.get_by_label("failed", exact=True)).not_to_be_checked()
    expect(page.get_by_label("finished", exact=True)).to_be_checked()
    expect(page.get_by_label("at N percent")).to_have_value("10, 20")
    page.get_by_label("failed", exact=True).check()
    expect(trigger).to_have_value("soon,success,10%,20%,error")
    trigger.fill("error")
    expect(page.get_by_label("stale", exact=True)).not_to_be_checked()
    page.get_by_label("How the task name is compared").select_option("starts with")
    page.get_by_label("Task name", exact=True).fill("nightly")
    notify = page.get_by_role("group", name="Notify", exact=True)
    notify.get_by_label("E-mail addresses").fill("night@example.com")
    notify.get_by_label("Operations").check()
    expect(page.get_by_label("Wait for a retry")).to_have_value("1 min")
    page.get_by_label("Wait for a retry").fill("0")
    expect(dry_run).to_contain_text("Would have fired 1 time")
    page.evaluate("scrollTo(0, 0)")  # The bar covers what is scrolled below it.
    axe(page)
    screenshot(page, "alert-edit")
    page.get_by_role("button", name="Create alert rule").click()
    expect(page.locator("[data-row]")).to_have_count(1)

    team.project.create(name="nightly backup", status="error")

    # The worker also sends what other teams of this server have queued.
    (mail,) = wait_until(
        lambda: [one for one in mailbox.mails if one.recipients == ["night@example.com"]], "mail"
    )
    assert "nightly backup" in mail.text
    assert json.loads(hook.wait(2)[1].body)["data"]["task"]["name"] == "nightly backup"
    page.get_by_role("link", name="Deliveries").click()
    page.get_by_label("State").select_option("delivered")
    page.wait_for_url("**state=delivered**")

    # The test, the mail and the webhook. The list shows them by itself, if it does not yet.
    expect(page.locator("tbody [data-row]")).to_have_count(3)


def test_monitor_is_made_by_clicking_and_its_mail_arrives(
    team: Team, mailbox: SmtpReceiver
) -> None:
    page = team.open("monitors/new/")
    page.get_by_label("Name", exact=True).fill("hourly import")
    page.get_by_label("At a fixed interval").check()
    page.get_by_label("Every", exact=True).fill("1 h")
    page.get_by_label("E-mail addresses").first.fill("monitors@example.com")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.locator("h1")).to_have_text("hourly import")
    number = page.url.rstrip("/").rpartition("/")[2]

    headers = {"X-TASKBADGER-MONITOR": number}
    task = {"name": "import", "status": "error"}
    team.project.request("POST", "/tasks/", json=task, headers=headers)

    (mail,) = wait_until(
        lambda: [one for one in mailbox.mails if one.recipients == ["monitors@example.com"]], "mail"
    )
    assert "hourly import" in mail.text
    expect(page.locator("#head")).to_contain_text("failing")


def test_dead_message_is_tried_again_by_clicking(team: Team) -> None:
    dead = give_up_a_delivery(team)
    page = team.open(f"alerts/deliveries/{dead}/")

    page.get_by_role("button", name="Retry").click()

    expect(page.get_by_text("Queued for another attempt.")).to_be_visible()
    expect(page.get_by_text("could not be delivered")).to_have_count(0)
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_selected_deliveries_are_tried_again_with_one_button(
    team: Team,
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
    *,
    scripts: bool,
) -> None:
    give_up_a_delivery(team)
    team.project.create(name="nightly import", status="error")
    with team.server.app.app_context(), writing():
        give_up()
        db.session.commit()
        db.session.remove()
    page = team.open("alerts/deliveries/?state=dead", java_script_enabled=scripts)
    boxes = page.locator("[name=delivery]")
    bar = page.locator("[data-bulk-bar]")
    expect(boxes).to_have_count(2)
    expect(bar).to_be_visible(visible=not scripts)

    if scripts:
        page.get_by_label("Select all on this page").check()
        expect(bar).to_contain_text("2 selected")
        axe(page)
        screenshot(page, "deliveries-selected")
    else:
        for box in boxes.all():
            box.check()
    bar.get_by_role("button", name="Retry").click()

    expect(page.get_by_text("2 deliveries queued for another attempt.")).to_be_visible()


def test_back_button_selects_no_deliveries(team: Team) -> None:
    give_up_a_delivery(team)
    page = team.open("alerts/deliveries/?state=dead")
    page.locator("[name=delivery]").check()
    expect(page.locator("[data-bulk-bar]")).to_contain_text("1 selected")

    page.get_by_role("link", name="Tasks", exact=True).click()
    page.wait_for_url(f"{team.home}tasks/")
    page.go_back()

    page.wait_for_load_state("load")
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.locator("[name=delivery]")).not_to_be_checked()
    expect(page.locator("[data-bulk-bar]")).to_be_hidden()


def test_rule_that_escalates_is_made_with_the_keyboard(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    page = team.open("alerts/new/")
    keys, seen = page.keyboard, page.locator(":focus")

    def tab_to(label: str) -> None:
        for _ in range(60):
            keys.press("Tab")
            if label in seen.evaluate("e => e.labels?.[0]?.textContent || e.textContent"):
                return
        raise AssertionError(f"{label} cannot be reached")

    page.get_by_label("Name", exact=True).focus()
    keys.type("nights")
    tab_to("when a job begins to fail")
    expect(page.get_by_label("finished", exact=True)).to_be_hidden()
    keys.press("ArrowDown")
    expect(page.get_by_label("finished", exact=True)).to_be_visible()
    expect(page.get_by_label("Remind again after", exact=True)).to_be_hidden()
    keys.press("ArrowUp")
    expect(page.get_by_label("finished", exact=True)).to_be_hidden()
    tab_to("stale")
    keys.press("Space")
    expect(page.locator("#trigger")).to_have_value("error,stale")
    tab_to("E-mail addresses")
    keys.type("team@example.com")
    tab_to("Only after this many failures")
    keys.type("2")
    tab_to("Within")
    keys.type("10 min")
    tab_to("Remind again after")
    keys.type("45 min")
    tab_to("Step 1")
    keys.press("Enter")
    tab_to("Not acknowledged after")
    keys.type("15 min")
    tab_to("E-mail addresses")
    keys.type("lead@example.com")
    expect(page.locator("#dry-run")).to_contain_text("incidents in the last 7 days")
    page.evaluate("scrollTo(0, 0)")  # The bar covers what is scrolled below it.
    axe(page)
    screenshot(page, "alert-edit-incident")
    tab_to("Create alert rule")
    keys.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(1)

    with team.server.app.app_context():
        made = db.session.scalars(select(GlobalAction)).all()[-1]
        found = (made.mode, made.trigger, made.at_least, made.within, made.remind_after)
        steps = json.loads(made.escalation)
        db.session.remove()
    assert found == ("incident", "error,stale", 2, 600, 2700)
    lead = {"integration": "email", "config": {"to": "lead@example.com"}}
    assert steps == [{"after": 900, "channels": [lead]}]


def test_dry_run_reads_without_scripts(team: Team) -> None:
    team.project.create(name="job", status="error")
    page = team.open("alerts/new/", java_script_enabled=False)

    expect(page.get_by_text("Only with “when a job begins to fail”.").last).to_be_visible()
    page.get_by_label("failed", exact=True).uncheck()
    page.get_by_label("stale", exact=True).check()
    page.get_by_role("button", name="Preview").click()

    expect(page.locator("#dry-run")).to_contain_text("none would have triggered it")
    expect(page.get_by_label("failed", exact=True)).not_to_be_checked()
    page.get_by_text("As text").click()
    expect(page.get_by_label("Trigger", exact=True)).to_have_value("stale")
    page.get_by_label("Trigger", exact=True).fill("error")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#dry-run")).to_contain_text("Would have reported 1 incident")


def test_silence_holds_messages_back_until_it_is_ended(
    team: Team, mailbox: SmtpReceiver, axe: Callable[[Page], None]
) -> None:
    to = ["silenced@example.com"]
    mail = {"integration": "email", "config": {"to": to[0]}}

    def received() -> list[str]:
        return [one.text for one in mailbox.mails if one.recipients == to]

    page, other = team.open("alerts/windows/"), team.open("alerts/deliveries/")
    page.get_by_role("button", name="4 h").click()
    expect(page.get_by_text("Silence of everything until")).to_be_visible()
    axe(page)

    for _ in range(2):
        actions = [{"trigger": "error", **mail}]
        team.project.create(name="nightly import", status="error", actions=actions)

    held = other.get_by_text("by the window ‹Silence of everything›")
    expect(held).to_have_count(2, timeout=10_000)
    overview = team.open("")
    note = overview.get_by_text("In the maintenance window")
    expect(note).to_be_visible()
    assert received() == []

    page.get_by_role("button", name="End now").click()

    expect(page.get_by_text("has ended")).to_be_visible()
    # One for each task's own action.
    wait_until(lambda: len(received()) == 2, "mails")
    expect(held).to_have_count(0, timeout=10_000)
    expect(note).to_have_count(0, timeout=10_000)
