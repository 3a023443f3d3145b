"""Gaps, outages of ours, and clocks that jump: no storm, no false alarm, none lost."""

from datetime import timedelta

import pytest
from conftest import count_queries
from watching import Watch, all_messages, at, make_many, outage, slots_of, states, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident
from taskbadger.services import outage as ticks
from taskbadger.services.monitors import sweep as slot_sweep

MINUTELY = {"schedule": "* * * * *", "start_grace": 30}


def watching(project: ProjectRef, **fields: object) -> Watch:
    """Return a monitor of every minute, or as *fields* say, that had a run at 12:00."""
    watch = Watch(project, "11:59:30", dict(fields or MINUTELY))
    watch.run("12:00", "success")
    return watch


def tick(time: str) -> None:
    """Let the worker look at the clock, and then sweep."""
    ticks.tick(now=at(time))
    db.session.commit()
    sweep(time)


# Gaps


def test_gap_is_a_hundred_slots_and_one_for_the_rest(project: ProjectRef) -> None:
    watch = watching(project)

    sweep("15:20:30")
    slots = slots_of(watch.monitor)[1:]

    assert [slot.count for slot in slots] == [1] * 100 + [100, 1]
    assert {slot.state for slot in slots[:-1]} == {"missed"}
    assert (slots[100].expected_at, slots[100].last_expected_at) == (at("13:41"), at("15:20"))
    assert watch.slots[-1] == "15:21 expected"
    assert watch.incidents == [("15:20:30", None, 200)]
    assert watch.notices == ["monitor_failing"]


def test_summed_up_slots_count_for_the_thresholds(project: ProjectRef) -> None:
    watch = watching(project, **MINUTELY, failure_threshold=150)

    sweep("14:28:30")
    assert watch.incidents == []
    sweep("14:30:30")

    assert watch.incidents == [("14:30:30", None, 150)]


def test_gap_of_an_interval_is_summed_up_too(project: ProjectRef) -> None:
    watch = watching(project, interval=60)

    sweep("15:00")

    assert [slot.count for slot in slots_of(watch.monitor)] == [1] * 101 + [79, 1]
    assert watch.slots[-1] == "15:00 expected"


def test_run_after_a_gap_leaves_the_gap_to_the_sweep(project: ProjectRef) -> None:
    watch = watching(project)

    watch.run("15:20:10", "success")
    assert watch.incidents == []
    sweep("15:20:30")

    assert [slot.count for slot in slots_of(watch.monitor)] == [1] * 101 + [99, 1, 1]
    assert watch.slots[-3:] == ["13:41 missed", "15:20 ok", "15:21 expected"]
    assert watch.incidents == []


def test_paused_gap_is_skipped(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("12:00:20", status="paused")

    sweep("12:03:30")

    assert watch.slots[1:] == [
        "12:01 skipped",
        "12:02 skipped",
        "12:03 skipped",
        "12:04 expected",
    ]


def test_run_in_a_row_that_sums_up_is_extra(project: ProjectRef) -> None:
    watch = watching(project)
    sweep("15:20:30")

    watch.run("15:20:40", "error", start_time=at("13:41:10"))

    assert watch.slots[101] == "13:41 error"
    assert slots_of(watch.monitor)[101].extra_runs == 1


# Outages


def test_slots_inside_an_outage_are_unknown(project: ProjectRef) -> None:
    watch = watching(project)

    outage("12:00:40", "12:03:45")
    sweep("12:03:45")

    assert watch.slots == [
        "12:00 ok",
        "12:01 unknown",
        "12:02 unknown",
        "12:03 unknown",
        "12:04 expected",
    ]
    assert watch.deadlines == ["12:04 until 12:04:30"]
    assert watch.incidents == []


def test_slot_that_an_outage_cuts_into_has_its_deadline_put_off(project: ProjectRef) -> None:
    watch = watching(project)

    outage("12:01:10", "12:03:10")

    assert watch.slots[1:] == ["12:01 expected", "12:02 unknown", "12:03 expected"]
    assert watch.deadlines == ["12:01 until 12:03:30", "12:03 until 12:03:30"]


def test_slot_that_was_put_off_is_missed_in_the_end(project: ProjectRef) -> None:
    watch = watching(project)
    outage("12:01:10", "12:03:10")

    sweep("12:03:30")

    assert watch.slots[1:] == [
        "12:01 missed",
        "12:02 unknown",
        "12:03 missed",
        "12:04 expected",
    ]
    assert watch.incidents == [("12:03:30", None, 2)]


def test_long_graces_of_many_slots_are_all_put_off(project: ProjectRef) -> None:
    watch = watching(project, schedule="* * * * *", start_grace=120)

    outage("12:02:30", "12:04:30")

    assert watch.slots[1:] == ["12:01 expected", "12:02 expected", "12:03 expected"]
    assert watch.deadlines == [
        "12:01 until 12:05",
        "12:02 until 12:06",
        "12:03 until 12:05",
    ]


def test_timeout_inside_an_outage_is_put_off(project: ProjectRef) -> None:
    watch = watching(project, schedule="0 * * * *", max_runtime=600)
    task = watch.run("13:00")

    outage("13:05", "13:30")
    sweep("13:30")
    assert watch.deadlines == ["13:00 until 13:35", "14:00 until 14:01"]
    watch.report(task, "13:31", "success")

    assert watch.slots[1] == "13:00 ok"


def test_run_that_reports_in_an_outage_fills_its_slot(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:01:05", "success")
    watch.run("12:02:05", "success")

    outage("12:00:40", "12:03:45")

    assert watch.slots == [
        "12:00 ok",
        "12:01 ok",
        "12:02 ok",
        "12:03 unknown",
        "12:04 expected",
    ]


def test_run_that_starts_late_in_an_outage_raises_no_alarm(project: ProjectRef) -> None:
    watch = watching(project)
    task = watch.run("12:01:40")

    outage("12:00:40", "12:01:45")
    sweep("12:01:45")
    assert watch.incidents == []
    watch.report(task, "12:01:50", "success")

    assert (watch.slots[1], watch.incidents) == ("12:01 late", [])


def test_run_that_is_reported_after_an_outage_tells_what_was_unknown(
    project: ProjectRef,
) -> None:
    watch = watching(project)
    outage("12:00:40", "12:03:45")

    watch.run("12:03:50", "success", start_time=at("12:02"))
    watch.run("12:03:55", "error", start_time=at("12:03"))

    assert watch.slots[1:4] == ["12:01 unknown", "12:02 ok", "12:03 error"]
    assert watch.incidents == [("12:03:55", None, 1)]


def test_long_outage_is_summed_up(project: ProjectRef) -> None:
    watch = watching(project)

    outage("12:00:40", "15:20:45")

    assert [slot.count for slot in slots_of(watch.monitor)] == [1] * 101 + [100, 1]
    assert set(watch.slots[1:-1]) == {f"{line.split()[0]} unknown" for line in watch.slots[1:-1]}
    assert watch.slots[-1] == "15:21 expected"


def test_interval_goes_on_waiting_for_one_run(project: ProjectRef) -> None:
    watch = watching(project, interval=600)

    outage("12:10:30", "12:40:30")
    assert watch.deadlines == ["12:10 until 12:41"]
    watch.run("12:40:50", "success")

    assert watch.slots == ["12:00 ok", "12:10 ok", "12:50:50 expected"]


def test_interval_that_was_put_off_is_missed_once(project: ProjectRef) -> None:
    watch = watching(project, interval=600)
    outage("12:10:30", "12:40:30")

    sweep("12:41")

    assert watch.slots == ["12:00 ok", "12:10 missed", "12:50 expected"]


def test_interval_inside_an_outage_is_unknown(project: ProjectRef) -> None:
    watch = watching(project, interval=600)

    outage("12:05", "12:25")

    assert watch.slots == ["12:00 ok", "12:10 unknown", "12:20 unknown", "12:30 expected"]


def test_outage_does_nothing_to_paused_and_new_monitors(project: ProjectRef) -> None:
    paused, new = watching(project), Watch(project, "11:59:30", dict(MINUTELY))
    paused.edit("12:00:10", status="paused")

    outage("12:00:40", "12:03:45")
    sweep("12:03:45")

    assert paused.slots[1:4] == ["12:01 skipped", "12:02 skipped", "12:03 skipped"]
    assert new.slots == ["12:04 expected"]


def test_unknown_slots_neither_open_nor_close_an_incident(project: ProjectRef) -> None:
    watch = watching(project, **MINUTELY, failure_threshold=2)
    sweep("12:01:30")
    outage("12:01:40", "12:02:35")
    sweep("12:03:30")
    assert watch.incidents == []

    sweep("12:04:30")

    assert watch.slots[1:] == [
        "12:01 missed",
        "12:02 unknown",
        "12:03 missed",
        "12:04 missed",
        "12:05 expected",
    ]
    assert watch.incidents == [("12:04:30", None, 2)]


# The worker's clock


@pytest.mark.parametrize("hours", [2, 24])
def test_clock_that_jumps_ahead_alarms_nobody(project: ProjectRef, hours: int) -> None:
    watch = watching(project)
    tick("12:00:30")
    jumped = at("12:00:32") + timedelta(hours=hours)

    tick(jumped.isoformat(" ")[:19])

    assert watch.incidents == []
    assert {slot.state for slot in slots_of(watch.monitor)} == {"ok", "unknown", "expected"}


@pytest.mark.parametrize("hours", [2, 24])
def test_misses_are_noticed_after_a_clock_jumped_ahead_and_back(
    project: ProjectRef, hours: int
) -> None:
    watch = watching(project)
    tick("12:00:30")
    jumped = at("12:00:32") + timedelta(hours=hours)
    tick(jumped.isoformat(" ")[:19])
    tick("12:00:36")
    assert watch.slots == ["12:00 ok", "12:01 expected"]

    for second in range(38, 60, 2):
        tick(f"12:00:{second}")
    for second in range(0, 34, 2):
        tick(f"12:01:{second:02}")

    assert watch.slots == ["12:00 ok", "12:01 missed", "12:02 expected"]
    assert watch.notices == ["monitor_failing"]


@pytest.mark.parametrize("hours", [2, 24])
def test_clock_that_jumps_back_alarms_nobody_and_doubles_nothing(
    project: ProjectRef, hours: int
) -> None:
    watch = watching(project)
    tick("12:00:50")
    tick("12:00:55")
    sweep("12:01:30")
    before = (watch.slots, watch.notices)
    jumped = at("12:01:32") - timedelta(hours=hours)

    tick(jumped.isoformat(" ")[:19])
    watch.run(jumped.isoformat(" ")[:19], "success")

    assert watch.notices == before[1]
    assert [slot for slot in watch.slots if "missed" in slot] == ["12:01 missed"]


def test_interval_and_timeouts_come_back_with_the_clock(project: ProjectRef) -> None:
    interval = watching(project, interval=600)
    cron = watching(project, schedule="0 * * * *", max_runtime=600)
    task = cron.run("13:00")
    late = watching(project, schedule="0 * * * *", start_grace=120)
    endless = watching(project, schedule="0 * * * *")
    endless.run("13:00")
    tick("13:01")
    tick("2026-06-02 13:01")
    assert cron.deadlines[0] == "13:00 until 2026-06-02 13:10"

    tick("13:01:02")

    assert interval.slots[-1] == "13:11:02 expected"
    assert cron.deadlines == ["13:00 until 13:10", "14:00 until 14:01"]
    assert late.deadlines == ["13:00 until 13:02", "14:00 until 14:02"]
    assert endless.slots == ["12:00 ok", "13:00 running", "14:00 expected"]
    cron.report(task, "13:05", "success")
    assert cron.slots == ["12:00 ok", "13:00 ok", "14:00 expected"]


def test_set_back_clock_leaves_monitors_alone_that_expect_as_they_should(
    project: ProjectRef,
) -> None:
    watch = watching(project, schedule="0 0 * * *")

    slot_sweep.rewind(now=at("12:30"))
    db.session.commit()

    assert watch.slots == ["00:00 ok", "2026-06-02 00:00 expected"]


# Many


def test_a_hundred_monitors_due_at_once_are_closed_in_turns(project: ProjectRef) -> None:
    make_many(project, 100)

    turns = [sweep("12:01"), sweep("12:01")]

    assert turns == [100, 0]
    assert states() == {"missed": 100, "expected": 100}
    assert db.session.query(Incident).count() == 100


def test_sweep_takes_no_more_monitors_than_asked_for(project: ProjectRef) -> None:
    make_many(project, 5)

    turns = [sweep("12:01", limit=2) for _ in range(4)]

    assert turns == [2, 2, 1, 0]


def test_outage_with_a_hundred_monitors_due_alarms_nobody(project: ProjectRef) -> None:
    make_many(project, 100)

    outage("11:59", "12:30")
    sweep("12:30")

    assert states() == {"unknown": 100, "expected": 100}
    assert (db.session.query(Incident).count(), all_messages()) == (0, [])
    sweep("13:01")
    assert db.session.query(Incident).count() == 100


def test_idle_sweep_is_one_question(project: ProjectRef) -> None:
    make_many(project, 3)

    with count_queries() as statements:
        due = slot_sweep.is_due(now=at("12:00:59"))

    assert (due, len(statements)) == (False, 1)
    assert slot_sweep.is_due(now=at("12:01")) is True


def test_paused_monitor_queues_no_deliveries_after_a_long_sleep(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("12:00:30", status="paused")

    sweep("2026-07-01 12:00")
    watch.edit("2026-07-01 12:00", status="active")

    # The first, a hundred, their rest, the one that was due when it was resumed, and the next.
    assert [slot.count for slot in slots_of(watch.monitor)] == [1] * 101 + [43_099, 1, 1]
    assert db.session.query(Delivery).count() == 0
