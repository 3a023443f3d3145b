"""The form of a global action: its mode, reminders, escalation and rate, and their dry run."""

import json
import re
from datetime import timedelta

import pytest
from blueprints.dashboard.alerts.test_global_actions import (
    ALERTS,
    FORM,
    TO_OPS,
    make_global_action,
    only_global_action,
    run,
    send_wrong,
)
from blueprints.dashboard.doing import CI, count_runs
from blueprints.dashboard.forms_read import field_errors, trail, value_of, words
from people import WebClient
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, IncidentNotice
from taskbadger.process import current_process
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import write

INCIDENT = FORM | {
    "mode": "incident",
    "trigger": "error,stale",
    "wait_for_retry": "30",
    "at_least": "3",
    "within": "10 min",
    "remind_after": "2 h",
    "step-1-after": "15 min",
    "step-1-emails": "lead@example.com",
    "step-3-after": "1 d",
    "step-3-emails": "",
    "step-3-channel webhook:ops": "true",
}
LEAD = {"integration": "email", "config": {"to": "lead@example.com"}}
OPS = {"integration": "webhook:ops", "config": {}}
STEPS = [{"after": 900, "channels": [LEAD]}, {"after": 86_400, "channels": [OPS]}]
NAMES = (
    "wait_for_retry",
    "at_least",
    "within",
    "remind_after",
    "step-1-after",
    "step-1-emails",
    "step-2-after",
    "step-2-emails",
    "step-3-after",
)


@pytest.fixture
def ops(project: ProjectRef) -> None:
    """A channel."""
    channels.create_channel(
        project.organization_id,
        "webhook",
        "ops",
        "Ops",
        {"url": "https://hooks.example.com/x"},
        actor=SERVER,
        context=current_process().send_context,
        now=utcnow(),
    )
    db.session.commit()


def settings_of(global_action: GlobalAction) -> dict[str, object]:
    """Return what decides when a global action tells."""
    found = global_actions.fields_of(global_action)
    kept = ("mode", "wait_for_retry", "at_least", "within", "remind_after", "escalation")
    return {name: found[name] for name in kept}


def checked(page: str) -> list[str]:
    return re.findall(r'name="mode" value="(\w+)" checked', page)


def test_new_form_tells_of_incidents(web: WebClient, project: ProjectRef) -> None:
    page = web.get(f"{ALERTS}new/").text

    assert checked(page) == ["incident"]
    assert {name: value_of(page, name) for name in ("trigger", *NAMES)} == {
        "trigger": "error",
        **dict.fromkeys(NAMES, ""),
        "wait_for_retry": "1 min",
    }
    assert "Would have reported 0 incidents in the last 7 days" in words(page)
    assert page.count("<details data-step>") == 5


@pytest.mark.usefixtures("ops")
def test_rule_that_tells_of_incidents_is_made_and_shown_as_saved(
    web: WebClient, project: ProjectRef
) -> None:
    answer = web.post(f"{ALERTS}new/", INCIDENT)

    made = only_global_action()
    assert (answer.status_code, json.loads(made.channels)) == (303, [TO_OPS])
    assert settings_of(made) == {
        "mode": "incident",
        "wait_for_retry": 30,
        "at_least": 3,
        "within": 600,
        "remind_after": 7200,
        "escalation": STEPS,
    }
    page = web.get(f"{ALERTS}{made.id}/").text
    assert checked(page) == ["incident"]
    assert {name: value_of(page, name) for name in NAMES} == {
        "wait_for_retry": "30 s",
        "at_least": "3",
        "within": "10 min",
        "remind_after": "2 h",
        "step-1-after": "15 min",
        "step-1-emails": "lead@example.com",
        "step-2-after": "1 day",
        "step-2-emails": "",
        "step-3-after": "",
    }
    assert re.findall(r'name="(step-\d-channel [^"]*)" value="true" checked', page) == [
        "step-2-channel webhook:ops"
    ]
    assert page.count("<details data-step open>") == 2
    assert "error, stale 3 within 10 min, once per incident" in words(web.get(ALERTS).text)


@pytest.mark.usefixtures("ops")
def test_saving_what_is_shown_changes_nothing(web: WebClient, project: ProjectRef) -> None:
    web.post(f"{ALERTS}new/", INCIDENT)
    path = f"{ALERTS}{only_global_action().id}/"
    before = trail()
    shown = {name: text for name, text in INCIDENT.items() if not name.startswith("step-3")} | {
        "step-2-after": "1 day",
        "step-2-channel webhook:ops": "true",
    }

    assert web.post(path, shown).status_code == 303
    assert trail() == before


@pytest.mark.usefixtures("ops")
def test_rule_that_tells_each_time_has_no_reminders(web: WebClient, project: ProjectRef) -> None:
    web.post(f"{ALERTS}new/", INCIDENT)
    path = f"{ALERTS}{only_global_action().id}/"

    answer = web.post(path, INCIDENT | {"mode": "every", "step-2-after": "x"})

    assert answer.status_code == 303
    assert settings_of(only_global_action()) == {
        "mode": "every",
        "wait_for_retry": 30,
        "at_least": 3,
        "within": 600,
        "remind_after": 0,
        "escalation": [],
    }
    assert "error, stale 3 within 10 min, each time" in words(web.get(ALERTS).text)


WRONG = [
    ("mode", {"mode": "never"}, '"never" is not a valid choice.'),
    ("trigger", {"trigger": "error,success"}, "An incident begins with error, stale, max_"),
    ("at_least", {"at_least": "0"}, "Ensure this value is greater than or equal to 1."),
    ("at_least", {"at_least": ""}, "Give both, or neither: how many failures"),
    ("within", {"within": ""}, "Give both, or neither: how many failures"),
    ("within", {"within": "x"}, "“x” is not a duration: write 15 min, 1h30 or 2 days."),
    ("within", {"within": "2 days"}, "At most 1 day."),
    ("quiet_period", {"quiet_period": "1:30"}, "“1:30” may be hours or minutes: write 1h30 or 1"),
    ("remind_after", {"remind_after": "x"}, "“x” is not a duration: write 15 min, 1h30 or 2 days."),
    ("remind_after", {"remind_after": "2 min"}, "At least 5 min."),
    ("step-1-after", {"step-1-after": ""}, "Write a duration such as 15 min, 1h30 or 2 days."),
    ("step-1-after", {"step-1-after": "0"}, "At least 1 s."),
    ("step-1-emails", {"step-1-emails": "x"}, "“x” is not a valid e-mail address."),
    ("step-1-channels", {"step-1-emails": ""}, "Choose at least one e-mail address or channel."),
    ("step-2-channels", {"step-2-after": "20 min", "step-2-channel slack:x": "1"}, "There is no"),
    ("step-3-after", {"step-3-after": "1 min"}, "Each step comes later than the one before."),
]


@pytest.mark.usefixtures("ops")
@pytest.mark.parametrize(("field", "typed", "message"), WRONG)
def test_each_error_stands_next_to_its_field(
    web: WebClient, project: ProjectRef, field: str, typed: dict[str, str], message: str
) -> None:
    make_global_action(project)

    for page in send_wrong(web, INCIDENT | typed, field, message):
        assert page.count("<details data-step open>") >= 2

    assert settings_of(only_global_action())["mode"] == "every"


@pytest.mark.usefixtures("ops")
def test_errors_of_fields_that_do_not_go_together_are_reported_with_the_others(
    web: WebClient, project: ProjectRef
) -> None:
    wrong = {"name": "", "trigger": "error,success", "within": "", "remind_after": "2 min"}

    answer = web.post(f"{ALERTS}new/", INCIDENT | wrong)

    errors = field_errors(answer.text)
    assert sorted(errors) == ["name", "remind_after", "trigger", "within"]
    fields = answer.text.partition('id="dry-run"')[0]
    assert fields.count('class="field-error">') == len(errors)


def test_boxes_count_without_scripts(web: WebClient, project: ProjectRef) -> None:
    standing = {"trigger": "error", "trigger_shown": "error", "point error": "true"}
    typed = FORM | standing | {"point success": "true", "every_percent": "25", "at_value": ""}

    preview = web.post(f"{ALERTS}new/", typed | {"preview": "1"}).text
    answer = web.post(f"{ALERTS}new/", typed)

    assert value_of(preview, "trigger") == "error,success,*/25%"
    assert re.findall(r'name="(point [^"]*)"[^>]*checked', preview) == [
        "point error",
        "point success",
    ]
    assert value_of(preview, "every_percent") == "25"
    assert (answer.status_code, only_global_action().trigger) == (303, "error,success,*/25%")


def test_wrong_number_is_an_error_of_the_trigger_whose_text_is_shown(
    web: WebClient, project: ProjectRef
) -> None:
    typed = FORM | {"trigger": "", "trigger_shown": "", "at_percent": "many"}

    answer = web.post(f"{ALERTS}new/", typed)

    assert field_errors(answer.text)["trigger"].startswith('"many%" is not a trigger point')
    assert value_of(answer.text, "trigger") == "many%"
    assert re.search(r"<details open>\s*<summary>As text", answer.text)


def test_errors_of_steps_are_reported_with_the_others(web: WebClient, project: ProjectRef) -> None:
    wrong = {"name": "", "step-1-emails": "", "step-3-after": ""}

    answer = web.post(f"{ALERTS}new/", INCIDENT | wrong)

    assert answer.status_code == 400
    assert sorted(one.removeprefix("field-") for one in field_errors(answer.text)) == [
        "name",
        "step-1-channels",
        "step-3-after",
    ]


def test_dry_run_counts_incidents(web: WebClient, project: ProjectRef) -> None:
    for name in ("one", "two", "three"):
        run(project, name, "error")
        run(project, name, "error")

    def ask(**typed: str) -> str:
        query = {"trigger": "error", "mode": "incident", **typed}
        return words(web.get(f"{ALERTS}dry-run", query_string=query).text)

    assert "Would have reported 3 incidents in the last 7 days" in ask()
    assert "Would have reported 1 incident in" in ask(name_pattern="one")
    assert "Would have fired 6 times" in ask(mode="every")
    rate = {"at_least": "2"}
    assert "Would have reported 3 incidents" in ask(**rate, within="10 min")
    assert "Would have fired 1 time" in ask(**rate, within="10 min", mode="every")
    assert "Would have reported 0 incidents" in ask(at_least="3", within="10 min")
    below = ask(at_least="3", within="10 min")
    assert "the rate of 3 within 10 min was not reached." in below
    assert ("6 tasks changed in that time." in below, "none would" in below) == (True, False)
    assert "6 tasks changed in that time; none would have triggered it." in ask(name_pattern="x")
    assert "Give both, or neither" in ask(at_least="2")
    assert "An incident begins with" in ask(trigger="success")
    assert "“x” is not a duration" in ask(wait_for_retry="x")


def test_dry_run_leaves_out_what_was_tried_again(web: WebClient, project: ProjectRef) -> None:
    now = utcnow() - timedelta(minutes=5)
    for seconds in (0, 20):
        data = {"name": "job", "external_id": "celery-1", "status": "error"}
        write.create_task(project, data, now=now + timedelta(seconds=seconds), actor=CI)
    db.session.commit()

    def ask(wait: str) -> str:
        return words(web.get(f"{ALERTS}dry-run?trigger=error&wait_for_retry={wait}").text)

    assert "Would have fired 2 times" in ask("0")
    assert "Would have fired 1 time" in ask("60")
    assert "would have waited 1 min" in ask("60")
    assert (
        "No message would have been sent for 1 failure: its run was retried within 1 min."
        in ask("60")
    )


def test_rule_of_the_form_is_told_of_an_incident(web: WebClient, project: ProjectRef) -> None:
    simple = FORM | {"mode": "incident", "trigger": "error", "name_pattern": ""}
    web.post(f"{ALERTS}new/", simple)

    run(project, "nightly", "error")
    count_runs()

    notices = db.session.scalars(select(IncidentNotice.global_action_id)).all()
    assert notices == [only_global_action().id]
