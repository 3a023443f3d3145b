"""How runs fill the slots of a cron monitor, and what becomes of each slot."""

import pytest
from watching import Watch, at, clock, slots_of, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Monitor, SlotRun, Task

# The end of the story of the slot of 12:00, in steps: a time, and a status of the one task,
# or a sweep.
STORIES = [
    ("11:58 processing, 12:05 success", "ok"),
    ("12:00 processing, 12:05 success", "ok"),
    ("12:00 success", "ok"),
    ("12:00 pending, 12:00:30 processing, 12:05 success", "ok"),
    ("12:00 pending, 12:05 success", "ok"),
    ("12:00 pending, 12:01 sweep, 12:05 success", "late"),
    ("12:00:59 processing, 12:01:01 sweep, 12:05 success", "ok"),
    ("12:01:01 processing, 12:05 success", "late"),
    ("12:01 sweep", "missed"),
    ("12:01 sweep, 12:30 processing", "missed"),
    ("12:01 sweep, 12:30 processing, 12:31 success", "late"),
    ("12:01 sweep, 12:30 processing, 12:31 error", "error"),
    ("12:00 processing, 12:05 error", "error"),
    ("12:00 processing, 12:05 stale", "error"),
    ("12:00 error", "error"),
    ("12:00 error, 12:03 processing, 12:05 success", "error"),
    ("12:00 success, 12:05 error", "error"),
    ("12:00 processing, 12:05 cancelled", "skipped"),
    ("12:00 pending, 12:30 cancelled", "skipped"),
    ("12:00 pending, 12:30 stale", "error"),
    ("12:00 processing", "running"),
    ("12:00 processing, 12:09:59 sweep", "running"),
    ("12:00 processing, 12:10 sweep", "timeout"),
    ("12:00 processing, 12:10 sweep, 12:20 success", "late"),
    ("12:00 processing, 12:20 success", "late"),
    ("12:00 processing, 12:10 sweep, 12:20 error", "timeout"),
    ("12:00 processing, 12:04 pre_processing, 12:08 post_processing, 12:10 sweep", "timeout"),
    ("12:00 processing, 12:10 success", "ok"),
    ("12:00 pending, 12:20 success", "ok"),
]


@pytest.mark.parametrize("task_name", [None, "job"])
@pytest.mark.parametrize(("story", "outcome"), STORIES)
def test_slot_ends_as_its_run_did(
    project: ProjectRef, story: str, outcome: str, task_name: str | None
) -> None:
    watch = seen_watch(project, max_runtime=600, task_name=task_name)

    play(watch, story)

    assert watch.slots == ["11:00 ok", f"12:00 {outcome}", "13:00 expected"]


def seen_watch(project: ProjectRef, **fields: object) -> Watch:
    """Return an hourly monitor that had a first run, in the slot of 11:00."""
    watch = Watch(project, fields=dict(fields))
    watch.run("11:40", "success")
    return watch


def play(watch: Watch, story: str) -> None:
    task = None
    for step in story.split(", "):
        time, what = step.split()
        if what == "sweep":
            sweep(time)
        elif task is None:
            task = watch.run(time, what)
        else:
            watch.report(task, time, what)


def test_slot_knows_when_its_run_started_and_ended(project: ProjectRef) -> None:
    watch = seen_watch(project)
    task = watch.run("12:00:10")
    watch.report(task, "12:05", "success")

    slot = slots_of(watch.monitor)[1]

    assert (slot.started_at, slot.ended_at, slot.deadline_at, slot.extra_runs) == (
        at("12:00:10"),
        at("12:05"),
        None,
        0,
    )


def test_times_that_the_client_gives_are_believed_within_reason(project: ProjectRef) -> None:
    watch = seen_watch(project)
    watch.run("12:10", "success", start_time=at("12:00:20"), end_time=at("12:09"))
    watch.run("13:00", "success", start_time=at("2999-01-01 00:00"))
    slots = [
        (clock(slot.expected_at), clock(slot.started_at), clock(slot.ended_at))
        for slot in slots_of(watch.monitor)[1:3]
        if slot.started_at and slot.ended_at
    ]

    assert slots == [("12:00", "12:00:20", "12:09"), ("13:00", "13:00", "13:00")]


def test_start_of_long_ago_makes_no_slots_up_to_now(project: ProjectRef) -> None:
    watch = seen_watch(project)

    watch.run("12:00", "success", start_time=at("0001-01-02 00:00"))

    assert watch.slots == ["2025-06-01 12:00 ok", "11:00 ok", "12:00 expected"]


def test_heartbeats_never_move_the_timeout(project: ProjectRef) -> None:
    watch = seen_watch(project, max_runtime=600)
    task = watch.run("12:00")
    for minute in range(1, 10):
        watch.report(task, f"12:0{minute}", value=minute)

    sweep("12:10")

    assert watch.slots[1] == "12:00 timeout"


@pytest.mark.parametrize(
    ("first", "extra", "outcome"),
    [
        ("success", "success", "ok"),
        ("success", "cancelled", "ok"),
        ("success", "error", "error"),
        ("success", "stale", "error"),
        ("error", "success", "error"),
        ("cancelled", "success", "skipped"),
    ],
)
def test_only_the_error_of_an_extra_run_counts(
    project: ProjectRef, first: str, extra: str, outcome: str
) -> None:
    watch = seen_watch(project)
    watch.report(watch.run("12:00"), "12:01", first)

    watch.report(watch.run("12:30"), "12:31", extra)

    assert watch.slots == ["11:00 ok", f"12:00 {outcome}", "13:00 expected"]
    assert slots_of(watch.monitor)[1].extra_runs == 1


def test_extra_run_does_not_end_the_first_one(project: ProjectRef) -> None:
    watch = seen_watch(project)
    first = watch.run("12:00")
    watch.run("12:01", "success")
    assert watch.slots[1] == "12:00 running"

    watch.report(first, "12:10", "success")

    assert watch.slots[1] == "12:00 ok"


def test_each_run_counts_for_the_slot_that_accepts_its_start(project: ProjectRef) -> None:
    watch = seen_watch(project)

    for time in ("11:54:59", "11:55", "12:54:59", "12:55", "14:00"):
        watch.run(time, "success")

    assert watch.slots == [
        "11:00 ok",
        "12:00 ok",
        "13:00 ok",
        "14:00 ok",
        "15:00 expected",
    ]
    assert [slot.extra_runs for slot in slots_of(watch.monitor)] == [1, 1, 0, 0, 0]


def test_skipped_slots_wait_for_their_own_deadlines(project: ProjectRef) -> None:
    watch = seen_watch(project, start_grace=7200)
    watch.run("14:00", "success")

    assert watch.slots == [
        "11:00 ok",
        "12:00 expected",
        "13:00 expected",
        "14:00 ok",
        "15:00 expected",
    ]
    assert watch.deadlines == ["12:00 until 14:00", "13:00 until 15:00", "15:00 until 17:00"]

    sweep("14:00")

    assert watch.slots[1:4] == ["12:00 missed", "13:00 expected", "14:00 ok"]


def test_run_that_reports_late_still_fills_its_slot(project: ProjectRef) -> None:
    watch = seen_watch(project, start_grace=7200)
    watch.run("14:00", "success")

    watch.run("14:10", "success", start_time=at("13:10"))

    assert watch.slots[2] == "13:00 ok"


def test_new_monitor_waits_without_a_word(project: ProjectRef) -> None:
    watch = Watch(project)
    for time in ("12:01", "13:01", "2026-06-02 12:30"):
        sweep(time)

    assert watch.slots == ["2026-06-02 13:00 expected"]
    assert watch.incidents == []
    assert watch.monitor.seen is False


def test_first_run_far_ahead_of_the_sweep_misses_nothing(project: ProjectRef) -> None:
    watch = Watch(project)

    watch.run("2026-06-03 12:00", "success")

    assert watch.slots == ["2026-06-03 12:00 ok", "2026-06-03 13:00 expected"]


def test_first_run_between_slots_is_not_late(project: ProjectRef) -> None:
    watch = Watch(project)

    watch.run("11:40", "success")

    assert watch.slots == ["11:00 ok", "12:00 expected"]


def test_pending_task_is_no_run_yet(project: ProjectRef) -> None:
    watch = Watch(project)

    watch.run("12:00", "pending")

    assert watch.slots == ["12:00 expected"]
    assert watch.monitor.seen is False


# The table of docs/monitors.md#cron, from the sweep's and the runs' point of view.
GOLDEN = [
    (
        "30 2 * * *",
        "America/New_York",
        "2026-03-07 12:00",
        ["2026-03-08 07:00", "2026-03-09 06:30"],
    ),
    (
        "0 * * * *",
        "America/New_York",
        "2026-03-08 05:30",
        ["2026-03-08 06:00", "2026-03-08 07:00"],
    ),
    (
        "0 * * * *",
        "America/New_York",
        "2026-11-01 04:30",
        ["2026-11-01 05:00", "2026-11-01 06:00", "2026-11-01 07:00"],
    ),
    (
        "30 1 * * *",
        "America/New_York",
        "2026-10-31 12:00",
        ["2026-11-01 05:30", "2026-11-02 06:30"],
    ),
    (
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03 03:00",
        ["2026-10-03 15:30", "2026-10-04 15:15"],
    ),
    (
        "0 0 * * *",
        "America/Sao_Paulo",
        "2018-11-03 12:00",
        ["2018-11-04 03:00", "2018-11-05 02:00"],
    ),
    (
        "30 1 * * *",
        "Europe/London",
        "2026-03-28 12:00",
        ["2026-03-29 01:00", "2026-03-30 00:30"],
    ),
    ("0 * * * *", "Asia/Kathmandu", "2026-06-01 00:00", ["00:15", "01:15", "02:15"]),
]


@pytest.mark.parametrize(("schedule", "timezone", "since", "runs"), GOLDEN)
def test_runs_across_clock_changes_are_all_on_time(
    project: ProjectRef, schedule: str, timezone: str, since: str, runs: list[str]
) -> None:
    fields = {"schedule": schedule, "timezone": timezone}
    watch = Watch(project, since, fields)

    for run in runs:
        sweep(run)
        watch.run(run, "success")

    assert watch.slots[:-1] == [f"{run} ok" for run in runs]
    assert watch.slots[-1].endswith("expected")
    assert watch.incidents == []


@pytest.mark.parametrize(("schedule", "timezone", "since", "runs"), GOLDEN)
def test_missed_runs_across_clock_changes_are_those_of_the_table(
    project: ProjectRef, schedule: str, timezone: str, since: str, runs: list[str]
) -> None:
    fields = {"schedule": schedule, "timezone": timezone, "start_grace": 0}
    watch = Watch(project, since, fields)
    watch.monitor.seen = True
    db.session.commit()

    for run in runs:
        sweep(run)

    assert watch.slots[:-1] == [f"{run} missed" for run in runs]


def test_deleted_task_leaves_its_slot_as_it_is(project: ProjectRef) -> None:
    watch = seen_watch(project)
    watch.run("12:00", "success")
    db.session.query(Task).delete()
    db.session.commit()

    assert db.session.query(SlotRun).count() == 0
    assert watch.slots == ["11:00 ok", "12:00 ok", "13:00 expected"]


def test_task_of_a_deleted_monitor_goes_on(project: ProjectRef) -> None:
    watch = seen_watch(project)
    task = watch.run("12:00")
    db.session.delete(db.session.get(Monitor, watch.monitor.id))
    db.session.commit()

    watch.report(task, "12:05", "success")

    assert db.session.query(SlotRun).count() == 0


def test_monitor_whose_zone_is_gone_refuses_no_run(project: ProjectRef) -> None:
    watch = seen_watch(project)
    watch.monitor.timezone = "Mars/Olympus"
    db.session.commit()

    watch.run("12:00", "success")
    sweep("12:01")

    assert watch.slots == ["11:00 ok", "12:00 expected"]
    assert watch.deadlines == []
