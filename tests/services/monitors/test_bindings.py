"""Monitors that are bound to a task name: the tasks of that name are their runs."""

from collections.abc import Sequence
from typing import Any

import pytest
from conftest import make_project
from flask import Flask
from simultaneous import at_once, numbered
from sqlalchemy import select
from watching import ACTOR, Watch, at

from taskbadger.domain.identity import ProjectRef
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Monitor, SlotRun, Task
from taskbadger.schemas.batch import CANCEL, CREATE, UPDATE, Operation
from taskbadger.services.monitors import bindings, manage
from taskbadger.services.tasks import batch, write

TAKEN = (
    FieldError("invalid", "Another monitor of this project has the task name “job”.", "task_name"),
)


def bound(project: ProjectRef, name: str | None = "job", **fields: object) -> Watch:
    return Watch(project, fields={"task_name": name, **fields})


def make_run(project: ProjectRef, time: str, status: str = "processing", **data: Any) -> str:
    task = write.create_task(
        project, {"name": "job", "status": status, **data}, now=at(time), actor=ACTOR
    )
    db.session.commit()
    return task.id


def report(project: ProjectRef, task_id: str, time: str, **changes: Any) -> None:
    write.update_task(project, task_id, changes, now=at(time), actor=ACTOR)
    db.session.commit()


def runs_of(watch: Watch) -> list[str]:
    """Return the tasks that count for the monitor."""
    query = select(SlotRun.task_id).where(SlotRun.monitor_id == watch.monitor.id)
    return sorted(db.session.scalars(query))


def test_tasks_of_other_names_and_projects_are_no_runs(project: ProjectRef) -> None:
    watch = bound(project)

    make_run(project, "11:40", name="Job")
    make_run(project, "11:40", name="job 2")
    make_run(make_project("acme", "other"), "11:40")

    assert (runs_of(watch), watch.monitor.seen) == ([], False)


def test_each_project_may_have_a_monitor_of_the_name(project: ProjectRef) -> None:
    other = make_project("acme", "other")
    here, there = bound(project), bound(other)

    run = make_run(other, "11:40")

    assert (runs_of(here), runs_of(there)) == ([], [run])


def test_header_names_the_monitor_whatever_the_name_of_the_task_is(project: ProjectRef) -> None:
    by_header, by_name = Watch(project), bound(project)

    run = by_header.run("11:40")

    assert (runs_of(by_header), runs_of(by_name)) == ([run], [])


def test_run_that_goes_on_when_the_monitor_is_bound_is_its_run(project: ProjectRef) -> None:
    running, waiting = make_run(project, "11:10"), make_run(project, "11:10", "pending")
    ended = make_run(project, "11:10", "success")
    watch = bound(project)

    report(project, running, "11:50", status="success")
    report(project, waiting, "12:00", status="processing")
    report(project, ended, "12:01", status="error")

    assert runs_of(watch) == sorted([running, waiting])
    assert watch.slots == ["11:00 ok", "12:00 running", "13:00 expected"]


def test_progress_alone_makes_a_task_no_run(project: ProjectRef) -> None:
    running = make_run(project, "11:10")
    watch = bound(project)

    report(project, running, "11:50", value=10)

    assert runs_of(watch) == []


def test_run_that_has_ended_and_starts_again_is_a_run(project: ProjectRef) -> None:
    ended = make_run(project, "11:10", "error")
    watch = bound(project)

    report(project, ended, "12:00", status="processing")

    assert runs_of(watch) == [ended]


def test_waiting_task_belongs_to_nobody_until_it_starts(project: ProjectRef) -> None:
    watch = bound(project)
    waiting = make_run(project, "11:40", "pending")
    watch.edit("11:50", task_name="another")

    report(project, waiting, "12:00", status="success")

    assert runs_of(watch) == []
    assert db.session.get_one(Task, waiting).monitor_id is None


def test_run_stays_with_the_monitor_that_it_started_with(project: ProjectRef) -> None:
    watch = bound(project)
    run = make_run(project, "12:00")
    watch.edit("12:01", task_name=None)
    later = bound(project)

    report(project, run, "12:05", status="error", name="other")

    assert (watch.slots[0], runs_of(later)) == ("12:00 error", [])


def test_name_that_a_task_gets_as_it_starts_decides(project: ProjectRef) -> None:
    watch = bound(project)
    to_it = make_run(project, "11:40", "pending", name="other")
    from_it = make_run(project, "11:40", "pending")

    report(project, to_it, "12:00", status="processing", name="job")
    report(project, from_it, "12:00", status="processing", name="other")

    assert runs_of(watch) == [to_it]


def test_change_of_the_binding_holds_for_the_next_run(project: ProjectRef) -> None:
    watch = bound(project, None)
    before = make_run(project, "11:40", "success")
    watch.edit("11:50", task_name="job")
    run = make_run(project, "12:00", "success")
    watch.edit("12:10", task_name="another")
    make_run(project, "13:00", "success")
    other = make_run(project, "13:00", "success", name="another")

    assert before not in runs_of(watch)
    assert runs_of(watch) == sorted([run, other])


def test_name_is_free_once_its_monitor_is_deleted(project: ProjectRef) -> None:
    first = bound(project)
    run = make_run(project, "11:40")
    manage.delete_monitor(project, first.monitor.id, now=at("11:45"), actor=ACTOR)
    second = bound(project)

    report(project, run, "11:50", status="success")
    after = make_run(project, "12:00")

    assert runs_of(second) == [after]


def test_batch_finds_the_monitors_of_its_tasks(project: ProjectRef) -> None:
    watch, other = bound(project), bound(project, "other")
    running, waiting = make_run(project, "11:00"), make_run(project, "11:00", "pending")
    operations = [
        Operation(CREATE, ref="a", data={"name": "job", "status": "processing"}),
        Operation(UPDATE, ref="a", data={"status": "success"}),
        Operation(CREATE, ref="b", data={"name": "other"}),
        Operation(CREATE, data={"name": "job", "status": "error"}),
        Operation(CREATE, data={"name": "unknown", "status": "error"}),
        Operation(UPDATE, ref="b", data={"status": "processing"}),
        Operation(CREATE, ref="c", data={"name": "third"}),
        Operation(UPDATE, ref="c", data={"status": "processing", "name": "other"}),
        Operation(UPDATE, id=waiting, data={"status": "processing"}),
        Operation(CANCEL, id=running),
    ]

    done = batch.run(project, operations, clock=lambda: at("12:00"), actor=ACTOR)
    db.session.commit()

    assert [each.error for each in done] == [None] * len(done)
    ids = {place: each.task.id for place, each in enumerate(done) if each.task is not None}
    assert runs_of(watch) == sorted([ids[0], ids[3], waiting, running])
    assert runs_of(other) == sorted([ids[2], ids[6]])


def test_batch_starts_a_run_under_the_name_that_its_task_has_by_then(project: ProjectRef) -> None:
    watch, other = bound(project), bound(project, "other")
    to_it = make_run(project, "11:00", "pending", name="third")
    from_it, back, away, ended = (make_run(project, "11:00", "pending") for _ in range(4))
    start = {"status": "processing"}
    operations = [
        Operation(UPDATE, id=to_it, data={"name": "other"}),
        Operation(UPDATE, id=to_it, data=start),
        Operation(UPDATE, id=from_it, data={"name": "unknown"}),
        Operation(UPDATE, id=from_it, data=start),
        Operation(UPDATE, id=back, data={"name": "unknown"}),
        Operation(UPDATE, id=back, data={"name": "job"}),
        Operation(UPDATE, id=back, data=start),
        Operation(UPDATE, id=away, data=start),
        Operation(UPDATE, id=away, data={"name": "other"}),
        Operation(UPDATE, id=away, data={"status": "success"}),
        Operation(UPDATE, id=ended, data={"name": "other"}),
        Operation(CANCEL, id=ended),
        Operation(CREATE, ref="new", data={"name": "job"}),
        Operation(UPDATE, ref="new", data={"name": "other"}),
        Operation(UPDATE, ref="new", data=start),
    ]

    done = batch.run(project, operations, clock=lambda: at("12:00"), actor=ACTOR)
    db.session.commit()

    assert [each.error for each in done] == [None] * len(done)
    assert done[-1].task is not None
    assert runs_of(watch) == sorted([back, away])
    assert runs_of(other) == sorted([to_it, ended, done[-1].task.id])
    assert db.session.get_one(Task, from_it).monitor_id is None


def test_run_that_is_renamed_stays_a_run_of_its_monitor(project: ProjectRef) -> None:
    watch, other = bound(project), bound(project, "other")
    run = make_run(project, "12:00")

    report(project, run, "12:01", name="other")
    report(project, run, "12:05", status="success")

    assert (runs_of(watch), runs_of(other)) == ([run], [])
    assert watch.slots[0] == "12:00 ok"


def test_name_that_a_run_gets_as_it_goes_on_counts_from_its_next_status(
    project: ProjectRef,
) -> None:
    watch = bound(project)
    run = make_run(project, "11:40", name="other")

    report(project, run, "11:41", name="job")
    before = runs_of(watch)
    report(project, run, "12:00", status="success")

    assert (before, runs_of(watch)) == ([], [run])


@pytest.mark.parametrize(
    ("limit", "status"), [("stale_timeout", "stale"), ("max_runtime", "error")]
)
def test_sweeps_find_the_monitor_of_a_task(project: ProjectRef, limit: str, status: str) -> None:
    run = make_run(project, "11:10", **{limit: 60})
    watch = bound(project)

    mark = write.mark_stale if status == "stale" else write.mark_overdue
    mark(project, [run], now=at("11:20"))
    db.session.commit()

    assert (db.session.get_one(Task, run).status, watch.slots[0]) == (status, "11:00 error")


def test_second_monitor_of_a_name_is_refused(project: ProjectRef) -> None:
    watch, other = bound(project), bound(project, None)

    with pytest.raises(ValidationFailed) as created:
        bound(project)
    db.session.rollback()
    with pytest.raises(ValidationFailed) as changed:
        other.edit("12:00", task_name="job", name="renamed")
    db.session.rollback()

    assert created.value.errors == changed.value.errors == TAKEN
    assert bindings.list_bound(project.id, ["job"]) == {"job": watch.monitor.id}
    assert db.session.get_one(Monitor, other.monitor.id).name == "nightly"
    watch.edit("12:00", task_name="job", name="renamed")


def test_one_of_two_that_bind_a_name_at_once_is_refused(app: Flask, project: ProjectRef) -> None:
    monitors = [bound(project, None).monitor.id for _ in range(4)]
    refused: list[Sequence[FieldError]] = []

    def bind(number: int) -> None:
        try:
            manage.update_monitor(
                project, monitors[number], {"task_name": "job"}, now=at("12:00"), actor=ACTOR
            )
        except ValidationFailed as error:
            refused.append(error.errors)
            db.session.rollback()

    at_once(app, *numbered(4, bind))

    assert refused == [TAKEN] * 3
    names = db.session.scalars(select(Monitor.task_name)).all()
    assert sorted(map(str, names)) == ["None", "None", "None", "job"]


def test_no_run_is_missed_while_the_monitor_is_bound(app: Flask, project: ProjectRef) -> None:
    runs = [make_run(project, "11:50") for _ in range(6)]
    watch = bound(project, None)
    monitor_id = watch.monitor.id

    def bind() -> None:
        manage.update_monitor(
            project, monitor_id, {"task_name": "job"}, now=at("11:55"), actor=ACTOR
        )

    def touch(number: int) -> None:
        write.update_task(project, runs[number], {"value": 1}, now=at("11:55"), actor=ACTOR)

    at_once(app, bind, *numbered(len(runs), touch))
    for run in runs:
        report(project, run, "11:56", status="success")

    assert runs_of(watch) == sorted(runs)
