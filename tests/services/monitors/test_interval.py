"""Intervals: what the last run leads to, and that nothing is missed while one is going on."""

import pytest
from watching import Watch, at, slots_of, sweep

from taskbadger.domain.identity import ProjectRef

EVERY_TEN = {"interval": 600}
FROM_END = {"interval": 600, "anchor": "end"}


def test_nothing_is_expected_before_the_first_run(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)

    assert (watch.slots, watch.monitor.expected_at) == ([], None)


def test_first_run_begins_the_row(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)

    watch.run("12:00:03", "success")

    assert watch.slots == ["12:00:03 ok", "12:10:03 expected"]
    assert watch.deadlines == ["12:10:03 until 12:11:03"]


def test_next_run_counts_from_the_start_of_the_last(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")

    task = watch.run("12:09")
    assert (watch.slots[1:], watch.deadlines) == (["12:10 running", "12:19 expected"], [])
    watch.report(task, "12:12", "success")

    assert watch.slots == ["12:00 ok", "12:10 ok", "12:19 expected"]
    assert watch.deadlines == ["12:19 until 12:20"]


def test_nothing_is_missed_while_a_run_is_going_on(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00")
    sweep("13:00")
    assert watch.slots == ["12:00 running", "12:10 expected"]

    watch.report(task, "13:00", "success")

    assert watch.slots == ["12:00 ok", "12:10 expected"]
    assert watch.deadlines == ["12:10 until 13:01"]


def test_run_after_a_long_one_fills_the_slot_that_waited(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.report(watch.run("12:00"), "13:00", "success")

    watch.run("13:00:30", "success")

    assert watch.slots == ["12:00 ok", "12:10 ok", "13:10:30 expected"]


def test_slot_after_a_long_run_is_missed_when_its_whole_grace_has_passed(
    project: ProjectRef,
) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.report(watch.run("12:00"), "13:00", "success")

    sweep("13:01")

    assert watch.slots == ["12:00 ok", "12:10 missed", "13:10 expected"]


def test_end_as_the_anchor(project: ProjectRef) -> None:
    watch = Watch(project, fields=FROM_END)
    task = watch.run("12:00")
    assert (watch.slots, watch.monitor.expected_at) == (["12:00 running"], None)

    watch.report(task, "12:25", "success")

    assert watch.slots == ["12:00 ok", "12:35 expected"]
    assert watch.deadlines == ["12:35 until 12:36"]


def test_overlapping_run_with_the_end_as_the_anchor_is_extra(project: ProjectRef) -> None:
    watch = Watch(project, fields=FROM_END)
    first = watch.run("12:00")
    extra = watch.run("12:10")
    watch.report(first, "12:20", "success")
    assert watch.slots == ["12:00 ok"]

    watch.report(extra, "12:30", "success")

    assert watch.slots == ["12:00 ok", "12:30 expected"]
    assert watch.deadlines == ["12:30 until 12:31"]


def test_missed_intervals_follow_one_another(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")

    for time in ("12:11", "12:20:59", "12:21", "12:31"):
        sweep(time)

    assert watch.slots == [
        "12:00 ok",
        "12:10 missed",
        "12:20 missed",
        "12:30 missed",
        "12:40 expected",
    ]


def test_late_run_is_the_last_run(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")
    sweep("12:11")

    task = watch.run("12:14")
    assert (watch.slots[1:], watch.deadlines) == (["12:10 missed", "12:24 expected"], [])
    watch.report(task, "12:15", "success")

    assert watch.slots == ["12:00 ok", "12:10 late", "12:24 expected"]
    assert watch.deadlines == ["12:24 until 12:25"]


def test_start_within_the_grace_is_on_time_however_short_the_interval(
    project: ProjectRef,
) -> None:
    watch = Watch(project, fields={"interval": 60})
    watch.run("12:00", "success")

    watch.run("12:01:55", "success")

    assert watch.slots == ["12:00 ok", "12:01 ok", "12:02:55 expected"]


def test_run_after_unswept_intervals_leaves_them_to_the_sweep(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")

    watch.run("12:31", "success")
    assert watch.slots == [
        "12:00 ok",
        "12:10 expected",
        "12:20 expected",
        "12:30 ok",
        "12:41 expected",
    ]
    sweep("12:32")

    assert watch.slots[1:3] == ["12:10 missed", "12:20 missed"]


def test_run_just_after_an_unswept_deadline_is_late(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")

    watch.run("12:11:01", "success")

    assert watch.slots == ["12:00 ok", "12:10 late", "12:21:01 expected"]


def test_early_run_within_the_interval_is_extra_and_moves_nothing(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")

    watch.run("12:05", "success")

    assert watch.slots == ["12:00 ok", "12:10 expected"]
    assert watch.deadlines == ["12:10 until 12:11"]
    assert slots_of(watch.monitor)[0].extra_runs == 1


@pytest.mark.parametrize(
    ("anchor", "expected", "deadlines"),
    [
        ("start", "12:10", ["12:10 until 12:16"]),
        ("end", "12:25", ["12:25 until 12:26"]),
    ],
)
def test_run_that_takes_too_long_is_over_for_what_follows(
    project: ProjectRef, anchor: str, expected: str, deadlines: list[str]
) -> None:
    fields = {"interval": 600, "anchor": anchor, "max_runtime": 900}
    watch = Watch(project, fields=fields)
    task = watch.run("12:00")

    sweep("12:15")
    assert watch.slots == ["12:00 timeout", f"{expected} expected"]
    assert watch.deadlines == deadlines
    watch.report(task, "12:15:30", "success")

    assert watch.slots[0] == "12:00 late"


def test_task_that_takes_its_work_up_again_is_going_on(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00")
    watch.report(task, "12:05", "error")
    assert watch.deadlines == ["12:10 until 12:11"]

    watch.report(task, "12:09", "processing")
    assert watch.deadlines == []
    watch.report(task, "12:30", "success")

    assert watch.slots == ["12:00 error", "12:10 expected"]
    assert watch.deadlines == ["12:10 until 12:31"]


def test_nothing_is_expected_from_an_end_that_was_none(project: ProjectRef) -> None:
    watch = Watch(project, fields=FROM_END)
    task = watch.run("12:00")
    watch.report(task, "12:05", "error")
    assert watch.slots == ["12:00 error", "12:15 expected"]

    watch.report(task, "12:09", "processing")
    assert (watch.slots, watch.monitor.expected_at) == (["12:00 error"], None)
    watch.report(task, "12:30", "success")

    assert watch.slots == ["12:00 error", "12:40 expected"]


def test_run_of_before_a_miss_moves_nothing(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00", "success")
    sweep("12:11")

    watch.report(task, "12:12", "processing")

    assert watch.deadlines == ["12:20 until 12:21"]


def test_run_that_began_before_what_was_missed_moves_nothing_back(project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 1200, "start_grace": 120})
    watch.run("12:00", "success")
    waiting = watch.run("12:10", "pending")
    for time in ("12:22:01", "12:42:01", "13:02:01"):
        sweep(time)

    watch.report(waiting, "13:05", "success")

    assert watch.slots[-2:] == ["13:00 late", "13:20 expected"]
    assert watch.deadlines == ["13:20 until 13:22"]
    watch.run("13:06")
    assert watch.slots[-1] == "13:20 expected"


def test_nothing_is_missed_during_a_run_that_began_before_what_was_missed(
    project: ProjectRef,
) -> None:
    watch = Watch(project, fields={"interval": 1200, "start_grace": 120})
    watch.run("12:00", "success")
    waiting = watch.run("12:10", "pending")
    for time in ("12:22:01", "12:42:01", "13:02:01"):
        sweep(time)

    watch.report(waiting, "13:05", "processing", start_time=at("12:11"))
    sweep("13:30")
    assert (watch.slots[-1], watch.deadlines) == ("13:20 expected", [])
    watch.report(waiting, "13:31", "success")

    assert watch.deadlines == ["13:20 until 13:33"]


def test_change_of_mind_after_the_end_moves_nothing(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00", "success")

    watch.report(task, "12:10:30", "error")

    assert watch.slots == ["12:00 error", "12:10 expected"]
    assert watch.deadlines == ["12:10 until 12:11"]


def test_run_of_before_the_monitor_was_edited_goes_on_counting(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00")
    watch.edit("12:05", interval=1200)
    assert watch.slots == ["12:00 running", "12:20 expected"]
    assert watch.deadlines == []

    watch.report(task, "12:30", "success")

    assert watch.slots == ["12:00 ok", "12:20 expected"]
    assert watch.deadlines == ["12:20 until 12:32"]


def test_edited_interval_goes_on_from_the_last_run_or_from_now(project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 86400})
    watch.run("12:00", "success")
    watch.edit("12:05", interval=600)
    assert watch.slots == ["12:00 ok", "12:10 expected"]
    watch.edit("12:06", interval=86400)
    watch.edit("15:00", interval=3600)

    assert watch.slots == ["12:00 ok", "16:00 expected"]


def test_first_run_after_an_edit_begins_the_row_anew(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    watch.run("12:00", "success")
    watch.edit("15:00", interval=3600)

    watch.run("15:10", "success")

    assert watch.slots == ["12:00 ok", "12:10 skipped", "15:10 ok", "16:10 expected"]


def test_resumed_interval_waits_for_the_end_of_a_run(project: ProjectRef) -> None:
    watch = Watch(project, fields=EVERY_TEN)
    task = watch.run("12:00")
    watch.edit("12:01", status="paused")
    watch.edit("12:30", status="active")
    assert watch.slots == ["12:00 skipped", "12:10 skipped"]

    watch.report(task, "12:40", "success")

    assert watch.slots == ["12:00 skipped", "12:10 skipped", "12:50 expected"]
    assert watch.monitor.expected_at == at("12:50")
