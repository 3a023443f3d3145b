"""Closing the due slots of many monitors together."""

from conftest import count_queries
from watching import TO_EMAIL, Watch, all_messages, at, make_many, states, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor
from taskbadger.services.monitors import closing


def test_statements_do_not_grow_with_the_monitors(project: ProjectRef) -> None:
    numbers = []
    for count in (2, 20):
        make_many(project, count, action=TO_EMAIL)
        with count_queries() as statements:
            sweep("12:01")
        numbers.append(len(statements))

    # Of them, three read or write incidents, and two queue their notices.
    assert numbers == [10, 10]
    assert states() == {"missed": 22, "expected": 22}
    assert db.session.query(Incident).count() == 22
    assert len(all_messages()) == 22


def test_monitors_that_another_worker_has_closed_are_left_alone(project: ProjectRef) -> None:
    new = Watch(project, "11:59:30", {"schedule": "* * * * *", "start_grace": 30})
    found = closing.list_due(now=at("12:00:30"), limit=10)
    sweep("12:00:30")

    closed = closing.close(found, now=at("12:00:45"))
    db.session.commit()

    assert (found, closed) == ([new.monitor.id], 0)
    assert new.deadlines == ["12:01 until 12:01:30"]


def test_monitor_that_cannot_be_read_stops_no_other(project: ProjectRef) -> None:
    broken, other, *_ = make_many(project, 3)
    db.session.get_one(Monitor, broken).timezone = "Mars/Olympus"
    db.session.commit()

    assert sweep("12:01") == 3
    assert sweep("12:01") == 0
    assert states() == {"missed": 2, "expected": 3}
    assert db.session.get_one(Monitor, other).expected_at == at("13:00")
