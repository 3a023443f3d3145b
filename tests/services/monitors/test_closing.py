"""Closing the due slots of many monitors together."""

import re

import pytest
from conftest import count_queries, make_project
from plans import plan_of
from watching import TO_EMAIL, Watch, all_messages, at, make_many, states, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor
from taskbadger.services.monitors import closing
from taskbadger.services.monitors import sweep as slot_sweep


@pytest.mark.parametrize("threshold", [1, 2])
@pytest.mark.parametrize("projects", [1, 3])
def test_statements_do_not_grow_with_the_monitors(
    project: ProjectRef, projects: int, threshold: int
) -> None:
    watched = [project, make_project(slug="api"), make_project("other")][:projects]
    numbers = []
    for count in (2, 20):
        for one in watched:
            make_many(one, count, failure_threshold=threshold, action=TO_EMAIL)
        for time in ("12:01", "13:01")[:threshold]:
            with count_queries() as statements:
                sweep(time)
        numbers.append(len(statements))

    # Of them, four are about incidents and their timelines, two queue the notices, and two read the
    # windows that cover the monitors. With a threshold of two, the last outcomes are read.
    assert numbers == [12 + threshold] * 2
    assert states() == {"missed": 22 * projects * threshold, "expected": 22 * projects}
    assert db.session.query(Incident).count() == 22 * projects
    assert len(all_messages()) == 22 * projects


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


def test_due_slots_are_found_by_their_deadlines(project: ProjectRef) -> None:
    plans = [
        plan_of(lambda: closing.list_due(now=at("12:01"), limit=10)),
        plan_of(lambda: slot_sweep.is_due(now=at("12:01"))),
    ]

    by_deadline = r"SEARCH slot .*ix_slot_deadline_at \(deadline_at<\?\)"
    if db.engine.dialect.name == "postgresql":  # It reads an empty table by either index.
        by_deadline = r"deadline_at on slot.*\n *Index Cond: \(deadline_at <= "
    assert [plan for plan in plans if not re.search(by_deadline, plan)] == []


def test_closing_does_not_read_the_history_of_a_monitor(project: ProjectRef) -> None:
    broken, other = make_many(project, 2)
    db.session.get_one(Monitor, broken).timezone = "Mars/Olympus"
    db.session.commit()

    plan = plan_of(lambda: closing.close([broken, other], now=at("12:01")))

    # The due slots are read; then the broken monitor loses its deadlines.
    lookups = [
        r"SEARCH slot .*ix_slot_monitor_id_deadline_at \(monitor_id=\? AND deadline_at<\?\)",
        r"SEARCH slot .*ix_slot_monitor_id_deadline_at \(monitor_id=\? AND deadline_at>\?\)",
    ]
    if db.engine.dialect.name == "postgresql":  # It reads a small table by any index.
        lookups = [r"on slot.*\n *Index Cond: .*deadline_at <= "]
    assert [lookup for lookup in lookups if not re.search(lookup, plan)] == []
    assert "Seq Scan" not in plan
