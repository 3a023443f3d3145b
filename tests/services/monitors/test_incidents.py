"""When slots make an incident, who is notified, and what a person may do about it."""

import pytest
from conftest import make_project
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError
from watching import ACTOR, TO_EMAIL, Watch, all_messages, at, sweep

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident
from taskbadger.services.monitors import manage
from taskbadger.services.monitors.sweep import send_deferred_notices

EMPTY: list[str] = []


def watching(project: ProjectRef, **fields: object) -> Watch:
    """Return an hourly monitor that had a first run, in the slot of 11:00."""
    watch = Watch(project, fields=dict(fields))
    watch.run("11:40", "success")
    return watch


def live(watch: Watch, outcomes: str) -> None:
    """Let one slot after the other end so, from 12:00 on."""
    hour = 12
    for outcome in outcomes.split():
        if outcome == "missed":
            sweep(f"{hour}:01")
        elif outcome != "none":
            watch.run(f"{hour}:00", outcome)
        hour += 1


@pytest.mark.parametrize(
    ("outcomes", "thresholds", "incidents", "notices"),
    [
        ("success success", (1, 1), [], ""),
        ("error", (1, 1), [("12:00", None, 1)], "failing"),
        ("missed", (1, 1), [("12:01", None, 1)], "failing"),
        ("missed missed error", (1, 1), [("12:01", None, 3)], "failing"),
        ("error success", (1, 1), [("12:00", "13:00", 1)], "failing recovered"),
        ("error error success", (2, 1), [("13:00", "14:00", 2)], "failing recovered"),
        ("error success error", (2, 1), [], ""),
        ("error cancelled error", (2, 1), [], ""),
        ("error success success", (1, 2), [("12:00", "14:00", 1)], "failing recovered"),
        ("error success error success", (1, 2), [("12:00", None, 2)], "failing"),
        ("error cancelled", (1, 1), [("12:00", None, 1)], "failing"),
        (
            "error success missed success",
            (1, 1),
            [("12:00", "13:00", 1), ("14:01", "15:00", 1)],
            "failing recovered failing recovered",
        ),
    ],
)
def test_incident_opens_and_closes_once_and_says_so_once(
    project: ProjectRef,
    outcomes: str,
    thresholds: tuple[int, int],
    incidents: list[tuple[str, str | None, int]],
    notices: str,
) -> None:
    failure, recovery = thresholds
    watch = watching(project, failure_threshold=failure, recovery_threshold=recovery)

    live(watch, outcomes)

    assert watch.incidents == incidents
    assert watch.notices == [f"monitor_{notice}" for notice in notices.split()]


def test_first_run_that_fails_is_an_incident(project: ProjectRef) -> None:
    watch = Watch(project)

    watch.run("12:00", "error")

    assert watch.notices == ["monitor_failing"]


def test_timeout_is_bad_and_late_is_good(project: ProjectRef) -> None:
    watch = watching(project, max_runtime=600)
    task = watch.run("12:00")
    sweep("12:10")
    assert watch.incidents == [("12:10", None, 1)]

    watch.report(task, "12:20", "success")

    assert watch.incidents == [("12:10", "12:20", 1)]


def test_run_that_comes_after_all_closes_the_incident_of_its_slot(project: ProjectRef) -> None:
    watch = watching(project)
    sweep("12:01")

    watch.run("12:20", "success")

    assert watch.slots[1] == "12:00 late"
    assert watch.incidents == [("12:01", "12:20", 1)]


def test_late_run_before_the_sweep_is_no_incident(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:01:01", "success")

    sweep("12:02")

    assert (watch.slots[1], watch.incidents) == ("12:00 late", [])


def test_late_run_that_still_works_is_one_for_the_sweep(project: ProjectRef) -> None:
    watch = watching(project)
    task = watch.run("12:01:01")
    assert watch.incidents == []

    sweep("12:01:02")
    assert watch.incidents == [("12:01:02", None, 1)]
    watch.report(task, "12:05", "success")

    assert watch.incidents == [("12:01:02", "12:05", 1)]


def test_error_of_an_extra_run_is_an_incident(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "success")

    watch.run("12:30", "error")

    assert watch.incidents == [("12:30", None, 1)]


def test_error_after_a_miss_is_the_same_bad_slot(project: ProjectRef) -> None:
    watch = watching(project)
    sweep("12:01")

    watch.run("12:20", "error")

    assert watch.slots[1] == "12:00 error"
    assert watch.incidents == [("12:01", None, 1)]


def test_notices_say_what_where_and_since_when(project: ProjectRef) -> None:
    watch = watching(project, schedule="0 * * * *", timezone="Asia/Kathmandu")
    sweep("12:16")
    watch.run("13:15", "success")
    incident_id = db.session.query(Incident.id).scalar()
    shown = {
        "id": str(watch.monitor.id),
        "name": "nightly",
        "schedule": "0 * * * *",
        "timezone": "Asia/Kathmandu",
    }
    opened = "2026-06-01T12:16:00.000000Z"

    failing, recovered = all_messages()

    assert failing["title"] == "nightly is failing (1 failed or missed run since 12:16 UTC)"
    assert (failing["organization"], failing["project"]) == ("acme", "web")
    assert failing["monitor"] == recovered["monitor"] == shown
    assert failing["incident"] == {
        "id": incident_id,
        "opened": opened,
        "closed": None,
        "bad_slots": 1,
    }
    assert recovered["title"] == "nightly recovered after 59 min, 1 failed or missed run"
    assert recovered["incident"] == {
        "id": incident_id,
        "opened": opened,
        "closed": "2026-06-01T13:15:00.000000Z",
        "bad_slots": 1,
    }


def test_interval_is_shown_as_such(project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 600})
    watch.run("12:00", "error")

    assert all_messages()[0]["monitor"] == {
        "id": str(watch.monitor.id),
        "name": "nightly",
        "interval": 600,
    }


def test_each_channel_is_notified_once(project: ProjectRef) -> None:
    other = [{"integration": "email", "config": {"to": "b@example.com"}}]
    watch = watching(project, action=TO_EMAIL + other)

    watch.run("12:00", "error")
    deliveries = db.session.query(Delivery.kind, Delivery.integration, Delivery.config).all()

    assert sorted(deliveries) == [
        ("monitor_failing", "email", '{"to": "b@example.com"}'),
        ("monitor_failing", "email", '{"to": "ops@example.com"}'),
    ]


def test_notice_of_a_deleted_monitor_keeps_no_other_from_being_sent(project: ProjectRef) -> None:
    for _ in range(2):
        watch = watching(project)
        watch.run("12:00", "error")
        manage.delete_monitor(project, watch.monitor.id, now=at("12:10"), actor=ACTOR)
        db.session.commit()

    assert len(all_messages()) == 2


def test_monitor_without_channels_notifies_nobody(project: ProjectRef) -> None:
    watch = watching(project, action=[])

    watch.run("12:00", "error")

    assert (watch.incidents, all_messages()) == ([("12:00", None, 1)], [])


# Muted


def test_muted_monitor_records_and_says_nothing(project: ProjectRef) -> None:
    watch = watching(project, status="muted")

    live(watch, "error success")

    assert watch.slots == ["11:00 ok", "12:00 error", "13:00 ok", "14:00 expected"]
    assert watch.incidents == [("12:00", "13:00", 1)]
    assert watch.notices == EMPTY


def test_mute_ends_by_itself(project: ProjectRef) -> None:
    watch = watching(project, status="muted", muted_until=at("12:30"))

    live(watch, "error success error")

    assert watch.notices == ["monitor_failing"]
    assert watch.incidents == [("12:00", "13:00", 1), ("14:00", None, 1)]


def test_recovery_from_a_failure_without_a_notice_has_none_either(project: ProjectRef) -> None:
    watch = watching(project, status="muted")
    watch.run("12:00", "error")
    watch.edit("12:30", status="active")

    watch.run("13:00", "success")

    assert (watch.incidents, watch.notices) == ([("12:00", "13:00", 1)], EMPTY)


def test_recovery_in_a_mute_is_not_notified(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    watch.edit("12:30", status="muted")

    watch.run("13:00", "success")

    assert watch.notices == ["monitor_failing"]


def test_muting_moves_no_slot(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("12:00:30", status="muted")
    watch.edit("12:00:40", status="active")

    assert watch.deadlines == ["12:00 until 12:01"]


# Paused


def test_paused_monitor_skips_its_slots(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("11:50", status="paused")
    watch.run("12:00", "error")
    sweep("12:01")
    sweep("13:01")

    assert watch.slots == ["11:00 ok", "12:00 skipped", "13:00 skipped", "14:00 expected"]
    assert watch.incidents == []


def test_pausing_skips_the_run_that_is_going_on(project: ProjectRef) -> None:
    watch = watching(project)
    task = watch.run("12:00")
    watch.edit("12:10", status="paused")

    watch.report(task, "12:20", "error")

    assert watch.slots == ["11:00 ok", "12:00 skipped", "13:00 expected"]
    assert watch.incidents == []


def test_recovery_after_a_pause_is_notified_to_those_who_knew_of_the_failure(
    project: ProjectRef,
) -> None:
    watch = watching(project)
    watch.run("12:00", "error")

    watch.edit("12:10", status="paused")
    watch.run("13:00", "success")
    watch.edit("13:20", status="active")
    assert watch.notices == ["monitor_failing"]
    watch.run("14:00", "success")
    watch.run("15:00", "success")

    assert watch.incidents == [("12:00", "14:00", 1)]
    assert watch.notices == ["monitor_failing", "monitor_recovered"]


def test_pausing_closes_an_incident_that_nobody_was_told_of(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("11:50", status="muted")
    watch.run("12:00", "error")

    watch.edit("12:10", status="paused")
    watch.edit("12:20", status="active")
    watch.run("13:00", "success")

    assert watch.incidents == [("12:00", "12:10", 1)]
    assert watch.notices == []


def test_pausing_twice_keeps_an_incident_that_was_told(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    for minute in range(10, 50, 10):
        status = "active" if minute % 20 == 0 else "paused"
        watch.edit(f"12:{minute}", status=status)
    watch.run("13:00", "success")

    assert watch.notices == ["monitor_failing", "monitor_recovered"]


def test_recovery_after_a_pause_waits_for_the_end_of_a_mute(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    watch.edit("12:10", status="paused")
    watch.edit("12:20", status="muted")
    watch.run("13:00", "success")
    assert watch.notices == ["monitor_failing"]

    watch.edit("13:20", status="active")
    send_deferred_notices(now=at("13:21"))
    db.session.commit()

    assert watch.notices == ["monitor_failing", "monitor_recovered"]


def test_resuming_misses_nothing_backwards(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("11:50", status="paused")

    watch.edit("15:00:30", status="active")
    sweep("15:05")

    assert watch.slots == ["11:00 ok", "12:00 skipped", "16:00 expected"]
    assert watch.incidents == []


def test_failure_that_outlasts_a_pause_is_notified_once(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    watch.edit("12:10", status="paused")
    watch.edit("12:20", status="active")

    sweep("13:01")

    assert watch.incidents == [("12:00", None, 2)]
    assert watch.notices == ["monitor_failing"]


# The database's word


def test_database_refuses_a_second_open_incident(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")
    second = {
        "monitor_id": watch.monitor.id,
        "opened_at": at("12:00"),
        "bad_slots": 1,
        "notified": False,
    }

    with pytest.raises(IntegrityError):
        db.session.execute(insert(Incident), second)
    db.session.rollback()


def test_incidents_of_two_monitors_are_each_its_own(project: ProjectRef) -> None:
    ours, theirs = watching(project), watching(make_project("globex", "api"))

    ours.run("12:00", "error")
    theirs.run("12:00", "error")

    assert (ours.notices, theirs.notices) == (["monitor_failing"], ["monitor_failing"])
    assert sorted(message["organization"] for message in all_messages()) == ["acme", "globex"]
