"""Messages about failures that wait, and are dropped because the run was tried again."""

from datetime import datetime, timedelta

import pytest
from alerting import MAIL, update
from conftest import count_queries, make_project
from holding import (
    HOUR,
    MINUTE,
    NOW,
    State,
    alert,
    claim,
    decide,
    deliveries,
    fail,
    make_window,
    work,
)

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import DeliveryAttempt

pytestmark = pytest.mark.usefixtures("webhook")
SECOND = timedelta(seconds=1)
RUN = {"external_id": "run-1"}


def attempt(project: ProjectRef, status: str, after: datetime = NOW + SECOND, **fields: str) -> str:
    return fail(project, after, **{**RUN, "status": status, **fields})


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        ("success", "which succeeded"),
        ("error", "which failed"),
        ("cancelled", "which was cancelled"),
        ("processing", "which is processing"),
        ("pending", "which is pending"),
        ("stale", "which is stale"),
    ],
)
def test_message_is_dropped_if_its_run_was_tried_again(
    project: ProjectRef, status: str, fate: str
) -> None:
    alert(project, wait_for_retry=60, trigger="error")
    attempt(project, "error", NOW)
    later = attempt(project, status)
    if status == "error":
        update(project, later, NOW + SECOND, status="error")

    sent = work(NOW + MINUTE)

    assert sent == []
    assert deliveries()[0] == State("dropped", f"retried by {later}, {fate}", None)
    assert db.session.query(DeliveryAttempt).all() == []


def test_message_says_what_became_of_the_latest_attempt(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60)
    attempt(project, "error", NOW)
    attempt(project, "error")
    last = attempt(project, "success", NOW + 2 * SECOND)

    assert work(NOW + 2 * MINUTE) == []
    assert deliveries() == [State("dropped", f"retried by {last}, which succeeded", None)] * 2


@pytest.mark.parametrize(
    "other", [{"external_id": "run-2"}, {"external_id": ""}, {"name": "other"}, {"slug": "api"}]
)
def test_message_is_sent_if_there_was_no_other_attempt(
    project: ProjectRef, other: dict[str, str]
) -> None:
    alert(project, wait_for_retry=60)
    attempt(
        project, "error", NOW, **({"external_id": ""} if other.get("external_id") == "" else {})
    )
    place = make_project(slug=other["slug"]) if "slug" in other else project
    attempt(place, "success", **{name: value for name, value in other.items() if name != "slug"})

    assert work(NOW + MINUTE - SECOND) == []
    assert work(NOW + MINUTE) == [("job", 0)]


def test_earlier_attempt_drops_nothing(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60)
    attempt(project, "success", NOW)
    attempt(project, "error")

    assert work(NOW + 2 * MINUTE) == [("job", 0)]


def test_only_failures_wait(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60, trigger="50%,error,success")
    fail(project, status="processing", value=60)
    fail(project, status="success")
    fail(project)

    assert [name for name, _ in work(NOW)] == ["job", "job"]
    assert sorted(str(one.next_attempt_at) for one in deliveries()) == [
        str(NOW + MINUTE),
        "None",
        "None",
    ]


def test_waiting_costs_no_statement(project: ProjectRef) -> None:
    counts = []
    for wait, place in ((0, project), (60, make_project("other"))):
        alert(place, wait_for_retry=wait, channels=[MAIL])
        fail(place)
        with count_queries() as statements:
            fail(place)
        counts.append(len(statements))

    assert counts[0] == counts[1]
    assert len(deliveries()) == 4


@pytest.mark.parametrize("wait", [60, 900])
def test_quiet_period_begins_when_the_wait_is_over(project: ProjectRef, wait: int) -> None:
    alert(project, wait_for_retry=wait, quiet_period=600)
    begin = NOW + timedelta(seconds=wait)
    fail(project)
    assert work(begin) == [("job", 0)]
    fail(project, NOW + timedelta(seconds=300))

    assert work(begin + timedelta(seconds=300)) == []
    assert deliveries()[-1].next_attempt_at == begin + timedelta(seconds=600)
    assert work(begin + timedelta(seconds=600)) == [("job", 0)]


def test_message_of_a_window_about_several_firings_is_not_dropped(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60)
    make_window(project)
    fail(project, name="other")
    attempt(project, "error", NOW + SECOND)
    assert work(NOW + 2 * MINUTE) == []
    [claimed] = claim(NOW + HOUR)
    assert decide(claimed, NOW + HOUR) is None  # It is combined into the later one.

    attempt(project, "success", NOW + HOUR)

    assert work(NOW + HOUR) == [("job", 1)]


def test_failure_that_a_window_held_is_dropped_if_it_was_tried_again(project: ProjectRef) -> None:
    alert(project, wait_for_retry=60)
    make_window(project)
    fail(project, name="real")
    attempt(project, "error", NOW + SECOND)
    assert work(NOW + 2 * MINUTE) == []
    later = attempt(project, "success", NOW + 3 * MINUTE)

    assert work(NOW + HOUR) == [("real", 0)]
    assert deliveries() == [
        State("delivered", "was held by ‹deploy›", None),
        State("dropped", f"retried by {later}, which succeeded", None),
    ]
