"""From the page of a name to a monitor and an alert rule for it, filled in from its history."""

import html
import re
from datetime import datetime, timedelta

import pytest
from blueprints.dashboard.form_filling import read_forms
from blueprints.dashboard.forms_read import HOSTILE, live, words
from blueprints.dashboard.monitors.pages import MONITORS, only_monitor, page_of
from conftest import make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import select, update
from watching import ACTOR, at

from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, User
from taskbadger.process import current_process
from taskbadger.services.alerts.global_actions import fields_of
from taskbadger.services.monitors import manage
from taskbadger.services.tasks import write

NAME = "/a/acme/names/web/?name=import"


def run(project: ProjectRef, start: datetime, took: float = 100, name: str = "import") -> None:
    task = write.create_task(
        project, {"name": name, "status": "processing"}, now=start, actor=ACTOR
    )
    end = start + timedelta(seconds=took)
    write.update_task(project, task.id, {"status": "success"}, now=end, actor=ACTOR)
    db.session.commit()


def run_daily(project: ProjectRef, name: str = "import") -> None:
    for day in range(8):
        run(project, at(f"2026-06-{day + 1:02} 02:30:05"), name=name)


def links(page: str) -> dict[str, str]:
    """Return the buttons of a page that lead elsewhere, by their words."""
    found = re.findall(r'<a role="button"[^>]*\shref="([^"]*)"[^>]*>([^<]*)</a>', page)
    return {text: html.unescape(href) for href, text in found}


def form_at(web: WebClient, path: str) -> dict[str, str]:
    """Return what stands in the last form of a page."""
    forms = read_forms(path, web.get(path).text)
    return next(form.standing for form in forms if "name" in form.standing)


def test_monitor_of_a_name_is_two_clicks_away(web: WebClient, project: ProjectRef) -> None:
    run_daily(project)
    make_project("acme", "other")
    path = links(web.get(NAME).text)["Create monitor"]

    filled = form_at(web, path)
    answer = web.post(path, filled)

    made = only_monitor()
    assert (answer.status_code, answer.location) == (303, page_of(made))
    settings = manage.settings_of(made)
    assert (settings.name, settings.task_name, made.project_id) == (
        "import",
        "import",
        project.id,
    )
    assert (settings.type, settings.schedule, settings.timezone, settings.max_runtime) == (
        "cron",
        "30 2 * * *",
        "UTC",
        300,
    )
    assert links(web.get(NAME).text)["Monitor"] == page_of(made)
    assert "Create monitor" not in web.get(NAME).text


def test_guess_is_made_in_the_time_zone_of_the_visitor(web: WebClient, project: ProjectRef) -> None:
    run_daily(project)
    db.session.execute(update(User).values(timezone="Europe/Paris"))
    db.session.commit()

    page = web.get(links(web.get(NAME).text)["Create monitor"]).text

    assert "At 04:30" in words(page)
    assert "guessed from the latest runs" in words(page)
    assert "data-own-zone" not in page


def test_runs_that_drift_suggest_an_interval(web: WebClient, project: ProjectRef) -> None:
    for number in range(10):
        run(project, at("00:00") + number * timedelta(seconds=5000), took=1)

    filled = form_at(web, links(web.get(NAME).text)["Create monitor"])

    assert (filled["type"], filled["interval"], filled["max_runtime"]) == (
        "interval",
        "1 h 23 min",
        "1 min",
    )


def test_runs_without_a_pattern_leave_the_schedule_open(
    web: WebClient, project: ProjectRef
) -> None:
    run(project, at("00:00"))
    path = links(web.get(NAME).text)["Create monitor"]

    filled, page = form_at(web, path), web.get(path).text

    assert (filled["name"], filled["task_name"], filled["schedule"]) == ("import", "import", "")
    assert "The latest runs started at no regular times." in words(page)
    assert "guessed" not in words(page)
    assert "data-own-zone" in page


@pytest.mark.parametrize("query", ["", "?project=nope&task_name=x", "?task_name=x"])
def test_form_without_a_known_project_is_empty(
    web: WebClient, project: ProjectRef, query: str
) -> None:
    filled = form_at(web, f"{MONITORS}new/{query}")

    assert (filled["name"], filled["task_name"], filled["schedule"]) == ("", "", "")


def test_open_page_notes_that_its_name_is_watched(web: WebClient, project: ProjectRef) -> None:
    run_daily(project)
    etag = live(web, NAME).headers["ETag"]

    path = links(web.get(NAME).text)["Create monitor"]
    web.post(path, form_at(web, path))
    current_process().forget()

    assert page_of(only_monitor()) in live(web, NAME, etag).text


@pytest.mark.parametrize("name", ["a.b (1)", "50% / day", HOSTILE])
def test_alert_rule_of_a_name_is_two_clicks_away(
    web: WebClient, project: ProjectRef, name: str
) -> None:
    run(project, at("00:00"), name=name)
    path = links(web.get("/a/acme/names/web/", query_string={"name": name}).text)[
        "Create alert rule"
    ]

    filled = form_at(web, path)
    answer = web.post(path, filled | {"emails": "ops@example.com", "enabled": "true"})

    assert answer.status_code == 303, words(answer.text)
    made = fields_of(db.session.scalars(select(GlobalAction)).one())
    assert (made["name"], made["project"], made["mode"], made["trigger"]) == (
        f"{name} fails",
        "web",
        "incident",
        "error",
    )
    assert made["enabled"]
    assert made["name_pattern"] == "^" + re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", name) + "$"


def test_viewers_are_offered_neither(app: Flask, web: WebClient, project: ProjectRef) -> None:
    run_daily(project)
    viewer = browser_for(app, make_member("vera@example.org", roles.VIEWER))

    assert list(links(viewer.get(NAME).text)) == ["All tasks with this name"]
