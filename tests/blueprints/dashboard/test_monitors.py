"""The pages of monitors: the list, one monitor, its editor, and what is done to it."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.forms_read import ESCAPED, HOSTILE, field_errors, live, rows, trail, words
from conftest import count_queries, make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import delete, select
from watching import TO_EMAIL, Watch, at, sweep

from taskbadger.blueprints.dashboard.snippets import make_monitor_snippets
from taskbadger.clock import utcnow
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services import channels, monitors, sending
from taskbadger.services.accounts import Actor, ProjectRef

MONITORS = "/a/acme/monitors/"
CRON = {
    "name": "nightly backup",
    "project": "web",
    "type": "cron",
    "schedule": "30 2 * * *",
    "timezone": "Europe/Paris",
    "interval": "",
    "interval_unit": "60",
    "anchor": "start",
    "start_grace": "",
    "max_runtime": "3600",
    "early_margin": "",
    "failure_threshold": "2",
    "recovery_threshold": "1",
    "emails": "ops@example.com, dev@example.com",
}
INTERVAL = CRON | {"type": "interval", "interval": "10", "anchor": "end", "schedule": "left over"}


def only_monitor() -> Monitor:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Monitor)).one()


def page_of(monitor: Monitor, rest: str = "") -> str:
    return f"{MONITORS}{monitor.id}/{rest}"


def make_webhook(organization_id: int, slug: str = "ops") -> None:
    channels.create_channel(
        organization_id,
        "webhook",
        slug,
        f"Hook {slug}",
        {"url": "https://hooks.example.com/x"},
        context=sending.send_context(),
        now=utcnow(),
    )
    db.session.commit()


def test_list_shows_health_words_slots_and_what_is_next(
    web: WebClient, project: ProjectRef
) -> None:
    watch = Watch(project, fields={"timezone": "Europe/Paris"})
    watch.run("12:00", "success")
    sweep("13:01:30")
    Watch(make_project("other", "web"), fields={"name": "foreign"})

    with time_machine.travel(at("13:30"), tick=False):
        page = web.get(MONITORS).text

    assert f'data-row-link href="{page_of(watch.monitor)}">nightly</a>' in page
    assert page.count("data-row-link") == 1
    strip, _, legend = page.partition('class="legend"')
    assert re.findall(r'href="#s-([a-z]+)"', strip) == ["ok", "missed", "waiting"]
    assert len(re.findall(r'href="#s-([a-z]+)"', legend)) == 9
    text = words(page)
    assert "At the start of every hour" in text
    assert "in 30 min" in text
    assert "Mon 01 Jun 16:00 CEST Europe/Paris" in text
    assert "failing since" in text


def test_list_is_narrowed_to_a_project_and_to_what_fails(
    web: WebClient, project: ProjectRef
) -> None:
    Watch(make_project("acme", "worker"), fields={"name": "fine"})
    failing = Watch(project, fields={"name": "broken"})
    failing.run("12:00", "error")

    def names(query: str) -> list[str]:
        return sorted(rows(web.get(MONITORS + query).text))

    assert names("") == ["broken", "fine"]
    assert names("?project=worker") == ["fine"]
    assert names("?state=failing") == ["broken"]
    assert names("?state=failing&project=worker") == []
    assert web.get(MONITORS + "?project=nope").status_code == 404


def test_empty_lists_say_what_to_do(web: WebClient, project: ProjectRef) -> None:
    assert "No monitors yet" in web.get(MONITORS).text
    assert "No monitor is failing" in web.get(MONITORS + "?state=failing").text


def test_list_takes_as_many_queries_for_50_monitors_as_for_one(
    web: WebClient, project: ProjectRef
) -> None:
    def measure() -> int:
        with count_queries() as queries:
            assert web.get(MONITORS).status_code == 200
        return len(queries)

    Watch(project).run("12:00", "error")
    measure()
    one = measure()
    for _ in range(49):
        Watch(project)

    assert measure() == one
    assert one <= 10


def test_list_goes_by_name_with_what_fails_on_top(web: WebClient, project: ProjectRef) -> None:
    for name in ("b", "Äa", "a", "C"):
        Watch(project, fields={"name": name})
    Watch(project, fields={"name": "z"}).run("12:00", "error")

    assert rows(web.get(MONITORS).text)[:4] == ["z", "a", "b", "C"]


@pytest.mark.parametrize(
    ("search", "found"),
    [("BACK", ["nightly Backup"]), ("Ä", ["Ärger"]), ("%", ["100%"]), ("x", []), ("\0", None)],
)
def test_list_is_searched_by_name(
    web: WebClient, project: ProjectRef, search: str, found: list[str] | None
) -> None:
    for name in ("nightly Backup", "Ärger", "100%"):
        Watch(project, fields={"name": name})

    page = web.get(MONITORS, query_string={"q": search}).text

    assert rows(page) == (["100%", "nightly Backup", "Ärger"] if found is None else found)
    assert ("No monitor has this in its name" in page) == (found == [])
    assert ("?q=" in page) == (search != "\0")


def test_run_that_is_due_says_so(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 3600, "anchor": "end"})
    watch.run("12:00", "success")

    def shown(time: str) -> tuple[str, int]:
        with time_machine.travel(at(time), tick=False):
            page = web.get(MONITORS)
            detail = web.get(page_of(watch.monitor))
        return words(page.text), words(detail.text).count("was due")

    early, late = shown("12:59"), shown("13:00:30")

    assert ("2026-06-01 13:00:00 UTC" in early[0], "was due" in early[0], early[1]) == (
        True,
        False,
        0,
    )
    assert ("was due 30 s ago" in late[0], late[1]) == (True, 1)


@pytest.mark.usefixtures("impatient")
def test_open_list_learns_that_a_run_is_due(web: WebClient, project: ProjectRef) -> None:
    Watch(project).run("12:00", "success")

    def ask(time: str, etag: str | None = None) -> Any:
        with time_machine.travel(at(time), tick=False):
            return live(web, MONITORS, etag)

    etag = ask("12:59").headers["ETag"]

    assert ask("12:59:30", etag).status_code == 304
    assert "was due" in ask("13:00:30", etag).text


def test_list_has_pages(web: WebClient, project: ProjectRef) -> None:
    for number in range(52):
        Watch(project, fields={"name": f"m{number}"})

    first = web.get(MONITORS).text
    older = html.unescape(re.findall(r'rel="next" href="([^"]*)"', first)[0])
    second = web.get(older).text

    assert first.count("data-row-link") == 50
    assert second.count("data-row-link") == 2
    assert 'rel="prev"' in second
    newer = html.unescape(re.findall(r'rel="prev" href="([^"]*)"', second)[0])
    assert rows(web.get(newer).text) == rows(first)
    assert web.get(MONITORS + "?cursor=bnxub3Bl").status_code == 404
    db.session.execute(delete(Monitor))
    db.session.commit()
    assert web.get(older).status_code == 404


@pytest.mark.usefixtures("impatient")
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
    assert page.count('data-key="run-') == 2
    assert f'href="/a/acme/tasks/{failed}/"' in page
    assert [hour in text for hour in ("14:00 UTC", "18:00 UTC")] == [True, True]
    assert "1 bad slot." in text
    assert "email (ops@example.com)" in text
    assert "10 min" in text


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


def test_cron_monitor_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
    make_webhook(project.organization_id)

    answer = web.post(f"{MONITORS}new/", CRON | {"channel webhook:ops": "true"})

    made = only_monitor()
    assert (answer.status_code, answer.location) == (303, page_of(made))
    assert (made.name, made.type, made.schedule, made.interval, made.anchor, made.timezone) == (
        "nightly backup",
        "cron",
        "30 2 * * *",
        None,
        None,
        "Europe/Paris",
    )
    assert (made.start_grace, made.max_runtime, made.failure_threshold) == (None, 3600, 2)
    assert json.loads(made.action) == [
        {"integration": "email", "config": {"to": "ops@example.com,dev@example.com"}},
        {"integration": "webhook:ops", "config": {}},
    ]
    assert trail() == [("ada@example.org", "monitor.create", "web/nightly backup", "")]


def test_interval_monitor_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
    web.post(f"{MONITORS}new/", INTERVAL)

    made = only_monitor()
    assert (made.type, made.schedule, made.interval, made.anchor) == ("interval", None, 600, "end")


WRONG = [
    ("name", {"name": " "}, "This field may not be blank."),
    ("type", {"type": "moon"}, '"moon" is not a valid choice.'),
    ("project", {"project": "nope"}, "There is no such project."),
    ("schedule", {"schedule": ""}, "This field may not be blank."),
    ("schedule", {"schedule": "61 * * * *"}, None),
    ("timezone", {"timezone": "Moon/Base"}, None),
    ("interval", INTERVAL | {"interval": "soon"}, "A valid integer is required."),
    ("interval", INTERVAL | {"interval": ""}, "A valid integer is required."),
    (
        "interval",
        INTERVAL | {"interval": "5", "interval_unit": "1"},
        "Ensure this value is greater than or equal to 60.",
    ),
    ("start_grace", {"start_grace": "-1"}, "Ensure this value is greater than or equal to 0."),
    ("max_runtime", {"max_runtime": "x"}, "A valid integer is required."),
    ("early_margin", {"early_margin": "1.5"}, "A valid integer is required."),
    ("failure_threshold", {"failure_threshold": ""}, "A valid integer is required."),
    (
        "recovery_threshold",
        {"recovery_threshold": "0"},
        "Ensure this value is greater than or equal to 1.",
    ),
    ("emails", {"emails": "nobody"}, "“nobody” is not a valid e-mail address."),
    (
        "channels",
        {"channel webhook:gone": "true"},
        "There is no channel “webhook:gone” in this organization.",
    ),
]


@pytest.mark.parametrize(("field", "typed", "message"), WRONG)
def test_each_error_stands_next_to_its_field(
    web: WebClient, project: ProjectRef, field: str, typed: dict[str, str], message: str | None
) -> None:
    answer = web.post(f"{MONITORS}new/", CRON | typed)

    assert answer.status_code == 400
    shown = field_errors(answer.text).get(field, "")
    assert shown == (message or shown)
    assert shown
    assert set(field_errors(answer.text)) == {field}
    assert db.session.scalars(select(Monitor)).all() == []


def test_project_of_a_monitor_is_chosen_where_there_are_several(
    web: WebClient, project: ProjectRef
) -> None:
    assert "Choose…" not in web.get(f"{MONITORS}new/").text
    make_project("acme", "alpha")

    listed = web.get(f"{MONITORS}?project=web").text
    new = html.unescape(re.findall(r'role="button" href="([^"]*new/[^"]*)"', listed)[0])

    assert "Choose…" in web.get(f"{MONITORS}new/").text
    assert '<option value="web" selected>' in web.get(new).text
    unchosen = web.post(f"{MONITORS}new/", CRON | {"project": "?"})
    assert field_errors(unchosen.text) == {"project": "Choose a project."}


def test_all_errors_are_told_at_once(web: WebClient, project: ProjectRef) -> None:
    answer = web.post(
        f"{MONITORS}new/", CRON | {"name": "", "schedule": "61 * * * *", "timezone": "Moon/Base"}
    )

    assert set(field_errors(answer.text)) == {"name", "schedule", "timezone"}
    assert len(re.findall("field-error", re.sub(r'id="preview".*', "", answer.text))) >= 3


def test_form_is_filled_with_what_is_saved(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 7200, "start_grace": 0})

    page = web.get(page_of(watch.monitor, "edit/")).text

    assert 'value="interval" checked' in page
    assert re.search(r'id="interval"[^>]*value="2"', page)
    assert '<option value="3600" selected>hours' in page
    assert re.search(r'id="start_grace"[^>]*value="0"', page)
    assert re.search(r'id="emails"[^>]*value="ops@example.com"', page)
    assert "Every 2 hours after the last run&#39;s start" in page


def test_edit_changes_and_notes_only_what_differs(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    expected_at = watch.monitor.expected_at
    form = CRON | {
        "name": "renamed",
        "schedule": "0 * * * *",
        "timezone": "UTC",
        "max_runtime": "",
        "failure_threshold": "1",
        "emails": "ops@example.com",
    }

    answer = web.post(page_of(watch.monitor, "edit/"), form)
    again = web.post(page_of(watch.monitor, "edit/"), form)

    changed = only_monitor()
    assert (answer.status_code, again.status_code, changed.name) == (303, 303, "renamed")
    assert (changed.expected_at, json.loads(changed.action)) == (expected_at, TO_EMAIL)
    assert [entry for entry in trail() if entry[1] == "monitor.change"] == [
        ("ada@example.org", "monitor.change", "web/renamed", "name: nightly → renamed")
    ]


def test_edit_turns_one_type_into_the_other(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)

    assert web.post(page_of(watch.monitor, "edit/"), INTERVAL).status_code == 303

    changed = only_monitor()
    assert (changed.type, changed.schedule, changed.interval) == ("interval", None, 600)


def test_edit_with_an_error_changes_nothing(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)

    bad_time = web.post(page_of(watch.monitor, "edit/"), CRON | {"schedule": "* * *"})
    bad_name = web.post(page_of(watch.monitor, "edit/"), CRON | {"name": ""})

    assert (bad_time.status_code, bad_name.status_code) == (400, 400)
    assert field_errors(bad_time.text)["schedule"].startswith("month: the field is missing")
    assert 'value="* * *"' in bad_time.text
    assert only_monitor().name == "nightly"


def test_edit_keeps_a_channel_that_is_gone_visible(web: WebClient, project: ProjectRef) -> None:
    make_webhook(project.organization_id)
    watch = Watch(project, fields={"action": [{"integration": "webhook:ops", "config": {"a": 1}}]})
    kept = CRON | {"emails": "", "channel webhook:ops": "true"}
    web.post(page_of(watch.monitor, "edit/"), kept)
    assert json.loads(only_monitor().action) == [{"integration": "webhook:ops", "config": {"a": 1}}]
    channels.delete_channel(channels.get_channel(project.organization_id, "webhook:ops"))
    db.session.commit()

    page = web.get(page_of(watch.monitor, "edit/")).text

    assert "webhook:ops, deleted" in page
    assert re.search(r'name="channel webhook:ops" value="true" checked', page)


def test_preview_explains_a_schedule_as_it_is_typed(web: WebClient, project: ProjectRef) -> None:
    with time_machine.travel(at("12:00"), tick=False):
        text = words(
            web.get(
                f"{MONITORS}preview",
                query_string={
                    "type": "cron",
                    "schedule": "30 2 * * 1-5",
                    "timezone": "Europe/Paris",
                },
            ).text
        )

    assert "At 02:30 on Monday through Friday" in text
    assert re.findall(r"(?:Mon|Tue|Wed|Thu|Fri) \d+ Jun 02:30", text) == [
        "Tue 02 Jun 02:30",
        "Wed 03 Jun 02:30",
        "Thu 04 Jun 02:30",
        "Fri 05 Jun 02:30",
        "Mon 08 Jun 02:30",
    ]
    assert "The clocks go back by 1 h on Sun 25 Oct 02:00 CET. On that day it does not run." in text


@pytest.mark.parametrize(
    ("schedule", "zone", "said"),
    [
        ("30 2 * * *", "Europe/Paris", "back by 1 h on Sun 25 Oct 02:00 CET. On that day it runs at"
         " 02:30 CEST."),
        ("0 3,9,12 * * *", "Europe/Paris", "runs at 03:00 CET, 09:00 CET and 12:00 CET."),
        ("0 * * * *", "Europe/Paris", "On that day it runs 25 times."),
        ("15 2 * * *", "Australia/Lord_Howe", "forward by 30 min on Sun 04 Oct 02:30 +11. On that"
         " day it runs at 02:30 +11."),
    ],
)  # fmt: skip
def test_preview_says_what_happens_when_the_clocks_change(
    web: WebClient, project: ProjectRef, schedule: str, zone: str, said: str
) -> None:
    query = {"type": "cron", "schedule": schedule, "timezone": zone}
    with time_machine.travel(at("12:00"), tick=False):
        text = words(web.get(f"{MONITORS}preview", query_string=query).text)

    assert said in text


PREVIEWS = [
    ({"type": "interval", "interval": "2", "interval_unit": "3600"}, "Every 2 hours"),
    ({"type": "interval", "interval": "x"}, "interval: it takes a whole number."),
    ({"type": "interval", "interval": "5", "interval_unit": "1"}, "out of range"),
    ({"type": "interval", "interval": "5", "interval_unit": "60", "anchor": "x"}, "anchor:"),
    ({"type": "interval"}, "from run to run"),
    ({"schedule": "* * *"}, "month: the field is missing"),
    ({"schedule": "0 0 * * *", "timezone": "Moon/Base"}, "Moon/Base"),
    ({"schedule": "0 0 * * *"}, "The clocks in UTC do not change."),
    ({"schedule": HOSTILE}, "is not valid"),
    ({}, "five fields"),
]


@pytest.mark.parametrize(("query", "said"), PREVIEWS)
def test_preview_says_what_is_wrong_or_missing(
    web: WebClient, project: ProjectRef, query: dict[str, str], said: str
) -> None:
    answer = web.get(f"{MONITORS}preview", query_string=query)

    assert answer.status_code == 200
    assert said in words(answer.text) or query.get("schedule") == HOSTILE
    assert "<script" not in answer.text


def test_preview_without_scripts_saves_nothing(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    typed = CRON | {"schedule": "15 4 * * *", "preview": "1", "name": ""}

    new = web.post(f"{MONITORS}new/", typed)
    edited = web.post(page_of(watch.monitor, "edit/"), typed)

    assert (new.status_code, edited.status_code) == (200, 200)
    assert "At 04:15 every day" in words(new.text)
    assert "At 04:15 every day" in words(edited.text)
    assert 'value="15 4 * * *"' in new.text
    assert only_monitor().schedule == "0 * * * *"


def test_monitor_is_paused_muted_and_resumed(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)
    path = page_of(watch.monitor, "status")
    now = at("2026-06-01 12:00")

    def after(**typed: str) -> tuple[str, Any]:
        with time_machine.travel(now, tick=False):
            assert web.post(path, typed).status_code == 303
        found = only_monitor()
        return found.status, found.muted_until

    assert after(status="paused") == ("paused", None)
    assert "The monitor is paused." in web.get(page_of(watch.monitor)).text
    assert after(status="active") == ("active", None)
    assert after(status="muted", hours="8") == ("muted", now + timedelta(hours=8))
    with time_machine.travel(now, tick=False):
        assert "The monitor is muted for 8 hours." in web.get(page_of(watch.monitor)).text
    assert after(status="muted", hours="until", until="2026-06-02T09:30") == (
        "muted",
        at("2026-06-02 09:30"),
    )
    assert after(status="muted", hours="until", until="x") == ("muted", at("2026-06-02 09:30"))
    assert after(status="muted", hours="until", until="2020-01-01T00:00") == (
        "muted",
        at("2026-06-02 09:30"),
    )
    with time_machine.travel(now, tick=False):
        assert "Give a time in the future." in web.get(page_of(watch.monitor)).text
    assert after(status="muted") == ("muted", None)
    assert after(status="whatever") == ("active", None)
    assert [entry[3] for entry in trail() if entry[1] == "monitor.change"] == [
        "status: active → paused",
        "status: paused → active",
        "status: active → muted; muted_until: none → 2026-06-01 20:00:00 UTC",
        "muted_until: 2026-06-01 20:00:00 UTC → 2026-06-02 09:30:00 UTC",
        "muted_until: 2026-06-02 09:30:00 UTC → none",
        "status: muted → active",
    ]


def test_monitor_is_deleted(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project)

    answer = web.post(page_of(watch.monitor, "delete"))

    assert (answer.status_code, answer.location) == (303, MONITORS)
    assert db.session.scalars(select(Monitor)).all() == []
    assert trail()[-1] == ("ada@example.org", "monitor.delete", "web/nightly", "")


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


def test_monitor_whose_zone_is_gone_is_still_shown(web: WebClient, project: ProjectRef) -> None:
    monitor = monitors.create_monitor(
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
