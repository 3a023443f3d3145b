"""The page of a monitor, and who may see and change one."""

import html
import re
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.forms_read import ESCAPED, HOSTILE, live, words
from blueprints.dashboard.monitors.pages import (
    CRON,
    MONITORS,
    only_monitor,
    page_of,
)
from conftest import make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from watching import TO_EMAIL, Watch, at, sweep

from taskbadger.blueprints.dashboard.guide.snippets import make_monitor_snippets
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.services.monitors import manage


@pytest.mark.usefixtures("fresh_versions")
def test_open_pages_get_304_until_a_run_comes(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    paths = (MONITORS, page_of(watch.monitor))
    etags = [live(web, path).headers["ETag"] for path in paths]

    def statuses() -> list[int]:
        return [live(web, path, etag).status_code for path, etag in zip(paths, etags, strict=True)]

    assert statuses() == [304, 304]
    watch.run("13:00", "processing")
    assert statuses() == [200, 200]


def test_one_monitor_shows_slots_incidents_runs_and_what_is_next(
    web: WebClient, project: ProjectRef
) -> None:
    watch = Watch(project, fields={"max_runtime": 600})
    watch.run("12:00", "success", name="backup")
    failed = watch.run("13:00", "error", name="backup")

    with time_machine.travel(at("13:30"), tick=False):
        text = words(page := web.get(page_of(watch.monitor)).text)

    assert re.findall(r'data-key="slot-\d+"', page) != []
    assert page.count('data-key="slot-') == 3
    assert page.count('data-key="incident-') == 1
    assert page.count('data-key="run-') == 0
    assert f'href="/a/acme/tasks/{failed}/"' in page
    assert [hour in text for hour in ("14:00 UTC", "18:00 UTC")] == [True, True]
    assert "Uptime, 30 days50 % of 2 runs, 1 failed or missed" in text
    assert ": 1 failed or missed run." in text
    assert "email (ops@example.com)" in text
    assert "10 min" in text


def cells(page: str) -> list[list[str]]:
    """Return the cells of each row of runs, without the times by the clock of the monitor."""
    table = page.partition('id="slots"')[2].partition("</section>")[0]
    viewed = re.sub(r'<span class="there num">[^<]*</span>', "", table)
    found = re.findall(r"<tr data-row.*?</tr>", viewed, re.DOTALL)
    return [
        [words(cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in found
    ]


def test_slots_and_runs_are_one_table(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success", name="backup")
    watch.run("12:20", "success", name="again")
    sweep("13:01:30")
    watch.edit("13:05", status="paused")
    watch.run("13:10", "success", name="by hand")
    watch.edit("13:15", status="active")

    with time_machine.travel(at("13:30"), tick=False):
        page = web.get(page_of(watch.monitor)).text

    assert cells(page) == [
        ["in 30 min", "expected", "–", "–", "–"],
        ["not expected", "success", "20 min ago", "0 ms", "by hand"],
        ["30 min ago", "missed", "–", "–", "–"],
        ["one more run", "success", "1 h ago", "0 ms", "again"],
        ["1 h ago", "ok", "1 h ago", "0 ms", "backup"],
    ]


def test_run_that_goes_on_says_for_how_long(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", name="backup")

    with time_machine.travel(at("12:05"), tick=False):
        page = web.get(page_of(watch.monitor)).text

    assert cells(page)[1] == ["5 min ago", "running", "5 min ago", "5 min", "backup"]


def test_times_are_by_the_clock_of_the_viewer_and_on_focus_by_that_of_the_monitor(
    web: WebClient, project: ProjectRef
) -> None:
    watch = Watch(project, fields={"timezone": "Europe/Paris"})
    watch.run("12:00", "success")

    with time_machine.travel(at("12:30"), tick=False):
        page = web.get(page_of(watch.monitor)).text

    table = page.partition('id="slots"')[2].partition("</section>")[0]
    there = '<span class="there num">Mon 01 Jun {} CEST</span>'
    # A row with a link needs no other place for the focus.
    assert re.findall(r'class="zoned"( tabindex="0")?', table) == [' tabindex="0"', "", ""]
    assert [there.format(hour) in table for hour in ("15:00", "14:00")] == [True, True]


def test_monitor_that_tells_nobody_warns(web: WebClient, app: Flask, project: ProjectRef) -> None:
    watch = Watch(project, fields={"action": []})
    path = page_of(watch.monitor)
    viewer = browser_for(app, make_member("v@example.org", "viewer"))

    text = "Notifies nobody when it fails."
    assert f"{text} Choose whom to notify" in words(web.get(path).text)
    assert f'href="{path}edit/#emails"' in web.get(path).text
    assert text in words(viewer.get(path).text)
    assert "Choose whom" not in viewer.get(path).text
    assert "notifies nobody" in words(web.get(MONITORS).text)
    watch.edit("12:00", action=TO_EMAIL)
    assert text not in words(web.get(path).text)
    assert "notifies nobody" not in words(web.get(MONITORS).text)


def test_set_up_comes_first_until_the_job_reports(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)

    def order() -> list[str]:
        page = web.get(page_of(watch.monitor)).text
        titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page.partition('<div class="split">')[2])
        return [title for title in titles if title in ("Set up your job", "Runs", "Mute", "Delete")]

    assert order() == ["Set up your job", "Runs", "Mute", "Delete"]
    assert "<details open>" in web.get(page_of(watch.monitor)).text
    watch.run("12:00", "success")
    assert order() == ["Runs", "Set up your job", "Mute", "Delete"]
    assert "<details open>" not in web.get(page_of(watch.monitor)).text


def test_slots_have_pages(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    sweep("2026-06-03 12:30")

    first = web.get(page_of(watch.monitor)).text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text

    assert first.count('data-key="slot-') == 25
    assert second.count('data-key="slot-') == 25
    assert not set(re.findall(r"slot-\d+", first)) & set(re.findall(r"slot-\d+", second))


def test_snippets_are_filled_in(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"schedule": "@daily", "timezone": "Europe/Berlin"})

    text = html.unescape(web.get(page_of(watch.monitor)).text)

    number = watch.monitor.id
    assert f'@taskbadger.track(name="nightly", monitor_id="{number}")' in text
    assert "\nCRON_TZ=Europe/Berlin\n" in text
    assert f"\n0 0 * * * taskbadger run nightly --monitor-id {number} -- " in text
    assert f"X-TASKBADGER-MONITOR: {number}" in text
    assert "tasks=http://localhost/api/acme/web/tasks/" in text


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"interval": 60}, "* * * * * taskbadger"),
        ({"interval": 5400}, None),
        ({"schedule": "0 0 LW * *"}, None),
        ({"schedule": "0 6 * * MON-FRI"}, "0 6 * * 1-5 taskbadger"),
    ],
)
def test_crontab_is_shown_where_cron_has_words_for_the_schedule(
    web: WebClient, project: ProjectRef, fields: dict[str, Any], line: str | None
) -> None:
    watch = Watch(project, fields=fields)

    page = web.get(page_of(watch.monitor)).text

    assert ("crontab -e" in page) == (line is not None)
    assert line is None or f"\n{line}" in page


def test_snippets_quote_names_for_where_they_stand() -> None:
    snippets = make_monitor_snippets(
        host="http://h",
        organization="o",
        project="p",
        monitor="id",
        name='it\'s\n100% "done"',
        crontab="0 0 * * *",
        timezone="UTC",
    )

    python, cron, curl = (text for _, text in snippets)
    assert r'track(name="it\'s 100% \"done\"",'.replace(r"\'", "'") in python
    assert r"""taskbadger run 'it'"'"'s 100\% "done"' --monitor-id id""" in cron
    assert r"""-d '{"name": "it'"'"'s 100% \"done\"", "status": "processing"}'""" in curl


@pytest.mark.parametrize("path", ["nope", "00000000-0000-0000-0000-000000000001", "%00"])
def test_unknown_monitor_is_not_found(web: WebClient, project: ProjectRef, path: str) -> None:
    assert web.get(f"{MONITORS}{path}/").status_code == 404


def test_monitor_of_another_organization_is_not_found(web: WebClient, project: ProjectRef) -> None:
    foreign = Watch(make_project("other", "web"))

    assert [
        web.get(page_of(foreign.monitor)).status_code,
        web.get(page_of(foreign.monitor, "edit/")).status_code,
        web.post(page_of(foreign.monitor, "edit/"), CRON).status_code,
        web.post(page_of(foreign.monitor, "delete")).status_code,
        web.post(page_of(foreign.monitor, "status"), {"status": "paused"}).status_code,
    ] == [404] * 5
    assert only_monitor().status == "active"


def test_viewer_sees_monitors_and_changes_none(app: Flask, project: ProjectRef) -> None:
    watch = Watch(project)
    viewer = browser_for(app, make_member("v@example.org", "viewer"))

    text = viewer.get(MONITORS).text + viewer.get(page_of(watch.monitor)).text

    assert "New monitor" not in text
    assert "Delete" not in text
    assert viewer.get(f"{MONITORS}new/").status_code == 403
    assert viewer.post(page_of(watch.monitor, "delete")).status_code == 403


def test_hostile_strings_are_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"name": HOSTILE})
    watch.run("12:00", "error", name=HOSTILE)

    pages = [
        web.get(MONITORS).text,
        web.get(page_of(watch.monitor)).text,
        web.get(page_of(watch.monitor, "edit/")).text,
        web.post(f"{MONITORS}new/", dict.fromkeys(CRON, HOSTILE)).text,
    ]

    for page in pages:
        assert ESCAPED in page
        assert "<script>alert" not in page
        assert "<img" not in page


def test_what_clients_of_pings_say_about_it_is_shown(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    bare = words(web.get(page_of(watch.monitor)).text)
    watch.monitor.description, watch.monitor.tags = f"Runs at night.\n{HOSTILE}", "prod db"
    db.session.commit()

    page = web.get(page_of(watch.monitor)).text

    assert ("Description" in bare, "Tags" in bare) == (False, False)
    assert f'<dt>Description</dt><dd class="lines">Runs at night.\n{ESCAPED}' in page
    assert "<dt>Tags</dt><dd>prod db</dd>" in page


def test_monitor_whose_zone_is_gone_is_still_shown(web: WebClient, project: ProjectRef) -> None:
    monitor = manage.create_monitor(
        project,
        {"name": "old", "type": "cron", "schedule": "0 0 * * *"},
        now=utcnow(),
        actor=Actor("key", "ci"),
    )
    monitor.timezone = "Moon/Base"
    monitor.expected_at = None
    db.session.commit()

    assert "Moon/Base" in web.get(page_of(only_monitor())).text
    assert "is unknown" in web.get(MONITORS).text
