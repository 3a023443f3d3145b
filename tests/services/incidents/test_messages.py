"""What messages about incidents show."""

from datetime import timedelta

import pytest
from alerting import NOW, after
from services.incidents.happening import BASE_URL, end, follow
from sqlalchemy import select

from taskbadger.domain.escalation import Tell
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.models.incident_rows import TOLD_INCIDENT_COLUMNS, ToldIncidentRow
from taskbadger.services.incidents import messages
from taskbadger.services.incidents.messages import Context
from taskbadger.services.incidents.tellers import Teller
from taskbadger.services.organizations import projects

TELLER = Teller(name="watch", channels=[], remind_after=0, escalation=[])


@pytest.mark.parametrize(
    ("tell", "kind", "title"),
    [
        (Tell.FAILING, "task.failing", "job is failing: boom (1 run since 03:02 UTC)"),
        (
            Tell.NEW_FAILURE,
            "task.new_failure",
            "job fails in a new way: boom (1 run since 03:02 UTC)",
        ),
        (Tell.REMINDER, "task.reminder", "job is still failing: boom (1 run since 03:02 UTC)"),
        (
            Tell.ESCALATION,
            "task.reminder",
            "job is still failing, and nobody has acknowledged it for 15 min: boom"
            " (1 run since 03:02 UTC)",
        ),
    ],
)
def test_kinds_and_titles(project: ProjectRef, tell: Tell, kind: str, title: str) -> None:
    task_id = end(project, error="boom")
    follow()
    incident = read_incident()
    context = Context(projects.list_refs([project.id]), after(minutes=15), NOW, BASE_URL)

    message = messages.message(
        tell,
        incident,
        TELLER,
        context,
        task_id=task_id,
        unacknowledged_for=900 if tell is Tell.ESCALATION else None,
    )

    assert (message.kind, message.title) == (kind, title)
    assert message.task is not None
    assert message.task["id"] == task_id


def read_incident() -> ToldIncidentRow:
    row = db.session.execute(select(*TOLD_INCIDENT_COLUMNS).where(Incident.id > 0)).one()
    return ToldIncidentRow._make(row)


def test_message_shows_the_real_error_of_the_sample(project: ProjectRef) -> None:
    task_id = end(project, error="access denied for key 42")
    follow()
    context = Context(projects.list_refs([project.id]), NOW, NOW, BASE_URL)

    message = messages.message(Tell.NEW_FAILURE, read_incident(), TELLER, context, task_id=task_id)

    why = "access denied for key 42"
    assert message.title == f"job fails in a new way: {why} (1 run since 03:02 UTC)"
    assert message.error == "access denied for key 42"
    assert message.failure is not None
    assert message.failure["title"] == "access denied for key ‹number›"


def test_recovery_says_how_long_it_took(project: ProjectRef) -> None:
    end(project)
    end(project, "success", 125)
    follow(125)
    context = Context(projects.list_refs([project.id]), NOW + timedelta(minutes=126), NOW, BASE_URL)

    message = messages.message(Tell.RECOVERED, read_incident(), TELLER, context, task_id=None)

    assert message.title == "job recovered after 2 h 5 min, 1 failed run"
    assert (message.task, message.failure, message.error) == (None, None, None)


def test_message_of_a_monitor_shows_no_global_action(project: ProjectRef) -> None:
    end(project)
    follow()
    context = Context(projects.list_refs([project.id]), NOW, NOW, BASE_URL)
    message = messages.message(Tell.REMINDER, read_incident(), TELLER, context, task_id=None)
    target = {"integration": "email", "config": {"to": "a@example.com"}}

    assert messages.with_target(message, TELLER, target).action is None  # type: ignore[arg-type]
    teller = TELLER._replace(global_action_id=7, trigger="error")
    assert messages.with_target(message, teller, target).action == {  # type: ignore[arg-type]
        "global_action": 7,
        "name": "watch",
        "trigger": "error",
        **target,
    }
