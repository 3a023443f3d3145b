"""Every page there is: by the route table, so that no new page is forgotten."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from acceptance.live import LiveServer
from browser.conftest import PHONE, SCREENSHOTS, broken_rules
from browser.everything import HOSTILE, Everything, fill
from flask import Flask
from playwright.sync_api import Error, Page, expect

from taskbadger.blueprints.dashboard.visit import COOKIE
from taskbadger.extensions import db


@dataclass(frozen=True)
class Visit:
    """A page to look at."""

    path: str
    shows: str
    """What must be read on it, with JavaScript and without."""
    state: str = ""
    """Which of the endpoint's pages it is, in the name of its picture."""
    who: str = "owner"
    """``owner``, ``outsider``, ``nobody``; or ``first``: nobody, on an empty server."""
    press: str = ""
    """A button to press first: forms are sent as they stand."""
    unfold: str = ""
    """What to unfold first, by its summary."""
    plainly: str = ""
    """What is read in place of *shows* where there is no JavaScript."""


PATHS: dict[str, list[Visit]] = {
    "dashboard.set_up": [
        Visit("/set-up", "You will become its owner.", who="first"),
        Visit("/set-up", "This field", "wrong", who="first", press="Create"),
    ],
    "dashboard.sign_in": [
        Visit("/sign-in", "E-mail address", who="nobody"),
        Visit("/sign-in", "Wrong e-mail or password.", "wrong", "nobody", "Sign in"),
    ],
    "dashboard.invitation": [
        Visit("/invitation?token={for_newcomer}", "Your name", who="nobody"),
        Visit("/invitation?token={for_newcomer}", "This field", "wrong", "nobody", "Join"),
        Visit("/invitation?token={for_owner}", "An account with this address", "known", "nobody"),
        Visit("/invitation?token={for_owner}", "Join as", "own"),
        Visit("/invitation?token={for_newcomer}", "Sign out first", "not-yours"),
        Visit("/invitation?token=gone", "Ask for a new one.", "gone", "nobody"),
    ],
    "dashboard.start": [Visit("/", "No organization yet", who="outsider")],
    "dashboard.account_deletion": [Visit("/account/delete", "You are signed out everywhere")],
    "dashboard.account": [
        Visit("/account", "this browser"),
        Visit("/account", "This field", "wrong", press="Change password"),
    ],
    "dashboard.digest_preview": [
        Visit("/account/digests/{membership}/", "Preview of your digest"),
    ],
    "dashboard.overview": [
        Visit("/a/{org}/", "Running now"),
        Visit("/a/{empty}/", "Waiting for the first task", "empty"),
    ],
    "dashboard.how_to": [Visit("/a/{org}/how-to/", "How to send tasks")],
    "dashboard.task_list": [
        Visit("/a/{org}/tasks/", HOSTILE),
        Visit("/a/{org}/tasks/?q=colour:red", "colour:red", "problem"),
        Visit("/a/{empty}/tasks/", "No tasks yet", "empty"),
    ],
    "dashboard.task": [
        Visit("/a/{org}/tasks/{task}/", "db.internal"),
        Visit("/a/{org}/tasks/{failed}/", "no row 17 in stock.csv", "failed"),
    ],
    "dashboard.failure_list": [
        Visit("/a/{org}/failures/", HOSTILE),
        Visit("/a/{org}/failures/?q=nothing+like+it", "No matching failures", "none"),
        Visit("/a/{empty}/failures/", "No open failures", "empty"),
    ],
    "dashboard.failure": [Visit("/a/{org}/failures/{failure}/", "no row 17 in stock.csv")],
    "dashboard.names": [
        Visit("/a/{org}/names/", "import customers"),
        Visit("/a/{empty}/names/", "No", "empty"),
    ],
    "dashboard.name": [Visit("/a/{org}/names/{project}/?name=import+customers", "Success")],
    "dashboard.queue_list": [
        Visit("/a/{org}/queues/", "is not moving"),
        Visit("/a/{empty}/queues/", "No queues yet", "empty"),
    ],
    "dashboard.monitor_list": [
        Visit("/a/{org}/monitors/", "hourly import"),
        Visit("/a/{org}/monitors/?state=failing", "No monitor is failing", "failing"),
        Visit("/a/{empty}/monitors/", "No monitors yet", "empty"),
    ],
    "dashboard.monitor": [
        Visit("/a/{org}/monitors/{monitor}/", "hourly import"),
        Visit(
            "/a/{org}/monitors/{monitor}/",
            "by one line of curl",
            "set-up",
            unfold="Set up your job",
        ),
    ],
    "dashboard.edit_monitor": [Visit("/a/{org}/monitors/{monitor}/edit/", "Edit hourly import")],
    "dashboard.new_monitor": [
        Visit("/a/{org}/monitors/new/", "New monitor"),
        Visit(
            "/a/{org}/monitors/new/?project={project}&task_name=import+customers",
            "Task name",
            "for-name",
        ),
        Visit("/a/{org}/monitors/new/", "This field", "wrong", press="Create monitor"),
    ],
    "dashboard.incident_list": [
        Visit("/a/{org}/incidents/", "grace@example.org"),
        Visit("/a/{org}/incidents/?state=closed", "nightly report", "closed"),
        Visit("/a/{empty}/incidents/", "Nothing is failing", "empty"),
    ],
    "dashboard.incident": [Visit("/a/{org}/incidents/{incident}/", "slack:ops, webhook:ops")],
    "incident_links.open_incident_link": [
        Visit("{acknowledge}", "works once", "acknowledge", "nobody"),
        Visit("{snooze}", "until tomorrow 08:00", "snooze", "nobody"),
        Visit("{over}", "This incident is over", "over", "nobody"),
        Visit("{used}", "Each link works once.", "used", "nobody"),
        Visit("/public/incidents/", "This link is not valid", "invalid", "nobody"),
    ],
    "dashboard.alert_list": [
        Visit("/a/{org}/alerts/", HOSTILE),
        Visit("/a/{empty}/alerts/", "No alert rules yet", "empty"),
    ],
    "dashboard.edit_alert": [Visit("/a/{org}/alerts/{global_action}/", "Edit failures")],
    "dashboard.new_alert": [
        Visit("/a/{org}/alerts/new/", "New alert rule"),
        Visit(
            "/a/{org}/alerts/new/?project={project}&task_name=import+customers",
            "Dry run",
            "for-name",
        ),
        Visit("/a/{org}/alerts/new/", "This field", "wrong", press="Create alert rule"),
    ],
    "dashboard.window_list": [
        Visit("/a/{org}/alerts/windows/", "move to the new server"),
        Visit("/a/{org}/alerts/windows/?state=over", "Active and planned", "over"),
        Visit("/a/{empty}/alerts/windows/", "No windows yet", "empty"),
    ],
    "dashboard.edit_window": [Visit("/a/{org}/alerts/windows/{window}/", "Edit backup")],
    "dashboard.new_window": [
        Visit("/a/{org}/alerts/windows/new/", "New window"),
        Visit("/a/{org}/alerts/windows/new/", "This field", "wrong", press="Create window"),
    ],
    "dashboard.channel_list": [
        Visit("/a/{org}/alerts/channels/", "webhook:ops"),
        Visit("/a/{empty}/alerts/channels/", "No channels yet", "empty"),
    ],
    "dashboard.edit_channel": [Visit("/a/{org}/alerts/channels/webhook:ops/", "Operations")],
    "dashboard.new_channel": [
        Visit("/a/{org}/alerts/channels/new/telegram/", "Telegram"),
        Visit("/a/{org}/alerts/channels/new/webhook/", "This field", "wrong", press="Create"),
    ],
    "dashboard.delivery_list_page": [
        Visit("/a/{org}/alerts/deliveries/", "550 no such user"),
        Visit("/a/{empty}/alerts/deliveries/", "Nothing sent yet", "empty"),
    ],
    "dashboard.delivery": [Visit("/a/{org}/alerts/deliveries/{delivery}/", "550 no such user")],
    "dashboard.settings": [Visit("/a/{org}/settings/", "Web shop")],
    "dashboard.project_settings": [Visit("/a/{org}/settings/projects/{project}/", "Public pages")],
    "dashboard.project_deletion": [
        Visit("/a/{org}/settings/projects/{project}/delete/", "its pages are gone at once"),
        Visit(
            "/a/{org}/settings/projects/{project}/delete/",
            "This field",
            "wrong",
            press="Delete project",
        ),
    ],
    "dashboard.keys_page": [
        Visit("/a/{org}/settings/keys/", "old laptop"),
        Visit("/a/{org}/settings/keys/", "This field", "wrong", press="Create key"),
        Visit("/a/{empty}/settings/keys/", "No keys yet", "empty"),
    ],
    "dashboard.members_page": [Visit("/a/{org}/settings/members/", "newcomer@example.org")],
    "dashboard.audit_log": [Visit("/a/{org}/settings/audit/", "project.change")],
    "dashboard.mail_server": [Visit("/a/{org}/settings/mail/", "No mail server is set up")],
    "dashboard.organization": [Visit("/a/{org}/settings/organization/", "URLs and keys stay")],
    "dashboard.organization_deletion": [
        Visit("/a/{org}/settings/organization/delete/", "The accounts of its members stay"),
    ],
    "public.task": [
        Visit("/public/tasks/{task}/", "import customers", who="nobody"),
        Visit("/public/tasks/x/", "Page not found", "missing", "nobody"),
    ],
    "public.name": [
        Visit("/public/{org}/{project}/names/import%20customers/", "Latest run", who="nobody"),
    ],
    "public.monitor": [Visit("/public/monitors/{monitor}/", "Latest run", who="nobody")],
    "digest_links.digest_link": [
        Visit("/public/digests/?token={unsubscribe}", "Unsubscribe", who="nobody"),
        Visit("/public/digests/?token=x", "This link does not work", "missing", "nobody"),
    ],
    "docs.page": [
        Visit("/api/docs/", "List Tasks", who="nobody", plainly="This page needs JavaScript.")
    ],
    "": [
        Visit("/no/such/page", "Not found", "missing", "nobody"),
        Visit("/a/nobody/", "Not found", "missing-organization"),
    ],
}
"""Each endpoint's pages; those that have none are under the empty name."""

NO_PAGES = {
    "assets.file": "a file of the pages",
    "dashboard.begin_sign_on": "leads to the provider",
    "dashboard.digest_mail": "a mail, in the frame of its preview",
    "dashboard.dry_run_alert": "a part of the page of a global action",
    "dashboard.export_tasks": "a download",
    "dashboard.finish_sign_on": "leads on from the provider",
    "dashboard.preview_monitor": "a part of the page of a monitor",
    "dashboard.task_data": "JSON",
    "favicon": "a picture",
    "health.healthz": "for programs",
    "health.readyz": "for programs",
    "check_badges.of_check": "a picture",
    "check_badges.of_project": "a picture",
    "check_badges.of_tag": "a picture",
    "crontabs.script": "for programs",
    "metrics.metrics": "for programs",
    "pings.ping": "for programs",
    "public.badge": "a picture",
    "public.monitor_badge": "a picture",
    "public.name_badge": "a picture",
}
"""What answers a GET outside of the API and is no page, and why."""


@dataclass
class Tour:
    """The servers, and who may be let in."""

    host: str
    empty_host: str
    found: Everything

    def go(self, page: Page, visit: Visit) -> None:
        """Open a page as who may see it, in the state that is wanted."""
        cookie = {"owner": self.found.owner, "outsider": self.found.outsider}.get(visit.who)
        host = self.empty_host if visit.who == "first" else self.host
        # A live page loads itself again when its visitor is signed out, into the next visit.
        page.goto("about:blank")
        page.context.clear_cookies()
        if cookie:
            page.context.add_cookies([{"name": COOKIE, "value": cookie, "url": host}])
        page.goto(host + self.found.path(visit.path))
        if visit.press:
            # The browser's own checks would hold back what the server is to find wrong.
            page.evaluate("for (const form of document.forms) form.noValidate = true")
            page.get_by_role("button", name=visit.press).click()
        if visit.unfold:
            page.locator("summary", has_text=visit.unfold).click()


@pytest.fixture(scope="module")
def found(live_server: LiveServer) -> Iterator[Everything]:
    with live_server.new_project() as live:
        yield fill(live_server, live)


@pytest.fixture
def tour(
    live_server: LiveServer, found: Everything, app: Flask, serve: Callable[[Flask], str]
) -> Tour:
    db.session.rollback()
    return Tour(live_server.host, serve(app), found)


@pytest.fixture
def expected_problems() -> list[str]:
    # Chromium reports every answer that is no success.
    return ["status of 400", "status of 403", "status of 404", "status of 410"]


def name_of(endpoint: str, visit: Visit) -> str:
    """Return the name of the page's picture."""
    return "-".join(filter(None, (endpoint.replace(".", "-"), visit.state)))


VISITS = [
    (name_of(endpoint, visit), visit) for endpoint, visits in PATHS.items() for visit in visits
]


def look_at_desktop(page: Page, name: str) -> list[str]:
    problems = []
    for theme in ("light", "dark"):
        problems += broken_rules(page, theme)
        page.screenshot(path=SCREENSHOTS / f"{name}-{theme}.png", full_page=True)
    return problems + too_wide(page)


def look_at_phone(page: Page, name: str) -> list[str]:
    problems = broken_rules(page, "light")
    page.screenshot(path=SCREENSHOTS / f"{name}-phone.png", full_page=True)
    return problems + too_wide(page)


def look_at_plain(page: Page, name: str) -> list[str]:
    """Charts are tables where there are no scripts; what needs scripts is not offered."""
    offered = page.locator(".js-only:visible, .live:visible").count()
    charts = page.locator("[data-chart]").count() - page.locator(".chart-table:visible").count()
    return [f"{offered} need scripts, {charts} charts are blank"] if offered or charts else []


def too_wide(page: Page) -> list[str]:
    wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return [f"is {wide} px wide in a window of {window}"] if wide > window else []


MODES: dict[str, tuple[Callable[[Page, str], list[str]], dict[str, object]]] = {
    "desktop": (look_at_desktop, {}),
    "phone": (look_at_phone, {"viewport": PHONE, "has_touch": True}),
    "plain": (look_at_plain, {"java_script_enabled": False}),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_every_page_reads_meets_wcag_and_fits(
    tour: Tour, new_page: Callable[..., Page], mode: str
) -> None:
    look, options = MODES[mode]
    page = new_page(**options)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    problems = []

    for name, visit in VISITS:
        shows = visit.plainly if mode == "plain" and visit.plainly else visit.shows
        try:
            tour.go(page, visit)
            expect(page.locator("#main, #swagger-ui")).to_contain_text(shows, use_inner_text=True)
            expect(page.locator(".uplot")).to_have_count(
                0 if mode == "plain" else page.locator("[data-chart]").count()
            )
            problems += [f"{name}: {problem}" for problem in look(page, name)]
        except (AssertionError, Error) as error:
            problems.append(f"{name}: {str(error)[:500]}")

    assert problems == [], "\n".join(problems)


def test_every_page_is_visited(shared_app: Flask) -> None:
    pages = {
        rule.endpoint
        for rule in shared_app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and (not rule.rule.startswith("/api/") or rule.endpoint == "docs.page")
    }

    assert pages - NO_PAGES.keys() == PATHS.keys() - {""}
    assert NO_PAGES.keys() <= pages
