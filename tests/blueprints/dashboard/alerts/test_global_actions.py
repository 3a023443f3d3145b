"""The pages of global actions: the list, the editor and its dry run."""

import json
import re
import threading
from datetime import timedelta
from typing import Any

import pytest
from blueprints.dashboard.doing import assert_same_queries
from blueprints.dashboard.forms_read import (
    ESCAPED,
    HOSTILE,
    field_errors,
    rows,
    trail,
    value_of,
    words,
)
from conftest import make_project
from flask import Flask
from people import WebClient, browser_for, make_member
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Task
from taskbadger.process import current_process
from taskbadger.services.alerts import dry_runs, global_actions
from taskbadger.services.delivery import channels
from taskbadger.services.tasks import write as task_writes

ALERTS = "/a/acme/alerts/"
TO_OPS = {"integration": "email", "config": {"to": "ops@example.com"}}
FORM = {
    "name": "failures",
    "mode": "every",
    "trigger": "error, */25%",
    "project": "web",
    "name_kind": "matches",
    "name_pattern": "^nightly-",
    "quiet_period": "10 min",
    "enabled": "true",
    "emails": "ops@example.com",
}


def make_global_action(
    project: ProjectRef, /, name: str = "failures", **fields: object
) -> GlobalAction:
    data = {"name": name, "trigger": "error", "channels": [TO_OPS], **fields}
    global_action = global_actions.create_global_action(
        project.organization_id, data, actor=SERVER, now=utcnow()
    )
    db.session.commit()
    return global_action


def only_global_action() -> GlobalAction:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(GlobalAction)).one()


def run(project: ProjectRef, name: str, *statuses: str) -> str:
    """Let a task go through some statuses; return its id."""
    actor, now = Actor("key", "ci"), utcnow() - timedelta(minutes=5)
    task = task_writes.create_task(project, {"name": name}, now=now, actor=actor)
    for number, status in enumerate(statuses, start=1):
        at = now + timedelta(seconds=number)
        task_writes.update_task(project, task.id, {"status": status}, now=at, actor=actor)
    db.session.commit()
    return str(task.id)


def test_global_actions_are_listed_with_all_they_say(web: WebClient, project: ProjectRef) -> None:
    make_global_action(project, project="web", name_pattern="^nightly-", quiet_period=600)
    make_global_action(project, "all", enabled=False)
    make_global_action(make_project("other", "web"), "foreign")

    page = web.get(ALERTS).text

    assert rows(page) == ["failures", "all"]
    text = words(page)
    assert "web, name starts with “nightly-”" in text
    assert "email to ops@example.com" in text
    assert "10 min" in text
    assert "Turn off failures" in text
    assert "Turn on all" in text


def test_new_global_action_waits_a_minute_for_a_retry(web: WebClient, project: ProjectRef) -> None:
    assert value_of(web.get(f"{ALERTS}new/").text, "wait_for_retry") == "1 min"

    web.post(f"{ALERTS}new/", FORM | {"wait_for_retry": "90"})

    made = only_global_action()
    path = f"{ALERTS}{made.id}/"
    assert made.wait_for_retry == 90
    assert value_of(web.get(path).text, "wait_for_retry") == "1 min 30 s"
    web.post(path, FORM | {"wait_for_retry": ""})
    assert only_global_action().wait_for_retry == 0
    wrong = web.post(path, FORM | {"wait_for_retry": "86401"})
    assert (wrong.status_code, field_errors(wrong.text)) == (
        400,
        {"wait_for_retry": "At most 1 day."},
    )


def test_dry_run_says_how_long_failures_wait(web: WebClient, project: ProjectRef) -> None:
    page = web.get(f"{ALERTS}dry-run?trigger=error&wait_for_retry=60").text

    assert "Messages about failures would have waited 1 min" in words(page)


def test_empty_list_says_what_to_do(web: WebClient, project: ProjectRef) -> None:
    assert "No alert rules yet" in web.get(ALERTS).text


def test_list_takes_as_many_queries_for_50_as_for_one(web: WebClient, project: ProjectRef) -> None:
    def make(number: int) -> None:
        make_global_action(project, f"failures {number}", project="web" if number else None)

    assert_same_queries(web, ALERTS, make, max_queries=8)


def test_global_action_is_made_from_a_form(web: WebClient, project: ProjectRef) -> None:
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

    answer = web.post(f"{ALERTS}new/", FORM | {"channel webhook:ops": "true"})

    made = only_global_action()
    assert (answer.status_code, answer.location) == (303, ALERTS)
    assert (made.name, made.trigger, made.project_id, made.name_pattern) == (
        "failures",
        "error, */25%",
        project.id,
        "^nightly-",
    )
    assert (made.quiet_period, made.enabled) == (600, True)
    assert json.loads(made.channels) == [TO_OPS, {"integration": "webhook:ops", "config": {}}]
    assert trail() == [
        ("server", "channel.create", "webhook:ops", "Ops"),
        ("ada@example.org", "global-action.create", "failures", "error, */25%"),
    ]


@pytest.mark.parametrize(
    ("kind", "typed", "stored"),
    [
        ("is", " a.b ", r"^a\.b$"),
        ("starts-with", "nightly-", "^nightly-"),
        ("contains", "import", "import"),
        ("matches", "^(a|b) ", "^(a|b) "),
        ("contains", "", ""),
    ],
)
def test_name_is_compared_as_chosen(
    web: WebClient, project: ProjectRef, kind: str, typed: str, stored: str
) -> None:
    web.post(f"{ALERTS}new/", FORM | {"name_kind": kind, "name_pattern": typed})

    made = only_global_action()
    page = web.get(f"{ALERTS}{made.id}/").text
    before = trail()
    shown = {"name_kind": kind, "name_pattern": value_of(page, "name_pattern") or ""}
    assert made.name_pattern == stored
    assert f'<option value="{kind}" selected>' in page
    assert shown["name_pattern"] == (typed if kind == "matches" else typed.strip())
    web.post(f"{ALERTS}{made.id}/", FORM | shown)
    assert trail() == before


def test_unknown_comparison_is_an_error(web: WebClient, project: ProjectRef) -> None:
    answer = web.post(f"{ALERTS}new/", FORM | {"name_kind": "sounds-like"})

    assert answer.status_code == 400
    assert field_errors(answer.text) == {"name_pattern": '"sounds-like" is not a valid choice.'}


def test_dry_run_compares_names_as_chosen(web: WebClient, project: ProjectRef) -> None:
    run(project, "import (daily)", "error")

    def ask(kind: str, text: str) -> str:
        query = {"trigger": "error", "name_kind": kind, "name_pattern": text}
        return words(web.get(f"{ALERTS}dry-run", query_string=query).text)

    assert "Would have fired 1 time " in ask("contains", "(daily")
    assert "Would have fired 1 time " in ask("is", "import (daily)")
    assert "Would have fired 0 times" in ask("starts-with", "daily")
    assert "Not a valid RE2" in ask("matches", "(daily")


WRONG = [
    ("name", {"name": ""}, "This field may not be blank."),
    ("trigger", {"trigger": ""}, "This field may not be blank."),
    ("trigger", {"trigger": "soon"}, '"soon" is not a trigger point: expected a value'),
    ("project", {"project": "nope"}, "There is no project “nope” in this organization."),
    ("name_pattern", {"name_pattern": "(("}, "Not a valid RE2 regular expression:"),
    ("quiet_period", {"quiet_period": "x"}, "“x” is not a duration: write 15 min"),
    ("quiet_period", {"quiet_period": "8 days"}, "At most 7 days."),
    ("emails", {"emails": "a@b,"}, "“a@b” is not a valid e-mail address."),
    ("channels", {"emails": ""}, "Choose at least one e-mail address or channel."),
    ("channels", {"channel slack:x": "true"}, "There is no channel “slack:x”"),
]


def send_wrong(web: WebClient, form: dict[str, str], field: str, message: str) -> list[str]:
    """Send *form* as a new rule and as a change of one; return the pages, which name *field*."""
    global_action = only_global_action()
    new = web.post(f"{ALERTS}new/", form)
    edited = web.post(f"{ALERTS}{global_action.id}/", form)
    for answer in (new, edited):
        assert answer.status_code == 400
        errors = field_errors(answer.text)
        assert list(errors) == [field]
        assert errors[field].startswith(message)
    return [new.text, edited.text]


@pytest.mark.parametrize(("field", "typed", "message"), WRONG)
def test_each_error_stands_next_to_its_field(
    web: WebClient, project: ProjectRef, field: str, typed: dict[str, str], message: str
) -> None:
    make_global_action(project)

    send_wrong(web, FORM | typed, field, message)

    assert (only_global_action().name, only_global_action().trigger) == ("failures", "error")


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        (
            {"trigger": "sometimes", "name_pattern": "(", "name": "", "emails": ""},
            ["channels", "name", "name_pattern", "trigger"],
        ),
        ({"trigger": "sometimes", "emails": "nobody"}, ["emails", "trigger"]),
        ({"emails": "nobody", "name_pattern": "("}, ["emails", "name_pattern"]),
        ({"quiet_period": "x", "name_pattern": "("}, ["name_pattern", "quiet_period"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("page", ["new", "edit"])
def test_all_errors_are_reported_at_once(
    web: WebClient, project: ProjectRef, page: str, wrong: dict[str, str], fields: list[str]
) -> None:
    path = f"{ALERTS}new/" if page == "new" else f"{ALERTS}{make_global_action(project).id}/"

    answer = web.post(path, FORM | wrong)

    assert answer.status_code == 400
    assert sorted(one.removeprefix("field-") for one in field_errors(answer.text)) == fields


def test_form_is_filled_with_what_is_saved(web: WebClient, project: ProjectRef) -> None:
    global_action = make_global_action(project, project="web", quiet_period=7200, enabled=False)

    page = web.get(f"{ALERTS}{global_action.id}/").text

    shown = {name: value_of(page, name) for name in ("name", "trigger", "quiet_period", "emails")}
    assert shown == {
        "name": "failures",
        "trigger": "error",
        "quiet_period": "2 h",
        "emails": "ops@example.com",
    }
    assert '<option value="web" selected>' in page
    assert 'name="enabled" value="true">' in page


def test_edit_changes_and_notes_only_what_differs(web: WebClient, project: ProjectRef) -> None:
    global_action = make_global_action(project)
    form = FORM | {"trigger": "error", "project": "", "name_pattern": "", "quiet_period": ""}

    unchanged = web.post(f"{ALERTS}{global_action.id}/", form)
    changed = web.post(
        f"{ALERTS}{global_action.id}/", form | {"project": "web", "trigger": "stale"}
    )

    assert (unchanged.status_code, changed.status_code) == (303, 303)
    assert (only_global_action().trigger, only_global_action().project_id) == ("stale", project.id)
    assert trail() == [
        ("server", "global-action.create", "failures", "error"),
        (
            "ada@example.org",
            "global-action.change",
            "failures",
            "project: none → web; trigger: error → stale",
        ),
    ]


def test_global_action_is_turned_off_and_on_and_deleted(
    web: WebClient, project: ProjectRef
) -> None:
    path = f"{ALERTS}{make_global_action(project).id}"

    web.post(f"{path}/enabled", {"enabled": "false"})
    off = only_global_action().enabled
    web.post(f"{path}/enabled", {"enabled": "true"})
    web.post(f"{path}/enabled", {"enabled": "true"})
    on = only_global_action().enabled
    answer = web.post(f"{path}/delete")

    assert (off, on, answer.location) == (False, True, ALERTS)
    assert [entry[1:] for entry in trail()] == [
        ("global-action.create", "failures", "error"),
        ("global-action.change", "failures", "enabled: true → false"),
        ("global-action.change", "failures", "enabled: false → true"),
        ("global-action.delete", "failures", ""),
    ]


def test_dry_run_tells_what_would_have_fired(web: WebClient, project: ProjectRef) -> None:
    failed = run(project, "nightly-import", "processing", "error")
    run(project, "nightly-import", "processing", "success")
    run(project, "mail", "error")
    run(make_project("other", "web"), "nightly-foreign", "error")

    def ask(**query: str) -> str:
        return web.get(f"{ALERTS}dry-run", query_string=query).text

    page = ask(trigger="error", project="web", name_pattern="^nightly-", emails="x")
    assert "Would have fired 1 time in the last 7 days" in words(page)
    assert f'href="/a/acme/tasks/{failed}/"' in page
    assert "Would have fired 2 times" in words(ask(trigger="error"))
    assert "none would have triggered it" in words(ask(trigger="stale"))
    assert "is not a trigger point" in words(ask(trigger="soon"))
    assert "RE2" in words(ask(trigger="error", name_pattern="(("))
    assert "no project" in words(ask(trigger="error", project="nope"))
    assert "Choose when it fires." in words(ask())


@pytest.mark.parametrize(
    ("trigger", "warned"), [("101%,error", ["101%"]), ("100%", []), ("*/200%,300", [])]
)
def test_dry_run_warns_of_percentages_past_the_whole(
    web: WebClient, project: ProjectRef, trigger: str, warned: list[str]
) -> None:
    page = web.get(f"{ALERTS}dry-run", query_string={"trigger": trigger}).text

    assert re.findall(r'"warn-text">(\S+) is only reached by a task whose value', page) == warned


def test_dry_run_shows_the_first_of_many(web: WebClient, project: ProjectRef) -> None:
    for _ in range(12):
        run(project, "job", "error")

    page = web.get(f"{ALERTS}dry-run?trigger=error").text

    assert page.count("<li>") == 10
    assert "Would have fired 12 times" in words(page)
    assert "Showing 10, of the latest tasks" in words(page)


def test_preview_takes_no_lock_while_it_looks_back(
    web: WebClient, project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry_run = dry_runs.dry_run

    def write_meanwhile(organization_id: int, **options: Any) -> dry_runs.DryRun:
        found = dry_run(organization_id, **options)
        writing = threading.Thread(target=write)
        writing.start()
        writing.join()
        return found

    def write() -> None:
        with web.client.application.app_context():
            run(project, "meanwhile")

    monkeypatch.setattr(dry_runs, "dry_run", write_meanwhile)

    web.post(ALERTS + "new/", {"preview": "1", "trigger": "error"})

    assert db.session.scalars(select(Task.name)).all() == ["meanwhile"]


def test_preview_without_scripts_saves_nothing(web: WebClient, project: ProjectRef) -> None:
    global_action = make_global_action(project)
    run(project, "nightly-x", "cancelled")
    typed = FORM | {"trigger": "cancelled", "name": "", "preview": "1"}

    new = web.post(f"{ALERTS}new/", typed)
    edited = web.post(f"{ALERTS}{global_action.id}/", typed)

    for answer in (new, edited):
        assert answer.status_code == 200
        assert "Would have fired 1 time " in words(answer.text)
        assert value_of(answer.text, "trigger") == "cancelled"
    assert only_global_action().trigger == "error"


@pytest.mark.parametrize("number", ["0", "x", "9" * 30, "%00"])
def test_unknown_global_action_is_not_found(
    web: WebClient, project: ProjectRef, number: str
) -> None:
    foreign = make_global_action(make_project("other", "web"))

    assert web.get(f"{ALERTS}{number}/").status_code == 404
    assert web.get(f"{ALERTS}{foreign.id}/").status_code == 404
    assert web.post(f"{ALERTS}{foreign.id}/delete").status_code == 404


def test_viewer_sees_global_actions_and_changes_none(app: Flask, project: ProjectRef) -> None:
    global_action = make_global_action(project)
    viewer = browser_for(app, make_member("v@example.org", "viewer"))

    page = viewer.get(ALERTS).text

    assert "failures" in page
    assert "<form" not in re.sub(r"<header.*?</header>|<dialog.*?</dialog>", "", page, flags=re.S)
    assert viewer.get(f"{ALERTS}{global_action.id}/").status_code == 403
    assert viewer.post(f"{ALERTS}{global_action.id}/delete").status_code == 403


def test_hostile_strings_are_shown_as_text(web: WebClient, project: ProjectRef) -> None:
    global_action = make_global_action(project, HOSTILE, name_pattern="<img src=x>")
    run(project, HOSTILE, "error")

    pages = [
        web.get(ALERTS).text,
        web.get(f"{ALERTS}{global_action.id}/").text,
        web.get(f"{ALERTS}dry-run?trigger=error").text,
        web.post(f"{ALERTS}new/", dict.fromkeys(FORM, HOSTILE)).text,
    ]

    for page in pages:
        assert ESCAPED in page
        assert "<script>alert" not in page
        assert "<img" not in page
