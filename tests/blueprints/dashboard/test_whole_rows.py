"""What the tables of the pages say, row by row and cell by cell."""

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.doing import CI, count_runs
from blueprints.dashboard.forms_read import words
from conftest import FIXTURES, make_project
from people import WebClient
from sqlalchemy import delete, select, update
from watching import Watch, at, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import AuditEntry, ChannelConfig, Organization, UserSession
from taskbadger.services.organizations import keys
from taskbadger.services.tasks import write

NOON = at("12:00")
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"


def cells(page: str, after: str = "<table") -> list[list[str]]:
    """Return the text of each cell of each row of the first table after a text."""
    table = page.partition(after)[2].partition("<tbody")[2].partition("</tbody>")[0]
    found = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    return [
        [words(cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in found
    ]


def run(project: ProjectRef, status: str, took: int, **data: str) -> str:
    """Let a run of ``import`` end at noon."""
    began = NOON - timedelta(seconds=took)
    fields = {"name": "import", "status": "processing", **data}
    task = write.create_task(project, fields, now=began, actor=CI)
    write.update_task(project, task.id, {"status": status}, now=NOON, actor=CI)
    db.session.commit()
    return str(task.id)


def look(web: WebClient, path: str) -> str:
    """Return the page as it is an hour after noon."""
    with time_machine.travel(at("13:00"), tick=False):
        return web.get(path).text


@pytest.fixture
def ran(web: WebClient, project: ProjectRef) -> str:
    """The last of three runs, of 10, 10 and 100 seconds."""
    db.session.execute(update(UserSession).values(last_seen=NOON, expires=at("2026-06-02 12:00")))
    db.session.commit()
    run(project, "success", 10)
    run(project, "success", 10)
    last = run(project, "error", 100)
    with time_machine.travel(NOON, tick=False):
        count_runs()
    return last


def test_names_are_told_with_all_their_figures(web: WebClient, ran: str) -> None:
    page = look(web, "/a/acme/names/")

    assert cells(page) == [["import", "3", "66.7%", "≈ 9.9 s", "≈ 1.6 min", "1 h ago", ""]]
    [trend] = re.findall(
        r'aria-label="Runs per day: ([^"]*)"><rect x="96.0" y="13.0" width="4" height="6.0"/>'
        r'<polyline points="[^"]+ 100.0,1.0"',
        page,
    )
    assert trend == "; failed: ".join(", ".join(["0"] * 13 + [number]) for number in ("3", "1"))


def test_one_name_is_told_with_all_its_figures_and_runs(web: WebClient, ran: str) -> None:
    page = look(web, "/a/acme/names/web/?name=import")

    figures = re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", page)
    assert {label: words(value) for label, value in figures} == {
        "Runs": "3",
        "Success": "66.7% 1 failed",
        "p50": "≈ 9.9 s",
        "p95": "≈ 1.6 min",
        "Last run": "1 h ago",
        "Page": "public page ",
        "Badge": "badge.svg ",
    }
    assert cells(page, "Latest runs") == [
        ["2026-06-01 11:59:50 UTC", "success", "–", "10 s"],
        ["2026-06-01 11:59:50 UTC", "success", "–", "10 s"],
        ["2026-06-01 11:58:20 UTC", "error", "–", "1 min 40 s"],
    ]


def test_tasks_and_events_are_told_whole(web: WebClient, ran: str) -> None:
    assert cells(look(web, "/a/acme/tasks/")) == [
        ["", "import", "success", "–", "", "1 h ago", "10 s"],
        ["", "import", "success", "–", "", "1 h ago", "10 s"],
        ["", "import", "error", "–", "", "1 h ago", "1 min 40 s"],
    ]
    assert cells(look(web, f"/a/acme/tasks/{ran}/"), 'id="events"') == [
        ["2026-06-01 12:00:00 UTC", "status", "error", "–", "key “ci”"],
        ["2026-06-01 11:58:20 UTC", "created", "processing", "–", "key “ci”"],
    ]


def test_keys_are_told_with_scopes_and_last_use(web: WebClient, ran: str) -> None:
    organization = db.session.scalars(select(Organization)).one()
    ends: Any = {"name": "all", "scopes": "ingest,read,admin", "expires": at("14:00")}
    used, _ = keys.create_key(organization, None, actor=FIXTURES, now=NOON, **ends)
    new, _ = keys.create_key(organization, None, actor=FIXTURES, name="ci", now=NOON, scopes="read")
    used.last_used = NOON
    prefixes = used.prefix, new.prefix
    db.session.commit()

    assert cells(look(web, "/a/acme/settings/keys/")) == [
        ["ci", prefixes[1], "all projects", "read", "1 h ago", "never", "never", "Revoke ci"],
        [
            "all",
            prefixes[0],
            "all projects",
            "ingest, read, admin",
            "1 h ago",
            "1 h ago",
            "in 1 h",
            "Revoke all",
        ],
    ]


def test_sessions_are_told_with_browser_and_address(web: WebClient, ran: str) -> None:
    known = {"user_agent": CHROME, "address": "192.0.2.7", "created": NOON}
    db.session.execute(update(UserSession).values(last_seen=at("12:59"), **known))
    db.session.commit()

    assert cells(look(web, "/account"), "Where you are signed in") == [
        ["Chrome on Linux", "192.0.2.7", "1 h ago", "1 min ago", "this browser"]
    ]


def test_digests_are_told_for_each_organization(web: WebClient, ran: str) -> None:
    choices = "offdailyweekly, on Mondays Save for acme"

    assert cells(look(web, "/account")) == [["acme", choices, "–", "Preview the digest of acme"]]


@pytest.mark.parametrize("page", ["tasks", "monitors", "names"])
def test_project_is_chosen_from_all_there_are(web: WebClient, ran: str, page: str) -> None:
    make_project("acme", "worker")

    text = look(web, f"/a/acme/{page}/?project=worker")

    select_ = text.partition('<select name="project"')[2].partition("</select>")[0]
    assert re.findall(r'<option value="([^"]*)"( selected)?>([^<]*)', select_) == [
        ("", "", "All projects"),
        ("web", "", "web"),
        ("worker", " selected", "worker"),
    ]


def test_strip_tells_slots_apart_by_colour_and_words(
    web: WebClient, project: ProjectRef, ran: str
) -> None:
    watch = Watch(project, "09:30")
    watch.run("10:00", "success")
    watch.run("11:00", "error")
    sweep("12:30")

    assert re.findall(r'<li class="(\w*)" title="([^"]*)"', look(web, "/a/acme/monitors/")) == [
        ("ok", "ok · 2026-06-01 10:00:00 UTC"),
        ("bad", "error · 2026-06-01 11:00:00 UTC"),
        ("bad", "missed · 2026-06-01 12:00:00 UTC"),
        ("idle", "waiting · 2026-06-01 13:00:00 UTC"),
    ]


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("settings/", "No projects yet"),
        ("settings/keys/", "No keys yet"),
        ("settings/audit/", "No entries yet"),
    ],
)
def test_empty_settings_say_so(web: WebClient, page: str, said: str) -> None:
    db.session.execute(delete(AuditEntry))
    db.session.commit()

    assert f"<h2>{said}</h2>" in web.get(f"/a/acme/{page}").text


def test_channel_that_fails_says_since_when(web: WebClient, ran: str) -> None:
    organization = db.session.scalars(select(Organization)).one()
    db.session.add(
        ChannelConfig(
            organization_id=organization.id,
            kind="webhook",
            slug="ops",
            name="Operations",
            config="{}",
            created=NOON,
            updated=NOON,
            failing_since=at("12:30"),
        )
    )
    db.session.commit()

    assert cells(look(web, "/a/acme/alerts/channels/")) == [
        [
            "Operations",
            "Webhook",
            "webhook:ops",
            "failing since 30 min ago",
            "1 h ago",
            "Turn off Operations",
        ]
    ]
