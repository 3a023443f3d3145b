"""Names in a real browser: what explains their figures, a monitor in two clicks, public pages."""

from collections.abc import Callable
from urllib.parse import quote

from browser.team import Team
from playwright.sync_api import Page, expect

NAME = "reports/50 % für Ada"


def test_percentiles_are_explained_to_those_who_ask(
    team: Team, axe: Callable[[Page], None]
) -> None:
    team.project.create(name=NAME, status="success")
    team.count()
    page = team.open("names/")
    tip, text = page.locator(".tip summary"), page.get_by_text("accurate to within 5 %")
    expect(text).to_be_hidden()

    tip.focus()
    page.keyboard.press("Enter")
    expect(text).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(text).to_be_hidden()
    expect(tip).to_be_focused()
    tip.click()
    page.locator("h1").click()

    expect(text).to_be_hidden()


def test_explanation_fits_a_phone(team: Team) -> None:
    team.project.create(name=NAME, status="success")
    page = team.open(
        f"names/{team.project.slug}/?name={quote(NAME)}", viewport={"width": 390, "height": 844}
    )

    page.locator(".tip summary").click()

    expect(page.get_by_text("accurate to within 5 %")).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_monitor_of_a_name_is_made_with_two_clicks(team: Team) -> None:
    team.project.create(name=NAME, status="success")
    page = team.open(f"names/{team.project.slug}/?name={quote(NAME)}")

    page.get_by_role("button", name="Create monitor").or_(
        page.get_by_role("link", name="Create monitor")
    ).click()
    page.get_by_label("Schedule", exact=True).fill("@daily")
    page.get_by_role("button", name="Create monitor").click()
    expect(page.locator("main")).to_contain_text(f"Watching starts with the next run of {NAME}.")
    team.project.create(name=NAME, status="processing", value=40)

    expect(page.locator("#standing")).to_contain_text("running", timeout=15_000)


def test_public_page_of_a_name_follows_its_latest_run(
    team: Team, new_page: Callable[..., Page]
) -> None:
    team.project.create(name=NAME, status="error")
    place = f"{team.project.organization}/{team.project.slug}"
    page = new_page()
    page.goto(f"{team.server.host}/public/{place}/names/{NAME}/".replace("%", "%25"))
    expect(page.locator("#run .page-head")).to_contain_text("error")

    task = team.project.create(name=NAME, status="processing", value=62)
    expect(page.locator("#run progress")).to_have_js_property("value", 62)
    team.project.request("PATCH", f"/tasks/{task['id']}/", json={"status": "success"})

    expect(page.locator("#run .page-head")).to_contain_text("success")
