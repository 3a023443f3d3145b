"""The endpoints of deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answers import wrong
from conftest import ApiClient, count_queries
from flask import Flask
from managing import DENIED, NOT_FOUND, audited, conflict, manager, walk, without
from sqlalchemy import select

from taskbadger.clock import to_wire
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt

EMAIL = {"trigger": "error", "integration": "email", "config": {"to": "a@example.com"}}


@pytest.fixture
def task(api: ApiClient) -> dict[str, Any]:
    """A task that failed, about which one mail waits."""
    return fail(api)


def fail(api: ApiClient, integration: str = "email") -> dict[str, Any]:
    action = {**EMAIL, "integration": integration}
    if integration != "email":
        action["config"] = {}
    return api.create(status="error", actions=[action])


def kill(count: int = 1) -> None:
    """Give up what waits, after *count* attempts."""
    db.session.rollback()
    for delivery in db.session.scalars(select(Delivery)):
        delivery.state, delivery.finished = "dead", datetime(2026, 1, 2, tzinfo=UTC)
        delivery.next_attempt_at, delivery.attempts = None, count
        delivery.error_class, delivery.error = "http_status", "The receiver answered 500."
        for number in range(1, count + 1):
            db.session.add(
                DeliveryAttempt(
                    delivery_id=delivery.id,
                    number=number,
                    started=datetime(2026, 1, 1, tzinfo=UTC),
                    duration_ms=12,
                    status=500,
                    error_class="http_status",
                    error="The receiver answered 500.",
                )
            )
    db.session.commit()


def test_delivery_is_listed_and_shown_with_its_attempts(
    api: ApiClient, admin: ApiClient, task: dict[str, Any]
) -> None:
    kill(2)
    action = api.get(f"/tasks/{task['id']}/actions/").json[0]
    attempt = {
        "started": "2026-01-01T00:00:00.000000Z",
        "duration_ms": 12,
        "status": 500,
        "error_class": "http_status",
        "error": "The receiver answered 500.",
    }

    listed = admin.get("/deliveries/").json
    shown = admin.get(f"/deliveries/{listed['results'][0]['id']}/").json

    assert [without(one, "id") for one in listed["results"]] == [
        {
            "kind": "task",
            "integration": "email",
            "config": {"to": "a@example.com"},
            "state": "dead",
            "held_by": None,
            "tries": 2,
            "next_attempt_at": None,
            "error_class": "http_status",
            "error": "The receiver answered 500.",
            "task": task["id"],
            "action": action["id"],
            "global_action": None,
            "created": task["created"],
            "finished": "2026-01-02T00:00:00.000000Z",
        }
    ]
    assert without(shown, "title") == {
        **listed["results"][0],
        "reasons": [
            {
                "point": "error",
                "kind": "status",
                "reached": "error",
                "before": None,
                "after": "error",
            }
        ],
        "held_back": 0,
        "attempts": [{"number": 1, **attempt}, {"number": 2, **attempt}],
    }
    assert "job" in shown["title"]


def test_list_is_narrowed(api: ApiClient, admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "ntfy", "slug": "phone", "config": {"topic": "jobs"}})
    dead = fail(api)
    kill()
    pushed = fail(api, "ntfy:phone")
    created = admin.get("/deliveries/?channel=ntfy:phone").json["results"][0]["created"]
    later = to_wire(datetime.fromisoformat(created) + timedelta(microseconds=1))

    def tasks(query: str) -> list[str]:
        return [one["task"] for one in admin.get(f"/deliveries/?{query}").json["results"]]

    assert tasks("") == [pushed["id"], dead["id"]]
    assert tasks("state=dead") == [dead["id"]]
    assert tasks("state=dead,waiting") == [pushed["id"], dead["id"]]
    assert tasks("channel=email") == [dead["id"]]
    assert tasks("channel=slack:none") == []
    assert tasks(f"task={pushed['id']}") == [pushed["id"]]
    assert tasks(f"since={created}") == [pushed["id"]]
    assert tasks(f"since={later}") == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("state=dad", ("state", "invalid_choice", '"dad" is not a valid choice.')),
        ("task=x", ("task", "invalid", "“x” is not a valid task ID.")),
        ("since=today", ("since", "invalid", "Datetime has wrong format. Use ISO 8601.")),
        ("channel=%00", ("channel", "invalid", "Null characters are not allowed.")),
        ("page_size=0", ("page_size", "invalid", "A whole number above 0 is required.")),
    ],
)
def test_wrong_filter_is_refused(admin: ApiClient, query: str, error: tuple[str, str, str]) -> None:
    refused = admin.get(f"/deliveries/?{query}")

    assert (refused.status_code, refused.json) == (400, wrong(error))


def test_list_is_walked_with_as_many_queries_for_one_as_for_a_hundred(
    api: ApiClient, admin: ApiClient
) -> None:
    tasks = [fail(api)["id"]]
    admin.get("/deliveries/")
    with count_queries() as one:
        admin.get("/deliveries/")
    tasks += [fail(api)["id"] for _ in range(99)]
    admin.get("/deliveries/")  # The key is known again.
    with count_queries() as hundred:
        admin.get("/deliveries/")

    assert len(hundred) == len(one) <= 3
    assert sorted(walk(admin, "/deliveries/", "task")) == sorted(tasks)


def test_dead_delivery_is_replayed(admin: ApiClient, task: dict[str, Any]) -> None:
    kill()
    path = f"/deliveries/{admin.get('/deliveries/').json['results'][0]['id']}/"

    replayed = admin.post(f"{path}replay/")

    assert replayed.status_code == 200
    assert (replayed.json["state"], replayed.json["tries"], replayed.json["finished"]) == (
        "waiting",
        0,
        None,
    )
    assert len(replayed.json["attempts"]) == 1
    assert admin.get(path).json == replayed.json
    again = admin.post(f"{path}replay/")
    assert (again.status_code, again.json) == (
        409,
        conflict("Only a dead or dismissed delivery can be replayed."),
    )
    assert [entry[2] for entry in audited()] == ["delivery.replay"]


def test_all_dead_deliveries_of_a_channel_are_replayed(api: ApiClient, admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "ntfy", "slug": "phone", "config": {"topic": "jobs"}})
    for integration in ("email", "email", "ntfy:phone"):
        fail(api, integration)
    kill()

    answers = [admin.post("/deliveries/replay/", {"channel": "email"}).json for _ in range(2)]

    assert answers == [{"replayed": 2}, {"replayed": 0}]
    states = {one["integration"]: one["state"] for one in admin.get("/deliveries/").json["results"]}
    assert states == {"email": "waiting", "ntfy:phone": "dead"}
    assert audited()[1:] == [("key", "terraform", "delivery.replay-all", "email")]
    assert admin.post("/deliveries/replay/", {}).json == wrong(
        ("channel", "required", "This field is required.")
    )


def test_deliveries_of_another_organization_are_not_there(
    app: Flask, admin: ApiClient, task: dict[str, Any]
) -> None:
    kill()
    path = f"/deliveries/{admin.get('/deliveries/').json['results'][0]['id']}/"
    other = manager(app, "other")

    assert other.get("/deliveries/").json["results"] == []
    assert other.get(f"/deliveries/?task={task['id']}").json["results"] == []
    assert other.get(path).json == NOT_FOUND
    assert other.post(f"{path}replay/").json == NOT_FOUND
    assert other.post("/deliveries/replay/", {"channel": "email"}).json == {"replayed": 0}
    assert other.get("/deliveries/nothing/").json == NOT_FOUND
    assert admin.get(path).json["state"] == "dead"


def test_project_key_does_not_reach_deliveries(app: Flask, admin: ApiClient) -> None:
    assert manager(app, slug="web").get("/deliveries/").json == DENIED


def test_delivery_of_no_task_is_shown(admin: ApiClient) -> None:
    admin.post("/channels/", {"kind": "email", "slug": "a", "config": {"to": "a@example.com"}})
    test = admin.post("/channels/email:a/test/").json

    shown = admin.get(f"/deliveries/{test['delivery']}/").json

    assert (shown["kind"], shown["task"], shown["title"]) == (
        "test",
        None,
        "Test message for channel a",
    )
