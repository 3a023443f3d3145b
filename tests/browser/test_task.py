"""One task, its public page and its badge in a real browser, against a live gunicorn."""

from collections.abc import Callable

import pytest
from browser.team import Team
from flask import Flask
from playwright.sync_api import Page, expect

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

TRACEBACK = 'Traceback (most recent call last):\n  File "job.py", line 7\nOSError: no space left'


def make_story(team: Team) -> str:
    """Make a task with all that its page can show; return its id."""
    create, request = team.project.create, team.project.request
    create(name="import customers", status="success")
    task = create(
        name="import customers",
        queue="high",
        external_id="celery-8f2a",
        max_runtime=600,
        stale_timeout=120,
        tags={"env": "prod", "region": "eu-central-1", "hostile": HOSTILE},
        data={
            "file": HOSTILE,
            "rows": 12_000,
            "dry_run": False,
            "owner": None,
            "db": {"host": "db.internal", "password": "hunter2"},
            "items": [{"sku": "A-1", "price": 12.5}, [], {}],
            "traceback": TRACEBACK,
        },
    )
    path = f"/tasks/{task['id']}/"
    for value in (5, 20, 45, 62):
        request("PATCH", path, json={"status": "processing", "value": value})
    request("PATCH", path, json={"status": "post_processing"})
    for number, status in enumerate(("success", "processing", "error")):
        create(name=f"part {number}", parent=task["id"], status=status, value=number * 40)
    create(name="import customers")
    return str(task["id"])


def test_task_meets_wcag_and_is_pictured(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    task_id = make_story(team)
    page = team.open(f"tasks/{task_id}/")

    expect(page.locator("#data")).to_contain_text(HOSTILE)
    expect(page.locator("#data")).not_to_contain_text("hunter2")
    shown = page.locator("#data .json-string", has_text="Traceback").inner_text()
    assert shown == f'"{TRACEBACK}"'
    lines = "all => all.map(one => Math.round(one.getBoundingClientRect().height))"
    assert max(page.locator("#facts :is(time, .mono)").evaluate_all(lines)) < 35
    expect(page.locator("#children [data-row]")).to_have_count(3)
    axe(page)
    screenshot(page, "task")


def test_page_with_much_data_stays_short(team: Team, axe: Callable[[Page], None]) -> None:
    task = team.project.create(data={"log": "a line\n" * 9000, "rows": list(range(9000))})
    page = team.open(f"tasks/{task['id']}/")

    expect(page.locator("#data")).to_contain_text(
        "Only part of the data is shown. Full data as JSON"
    )
    assert page.evaluate("document.documentElement.scrollHeight") < 2000
    axe(page)


def test_task_fits_a_phone(
    team: Team, axe: Callable[[Page], None], screenshot: Callable[..., None]
) -> None:
    task_id = make_story(team)
    page = team.open(f"tasks/{task_id}/", viewport={"width": 375, "height": 812}, has_touch=True)

    assert page.evaluate("document.documentElement.scrollWidth") == 375
    right = "all => all.map(one => one.getBoundingClientRect().right)"
    assert max(page.locator("#events .badge").evaluate_all(right)) < 375
    axe(page)
    screenshot(page, "task-phone", themes=("light",))


def test_task_moves_while_it_is_looked_at_and_keeps_what_was_folded(team: Team) -> None:
    task_id = make_story(team)
    page = team.open(f"tasks/{task_id}/")
    folded = page.locator("#data details").first
    folded.locator("summary").first.click()
    run_time = page.locator("#standing [data-since]")
    expect(run_time).not_to_have_text(run_time.inner_text())

    team.project.request("PATCH", f"/tasks/{task_id}/", json={"value": 88, "status": "processing"})

    expect(page.locator("#standing progress")).to_have_js_property("value", 88)
    expect(folded).not_to_have_attribute("open", "")


def test_task_is_cancelled_after_a_question(team: Team) -> None:
    task = team.project.create(status="processing")
    page = team.open(f"tasks/{task['id']}/")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#confirm-text")).to_have_text("Mark this task as cancelled?")
    expect(page.locator("#confirm button")).to_have_text(["Keep running", "Cancel task"])
    page.locator("[data-confirm-yes]").click()

    expect(page.locator("#head .badge")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_data_is_copied_without_secrets(team: Team) -> None:
    task = team.project.create(data={"a": 1, "token": "hidden"})
    page = team.open(f"tasks/{task['id']}/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the data as JSON").click()

    expect(page.locator(".toast")).to_have_text("Copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text == '{\n  "a": 1,\n  "token": "••••••"\n}'


def test_public_page_is_live_for_somebody_who_never_signed_in(
    team: Team,
    new_page: Callable[..., Page],
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    task_id = make_story(team)
    page = new_page()
    page.goto(f"{team.server.host}/public/tasks/{task_id}/")
    expect(page.locator("#task progress")).to_have_js_property("value", 62)
    expect(page.locator("main")).not_to_contain_text("A-1")
    axe(page)
    screenshot(page, "public")

    team.project.request("PATCH", f"/tasks/{task_id}/", json={"value": 93})

    expect(page.locator("#task progress")).to_have_js_property("value", 93)
    expect(page.locator(".live")).to_contain_text("updated")


def test_public_page_fits_a_phone_and_a_missing_one_is_calm(
    team: Team,
    phone: Page,
    expected_problems: list[str],
    axe: Callable[[Page], None],
    screenshot: Callable[..., None],
) -> None:
    expected_problems.append("status of 404")
    phone.goto(f"{team.server.host}/public/tasks/{make_story(team)}/")
    assert phone.evaluate("document.documentElement.scrollWidth") == 375
    axe(phone)
    screenshot(phone, "public-phone", themes=("light",))

    phone.goto(f"{team.server.host}/public/tasks/AZHAkAAAcACAAAAAAAAAAA/")
    expect(phone.locator("h1")).to_have_text("Page not found")
    axe(phone)


@pytest.mark.parametrize("name", ["import customers", "W" * 40, "👩\u200d🔧 データ取込み iiiii"])
def test_badge_is_a_picture_that_holds_its_texts(team: Team, page: Page, name: str) -> None:
    task = team.project.create(name=name, status="processing", value=62)
    answer = page.goto(f"{team.server.host}/public/tasks/{task['id']}/badge.svg")

    assert page.locator("text").all_text_contents() == [name, "processing 62%"]
    assert answer is not None
    assert answer.headers["content-security-policy"] == "default-src 'none'"
    edges = "all => all.map(one => one.getBoundingClientRect()).map(one => [one.left, one.right])"
    texts = page.locator("text").evaluate_all(edges)
    boxes = page.locator("g rect").evaluate_all(edges)
    for (left, right), (start, end) in zip(texts, boxes, strict=True):
        assert start + 3 < left < start + 8
        assert end - 8 < right < end - 3


def test_badge_is_shown_on_pages_of_others(
    team: Team, page: Page, serve: Callable[[Flask], str]
) -> None:
    badge = f"{team.server.host}/public/tasks/{make_story(team)}/badge.svg"
    other = Flask("other")

    @other.get("/")
    def readme() -> tuple[str, dict[str, str]]:
        # The strictest a page can be about what it embeds.
        headers = {"Cross-Origin-Embedder-Policy": "require-corp"}
        return f'<link rel="icon" href="data:,"><img src="{badge}">', headers

    page.goto(serve(other))

    assert page.locator("img").evaluate("img => img.naturalWidth") > 0
