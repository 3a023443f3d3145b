"""The end of windows: the worker does it once, by the real clock, also after a kill."""

from datetime import timedelta

import pytest
from conftest import count_queries
from flask import Flask
from holding import make_window
from simultaneous import at_once
from watching import make_many

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow, Monitor
from taskbadger.worker import groups, sweeps

HOUR = timedelta(hours=1)


def overdue(project: ProjectRef, count: int) -> int:
    """Return a window that has just ended, with monitors that were expected in it."""
    now = utcnow()
    for monitor_id in make_many(project, count):
        db.session.get_one(Monitor, monitor_id).seen = True
    slots = "UPDATE slot SET expected_at = :at, deadline_at = :deadline"
    inside = {"at": now - HOUR / 2, "deadline": now + HOUR}
    columns = Monitor.__table__.c.expected_at.type
    statement = db.text(slots).bindparams(
        db.bindparam("at", type_=columns), db.bindparam("deadline", type_=columns)
    )
    db.session.execute(statement, inside)
    db.session.query(Monitor).update({"expected_at": inside["at"]})
    window_id = make_window(project, now - HOUR, starts=now - HOUR, ends=now - HOUR / 60)
    db.session.commit()
    return window_id


def expected() -> set[bool]:
    """Say whether monitors are expected after the window, which is over for about a minute."""
    db.session.rollback()
    end = utcnow() - HOUR / 30
    found = {monitor.expected_at > end for monitor in db.session.query(Monitor)}
    db.session.rollback()
    return found


def ends_at(window_id: int) -> object:
    db.session.rollback()
    return db.session.get_one(MaintenanceWindow, window_id).ends_at


def turn() -> None:
    db.session.rollback()
    while sweeps.end_windows():
        pass


def test_end_is_done_in_groups_and_once(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "MONITOR_GROUP", 2)
    window_id = overdue(project, 5)

    turn()

    assert (expected(), ends_at(window_id)) == ({True}, None)


def test_end_that_takes_longer_goes_on_in_the_next_turn(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "MONITOR_GROUP", 2)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    window_id = overdue(project, 5)
    db.session.rollback()

    turns = [sweeps.end_windows() for _ in range(4)]

    assert turns == [True, True, False, False]
    assert (expected(), ends_at(window_id), sweeps.unended) == ({True}, None, {})


def test_worker_that_takes_over_from_a_killed_one_does_the_rest(
    project: ProjectRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "MONITOR_GROUP", 2)
    monkeypatch.setattr(groups, "SWEEP_SECONDS", -1.0)
    window_id = overdue(project, 5)
    db.session.rollback()
    assert sweeps.end_windows()
    sweeps.unended.clear()  # What the killed one knew.
    monkeypatch.setattr(groups, "SWEEP_SECONDS", 1.0)

    turn()

    assert (expected(), ends_at(window_id)) == ({True}, None)


def test_several_workers_do_it_once(app: Flask, project: ProjectRef) -> None:
    window_id = overdue(project, 5)

    at_once(app, *[sweeps.end_windows] * 4)
    turn()

    assert (expected(), ends_at(window_id)) == ({True}, None)


def test_idle_turn_reads_one_row(project: ProjectRef) -> None:
    make_window(project, utcnow())
    turn()
    db.session.rollback()

    with count_queries() as statements:
        sweeps.end_windows()

    assert [one for one in statements if "maintenance_window" in one and "UPDATE" in one] == []
