"""The endpoints of global actions."""

from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries, make_project
from flask import Flask
from managing import DENIED, NOT_FOUND, audited, manager, walk, without

from taskbadger.extensions import db

FAILURES = {
    "name": "Failures",
    "trigger": "error, stale",
    "channels": [{"integration": "email", "config": {"to": "a@example.com"}}],
}
SHOWN = {
    "name": "Failures",
    "project": None,
    "name_pattern": "",
    "trigger": "error, stale",
    "channels": [{"integration": "email", "config": {"to": "a@example.com"}}],
    "enabled": True,
    "quiet_period": 0,
    "mode": "every",
    "remind_after": 0,
    "escalation": [],
    "at_least": None,
    "within": None,
    "quiet_until": None,
    "held_back": 0,
    "wait_for_retry": 0,
}
UNKNOWN = ("id", "created", "updated")


def test_global_action_is_made_read_and_listed(admin: ApiClient) -> None:
    made = admin.post("/global-actions/", FAILURES)

    assert (made.status_code, without(made.json, *UNKNOWN)) == (201, SHOWN)
    assert admin.get(f"/global-actions/{made.json['id']}/").json == made.json
    assert admin.get("/global-actions/").json == {
        "next": None,
        "previous": None,
        "results": [made.json],
    }
    assert audited() == [("key", "terraform", "global-action.create", "Failures")]


def test_change_touches_what_it_names(admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "ntfy", "slug": "phone", "config": {"topic": "jobs"}})
    made = admin.post("/global-actions/", FAILURES).json
    changes = {
        "project": "web",
        "name_pattern": "^nightly-",
        "channels": [{"integration": "ntfy:phone"}],
        "quiet_period": 60,
        "mode": "incident",
        "remind_after": 600,
        "escalation": [
            {
                "after": 900,
                "channels": [{"integration": "email", "config": {"to": "b@example.com"}}],
            }
        ],
        "at_least": 5,
        "within": 3600,
        "wait_for_retry": 60,
        "enabled": False,
    }

    changed = admin.patch(f"/global-actions/{made['id']}/", changes)

    assert (changed.status_code, without(changed.json, *UNKNOWN)) == (
        200,
        {**SHOWN, **changes, "channels": [{"integration": "ntfy:phone", "config": {}}]},
    )
    assert admin.get("/global-actions/").json["results"] == [changed.json]
    assert audited()[2:] == [("key", "terraform", "global-action.change", "Failures")]


def test_deleted_global_action_is_gone(admin: ApiClient) -> None:
    path = f"/global-actions/{admin.post('/global-actions/', FAILURES).json['id']}/"

    answers = [admin.delete(path).status_code for _ in range(2)]

    assert answers == [204, 404]
    assert admin.get("/global-actions/").json["results"] == []
    assert [entry[2] for entry in audited()] == ["global-action.create", "global-action.delete"]


def test_global_action_fires_for_a_task_of_the_project(api: ApiClient, admin: ApiClient) -> None:
    global_action = admin.post("/global-actions/", {**FAILURES, "project": "web"}).json

    task = api.create(status="error")

    found = admin.get("/deliveries/").json["results"]
    assert [(one["task"], one["global_action"], one["integration"]) for one in found] == [
        (task["id"], global_action["id"], "email")
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"name": None}, ("name", "null", "This field may not be null.")),
        ({"trigger": ""}, ("trigger", "blank", "This field may not be blank.")),
        (
            {"channels": "email"},
            ("channels", "invalid", "Expected a list of channels."),
        ),
        (
            {"channels": []},
            ("channels", "invalid", "Choose at least one e-mail address or channel."),
        ),
        (
            {"channels": ["email"]},
            ("channels.0", "invalid", "Invalid data. Expected an object."),
        ),
        (
            {"channels": [{"integration": "email"}]},
            ("channels.0.config.to", "required", "This field is required."),
        ),
        (
            {"channels": [{"integration": "email", "config": {"to": "nobody"}}]},
            (
                "channels.0.config.to",
                "invalid",
                "“nobody” is not a valid e-mail address.",
            ),
        ),
        (
            {"channels": [{"integration": "webhook:ops"}]},
            (
                "channels.0.integration",
                "does_not_exist",
                "There is no channel “webhook:ops” in this organization.",
            ),
        ),
        (
            {"project": "none"},
            (
                "project",
                "does_not_exist",
                "There is no project “none” in this organization.",
            ),
        ),
        (
            {"quiet_period": 604801},
            (
                "quiet_period",
                "max_value",
                "Ensure this value is less than or equal to 604800.",
            ),
        ),
        ({"enabled": 1}, ("enabled", "invalid", "Must be a valid boolean.")),
    ],
)
def test_wrong_global_action_is_refused(
    admin: ApiClient, changes: dict[str, Any], error: tuple[str, str, str]
) -> None:
    refused = admin.post("/global-actions/", {**FAILURES, **changes})

    assert (refused.status_code, refused.json) == (400, wrong(error))
    assert admin.get("/global-actions/").json["results"] == []


@pytest.mark.parametrize("changes", [{"trigger": "eror"}, {"name_pattern": "("}])
def test_wrong_grammar_is_reported_on_its_field(admin: ApiClient, changes: dict[str, str]) -> None:
    refused = admin.post("/global-actions/", {**FAILURES, **changes}).json

    assert [(one["attr"], one["code"]) for one in refused["errors"]] == [(*changes, "invalid")]


def test_global_actions_of_another_organization_are_not_there(app: Flask, admin: ApiClient) -> None:
    theirs = manager(app, "other").post("/global-actions/", FAILURES).json
    path = f"/global-actions/{theirs['id']}/"

    assert admin.get("/global-actions/").json["results"] == []
    assert admin.get(path).json == NOT_FOUND
    assert admin.patch(path, {"name": "x"}).json == NOT_FOUND
    assert admin.delete(path).json == NOT_FOUND
    assert admin.get("/global-actions/x/").json == NOT_FOUND
    make_project("other", "secret")
    assert admin.post("/global-actions/", {**FAILURES, "project": "secret"}).status_code == 400


def test_project_key_does_not_reach_global_actions(app: Flask, admin: ApiClient) -> None:
    own = manager(app, slug="web")

    assert own.get("/global-actions/").json == DENIED
    assert own.post("/global-actions/dry-run/", {"trigger": "error"}).json == DENIED


def test_list_is_walked_with_as_many_queries_for_one_as_for_a_hundred(admin: ApiClient) -> None:
    admin.post("/global-actions/", {**FAILURES, "name": "0", "project": "web"})
    admin.get("/global-actions/")
    with count_queries() as one:
        admin.get("/global-actions/")
    for number in range(1, 100):
        admin.post("/global-actions/", {**FAILURES, "name": str(number), "project": "web"})
    admin.get("/global-actions/")  # The key is known again.
    with count_queries() as hundred:
        admin.get("/global-actions/")

    assert len(hundred) == len(one) <= 3
    assert walk(admin, "/global-actions/", "name") == [str(number) for number in range(100)]


def test_dry_run_tells_what_a_draft_would_have_fired(api: ApiClient, admin: ApiClient) -> None:
    failed = api.create(name="nightly-import", status="processing")
    api.patch(f"/tasks/{failed['id']}/", {"status": "error"})
    api.create(name="hourly", status="error")

    run = admin.post(
        "/global-actions/dry-run/", {"trigger": "error", "name_pattern": "^nightly-", "days": 3}
    )

    assert (run.status_code, run.json) == (
        200,
        {
            "count": 1,
            "tasks": 2,
            "complete": True,
            "firings": [
                {
                    "task": failed["id"],
                    "name": "nightly-import",
                    "project": "web",
                    "when": api.get(f"/tasks/{failed['id']}/").json["updated"],
                    "reason": {
                        "point": "error",
                        "kind": "status",
                        "reached": "error",
                        "before": "processing",
                        "after": "error",
                    },
                }
            ],
            "notes": [],
        },
    )
    assert admin.get("/deliveries/").json["results"] == []
    assert audited() == []


def test_dry_run_leaves_out_runs_that_were_tried_again(api: ApiClient, admin: ApiClient) -> None:
    for _ in range(2):
        api.create(status="error", external_id="celery-1")

    def count(**draft: object) -> object:
        return admin.post("/global-actions/dry-run/", {"trigger": "error", **draft}).json["count"]

    assert (count(), count(wait_for_retry=60)) == (2, 1)


def test_dry_run_takes_no_lock(admin: ApiClient) -> None:
    admin.get("/global-actions/")  # From here on the use of the key is noted for a minute.

    with db.engine.begin():
        run = admin.post("/global-actions/dry-run/", {"trigger": "error"})

    assert (run.status_code, run.json["complete"]) == (200, True)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, ("trigger", "required", "This field is required.")),
        (
            {"trigger": "error", "days": 91},
            ("days", "max_value", "Ensure this value is less than or equal to 90."),
        ),
        (
            {"trigger": "error", "wait_for_retry": 86_401},
            ("wait_for_retry", "max_value", "Ensure this value is less than or equal to 86400."),
        ),
        (
            {"trigger": "error", "at_least": 2},
            (
                "within",
                "required",
                "Give both, or neither: how many failures, and within how long.",
            ),
        ),
        (
            {"trigger": "success", "mode": "incident"},
            (
                "trigger",
                "invalid",
                "An incident begins with error, stale, max_runtime_exceeded only; "
                "not with success.",
            ),
        ),
        (
            {"trigger": "error", "project": "none"},
            (
                "project",
                "does_not_exist",
                "There is no project “none” in this organization.",
            ),
        ),
    ],
)
def test_wrong_draft_is_refused(
    admin: ApiClient, body: dict[str, Any], error: tuple[str, str, str]
) -> None:
    refused = admin.post("/global-actions/dry-run/", body)

    assert (refused.status_code, refused.json) == (400, wrong(error))


def test_what_is_missing_comes_before_what_is_wrong(admin: ApiClient) -> None:
    wrong_body = {"name": None, "role": None}

    assert admin.patch("/global-actions/7/", wrong_body).json == NOT_FOUND
