"""Acknowledging and snoozing incidents: what it changes, and what is recorded."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from conftest import audit_entries, make_project
from flask import Flask
from incidents import (
    ANNA,
    BOB,
    NOW,
    after,
    events,
    get_incident,
    make_incident,
    make_notice,
)
from simultaneous import at_once
from sqlalchemy import select
from watching import Watch

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import IncidentEvent, IncidentNotice
from taskbadger.services.incidents import handling
from taskbadger.services.incidents.handling import IncidentClosed

LATER = after(minutes=10)
Handle = Callable[..., Any]
ALL: dict[str, Handle] = {
    "acknowledge": handling.acknowledge,
    "unacknowledge": handling.unacknowledge,
    "snooze": lambda *ids, **options: handling.snooze(*ids, until=None, **options),
    "unsnooze": handling.unsnooze,
}


def state(incident_id: int) -> tuple[datetime | None, str | None, datetime | None, datetime | None]:
    """Return who is on it since when, and the snooze."""
    row = get_incident(incident_id)
    return row.acknowledged_at, row.acknowledged_by, row.snoozed_at, row.snoozed_until


def audited() -> list[tuple[str, str, str, str]]:
    rows = db.session.scalars(audit_entries()).all()
    return [(row.actor_name, row.verb, row.subject, row.detail) for row in rows]


def handle(
    project: ProjectRef, name: str, number: int, actor: Actor = ANNA, now: datetime = NOW
) -> None:
    ALL[name](project.organization_id, number, actor=actor, now=now)
    db.session.commit()


def test_acknowledging_says_who_is_on_it(project: ProjectRef) -> None:
    number = make_incident(project)

    handle(project, "acknowledge", number)

    assert state(number) == (NOW, "anna@example.com", None, None)
    assert events() == [("acknowledged", "anna@example.com", "")]
    assert audited() == [
        ("anna@example.com", "incident.acknowledge", "import", f"incident {number}")
    ]


def test_another_person_takes_over_and_the_same_one_changes_nothing(project: ProjectRef) -> None:
    number = make_incident(project)
    for actor, now in ((ANNA, NOW), (ANNA, after(minutes=1)), (BOB, LATER)):
        handle(project, "acknowledge", number, actor, now)

    assert state(number) == (LATER, "bob@example.com", None, None)
    assert events() == [
        ("acknowledged", "anna@example.com", ""),
        ("acknowledged", "bob@example.com", ""),
    ]


def test_acknowledgement_can_be_taken_back(project: ProjectRef) -> None:
    number = make_incident(project)
    handle(project, "acknowledge", number)
    handle(project, "unacknowledge", number, BOB)
    handle(project, "unacknowledge", number, BOB)

    assert state(number) == (None, None, None, None)
    assert events()[1:] == [("unacknowledged", "bob@example.com", "was anna@example.com")]
    assert audited()[1:] == [
        (
            "bob@example.com",
            "incident.unacknowledge",
            "import",
            f"incident {number}, was anna@example.com",
        )
    ]


@pytest.mark.parametrize(
    ("until", "words"),
    [(None, "until it changes"), (LATER, "until 2026-11-28 12:10:00 UTC")],
)
def test_snooze_lasts_until_a_time_or_a_change(
    project: ProjectRef, until: datetime | None, words: str
) -> None:
    number = make_incident(project)
    handling.snooze(project.organization_id, number, until=until, actor=ANNA, now=NOW)
    db.session.commit()

    assert state(number) == (None, None, NOW, until)
    assert events() == [("snoozed", "anna@example.com", words)]
    assert audited() == [
        ("anna@example.com", "incident.snooze", "import", f"incident {number}, {words}")
    ]


def test_snooze_can_be_ended(project: ProjectRef) -> None:
    number = make_incident(project)
    handle(project, "snooze", number)
    handle(project, "unsnooze", number, BOB)
    handle(project, "unsnooze", number, BOB)

    assert state(number) == (None, None, None, None)
    assert events()[1:] == [("snooze_ended", "bob@example.com", "")]


@pytest.mark.parametrize("until", [NOW, after(seconds=-1), after(days=-400)])
def test_time_that_is_not_in_the_future_is_an_error(project: ProjectRef, until: datetime) -> None:
    number = make_incident(project)

    with pytest.raises(ValidationFailed) as raised:
        handling.snooze(project.organization_id, number, until=until, actor=ANNA, now=NOW)

    assert [(error.attr, error.detail) for error in raised.value.errors] == [
        ("until", "This time is not in the future.")
    ]
    assert (state(number), events()) == ((None, None, None, None), [])


@pytest.mark.parametrize("name", ALL)
def test_closed_incident_is_a_conflict(project: ProjectRef, name: str) -> None:
    number = make_incident(project, closed_at=LATER, acknowledged_at=NOW, acknowledged_by="x")

    with pytest.raises(IncidentClosed) as raised:
        handle(project, name, number)

    assert (raised.value.status, raised.value.detail) == (409, "The incident is closed.")
    assert (state(number), events(), audited()) == ((NOW, "x", None, None), [], [])


@pytest.mark.parametrize("name", ALL)
def test_incident_of_another_organization_is_not_found(project: ProjectRef, name: str) -> None:
    number = make_incident(make_project("globex"))

    for wanted in (number, number + 1):
        with pytest.raises(NotFound):
            handle(project, name, wanted)


@pytest.mark.parametrize("name", ALL)
def test_worker_decides_anew_whom_to_tell(project: ProjectRef, name: str) -> None:
    number = make_incident(project, acknowledged_at=NOW, acknowledged_by="x", snoozed_at=NOW)
    other = make_incident(project, "other")
    own = [make_notice(number), make_notice(number, next_at=after(days=2))]
    make_notice(other, next_at=after(days=3))

    handle(project, name, number, now=LATER)

    rows = db.session.execute(
        select(IncidentNotice.id, IncidentNotice.next_at).order_by(IncidentNotice.id)
    ).all()
    assert [row.next_at for row in rows] == [LATER, LATER, after(days=3)]
    assert [row.id for row in rows][:2] == own


def test_incident_of_a_monitor_is_recorded_with_its_name(project: ProjectRef) -> None:
    number = make_incident(project, None, monitor_id=Watch(project).monitor.id)

    handle(project, "acknowledge", number)

    assert [entry[2] for entry in audited() if entry[1].startswith("incident")] == ["nightly"]


def test_long_name_of_an_actor_is_cut(project: ProjectRef) -> None:
    number = make_incident(project)

    handle(project, "acknowledge", number, Actor("plugin", "x" * 300))

    assert state(number)[1] == "x" * 255


def test_two_people_at_once_are_both_recorded(app: Flask, project: ProjectRef) -> None:
    number = make_incident(project)

    at_once(
        app,
        *(
            partial(handling.acknowledge, project.organization_id, number, actor=actor, now=NOW)
            for actor in (ANNA, BOB)
        ),
    )

    assert sorted(events()) == [
        ("acknowledged", "anna@example.com", ""),
        ("acknowledged", "bob@example.com", ""),
    ]
    assert state(number)[1] == events()[1][1]


def test_worker_that_tells_at_the_same_time_is_waited_for(app: Flask, project: ProjectRef) -> None:
    number = make_incident(project)
    make_notice(number, next_at=NOW)
    has_notice = threading.Event()

    def tell() -> None:
        db.session.execute(select(IncidentNotice).with_for_update()).all()
        has_notice.set()
        time.sleep(0.5)  # Until the other has the incident, and waits for its notice.
        db.session.add(IncidentEvent(incident_id=number, created=NOW, kind="told"))
        db.session.flush()

    def acknowledge() -> None:
        has_notice.wait()
        handling.acknowledge(project.organization_id, number, actor=ANNA, now=LATER)

    at_once(app, tell, acknowledge)

    assert sorted(event[0] for event in events()) == ["acknowledged", "told"]
    assert db.session.scalars(select(IncidentNotice.next_at)).all() == [LATER]
