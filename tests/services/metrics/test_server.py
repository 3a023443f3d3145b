"""The server itself, as a scrape shows it."""

from datetime import timedelta

from services.stats.counting import ADA, NOW, count, run
from watching import Watch, at

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.services import outage
from taskbadger.services.metrics.server import read_server
from taskbadger.services.tasks import write
from taskbadger.worker import sweeps

UNDUE = {"keep_time", "count_old_failures", "find_kinds_of_audit_entries", "purge", "purge_slowly"}
UNDUE |= {"delete_old_tasks", "delete_old_history", "delete_old_slots", "send_heartbeat"}
UNDUE |= {"erase_deleted"}
"""Steps for which nothing says when they should have been done."""


def test_lags_are_those_of_the_steps(project: ProjectRef) -> None:
    lags = read_server(now=NOW).lags

    assert set(lags) == {step.__name__ for step, _ in sweeps.SWEEPS} - UNDUE
    assert set(lags.values()) == {0.0}


def test_step_lags_by_what_has_been_due_longest(project: ProjectRef) -> None:
    for seconds in (30, 90, -50):
        write.create_task(
            project,
            {"name": "job", "status": "processing", "stale_timeout": 10, "max_runtime": 70},
            now=NOW - timedelta(seconds=seconds),
            actor=ADA,
        )
    db.session.commit()
    count()

    lags = read_server(now=NOW).lags

    assert {step: lag for step, lag in lags.items() if lag} == {
        "mark_stale": 80.0,
        "mark_overdue": 20.0,
    }


def test_slots_that_are_not_closed_are_a_lag(project: ProjectRef) -> None:
    watch = Watch(project)
    [deadline] = watch.deadlines

    assert deadline == "12:00 until 12:01"
    assert read_server(now=at("12:03")).lags["close_slots"] == 120.0


def test_history_that_is_not_counted_is_a_lag(project: ProjectRef) -> None:
    run(project, ago=20, status="success")
    run(project, ago=10, status="success")
    found = read_server(now=NOW)
    assert (found.count_lag, found.lags["count_runs"]) == (20.0, 20.0)

    count()
    assert read_server(now=NOW).count_lag == 0.0


def test_size_and_turns_are_shown(project: ProjectRef) -> None:
    outage.tick(now=NOW)
    outage.tick(now=NOW + timedelta(seconds=3), turns={"purge": NOW})
    db.session.commit()

    found = read_server(now=NOW)

    assert found.turns == {"purge": NOW.timestamp()}
    assert found.database_bytes > 100_000
