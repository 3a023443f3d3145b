"""Leases and next attempts move with the clock when it jumps."""

from datetime import datetime, timedelta

import pytest
from delivering import NOW, SECOND, get, queue
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination
from taskbadger.services.delivery import leases

pytestmark = pytest.mark.usefixtures("webhook")
HOUR = timedelta(hours=1)


def make(project: ProjectRef, state: str, next_at: datetime | None) -> str:
    """Queue a delivery that is in this state; return its id."""
    made = get(queue(project))
    made.state, made.next_attempt_at = state, next_at
    made.token = "a worker" if state == "sending" else None
    db.session.commit()
    return made.id


def times() -> dict[str, datetime | None]:
    """Return the time of the next attempt of each delivery, by its id."""
    db.session.rollback()
    rows = db.session.execute(select(Delivery.id, Delivery.next_attempt_at))
    return {row.id: row.next_attempt_at for row in rows}


def test_leases_that_had_not_ended_are_extended_by_the_jump(project: ProjectRef) -> None:
    alive = make(project, "sending", NOW + SECOND)
    ended = make(project, "sending", NOW)
    waiting = make(project, "waiting", NOW + SECOND)

    leases.extend_leases(HOUR, since=NOW)
    db.session.commit()

    assert times() == {alive: NOW + SECOND + HOUR, ended: NOW, waiting: NOW + SECOND}


def test_attempts_in_the_future_move_back_with_the_clock(project: ProjectRef) -> None:
    sending = make(project, "sending", NOW + HOUR + SECOND)
    waiting = make(project, "waiting", NOW + HOUR + 2 * SECOND)
    due = make(project, "waiting", NOW)
    delivered = make(project, "delivered", None)

    leases.step_back(HOUR, now=NOW)
    db.session.commit()

    assert times() == {
        sending: NOW + SECOND,
        waiting: NOW + 2 * SECOND,
        due: NOW,
        delivered: None,
    }


def test_pauses_of_destinations_move_back_with_the_clock(project: ProjectRef) -> None:
    holds = {"over": NOW, "paused": NOW + HOUR + SECOND, "sound": None}
    db.session.add_all(
        [Destination(key=key, failures=5, hold_until=at, seen=NOW) for key, at in holds.items()]
    )
    db.session.commit()

    leases.step_back(HOUR, now=NOW)
    db.session.commit()

    rows = db.session.execute(select(Destination.key, Destination.hold_until))
    assert {row.key: row.hold_until for row in rows if row.key in holds} == {
        **holds,
        "paused": NOW + SECOND,
    }
