"""The end of a window, at times that the test sets: monitors start afresh, exactly once."""

from datetime import timedelta
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from holding import make_many_windows, make_window
from simultaneous import at_once
from sqlalchemy import text, update
from watching import Watch, at, clock, make_many, sweep

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import MaintenanceWindow, Monitor
from taskbadger.services.monitors import sweep as slot_sweep
from taskbadger.services.windows import ending, manage
from taskbadger.services.windows.ending import Ended

EVERY_TEN = {"interval": 600, "start_grace": 60}
CRON = {"schedule": "*/10 * * * *", "start_grace": 60}


def window(place: ProjectRef, start: str, end: str, **fields: Any) -> int:
    return make_window(place, at("11:00"), starts=at(start), ends=at(end), **fields)


def end(time: str, limit: int = 50) -> None:
    """Do what the worker does at the ends of windows."""
    for window_id in ending.list_due(now=at(time)):
        walk = Ended(None, is_complete=True)
        while True:
            walk = ending.end_some(
                window_id,
                after=walk.last,
                is_complete=walk.is_complete,
                limit=limit,
                now=at(time),
            )
            db.session.commit()
            if walk.last is None:
                break


def turn(time: str) -> None:
    """Do what the worker does once a second."""
    end(time)
    sweep(time)
    slot_sweep.send_deferred_notices(now=at(time))
    db.session.commit()


def test_slots_expected_inside_are_skipped_and_the_next_is_after_the_end(
    project: ProjectRef,
) -> None:
    watch = Watch(project, "11:55", CRON)
    watch.run("12:00", "success")
    window(project, "12:05", "12:45")

    for time in ("12:11:01", "12:21:01", "12:31:01", "12:45"):
        turn(time)

    assert watch.slots == [
        "12:00 ok",
        "12:10 skipped",
        "12:20 skipped",
        "12:30 skipped",
        "12:40 skipped",
        "12:50 expected",
    ]
    assert (watch.incidents, watch.notices) == ([], [])


def test_interval_begins_anew_at_the_end(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", EVERY_TEN)
    watch.run("12:00", "success")
    window(project, "12:05", "12:27")

    for time in ("12:11:01", "12:21:01", "12:27"):
        turn(time)

    assert watch.slots == ["12:00 ok", "12:10 skipped", "12:20 skipped", "12:37 expected"]
    assert watch.deadlines == ["12:37 until 12:38"]


def test_interval_that_is_expected_soon_after_the_end_gets_a_whole_interval(
    project: ProjectRef,
) -> None:
    watch = Watch(project, "11:55", EVERY_TEN)
    watch.run("12:00", "success")
    window(project, "12:01", "12:09")

    turn("12:09")

    assert watch.slots == ["12:00 ok", "12:19 expected"]


@pytest.mark.parametrize("fields", [CRON, EVERY_TEN])
def test_end_that_the_worker_does_late_is_the_same(
    project: ProjectRef, fields: dict[str, Any]
) -> None:
    watch = Watch(project, "11:55", fields)
    watch.run("12:00", "success")
    window(project, "12:05", "12:25")

    sweep("12:26:30")  # Before the end of the window is done.
    end("12:27")

    skipped = ["12:00 ok", "12:10 skipped", "12:20 skipped"]
    assert watch.slots == [*skipped, "12:35 expected" if "interval" in fields else "12:30 expected"]


def test_slot_from_before_the_window_is_missed_and_told_at_the_end(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", {**CRON, "start_grace": 300})
    watch.run("12:00", "success")
    window(project, "12:12", "12:40")

    turn("12:15:01")
    assert (watch.notices, len(watch.incidents)) == ([], 1)
    turn("12:39:59")
    assert watch.notices == []
    turn("12:40")
    turn("12:40:01")

    assert watch.notices == ["monitor_failing"]
    assert watch.slots == [
        "12:00 ok",
        "12:10 missed",
        "12:20 skipped",
        "12:30 skipped",
        "12:40 expected",
    ]


def test_slot_from_before_the_window_keeps_its_deadline(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", {**CRON, "start_grace": 3600})
    watch.run("12:00", "success")
    window(project, "12:12", "12:25")

    turn("12:25")

    assert watch.deadlines == ["12:10 until 13:10", "12:30 until 13:30"]
    assert watch.slots == ["12:00 ok", "12:10 expected", "12:20 skipped", "12:30 expected"]


def test_monitor_that_recovered_in_the_window_tells_those_who_were_told(
    project: ProjectRef,
) -> None:
    watch = Watch(project, "11:55", CRON)
    watch.run("12:00", "error")
    assert watch.notices == ["monitor_failing"]
    window(project, "12:05", "12:25")

    watch.run("12:10", "success")
    turn("12:11")
    assert watch.notices == ["monitor_failing"]
    turn("12:25")
    turn("12:26")

    assert watch.notices == ["monitor_failing", "monitor_recovered"]


def test_any_number_of_windows_of_another_project_holds_nothing_back(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", CRON)
    window(project, "11:58", "12:25", project="web")
    watch.run("12:00", "error")
    make_many_windows(project, 4800, at("12:00"))
    elsewhere = {"project_id": make_project(slug="api").id, "name_pattern": ""}
    db.session.execute(
        update(MaintenanceWindow).where(MaintenanceWindow.project_id.is_(None)).values(elsewhere)
    )
    db.session.commit()

    turn("12:24:59")
    assert watch.notices == []
    turn("12:25")

    assert watch.notices == ["monitor_failing"]


def test_monitors_in_a_window_do_not_delay_others(project: ProjectRef) -> None:
    both = [Watch(place, "11:55", CRON) for place in (project, make_project("other"))]
    held, free = sorted(both, key=lambda watch: watch.monitor.id)
    window(held.project, "11:58", "13:00")
    window(free.project, "11:58", "12:25")
    held.run("12:00", "error")
    free.run("12:00", "error")

    sent = slot_sweep.send_deferred_notices(now=at("12:25"), limit=1)
    db.session.commit()

    assert (sent, held.notices, free.notices) == (1, [], ["monitor_failing"])


def test_failure_that_recovered_in_the_window_is_never_told(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", CRON)
    window(project, "11:58", "12:25")
    watch.run("12:00", "error")
    watch.run("12:10", "success")

    turn("12:25")

    assert (watch.notices, len(watch.incidents)) == ([], 1)


@pytest.mark.parametrize("scope", ["organization", "project", "monitor", "names"])
def test_window_restarts_what_it_covers(project: ProjectRef, scope: str) -> None:
    watch = Watch(project, "11:55", CRON)
    others = [Watch(make_project("other"), "11:55", CRON)]
    if scope != "organization":
        others.append(Watch(make_project(slug="api"), "11:55", CRON))
    if scope == "monitor":
        others.append(Watch(project, "11:55", CRON))
    for one in (watch, *others):
        one.run("12:00", "success")
    fields = {"project": {"project": "web"}, "monitor": {"monitor": str(watch.monitor.id)}}
    fields["names"] = {"name_pattern": "."}
    window(project, "12:05", "12:15", **fields.get(scope, {}))

    turn("12:15")

    expected = ["12:00 ok", "12:10 skipped", "12:20 expected"]
    missed = ["12:00 ok", "12:10 missed", "12:20 expected"]
    assert watch.slots == (missed if scope == "names" else expected)
    assert [other.slots for other in others] == [missed] * len(others)


def test_monitor_without_a_run_and_a_paused_one_stay_as_they_are(project: ProjectRef) -> None:
    new, paused = Watch(project, "11:55", CRON), Watch(project, "11:55", CRON)
    paused.run("12:00", "success")
    paused.edit("12:01", status="paused")
    window(project, "12:05", "12:15")
    before = (new.slots, paused.slots)

    end("12:15")

    assert (new.slots, paused.slots) == before


def test_recurring_window_waits_for_the_end_of_its_next_span(project: ProjectRef) -> None:
    watch = Watch(project, "11:55", CRON)
    watch.run("12:00", "success")
    recurring = make_window(project, at("11:00"), schedule="5 * * * *", duration=600)
    once = window(project, "12:06", "12:07")

    ends = []
    for time in ("12:14:59", "12:15", "12:15:01"):
        turn(time)
        found = [db.session.get_one(MaintenanceWindow, one).ends_at for one in (recurring, once)]
        ends.append([one and clock(one) for one in found])

    assert ends == [["11:15" if False else "12:15", None], ["13:15", None], ["13:15", None]]
    assert watch.slots == ["12:00 ok", "12:10 skipped", "12:20 expected"]


@pytest.mark.parametrize("way", ["deleted", "ended"])
def test_early_end_restarts_monitors_at_once(project: ProjectRef, way: str) -> None:
    cron, interval = Watch(project, "11:55", CRON), Watch(project, "11:55", EVERY_TEN)
    for watch in (cron, interval):
        watch.run("12:00", "success")
    window_id = window(project, "12:05", "15:00")
    sweep("12:11:01")

    place = project.organization_id
    if way == "deleted":
        manage.delete_window(place, window_id, actor=SERVER, now=at("12:22"))
    else:
        changes: Any = {"ends": at("12:22")}
        manage.update_window(place, window_id, changes, actor=SERVER, now=at("12:22"))
    db.session.commit()

    skipped = ["12:00 ok", "12:10 skipped", "12:20 skipped"]
    assert cron.slots == [*skipped, "12:30 expected"]
    assert interval.slots == [*skipped, "12:32 expected"]
    turn("12:22:01")
    assert cron.slots == [*skipped, "12:30 expected"]


def test_walk_that_was_interrupted_begins_again(project: ProjectRef) -> None:
    many = make_many(project, 5, type="interval", interval=600, schedule=None)
    for monitor_id in many:
        monitor = db.session.get_one(Monitor, monitor_id)
        assert monitor.id
    window_id = window(project, "12:05", "12:15")

    first = ending.end_some(window_id, after=None, is_complete=True, limit=2, now=at("12:15"))
    db.session.rollback()  # The worker is killed.
    again = ending.end_some(window_id, after=None, is_complete=True, limit=2, now=at("12:15"))
    db.session.commit()

    assert first == again
    assert db.session.get_one(MaintenanceWindow, window_id).ends_at == at("12:15")
    end("12:16", limit=2)
    assert db.session.get_one(MaintenanceWindow, window_id).ends_at is None


def test_several_workers_restart_each_monitor_once(app: Flask, project: ProjectRef) -> None:
    watched = [Watch(project, "11:55", CRON) for _ in range(6)]
    for watch in watched:
        watch.run("12:00", "success")
    window_id = window(project, "12:05", "12:25")

    def work() -> None:
        ending.end_some(window_id, after=None, is_complete=True, limit=50, now=at("12:25"))

    at_once(app, *[work] * 4)
    end("12:25:01")

    expected = ["12:00 ok", "12:10 skipped", "12:20 skipped", "12:30 expected"]
    assert [watch.slots for watch in watched] == [expected] * 6
    assert db.session.get_one(MaintenanceWindow, window_id).ends_at is None


def test_monitor_that_a_run_has_locked_is_restarted_later(app: Flask, project: ProjectRef) -> None:
    if db.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    watch = Watch(project, "11:55", CRON)
    watch.run("12:00", "success")
    window_id = window(project, "12:05", "12:15")
    with db.engine.begin() as other:
        other.execute(text("SELECT id FROM monitor FOR UPDATE"))
        end("12:15")
        db.session.rollback()
        assert db.session.get_one(MaintenanceWindow, window_id).ends_at == at("12:15")
    end("12:15:01")

    assert watch.slots == ["12:00 ok", "12:10 skipped", "12:20 expected"]
    assert db.session.get_one(MaintenanceWindow, window_id, populate_existing=True).ends_at is None


def test_window_that_is_not_over_is_left_alone(project: ProjectRef) -> None:
    window_id = window(project, "12:05", "12:15")

    assert ending.list_due(now=at("12:15") - timedelta(microseconds=1)) == []
    left = ending.end_some(window_id, after=None, is_complete=True, limit=9, now=at("12:14"))
    assert left == Ended(None, is_complete=True)
    assert ending.list_due(now=at("12:15")) == [window_id]


def test_clock_that_was_set_back_brings_the_end_again(project: ProjectRef) -> None:
    once = window(project, "12:05", "12:15")
    recurring = make_window(project, at("11:00"), schedule="5 * * * *", duration=600)
    over = window(project, "10:00", "10:30")
    end("12:15")

    ending.rewind(now=at("12:10"))
    db.session.commit()

    found = [db.session.get_one(MaintenanceWindow, one).ends_at for one in (once, recurring, over)]
    assert found == [at("12:15"), at("12:15"), None]
