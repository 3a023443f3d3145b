"""The slots of a monitor as rows: the current slot, gaps, and a schedule that restarts."""

from datetime import UTC, datetime, timedelta

import pytest
from watching import Watch, at, clock, slots_of

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.schedule import parse_cron, parse_interval
from taskbadger.domain.slots import SlotEvent, SlotState, SlotTimes, next_slot
from taskbadger.errors import ScheduleError
from taskbadger.extensions import db
from taskbadger.models import Monitor
from taskbadger.services.monitors import slots

INTERVAL = {"interval": 600}


def locked(watch: Watch) -> Monitor:
    monitor = slots.lock_monitor(watch.monitor.id)
    assert monitor is not None
    return monitor


def as_missed(_times: SlotTimes) -> tuple[SlotState, datetime | None]:
    return SlotState.MISSED, None


def test_schedule_is_that_of_the_type(project: ProjectRef) -> None:
    cron = Watch(project, fields={"timezone": "Europe/Paris"}).monitor
    interval = Watch(project, fields={"interval": 600, "anchor": "end"}).monitor

    assert slots.schedule_of(cron) == parse_cron("0 * * * *", "Europe/Paris")
    assert slots.schedule_of(interval) == parse_interval(600, "end")


def test_zone_that_is_no_longer_known_makes_the_schedule_unreadable(project: ProjectRef) -> None:
    monitor = Watch(project).monitor
    monitor.timezone = "Mars/Base"

    with pytest.raises(ScheduleError):
        slots.schedule_of(monitor)


def test_grace_is_the_monitors_own_or_the_default(project: ProjectRef) -> None:
    monitors = [
        Watch(project, fields=fields).monitor
        for fields in ({"start_grace": 5}, {}, {"interval": 6000}, INTERVAL)
    ]

    assert [slots.grace_of(monitor).total_seconds() for monitor in monitors] == [5, 60, 600, 60]


def test_tolerances_are_the_monitors_own(project: ProjectRef) -> None:
    watch = Watch(project, fields={"start_grace": 5, "early_margin": 7})

    assert slots.tolerances(watch.monitor) == {"start_grace": 5, "margin": 7}


def test_new_cron_monitor_has_a_current_slot_and_no_past_one(project: ProjectRef) -> None:
    monitor = locked(Watch(project))

    current = slots.current_slot(monitor)

    assert current is not None
    assert (current.expected_at, current.state) == (at("12:00"), "expected")
    assert slots.is_current(monitor, current)
    assert slots.find_slot(monitor, at("12:00")) is current
    assert slots.find_slot(monitor, at("13:00")) is None
    assert slots.newest_past_slot(monitor) is None


def test_newest_past_slot_is_the_one_before_the_current(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    watch.run("13:00", "error")
    monitor = locked(watch)

    past = slots.newest_past_slot(monitor)

    assert past is not None
    assert (past.expected_at, past.state) == (at("13:00"), "error")
    assert not slots.is_current(monitor, past)


def test_new_interval_has_no_slot(project: ProjectRef) -> None:
    monitor = locked(Watch(project, fields=INTERVAL))

    assert slots.current_slot(monitor) is None
    assert slots.newest_past_slot(monitor) is None


def test_deleted_monitor_cannot_be_locked(project: ProjectRef) -> None:
    monitor_id = Watch(project).monitor.id
    db.session.execute(Monitor.__table__.delete())

    assert slots.lock_monitor(monitor_id) is None


def test_current_slot_is_moved_inserted_and_deleted(project: ProjectRef) -> None:
    watch = Watch(project)
    monitor = locked(watch)
    schedule = slots.schedule_of(monitor)

    slots.replace_current(monitor, next_slot(schedule, at("14:30")))
    moved = watch_slots(watch)
    slots.replace_current(monitor, None)
    deleted = watch_slots(watch)
    slots.replace_current(monitor, None)
    slots.replace_current(monitor, next_slot(schedule, at("16:30")))

    assert (moved, deleted) == (["15:00 until 15:01"], [])
    assert watch_slots(watch) == ["17:00 until 17:01"]
    assert monitor.expected_at == at("17:00")


def watch_slots(watch: Watch) -> list[str]:
    """Return when each slot is expected, and its deadline."""
    db.session.flush()
    return [
        f"{clock(slot.expected_at)} until {slot.deadline_at and clock(slot.deadline_at)}"
        for slot in slots_of(watch.monitor)
    ]


def test_event_changes_the_state_and_an_outcome_ends_the_wait(project: ProjectRef) -> None:
    slot = slots.current_slot(locked(Watch(project)))
    assert slot is not None

    changes = [slots.apply_event(slot, SlotEvent.STARTED)]
    waiting = (slot.state, slot.deadline_at)
    changes += [slots.apply_event(slot, SlotEvent.STARTED)]
    changes += [slots.apply_event(slot, SlotEvent.SUCCEEDED)]

    assert changes == [True, False, True]
    assert waiting == ("running", at("12:01"))
    assert (slot.state, slot.deadline_at) == ("ok", None)


def test_bad_slots_are_counted_by_what_a_row_sums_up(project: ProjectRef) -> None:
    slot = slots.current_slot(locked(Watch(project)))
    assert slot is not None
    slot.count = 7

    counts = [slots.count_bad(slot)]
    slots.apply_event(slot, SlotEvent.DEADLINE_PASSED)

    assert [*counts, slots.count_bad(slot)] == [0, 7]


def test_gap_is_filled_with_slots(project: ProjectRef) -> None:
    watch = Watch(project)
    monitor = locked(watch)

    rows = slots.fill_gap(monitor, at("12:00"), at("15:00"), as_missed)

    assert [(clock(row.expected_at), row.state, row.count) for row in rows] == [
        ("13:00", "missed", 1),
        ("14:00", "missed", 1),
        ("15:00", "missed", 1),
    ]
    assert slots.last_expected_at(rows, at("12:00")) == at("15:00")


def test_rest_of_a_long_gap_is_one_row(project: ProjectRef) -> None:
    monitor = locked(Watch(project))

    rows = slots.fill_gap(monitor, at("12:00"), at("2026-06-08 12:00"), as_missed)

    assert len(rows) == 100
    assert (rows[-1].count, sum(row.count for row in rows)) == (69, 168)
    assert slots.last_expected_at(rows, at("12:00")) == at("2026-06-08 12:00")


def test_empty_gap_has_no_rows(project: ProjectRef) -> None:
    rows = slots.fill_gap(locked(Watch(project)), at("12:00"), at("12:59"), as_missed)

    assert list(rows) == []
    assert slots.last_expected_at(rows, at("12:00")) == at("12:00")


def test_cron_run_is_due_when_it_is_expected(project: ProjectRef) -> None:
    monitor = locked(Watch(project))
    slot = slots.current_slot(monitor)
    assert slot is not None
    assert slot.deadline_at is not None
    slot.deadline_at += timedelta(hours=1)

    assert slots.due_at(monitor, slot) == at("12:00")


def test_interval_run_is_due_a_grace_before_its_deadline(project: ProjectRef) -> None:
    watch = Watch(project, fields=INTERVAL)
    watch.run("12:00", "success")
    monitor = locked(watch)
    slot = slots.current_slot(monitor)
    assert slot is not None
    assert slot.deadline_at is not None
    slot.deadline_at += timedelta(minutes=5)

    assert (slot.expected_at, slots.due_at(monitor, slot)) == (at("12:10"), at("12:15"))


def test_run_in_progress_is_known_until_it_ends(project: ProjectRef) -> None:
    watch = Watch(project)

    states = [slots.is_running(watch.monitor)]
    task = watch.run("12:00")
    states += [slots.is_running(watch.monitor)]
    watch.report(task, "12:05", "success")

    assert [*states, slots.is_running(watch.monitor)] == [False, True, False]


def test_open_slots_are_those_without_an_outcome(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("12:00", "success")
    watch.run("13:00")

    found = slots.open_slots(watch.monitor)

    assert [(clock(slot.expected_at), slot.state) for slot in found] == [
        ("13:00", "running"),
        ("14:00", "expected"),
    ]


def test_schedule_that_restarts_skips_what_is_due(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.run("11:40", "success")
    monitor = locked(watch)

    slots.restart_schedule(monitor, now=at("12:00:30"))
    db.session.commit()

    assert watch.slots == ["11:00 ok", "12:00 skipped", "13:00 expected"]
    assert (monitor.epoch, monitor.expected_at) == (2, datetime(2026, 6, 1, 13, tzinfo=UTC))


def test_interval_that_restarts_before_its_first_run_expects_nothing(project: ProjectRef) -> None:
    watch = Watch(project, fields=INTERVAL)
    monitor = locked(watch)

    slots.restart_schedule(monitor, now=at("12:00"))

    assert (watch.slots, monitor.expected_at) == ([], None)
