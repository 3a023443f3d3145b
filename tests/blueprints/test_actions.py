"""The action endpoints (docs/contract.md#actions)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from answers import NOT_FOUND, assert_problem, assert_wrong
from conftest import ApiClient

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig

TO = {"to": "a@example.com"}
EMAIL: dict[str, Any] = {"trigger": "success", "integration": "email", "config": TO}
REQUIRED = ("required", "This field is required.")
NULL = ("null", "This field may not be null.")


@pytest.fixture
def path(api: ApiClient) -> str:
    """The path of the actions of a task."""
    return f"/tasks/{api.create()['id']}/actions/"


@pytest.fixture
def webhook(project: ProjectRef) -> str:
    """A channel of the organization."""
    now = utcnow()
    config = (
        '{"url": "https://example.com/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}'
    )
    db.session.add(
        ChannelConfig(
            organization_id=project.organization_id,
            kind="webhook",
            slug="ops",
            name="Ops",
            config=config,
            created=now,
            updated=now,
        )
    )
    db.session.commit()
    return "webhook:ops"


def add(api: ApiClient, path: str, **changes: Any) -> dict[str, Any]:
    answer = api.post(path, json=EMAIL | changes)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json or {}
    return made


def test_action_is_shown_as_it_was_made(api: ApiClient, path: str) -> None:
    made = add(api, path, trigger="*/30%, success ", config={"to": "a@example.com, b@EXAMPLE.com"})

    assert isinstance(made["id"], int)
    assert made == {
        "id": made["id"],
        "task": path.split("/")[2],
        "trigger": "*/30%, success",
        "integration": "email",
        "status": "active",
        "config": {"to": "a@example.com,b@example.com"},
        "created": made["created"],
        "updated": made["created"],
    }
    assert datetime.fromisoformat(made["created"]).tzinfo == UTC
    assert api.get(f"{path}{made['id']}/").json == made
    assert api.get(f"{path}{made['id']}").json == made


def test_list_is_a_plain_array_oldest_first(api: ApiClient, path: str) -> None:
    assert api.get(path).json == []

    made = [add(api, path, trigger=trigger) for trigger in ("1", "2", "3")]
    api.delete(f"{path}{made[1]['id']}/")

    listed = api.get(path.rstrip("/")).json or []
    cancelled = made[1] | {"status": "cancelled", "updated": listed[1]["updated"]}
    assert listed == [made[0], cancelled, made[2]]


def test_channel_of_the_organization_takes_an_empty_config(
    api: ApiClient, path: str, webhook: str
) -> None:
    for body in ({"config": {}}, {}):
        answer = api.post(path, json={"trigger": "error", "integration": webhook, **body})
        assert (answer.status_code, (answer.json or {})["config"]) == (201, {})


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"trigger": ""}, [("trigger", "blank", "This field may not be blank.")]),
        ({"trigger": None}, [("trigger", *NULL)]),
        ({"trigger": 5}, [("trigger", "invalid", "Not a valid string.")]),
        (
            {"trigger": "1," * 200},
            [("trigger", "max_length", "Ensure this field has no more than 255 characters.")],
        ),
        ({"integration": None}, [("integration", *NULL)]),
        ({"integration": ""}, [("integration", "blank", "This field may not be blank.")]),
        (
            {"integration": "webhook:" + "x" * 43},
            [("integration", "max_length", "Ensure this field has no more than 50 characters.")],
        ),
        (
            {"integration": "webhook"},
            [
                (
                    "integration",
                    "invalid",
                    "Use “email”, or the “kind:slug” of a channel, e.g. “webhook:ops”.",
                )
            ],
        ),
        (
            {"integration": "webhook:none", "config": {}},
            [
                (
                    "integration",
                    "does_not_exist",
                    "There is no channel “webhook:none” in this organization.",
                )
            ],
        ),
        ({"config": None}, [("config", *NULL)]),
        ({"config": {}}, [("config.to", *REQUIRED)]),
        ({"config": {"to": 5}}, [("config.to", "invalid", "Give 1 to 5 e-mail addresses.")]),
        ({"config": {"to": ""}}, [("config.to", "invalid", "Give at least one e-mail address.")]),
        ({"config": {"to": "x"}}, [("config.to", "invalid", "“x” is not a valid e-mail address.")]),
        (
            {"config": {"to": ",".join(f"{n}@example.com" for n in range(6))}},
            [("config.to", "invalid", "Give at most 5 e-mail addresses.")],
        ),
        (
            {"config": []},
            [
                (
                    "config",
                    "invalid",
                    'Expected an object, e.g. {"to": "a@example.com,b@example.com"}.',
                )
            ],
        ),
    ],
)
def test_wrong_field_is_refused_here_and_within_a_task(
    api: ApiClient, path: str, changes: dict[str, Any], errors: list[tuple[str, str, str]]
) -> None:
    body = EMAIL | changes
    action_id = add(api, path)["id"]

    assert_wrong(api.post(path, json=body), *errors)
    assert_wrong(api.put(f"{path}{action_id}/", json=body), *errors)
    assert_wrong(api.patch(f"{path}{action_id}/", json=body), *errors)
    nested = [(f"actions.0.{attr}", code, detail) for attr, code, detail in errors]
    assert_wrong(api.post(json={"name": "job", "actions": [body]}), *nested)
    assert len(api.get(path).json or []) == 1


def test_trigger_and_integration_are_required(api: ApiClient, path: str) -> None:
    action_id = add(api, path)["id"]

    for answer in (api.post(path, json={}), api.put(f"{path}{action_id}/", json={})):
        assert_wrong(answer, ("trigger", *REQUIRED), ("integration", *REQUIRED))


@pytest.mark.parametrize(
    "trigger",
    ["50", "50%", "*/10", "*/30%", "success,error,stale", "95%,250,error", "max_runtime_exceeded"],
)
def test_trigger_of_the_grammar_is_kept(api: ApiClient, path: str, trigger: str) -> None:
    assert add(api, path, trigger=trigger)["trigger"] == trigger


@pytest.mark.parametrize("trigger", ["never", "*/0", "-1", "50%%", ",", "success,", "1.5", "*"])
def test_trigger_outside_of_the_grammar_is_refused(api: ApiClient, path: str, trigger: str) -> None:
    answer = api.post(path, json=EMAIL | {"trigger": trigger})

    errors = (answer.json or {})["errors"]
    assert answer.status_code == 400
    assert [(error["attr"], error["code"]) for error in errors] == [("trigger", "invalid")]


def test_number_that_no_answer_could_show_is_refused(
    api: ApiClient, path: str, webhook: str
) -> None:
    body = f'{{"trigger":"1","integration":"{webhook}","config":{{"a":1e400}}}}'

    answer = api.open("POST", path, data=body, content_type="application/json")

    assert_wrong(answer, ("config", "invalid", "It contains a number that is too large."))


def test_patch_changes_what_it_names(api: ApiClient, path: str) -> None:
    made = add(api, path)

    changed = api.patch(f"{path}{made['id']}/", json={"trigger": "error"}).json or {}
    again = api.patch(f"{path}{made['id']}/", json={"config": {"to": "b@example.com"}}).json or {}

    assert changed == made | {"trigger": "error", "updated": changed["updated"]}
    assert again == changed | {"config": {"to": "b@example.com"}, "updated": again["updated"]}
    assert made["updated"] < changed["updated"] < again["updated"]


def test_put_replaces(api: ApiClient, path: str, webhook: str) -> None:
    made = add(api, path)

    body = {"trigger": "error", "integration": webhook}
    changed = api.put(f"{path}{made['id']}/", json=body).json or {}

    assert changed == made | body | {"config": {}, "updated": changed["updated"]}


def test_server_written_fields_are_ignored(api: ApiClient, path: str) -> None:
    forged = {"id": 7000, "task": "x", "status": "cancelled", "created": "x", "unknown": 1}

    made = add(api, path, **forged)

    assert (made["status"], made["task"]) == ("active", path.split("/")[2])
    assert made["id"] != 7000


def test_cancelled_action_stays_listed_and_cannot_be_updated(api: ApiClient, path: str) -> None:
    at = f"{path}{add(api, path)['id']}/"

    first = api.delete(at)
    cancelled = api.get(at).json
    second = api.delete(at)

    assert (first.status_code, first.data, second.status_code) == (204, b"", 204)
    assert (cancelled or {})["status"] == "cancelled"
    assert api.get(path).json == [cancelled]
    for answer in (api.patch(at, json={}), api.put(at, json=EMAIL)):
        assert_problem(answer, 409, "conflict", "A cancelled action cannot be updated.")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_unknown_action_is_not_found(api: ApiClient, path: str, method: str) -> None:
    options = {"json": EMAIL} if method in ("PUT", "PATCH") else {}

    assert_problem(api.open(method, f"{path}999999/", **options), 404, *NOT_FOUND)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_actions_of_an_unknown_task_are_not_found(api: ApiClient, method: str) -> None:
    options = {"json": EMAIL} if method == "POST" else {}

    answer = api.open(method, f"/tasks/{'A' * 22}/actions/", **options)

    assert_problem(answer, 404, *NOT_FOUND)
