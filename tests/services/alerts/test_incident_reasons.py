"""Why a global action that tells of incidents told of a task, or did not."""

import json
from datetime import timedelta
from typing import Any

import pytest
from alerting import MAIL, NOW, after, make_global_action, update
from conftest import count_queries
from services.incidents.happening import change_incident, end, follow, work
from sqlalchemy import delete, select
from sqlalchemy import update as sql_update

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, GlobalAction, Incident, IncidentNotice
from taskbadger.services.alerts import explain, incident_reasons
from taskbadger.services.tasks import reads
from taskbadger.services.windows import manage as windows


def watch(project: ProjectRef, **fields: Any) -> int:
    return make_global_action(project, mode="incident", **fields)


def why(project: ProjectRef, task_id: str, minute: float = 1) -> list[str]:
    """Return what is said so many minutes after NOW; the incident is called 7."""
    db.session.rollback()
    db.session.expire_all()
    task = reads.get_wire_task(project, task_id)
    [alert] = explain.list_alerts(project, task, now=after(minutes=minute))
    assert alert.fired == []
    number = db.session.scalar(select(Failure.incident_id).where(Failure.task_id == task_id))
    return [text.replace(f"Incident {number}", "Incident 7") for text in alert.conditions]


def test_incident_was_told(project: ProjectRef) -> None:
    watch(project, trigger="error,stale")
    first, second = end(project), end(project, minute=1)
    work(2)

    told = ["Incident 7 was reported at 2026-05-04 03:04:01 UTC.", "stale: the status is error."]
    assert (why(project, first), why(project, second)) == (told, told)


def test_task_that_has_recovered_itself_was_told_as_well(project: ProjectRef) -> None:
    watch(project)
    task_id = end(project)
    work(1)
    update(project, task_id, after(minutes=2), status="processing")
    work(2)

    assert why(project, task_id, 3) == ["Incident 7 was reported at 2026-05-04 03:03:01 UTC."]


def test_task_that_has_not_failed_waits_for_its_points(project: ProjectRef) -> None:
    watch(project, trigger="error,stale")

    assert why(project, end(project, "success")) == [
        "error: the status is success.",
        "stale: the status is success.",
    ]


def test_failure_of_another_cause_is_not_its_business(project: ProjectRef) -> None:
    watch(project, trigger="stale")
    task_id = end(project)
    work(1)

    assert why(project, task_id) == ["stale: the status is error."]


def test_run_that_exceeded_its_time_is_told_on_either_point(project: ProjectRef) -> None:
    watch(project, trigger="error,max_runtime_exceeded")
    task_id = end(project)
    db.session.execute(sql_update(FailureKind).values(cause="max_runtime_exceeded"))
    db.session.commit()
    work(1)

    assert why(project, task_id) == ["Incident 7 was reported at 2026-05-04 03:03:01 UTC."]


@pytest.mark.parametrize("is_followed", [True, False])
@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("success", "succeeded"),
        ("error", "failed"),
        ("cancelled", "was cancelled"),
        ("processing", "is processing"),
    ],
)
def test_run_was_tried_again(
    project: ProjectRef, status: str, words: str, *, is_followed: bool
) -> None:
    watch(project, wait_for_retry=300)
    failed = end(project, external_id="celery-1")
    follow(0)
    again = end(project, status, 1, external_id="celery-1")
    if is_followed:
        follow(1)

    assert why(project, failed) == [f"It was tried again by {again}, which {words}."]


def test_run_that_was_told_and_then_tried_again_belongs_to_no_incident(project: ProjectRef) -> None:
    watch(project)
    failed = end(project, external_id="celery-1")
    work(1)
    again = end(project, "success", 2, external_id="celery-1")
    work(2)

    assert why(project, failed, 3) == [f"It was tried again by {again}, which succeeded."]


def test_kind_is_ignored(project: ProjectRef) -> None:
    watch(project)
    end(project)
    db.session.execute(sql_update(FailureKind).values(state="ignored"))
    db.session.commit()
    task_id = end(project)
    work(1)

    assert why(project, task_id) == ["Failures of this kind are ignored."]


def test_failure_is_not_followed_yet(project: ProjectRef) -> None:
    watch(project)

    task_id = end(project)

    assert why(project, task_id) == [incident_reasons.NOT_FOLLOWED]


def test_failure_is_from_before_incidents(project: ProjectRef) -> None:
    watch(project)
    task_id = end(project)
    follow(1)
    db.session.execute(delete(Incident))
    db.session.commit()

    assert why(project, task_id) == [incident_reasons.BEFORE_INCIDENTS]


def test_global_action_was_added_later(project: ProjectRef) -> None:
    task_id = end(project)
    follow(1)
    watch(project)

    assert why(project, task_id) == [incident_reasons.ADDED_LATER]


def test_message_waits_for_a_retry_and_then_is_due(project: ProjectRef) -> None:
    watch(project, wait_for_retry=300)
    task_id = end(project)
    work(1)

    assert why(project, task_id, 1) == [
        "Incident 7 waits until 2026-05-04 03:07:01 UTC for a retry."
    ]
    assert why(project, task_id, 5) == [incident_reasons.DUE]
    work(5)
    assert why(project, task_id, 5) == ["Incident 7 was reported at 2026-05-04 03:07:01 UTC."]


def test_rate_is_not_reached(project: ProjectRef) -> None:
    watch(project, at_least=3, within=600)
    first, second = end(project), end(project, minute=1)
    work(1)
    before = why(project, first)
    end(project, minute=2)
    work(2)

    assert before == ["Incident 7: The rate of 3 within 10 min was not reached."]
    assert why(project, second) == ["Incident 7 was reported at 2026-05-04 03:04:01 UTC."]


@pytest.mark.parametrize("minute", [3, 30])
def test_rate_that_was_never_reached_stays_the_reason(project: ProjectRef, minute: float) -> None:
    watch(project, at_least=2, within=60)
    task_id = end(project)
    end(project, minute=2)
    end(project, "success", 3)
    work(minute)

    assert why(project, task_id, minute) == [
        "Incident 7: The rate of 2 within 1 min was not reached."
    ]


@pytest.mark.parametrize(
    ("until", "words"), [(None, "it changes"), (after(hours=1), "2026-05-04 04:02:01 UTC")]
)
def test_incident_is_snoozed(project: ProjectRef, until: Any, words: str) -> None:
    watch(project, wait_for_retry=300)
    task_id = end(project)
    work(0)
    change_incident(snoozed_at=NOW, snoozed_until=until)
    work(6)

    assert why(project, task_id, 6) == [f"Incident 7 is snoozed until {words}."]


@pytest.mark.parametrize(
    ("until", "words"), [(None, "it changes"), (after(hours=1), "2026-05-04 04:02:01 UTC")]
)
def test_incident_that_was_told_is_snoozed(project: ProjectRef, until: Any, words: str) -> None:
    watch(project)
    task_id = end(project)
    work(0)
    change_incident(snoozed_at=NOW, snoozed_until=until)
    told = "Incident 7 was reported at 2026-05-04 03:02:01 UTC."

    assert why(project, task_id, 6) == [told, f"Incident 7 is snoozed until {words}."]
    assert why(project, task_id, 61) == (
        [told] if until else [told, "Incident 7 is snoozed until it changes."]
    )


def test_window_holds_the_message_back(project: ProjectRef) -> None:
    watch(project)
    window: Any = {"name": "Backup", "starts": NOW, "ends": after(hours=2)}
    windows.create_window(project.organization_id, window, actor=SERVER, now=NOW)
    db.session.commit()
    task_id = end(project)
    follow(1)

    assert why(project, task_id) == [
        "Incident 7 is held back by the maintenance window “Backup” until 2026-05-04 05:02:01 UTC."
    ]


def test_window_has_held_the_message_back(project: ProjectRef) -> None:
    watch(project)
    task_id = end(project)
    follow(1)
    db.session.execute(sql_update(IncidentNotice).values(held=True))
    db.session.commit()

    assert why(project, task_id) == ["Incident 7 was held back by a maintenance window."]


def test_incident_ended_before_anyone_was_told(project: ProjectRef) -> None:
    watch(project, wait_for_retry=300)
    task_id = end(project)
    work(0)
    change_incident(snoozed_at=NOW)
    end(project, "success", 1)
    work(1)

    assert why(project, task_id, 2) == ["Incident 7 ended before anyone was told."]


def test_quiet_period_delays_the_next_incident(project: ProjectRef) -> None:
    watch(project, quiet_period=3600)
    end(project, name="first")
    work(0)
    task_id = end(project, minute=1)
    work(1)

    assert why(project, task_id, 2) == [
        "Incident 7 waits for the end of a quiet period, until 2026-05-04 04:02:01 UTC."
    ]


def test_global_action_that_is_off_says_only_that(project: ProjectRef) -> None:
    watch(project, enabled=False)

    with count_queries() as statements:
        assert why(project, end(project)) == ["It is turned off."]

    assert [one for one in statements if "FROM incident_notice" in one] == []


NOT_REACHED = "The rate of 2 within 10 min was not reached or had been told already"


@pytest.mark.parametrize(
    ("quiet", "words", "held"),
    [
        (0, f"{NOT_REACHED}.", False),
        (60, f"{NOT_REACHED}, or a quiet period held it back.", True),
    ],
)
def test_rate_of_single_firings_is_not_reached(
    project: ProjectRef, quiet: int, words: str, *, held: bool
) -> None:
    make_global_action(project, at_least=2, within=600, quiet_period=quiet)
    first, second = end(project), end(project, minute=1)

    found = [
        explain.list_alerts(project, reads.get_wire_task(project, task_id), now=after(minutes=2))[0]
        for task_id in (first, second)
    ]

    assert [alert.conditions for alert in found] == [[words], []]
    assert [[firing.held_back for firing in alert.fired] for alert in found] == [[held], [False]]


def test_explanation_takes_as_many_queries_for_one_rule_as_for_three(project: ProjectRef) -> None:
    task_id, taken = end(project), []
    for number in (1, 2):
        for _ in range(number):
            watch(project, channels=[MAIL])
        work(1)
        task = reads.get_wire_task(project, task_id)
        with count_queries() as statements:
            explain.list_alerts(project, task, now=NOW + timedelta(minutes=1))
        taken.append(len(statements))

    assert taken == [8, 8]
    assert json.loads(db.session.scalars(select(GlobalAction.channels)).all()[0]) == [MAIL]
