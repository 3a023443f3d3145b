"""The editor of monitors, its preview, and pausing, muting and deleting."""

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from blueprints.dashboard.forms_read import HOSTILE, field_errors, trail, value_of, words
from blueprints.dashboard.monitors.pages import (
    CRON,
    INTERVAL,
    MONITORS,
    make_webhook,
    only_monitor,
    page_of,
)
from conftest import make_project
from people import WebClient
from sqlalchemy import select
from watching import TO_EMAIL, Watch, at

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.delivery import channels


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
    assert json.loads(made.targets) == [
        {"integration": "email", "config": {"to": "ops@example.com,dev@example.com"}},
        {"integration": "webhook:ops", "config": {}},
    ]
    assert trail() == [
        ("server", "channel.create", "webhook:ops", "Hook ops"),
        ("ada@example.org", "monitor.create", "web/nightly backup", ""),
    ]


def test_interval_monitor_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
    web.post(f"{MONITORS}new/", INTERVAL)

    made = only_monitor()
    assert (made.type, made.schedule, made.interval, made.anchor) == ("interval", None, 600, "end")


def test_monitor_reminds_and_escalates_as_its_form_says(
    web: WebClient, project: ProjectRef
) -> None:
    make_webhook(project.organization_id)
    steps = {
        "remind_after": "30 min",
        "step-2-after": "1 h",
        "step-2-emails": "lead@example.com",
        "step-2-channel webhook:ops": "true",
    }
    web.post(f"{MONITORS}new/", CRON | steps)
    made = only_monitor()
    before = trail()
    path = f"{page_of(made)}edit/"
    page = web.get(path).text
    shown = {name.replace("step-2", "step-1"): text for name, text in steps.items()}

    assert (made.remind_after, json.loads(made.escalation)) == (
        1800,
        [
            {
                "after": 3600,
                "channels": [
                    {"integration": "email", "config": {"to": "lead@example.com"}},
                    {"integration": "webhook:ops", "config": {}},
                ],
            }
        ],
    )
    for name in ("remind_after", "step-1-after", "step-1-emails"):
        assert value_of(page, name) == shown[name]
    assert 'name="step-1-channel webhook:ops" value="true" checked' in page
    web.post(path, CRON | shown)
    assert trail() == before
    web.post(path, CRON)
    assert (only_monitor().remind_after, only_monitor().escalation) == (0, "[]")


def test_monitor_is_bound_to_a_name_by_its_form(web: WebClient, project: ProjectRef) -> None:
    answer = web.post(f"{MONITORS}new/", CRON | {"task_name": " import files "})

    made = only_monitor()
    path = page_of(made)
    page = web.get(path).text
    assert (answer.status_code, made.task_name) == (303, "import files")
    assert "Watching starts with the next run of import files." in words(page)
    assert 'href="/a/acme/names/web/?name=import+files"' in page
    assert "YOUR-KEY" not in page
    assert value_of(web.get(f"{path}edit/").text, "task_name") == "import files"
    web.post(f"{path}edit/", CRON)
    assert only_monitor().task_name is None
    assert "YOUR-KEY" in web.get(path).text


def test_name_that_is_watched_already_is_refused_next_to_its_field(
    web: WebClient, project: ProjectRef
) -> None:
    Watch(project, fields={"task_name": "job"})

    answer = web.post(f"{MONITORS}new/", CRON | {"task_name": "job"})

    assert (answer.status_code, field_errors(answer.text)) == (
        400,
        {"task_name": "Another monitor of this project has the task name “job”."},
    )


WRONG = [
    ("remind_after", {"remind_after": "4 min"}, "At least 5 min."),
    ("step-1-after", {"step-1-emails": "a@example.com"}, "Write a duration such as"),
    (
        "step-2-channels",
        {"step-2-after": "9 min"},
        "Choose at least one e-mail address or channel.",
    ),
    ("name", {"name": " "}, "This field may not be blank."),
    ("type", {"type": "moon"}, '"moon" is not a valid choice.'),
    ("project", {"project": "nope"}, "This project does not exist."),
    ("schedule", {"schedule": ""}, "This field may not be blank."),
    ("schedule", {"schedule": "61 * * * *"}, None),
    ("timezone", {"timezone": "Moon/Base"}, None),
    ("interval", INTERVAL | {"interval": "soon"}, "“soon” is not a duration: write 15 min, 1h30"),
    ("interval", INTERVAL | {"interval": ""}, "Write a duration such as 15 min, 1h30 or 2 days."),
    ("interval", INTERVAL | {"interval": "5 s"}, "At least 1 min."),
    ("interval", INTERVAL | {"interval": "366 days"}, "At most 365 days."),
    ("start_grace", {"start_grace": "-1"}, "“-1” is not a duration: write 15 min, 1h30 or 2 days."),
    ("max_runtime", {"max_runtime": "0"}, "At least 1 s."),
    ("early_margin", {"early_margin": "1.5"}, "“1.5” is not a duration: write 15 min, 1h30"),
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
    assert shown.startswith(message or shown)
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


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        (
            {"name": "", "schedule": "61 * * * *", "timezone": "Moon/Base"},
            ["name", "schedule", "timezone"],
        ),
        (
            {"name": "", "channel webhook:gone": "true", "step-1-after": "5 min"},
            ["channels", "name", "step-1-channels"],
        ),
        (
            {"emails": "nobody", "schedule": "61 * * * *", "max_runtime": "x"},
            ["emails", "max_runtime", "schedule"],
        ),
        (
            {"channel webhook:gone": "true", "step-1-after": "5 min", "project": "gone"},
            ["channels", "project", "step-1-channels"],
        ),
        (
            {"channel webhook:gone": "true", "step-1-after": "5 min", "timezone": "Moon/Base"},
            ["channels", "step-1-channels", "timezone"],
        ),
    ],
    ids=str,
)
def test_all_errors_are_reported_at_once(
    web: WebClient, project: ProjectRef, typed: dict[str, str], fields: list[str]
) -> None:
    answer = web.post(f"{MONITORS}new/", CRON | typed)

    assert sorted(set(field_errors(answer.text))) == fields


def test_form_is_filled_with_what_is_saved(web: WebClient, project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 7200, "start_grace": 0})

    page = web.get(page_of(watch.monitor, "edit/")).text

    assert re.search(r'value="interval"\s+checked', page)
    assert re.search(r'id="interval"[^>]*value="2 h"', page)
    assert re.search(r'id="start_grace"[^>]*value="0 s"', page)
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
    assert (changed.expected_at, json.loads(changed.targets)) == (expected_at, TO_EMAIL)
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
    assert json.loads(only_monitor().targets) == [
        {"integration": "webhook:ops", "config": {"a": 1}}
    ]
    channel = channels.get_channel(project.organization_id, "webhook:ops")
    channels.delete_channel(channel, actor=SERVER, now=utcnow())
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
    assert "2026-06-02 00:30:00 UTC, late after 00:31" in text
    assert "Tue 02 Jun 02:30 CEST, late after 02:31" in text
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


@pytest.mark.parametrize(
    ("grace", "late"), [("10 min", "02:40"), ("30 s", "02:30:30"), ("0", "02:30"), ("x", "02:31")]
)
def test_preview_says_when_a_run_is_late(
    web: WebClient, project: ProjectRef, grace: str, late: str
) -> None:
    query = {"type": "cron", "schedule": "30 2 * * *", "start_grace": grace}

    with time_machine.travel(at("12:00"), tick=False):
        text = words(web.get(f"{MONITORS}preview", query_string=query).text)

    assert f"2026-06-02 02:30:00 UTC, late after {late}Tue 02 Jun 02:30 UTC, late" in text


PREVIEWS = [
    ({"type": "interval", "interval": "2h"}, "Every 2 hours"),
    ({"type": "interval", "interval": "x"}, "“x” is not a duration"),
    ({"type": "interval", "interval": "5"}, "At least 1 min."),
    ({"type": "interval", "interval": "5 min", "anchor": "x"}, "anchor:"),
    ({"type": "interval"}, "the time between runs"),
    ({"schedule": "* * *"}, "month: the field is missing"),
    ({"schedule": "0 0 * * *", "timezone": "Moon/Base"}, "Moon/Base"),
    ({"schedule": "0 0 * * *"}, "The clocks in UTC do not change."),
    ({"schedule": HOSTILE}, "is not valid"),
    ({}, "five crontab fields"),
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
