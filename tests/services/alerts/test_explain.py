"""Why a task alerted, or did not, over the API."""

from datetime import datetime

import pytest
from alerting import MAIL, after, make_global_action
from conftest import ApiClient, make_key, make_project
from delivering import make_webhook
from flask import Flask
from holding import NOW, alert, fail, make_window, work
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.alerts import explain
from taskbadger.services.alerts.incident_reasons import NOT_FOLLOWED
from taskbadger.services.tasks import reads


def test_task_tells_what_its_actions_fired_and_what_they_wait_for(api: ApiClient) -> None:
    task = api.create(actions=[{"trigger": "50%,95%,error", **MAIL}])
    path = f"/tasks/{task['id']}/"
    changed = api.patch(path, json={"value": 62}).json
    action_id = api.get(f"{path}actions/").json[0]["id"]
    delivery_id = db.session.scalars(select(Delivery.id)).one()

    (alert,) = api.get(f"{path}alerts/").json

    reason = {"point": "50%", "kind": "percent", "reached": 50, "before": None, "after": 62}
    assert alert == {
        "kind": "action",
        "id": action_id,
        "name": None,
        "mode": None,
        "trigger": "50%,95%,error",
        "integrations": ["email"],
        "fired": [
            {
                "created": changed["updated"],
                "point": "50%",
                "reason": reason,
                "held_back": False,
                "deliveries": [
                    {
                        "id": delivery_id,
                        "integration": "email",
                        "to": MAIL["config"]["to"],
                        "state": "waiting",
                        "attempts": 0,
                        "error": None,
                        "held_by": None,
                    }
                ],
            }
        ],
        "conditions": [
            "95%: the percentage is 62%, below 95%.",
            "error: the status is pending.",
        ],
    }


def test_conditions_name_what_keeps_an_action_from_firing(
    api: ApiClient, project: ProjectRef
) -> None:
    task = api.create(status="error", actions=[{"trigger": "success", **MAIL}])
    path = f"/tasks/{task['id']}/"
    action_id = api.get(f"{path}actions/").json[0]["id"]
    api.delete(f"{path}actions/{action_id}/")
    make_global_action(project, utcnow(), enabled=False)
    make_global_action(project, utcnow(), name_pattern="^nightly")
    make_global_action(project, utcnow())
    make_global_action(project, utcnow(), project=make_project(slug="batch").slug)

    found = [alert["conditions"] for alert in api.get(f"{path}alerts/").json]

    assert found == [
        ["The action was cancelled."],
        ["It is turned off."],
        ["The name “job” does not match “^nightly”."],
        ["error: reached before it was added."],
    ]


def test_quiet_period_shows_in_what_was_held_back(api: ApiClient, project: ProjectRef) -> None:
    make_global_action(project, utcnow(), quiet_period=600)
    first, second = api.create(status="error"), api.create(status="error")

    fired = [api.get(f"/tasks/{task['id']}/alerts/").json[0]["fired"] for task in (first, second)]

    assert [[one["held_back"] for one in each] for each in fired] == [[False], [True]]


def test_global_action_that_tells_of_incidents_says_what_became_of_a_failure(
    api: ApiClient, project: ProjectRef
) -> None:
    number = make_global_action(project, utcnow(), mode="incident", trigger="error,stale")
    task = api.create(status="error")

    found = api.get(f"/tasks/{task['id']}/alerts/").json

    assert found == [
        {
            "kind": "global_action",
            "id": number,
            "name": "all errors",
            "mode": "incident",
            "trigger": "error,stale",
            "integrations": ["email"],
            "fired": [],
            "conditions": [NOT_FOLLOWED, "stale: the status is error."],
        }
    ]


def test_alerts_of_a_task_of_another_project_are_not_found(api: ApiClient, app: Flask) -> None:
    make_project(slug="batch")
    task = api.create()

    response = api.get(f"/api/acme/batch/tasks/{task['id']}/alerts/")

    assert response.status_code == 404


def test_failures_of_an_ignored_kind_are_said_to_be_ignored(
    app: Flask, api: ApiClient, project: ProjectRef
) -> None:
    make_global_action(project, trigger="error,stale,50%")
    api.create(status="error")
    owner = ApiClient(app.test_client(), make_key(scopes="admin"))
    path = f"/failures/{owner.get('/failures/').json['results'][0]['id']}/"
    until = "2999-01-01T00:00:00.000000Z"

    def conditions(end: str | None) -> list[str]:
        owner.patch(path, {"state": "ignored", "ignored_until": end})
        task = api.create(status="error")
        [alert] = api.get(f"/tasks/{task['id']}/alerts/").json
        assert alert["fired"] == []
        found: list[str] = alert["conditions"]
        return found

    others = ["stale: the status is error.", "50%: the value is null."]
    assert conditions(until) == [f"Failures of this kind are ignored until {until}.", *others]
    assert conditions(None) == ["Failures of this kind are ignored.", *others]


@pytest.fixture(autouse=True)
def webhook(project: ProjectRef) -> None:
    """The webhook that ``alert`` tells."""
    make_webhook(project, "ops")


def sent(project: ProjectRef, task_id: str, now: datetime) -> list[tuple[str, str | None]]:
    """Return the state of the messages about a task, and what is said of it."""
    task = reads.get_wire_task(project, task_id)
    [alert] = explain.list_alerts(project, task, now=now)
    found = [(one.state, one.held_by) for fired in alert.fired for one in fired.deliveries]
    assert alert.mode == "every"
    db.session.rollback()
    return found


def test_message_says_that_it_waits_for_a_retry_and_then_that_there_was_one(
    project: ProjectRef,
) -> None:
    alert(project, wait_for_retry=60)
    task_id = fail(project, external_id="run")
    held = "held until 2026-05-04 03:03:01 UTC in case the run is tried again"
    assert sent(project, task_id, NOW) == [("waiting", held)]
    later = fail(project, after(seconds=1), external_id="run", status="success")

    assert work(after(minutes=1)) == []
    dropped = f"retried by {later}, which succeeded"
    assert sent(project, task_id, after(minutes=1)) == [("dropped", dropped)]


def test_message_says_that_it_waits_for_the_end_of_a_quiet_period(project: ProjectRef) -> None:
    alert(project, quiet_period=600)
    fail(project)
    task_id = fail(project, after(minutes=1))

    held = "held until 2026-05-04 03:12:01 UTC by a quiet period"
    assert sent(project, task_id, after(minutes=2)) == [("waiting", held)]
    fail(project, after(minutes=3))
    # A later message reports it.
    assert sent(project, task_id, after(minutes=4)) == []


def test_message_says_which_window_holds_it_and_what_became_of_it(project: ProjectRef) -> None:
    alert(project)
    make_window(project)
    tasks = [fail(project, after(minutes=minute)) for minute in (0, 1)]
    now = after(minutes=1)

    assert work(now) == []
    assert [sent(project, task_id, now) for task_id in tasks] == [
        [("waiting", "held by ‹deploy›")]
    ] * 2
    work(after(hours=1))
    assert [sent(project, task_id, after(hours=1)) for task_id in tasks] == [
        [("dropped", "combined into a later message")],
        [("delivered", "was held by ‹deploy›")],
    ]


@pytest.mark.parametrize("wait", [0, 60])
def test_firing_says_that_the_rate_was_not_reached_or_told_before(
    project: ProjectRef, wait: int
) -> None:
    alert(project, at_least=2, within=600, wait_for_retry=wait)
    tasks = [fail(project, after(seconds=second)) for second in range(3)]
    work(after(minutes=2))

    found = []
    for task_id in tasks:
        task = reads.get_wire_task(project, task_id)
        [shown] = explain.list_alerts(project, task, now=after(minutes=2))
        messages = [one.held_by for one in shown.fired[0].deliveries]
        found.append((messages, shown.conditions))

    if wait:  # Each firing knows what became of it.
        assert found == [
            (["the rate of 2 within 10 min was not reached"], []),
            ([None], []),
            (["the rate of 2 within 10 min had been told already"], []),
        ]
    else:
        why = "The rate of 2 within 10 min was not reached or had been told already."
        assert found == [([], [why]), ([None], []), ([], [why])]
