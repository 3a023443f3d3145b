"""Global actions: what is refused, what is changed, and what the audit log says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from blueprints.dashboard.forms_read import trail
from conftest import make_project

from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.services.alerts import global_actions

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
MAIL = {"integration": "email", "config": {"to": "a@example.com"}}
STEP = {"after": 900, "channels": [MAIL]}
GOOD = {"name": "errors", "trigger": "error", "channels": [MAIL]}


@pytest.mark.parametrize(
    ("fields", "attr", "code"),
    [
        ({"trigger": "*/0"}, "trigger", "invalid"),
        ({"name_pattern": "(?=a)"}, "name_pattern", "invalid"),
        ({"name_pattern": "("}, "name_pattern", "invalid"),
        ({"quiet_period": -1}, "quiet_period", "max_value"),
        ({"wait_for_retry": -1}, "wait_for_retry", "max_value"),
        ({"wait_for_retry": 86_401}, "wait_for_retry", "max_value"),
        ({"project": "nowhere"}, "project", "does_not_exist"),
        ({"remind_after": 600}, "remind_after", "invalid"),
        ({"mode": "incident", "remind_after": 299}, "remind_after", "min_value"),
        ({"escalation": [STEP]}, "escalation", "invalid"),
        ({"mode": "incident", "escalation": [STEP] * 2}, "escalation.1.after", "invalid"),
        ({"mode": "incident", "trigger": "error,50%"}, "trigger", "invalid"),
        ({"mode": "incident", "trigger": "success"}, "trigger", "invalid"),
        ({"at_least": 5}, "within", "required"),
        ({"within": 5}, "at_least", "required"),
        (
            {
                "mode": "incident",
                "escalation": [{**STEP, "after": number} for number in range(1, 7)],
            },
            "escalation",
            "max_length",
        ),
        (
            {"mode": "incident", "escalation": [{"after": 60, "channels": []}]},
            "escalation.0.channels",
            "invalid",
        ),
        ({"channels": []}, "channels", "invalid"),
        ({"channels": [MAIL, MAIL]}, "channels.1.integration", "invalid"),
        (
            {"channels": [{"integration": "webhook:nowhere", "config": {}}]},
            "channels.0.integration",
            "does_not_exist",
        ),
    ],
)
def test_wrong_fields_are_named(
    project: ProjectRef, fields: dict[str, Any], attr: str, code: str
) -> None:
    with pytest.raises(ValidationFailed) as raised:
        global_actions.create_global_action(
            project.organization_id, {**GOOD, **fields}, actor=SERVER, now=NOW
        )

    assert [(error.attr, error.code) for error in raised.value.errors] == [(attr, code)]


def test_global_action_of_another_organization_is_not_found(project: ProjectRef) -> None:
    made = global_actions.create_global_action(
        make_project("globex").organization_id, GOOD, actor=SERVER, now=NOW
    )
    db.session.commit()

    with pytest.raises(NotFound):
        global_actions.update_global_action(
            project.organization_id, made.id, {"enabled": False}, actor=SERVER, now=NOW
        )


def test_plain_calls_leave_their_entries(project: ProjectRef) -> None:
    plugin, number = Actor("server", "pager plug-in"), project.organization_id

    made = global_actions.create_global_action(number, GOOD, actor=plugin, now=NOW)
    global_actions.update_global_action(
        number, made.id, {"trigger": "stale"}, actor=plugin, now=NOW
    )
    global_actions.delete_global_action(number, made.id, actor=plugin, now=NOW)
    db.session.commit()

    assert trail() == [
        ("pager plug-in", "global-action.create", "errors", "error"),
        ("pager plug-in", "global-action.change", "errors", "trigger: error → stale"),
        ("pager plug-in", "global-action.delete", "errors", ""),
    ]


def test_update_changes_what_it_names_and_keeps_the_rest(project: ProjectRef) -> None:
    number = project.organization_id
    made = global_actions.create_global_action(number, GOOD, actor=SERVER, now=NOW)
    hook: Any = {"integration": "email", "config": {"to": "b@example.com"}}
    later = NOW + timedelta(seconds=1)

    global_actions.update_global_action(
        number, made.id, {"project": "web", "channels": [hook]}, actor=SERVER, now=later
    )
    db.session.commit()

    assert global_actions.fields_of(global_actions.get_global_action(number, made.id)) == {
        "name": "errors",
        "project": "web",
        "name_pattern": "",
        "trigger": "error",
        "channels": [hook],
        "enabled": True,
        "quiet_period": 0,
        "mode": "every",
        "remind_after": 0,
        "escalation": [],
        "at_least": None,
        "within": None,
        "wait_for_retry": 0,
    }
    assert (made.created, made.updated) == (NOW, later)


def test_lists_are_those_of_the_organization_only(project: ProjectRef) -> None:
    for place, name in (
        (project, "first"),
        (make_project("globex"), "foreign"),
        (project, "second"),
    ):
        data: Any = {**GOOD, "name": name, "project": "web"}
        global_actions.create_global_action(place.organization_id, data, actor=SERVER, now=NOW)
    db.session.commit()

    found = global_actions.list_global_actions(project.organization_id)
    page = global_actions.list_page(project.organization_id, None, 1)

    assert [each.name for each in found] == ["first", "second"]
    assert [each.name for each in page.rows] == ["first"]
    assert page.next is not None
    assert global_actions.project_slugs(found) == {project.id: "web"}


def test_fields_are_checked_together_with_those_that_stay(project: ProjectRef) -> None:
    fields = {**GOOD, "mode": "incident", "escalation": [STEP]}
    made = global_actions.create_global_action(
        project.organization_id, fields, actor=SERVER, now=NOW
    )
    db.session.commit()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"trigger": "error,*/10%"}, "trigger"),
        ({"mode": "every"}, "escalation"),
        ({"at_least": 3}, "within"),
    ]

    for changes, attr in wrong:
        with pytest.raises(ValidationFailed) as raised:
            global_actions.update_global_action(
                project.organization_id, made.id, changes, actor=SERVER, now=NOW
            )
        db.session.rollback()
        assert [error.attr for error in raised.value.errors] == [attr]
    changed = global_actions.update_global_action(
        project.organization_id,
        made.id,
        {"mode": "every", "escalation": [], "trigger": "error,*/10%"},
        actor=SERVER,
        now=NOW,
    )
    assert (changed.mode, changed.escalation) == ("every", "[]")


def test_one_to_ten_channels_are_notified(project: ProjectRef) -> None:
    def details(channels: list[dict[str, Any]]) -> list[str]:
        found = global_actions.check(project.organization_id, {"channels": channels})
        return [error.detail for error in found if error.attr == "channels"]

    assert details([]) == ["Choose at least one e-mail address or channel."]
    assert details([MAIL]) == []
    assert details([MAIL] * 11) == ["Choose at most 10 channels."]
