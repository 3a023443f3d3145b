"""Digests in a real browser: the mail on a small screen in both schemes, and choosing one."""

from collections.abc import Callable
from typing import Literal

import pytest
from browser.conftest import SCREENSHOTS, broken_rules
from browser.team import Team
from channels.test_digests import ENTRY, MESSAGE, SECTIONS, with_sections
from playwright.sync_api import Page, expect

from taskbadger.channels import SendContext
from taskbadger.channels.email import render
from taskbadger.channels.links import with_links

LONG = {**ENTRY, "title": f"{'x' * 180} (web)", "detail": f"webhook:ops, {'y' * 150}"}


# How a mail looks does not depend on the database.
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 800])
def test_mail_is_read_on_small_screens_in_both_schemes(
    new_page: Callable[..., Page], scheme: Literal["light", "dark"], width: int
) -> None:
    page = new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    long = {"title": "Recovered", "entries": [LONG], "count": 1, "more": ""}
    context = SendContext(base_url="https://tasks.example.com", secret_key="secret")
    message = with_links(with_sections(*SECTIONS, long), "someone", context)

    page.set_content(render(message).html)

    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"digest-mail-{width}-{scheme}.png", full_page=True)
    expect(page.get_by_role("heading", level=1)).to_have_text(MESSAGE.title)
    expect(page.get_by_role("link", name="Unsubscribe", exact=True)).to_be_visible()
    assert "acme. Change it Unsubscribe" in " ".join(page.inner_text("body").split())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    # The checker takes a page without a background for white, whatever the scheme.
    page.add_style_tag(content="html { background: Canvas; }")
    assert broken_rules(page, scheme) == []


def test_member_chooses_a_digest_reads_the_preview_and_turns_it_off(team: Team) -> None:
    page = team.open()
    page.goto(f"{team.server.host}/account")
    name = team.project.organization

    page.get_by_label("Your time zone").fill("Europe/Berlin")
    page.get_by_role("button", name="Save time zone").click()
    expect(page.get_by_text("Digests are sent at 08:00 in Europe/Berlin.")).to_be_visible()
    page.get_by_label(f"Digest of {name}").select_option("weekly")
    page.get_by_role("button", name=f"Save for {name}").click()
    expect(page.get_by_label(f"Digest of {name}")).to_have_value("weekly")
    page.get_by_role("link", name=f"Preview the digest of {name}").click()

    expect(page.get_by_text("at 08:00 in Europe/Berlin")).to_be_visible()
    mail = page.frame_locator("iframe")
    expect(mail.get_by_role("heading", level=1)).to_have_text("Weekly digest: nothing happened")
    page.get_by_text("As plain text").click()
    expect(page.locator("pre")).to_contain_text("Nothing happened.")
    page.get_by_role("link", name="Back to your account").click()
    page.get_by_label(f"Digest of {name}").select_option("off")
    page.get_by_role("button", name=f"Save for {name}").click()
    expect(page.get_by_label(f"Digest of {name}")).to_have_value("off")
