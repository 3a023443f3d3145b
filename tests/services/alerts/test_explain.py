"""Why a task alerted, or did not, over the API."""

from alerting import MAIL, make_global_action
from conftest import ApiClient, make_project
from flask import Flask
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery


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


def test_alerts_of_a_task_of_another_project_are_not_found(api: ApiClient, app: Flask) -> None:
    make_project(slug="batch")
    task = api.create()

    response = api.get(f"/api/acme/batch/tasks/{task['id']}/alerts/")

    assert response.status_code == 404
