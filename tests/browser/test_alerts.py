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

from taskbadger.clock import utcnow
from taskbadger.extensions import db, writing
from taskbadger.process import process_of
from taskbadger.services.organizations import organizations

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
    page.get_by_label("Name").fill("Operations")
    page.get_by_label("Slug").fill("ops")
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
    expect(dry_run).to_contain_text("Would have fired 1 time in the last 7 days")
    page.get_by_label("Name", exact=True).fill("failures")
    page.get_by_label("stale", exact=True).check()
    page.get_by_label("Number").fill("25")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label("When")).to_have_value("error,stale,*/25%")
    page.get_by_role("button", name="Remove */25%").click()
    page.get_by_label("Task name").fill("^mail")
    expect(dry_run).to_contain_text("none would have triggered it")
    page.get_by_label("When").fill("error, soon")
    expect(dry_run).to_contain_text("is not a trigger point")
    page.get_by_label("When").fill("error")
    expect(page.get_by_label("stale", exact=True)).not_to_be_checked()
    page.get_by_label("Task name").fill("^nightly")
    page.get_by_label("E-mail addresses").fill("night@example.com")
    page.get_by_label("Operations").check()
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
    page.get_by_label("Name").fill("hourly import")
    page.get_by_label("At a fixed interval").check()
    page.get_by_label("Every").fill("1")
    page.get_by_label("Unit").select_option("hours")
    page.get_by_label("E-mail addresses").fill("monitors@example.com")
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


def test_dry_run_reads_without_scripts(team: Team) -> None:
    team.project.create(name="job", status="error")
    page = team.open("alerts/new/", java_script_enabled=False)

    page.get_by_label("When").fill("stale")
    page.get_by_role("button", name="Preview").click()

    expect(page.locator("#dry-run")).to_contain_text("none would have triggered it")
