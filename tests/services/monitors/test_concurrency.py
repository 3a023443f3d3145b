"""Sweeps, runs and people at the same moment, on several workers: one incident, one notice."""

from collections.abc import Callable
from uuid import UUID

from flask import Flask
from simultaneous import at_once
from watching import ACTOR, Watch, all_messages, at, close_due_slots, slots_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.monitors import manage, sweep
from taskbadger.services.tasks import write

ROUNDS = 8


def close(time: str) -> Callable[[], object]:
    """Return a sweep to be done."""
    return lambda: close_due_slots(at(time))


def report(project: ProjectRef, task_id: str, time: str, status: str) -> Callable[[], object]:
    """Return an update of a task to be done."""
    changes = {"status": status}
    return lambda: write.update_task(project, task_id, changes, now=at(time), actor=ACTOR)


def edit(project: ProjectRef, monitor_id: UUID, **changes: object) -> Callable[[], object]:
    """Return a change of a monitor to be done."""
    return lambda: manage.update_monitor(project, monitor_id, changes, now=at("12:30"), actor=ACTOR)


def watching(project: ProjectRef, **fields: object) -> Watch:
    watch = Watch(project, fields=dict(fields))
    watch.run("11:40", "success")
    return watch


def test_sweepers_open_one_incident_and_send_one_notice(app: Flask, project: ProjectRef) -> None:
    watched = [watching(project) for _ in range(ROUNDS)]

    at_once(app, *[close("12:01")] * 4)
    at_once(app, *[close("12:01")] * 2)

    for watch in watched:
        assert watch.slots == ["11:00 ok", "12:00 missed", "13:00 expected"]
        assert watch.incidents == [("12:01", None, 1)]
        assert watch.notices == ["monitor_failing"]


def test_sweep_and_late_run_agree_on_the_end(app: Flask, project: ProjectRef) -> None:
    for _ in range(ROUNDS):
        watch = watching(project)
        task = watch.run("12:01:30", "pending")

        at_once(app, close("12:01:31"), report(project, task, "12:01:31", "success"))
        at_once(app, close("12:01:32"))

        assert watch.slots == ["11:00 ok", "12:00 late", "13:00 expected"]
        sent = sorted(watch.notices)  # Both in one moment, so in either order.
        assert sent in ([], ["monitor_failing", "monitor_recovered"])
        assert len(watch.incidents) == len(sent) // 2


def test_timeout_and_error_are_one_bad_slot(app: Flask, project: ProjectRef) -> None:
    for _ in range(ROUNDS):
        watch = watching(project, max_runtime=60)
        task = watch.run("12:00")

        at_once(app, close("12:01"), report(project, task, "12:01", "error"), close("12:01"))

        assert watch.slots[1] in ("12:00 timeout", "12:00 error")
        assert watch.incidents == [("12:01", None, 1)]
        assert watch.notices == ["monitor_failing"]


def test_runs_at_the_same_moment_fill_a_slot_once(app: Flask, project: ProjectRef) -> None:
    watch = watching(project)
    waiting = [watch.run("11:59", "pending") for _ in range(6)]

    at_once(app, *[report(project, task, "12:00", "success") for task in waiting])

    assert watch.slots == ["11:00 ok", "12:00 ok", "13:00 expected"]
    assert slots_of(watch.monitor)[1].extra_runs == 5


def test_first_runs_of_an_interval_begin_one_row(app: Flask, project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 600})
    waiting = [watch.run("11:59", "pending") for _ in range(4)]

    at_once(app, *[report(project, task, "12:00", "processing") for task in waiting])

    assert watch.slots == ["12:00 running", "12:10 expected"]


def test_recovery_is_notified_once(app: Flask, project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    waiting = [watch.run("12:59", "pending") for _ in range(4)]

    at_once(app, *[report(project, task, "13:00", "success") for task in waiting])

    assert watch.incidents == [("12:00", "13:00", 1)]
    assert watch.notices == ["monitor_failing", "monitor_recovered"]


def test_edits_sweeps_and_runs_never_lock_each_other_out(app: Flask, project: ProjectRef) -> None:
    first, second = watching(project), watching(project)
    one, two = first.run("12:00"), second.run("12:00")

    for number in range(ROUNDS):
        edits = [edit(project, watch.monitor.id, start_grace=number) for watch in (first, second)]
        status = ("error", "processing")[number % 2]
        at_once(
            app,
            close("12:30"),
            *edits,
            report(project, one, "12:30", status),
            report(project, two, "12:30", status),
            lambda: sweep.extend_deadlines(at("12:00"), at("12:30")),
            lambda: sweep.rewind(now=at("12:30")),
        )

    for watch in (first, second):
        assert watch.slots == ["11:00 ok", "12:00 error", "13:00 expected"]
        assert watch.notices == ["monitor_failing"]
    assert len(all_messages()) == 2
