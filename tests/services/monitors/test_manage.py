"""Monitors that are created, changed, paused, muted, resumed and deleted, and their audit."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import audit_entries, make_project
from managing import audited
from sqlalchemy import func, select
from watching import ACTOR, TO_EMAIL, Watch, at, sweep

from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import MonitorSettings
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor, Slot, Task
from taskbadger.services.monitors import manage

ADA = Actor("user", "ada@example.com")
CRON = {"name": "nightly", "type": "cron", "schedule": "0 * * * *"}
INTERVAL = {"name": "poll", "type": "interval", "interval": 600}


def create(project: ProjectRef, data: dict[str, Any], actor: Actor = ACTOR) -> Monitor:
    monitor = manage.create_monitor(project, data, now=at("11:30"), actor=actor)
    db.session.commit()
    return monitor


def update(project: ProjectRef, monitor: Monitor, time: str = "12:00", **changes: Any) -> Monitor:
    updated = manage.update_monitor(project, monitor.id, changes, now=at(time), actor=ADA)
    db.session.commit()
    return updated


def errors_of(project: ProjectRef, data: dict[str, Any]) -> list[FieldError]:
    with pytest.raises(ValidationFailed) as error:
        manage.create_monitor(project, data, now=at("11:30"), actor=ACTOR)
    db.session.rollback()
    return list(error.value.errors)


def watching(project: ProjectRef, **fields: object) -> Watch:
    """Return an hourly monitor that had a first run, in the slot of 11:00."""
    watch = Watch(project, fields=dict(fields))
    watch.run("11:40", "success")
    return watch


# Settings


def test_cron_monitor_has_defaults_and_expects_its_next_run(project: ProjectRef) -> None:
    monitor = create(project, CRON)

    assert manage.settings_of(monitor) == MonitorSettings(
        name="nightly", slug="nightly", type="cron", schedule="0 * * * *", action=[]
    )
    assert (monitor.seen, monitor.epoch, monitor.expected_at) == (False, 1, at("12:00"))
    assert (monitor.created, monitor.updated) == (at("11:30"), at("11:30"))


def test_interval_counts_from_the_start_and_expects_nothing_yet(project: ProjectRef) -> None:
    monitor = create(project, INTERVAL)

    assert manage.settings_of(monitor) == MonitorSettings(
        name="poll", slug="poll", type="interval", interval=600, anchor="start", action=[]
    )
    assert monitor.expected_at is None


def test_every_setting_is_saved(project: ProjectRef) -> None:
    settings: dict[str, Any] = {
        "name": "nightly",
        "slug": "the_night",
        "type": "cron",
        "schedule": "30 2 * * *",
        "timezone": "Europe/Paris",
        "start_grace": 10,
        "max_runtime": 20,
        "early_margin": 30,
        "failure_threshold": 2,
        "recovery_threshold": 3,
        "status": "muted",
        "muted_until": at("13:00"),
        "action": TO_EMAIL,
    }

    monitor = create(project, settings)

    assert manage.settings_of(monitor) == MonitorSettings(**settings)


def test_change_keeps_what_it_does_not_name(project: ProjectRef) -> None:
    monitor = create(project, CRON | {"max_runtime": 20, "action": TO_EMAIL})
    before = manage.settings_of(monitor)

    updated = update(project, monitor, name="weekly")

    assert manage.settings_of(updated) == replace(before, name="weekly")
    assert (updated.created, updated.updated) == (at("11:30"), at("12:00"))


def test_change_of_the_type_drops_the_fields_of_the_other(project: ProjectRef) -> None:
    monitor = create(project, CRON)

    interval = manage.settings_of(update(project, monitor, type="interval", interval=60))
    cron = manage.settings_of(update(project, monitor, type="cron", schedule="@daily"))

    assert (interval.schedule, interval.interval, interval.anchor) == (None, 60, "start")
    assert (cron.schedule, cron.interval, cron.anchor) == ("@daily", None, None)


def test_end_of_a_mute_goes_with_the_mute(project: ProjectRef) -> None:
    monitor = create(project, CRON | {"status": "muted", "muted_until": at("14:00")})

    muted = manage.settings_of(update(project, monitor, name="weekly"))
    active = manage.settings_of(update(project, monitor, status="active"))

    assert (muted.status, muted.muted_until) == ("muted", at("14:00"))
    assert (active.status, active.muted_until) == ("active", None)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"interval": 60},
            FieldError("invalid", "Only valid for monitors of type interval.", "interval"),
        ),
        (
            {"anchor": "end"},
            FieldError("invalid", "Only valid for monitors of type interval.", "anchor"),
        ),
        ({"schedule": None}, FieldError("required", "This field is required.", "schedule")),
        (
            {"muted_until": at("13:00")},
            FieldError("invalid", "Only valid with the status muted.", "muted_until"),
        ),
        (
            {"status": "muted", "muted_until": at("11:30")},
            FieldError("invalid", "Give a time in the future.", "muted_until"),
        ),
        (
            {"timezone": "Mars/Base"},
            FieldError(
                "invalid",
                'timezone: "Mars/Base" is unknown; use an IANA name such as Europe/Paris or UTC.',
                "timezone",
            ),
        ),
        (
            {"schedule": "60 * * * *"},
            FieldError("invalid", 'minute: "60" is not valid; use 0 to 59.', "schedule"),
        ),
    ],
)
def test_wrong_setting_is_refused(
    project: ProjectRef, fields: dict[str, Any], error: FieldError
) -> None:
    assert errors_of(project, CRON | fields) == [error]
    assert db.session.scalar(select(func.count()).select_from(Monitor)) == 0


def test_channel_that_is_missing_is_refused(project: ProjectRef) -> None:
    notices = [*TO_EMAIL, {"integration": "webhook:gone", "config": {}}]

    (error,) = errors_of(project, CRON | {"action": notices})

    assert error.attr == "action.1.integration"


# Finding


def test_monitor_is_found_in_its_project_only(project: ProjectRef) -> None:
    monitor, other = create(project, CRON), make_project("globex", "api")

    assert manage.get_monitor(project, monitor.id) is monitor
    assert manage.find_monitor_id(project, str(monitor.id)) == monitor.id
    assert manage.find_monitor_id(project, "nightly") == monitor.id
    for call in (
        lambda: manage.get_monitor(other, monitor.id),
        lambda: manage.update_monitor(other, monitor.id, {}, now=at("12:00"), actor=ADA),
        lambda: manage.delete_monitor(other, monitor.id, now=at("12:00"), actor=ADA),
    ):
        with pytest.raises(NotFound):
            call()
    db.session.rollback()


@pytest.mark.parametrize("text", ["", "nightly", "00000000-0000-0000-0000-000000000001"])
def test_header_that_names_no_monitor_is_refused(project: ProjectRef, text: str) -> None:
    with pytest.raises(ValidationFailed) as error:
        manage.find_monitor_id(project, text)

    detail = f"There is no monitor “{text}” in this project."
    assert list(error.value.errors) == [FieldError("does_not_exist", detail, manage.HEADER)]


def test_expected_runs_are_those_of_the_schedule(project: ProjectRef) -> None:
    monitor = create(project, CRON)

    assert manage.expected_runs(monitor, 3) == [at("12:00"), at("13:00"), at("14:00")]
    assert manage.expected_runs(monitor, 0) == []


def test_paused_and_new_interval_monitors_expect_no_runs(project: ProjectRef) -> None:
    paused = create(project, CRON | {"status": "paused"})

    assert manage.expected_runs(paused, 3) == []
    assert manage.expected_runs(create(project, INTERVAL), 3) == []


def test_expected_runs_of_an_interval_are_an_interval_apart(project: ProjectRef) -> None:
    watch = Watch(project, fields={"interval": 600})
    watch.run("12:00", "success")

    runs = manage.expected_runs(watch.monitor, 3)

    assert runs == [at("12:10"), at("12:20"), at("12:30")]
    assert runs[1] - runs[0] == timedelta(minutes=10)


# Deleting


def test_deleted_monitor_takes_slots_and_incidents_but_no_tasks(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run("12:00", "error")

    manage.delete_monitor(project, watch.monitor.id, now=at("12:30"), actor=ADA)
    db.session.commit()

    counts = [
        db.session.scalar(select(func.count()).select_from(model))
        for model in (Monitor, Slot, Incident, Task)
    ]
    assert counts == [0, 0, 0, 2]


def test_deleting_an_unknown_monitor_is_not_found(project: ProjectRef) -> None:
    with pytest.raises(NotFound):
        manage.delete_monitor(project, UUID(int=1), now=at("12:00"), actor=ADA)
    db.session.rollback()


# The audit log


def test_every_change_is_audited_with_its_actor(project: ProjectRef) -> None:
    monitor = create(project, CRON, ADA)
    update(project, monitor, status="paused")
    update(project, monitor, status="muted")
    update(project, monitor, status="active")
    manage.delete_monitor(project, monitor.id, now=at("13:00"), actor=ACTOR)
    db.session.commit()

    assert audited() == [
        ("user", "ada@example.com", "monitor.create", "web/nightly"),
        ("user", "ada@example.com", "monitor.change", "web/nightly"),
        ("user", "ada@example.com", "monitor.change", "web/nightly"),
        ("user", "ada@example.com", "monitor.change", "web/nightly"),
        ("key", "ci", "monitor.delete", "web/nightly"),
    ]
    assert [entry.detail for entry in db.session.scalars(audit_entries())] == [
        "",
        "status: active → paused",
        "status: paused → muted",
        "status: muted → active",
        "",
    ]


def test_change_that_changes_nothing_is_not_audited(project: ProjectRef) -> None:
    monitor = create(project, CRON)
    update(project, monitor, **CRON)

    assert [verb for _, _, verb, _ in audited()] == ["monitor.create"]


def test_refused_change_is_not_audited(project: ProjectRef) -> None:
    monitor = create(project, CRON)

    with pytest.raises(ValidationFailed):
        update(project, monitor, timezone="Mars/Base")
    db.session.rollback()

    assert [verb for _, _, verb, _ in audited()] == ["monitor.create"]


# What an edit does to the slots


def test_edited_schedule_expects_from_now_on(project: ProjectRef) -> None:
    watch = watching(project)

    watch.edit("12:00:30", schedule="30 * * * *")
    sweep("12:10")

    assert watch.slots == ["11:00 ok", "12:00 skipped", "12:30 expected"]
    assert watch.incidents == []


@pytest.mark.parametrize(
    "changes",
    [
        {"timezone": "Asia/Kathmandu"},
        {"start_grace": 0},
        {"early_margin": 0},
        {"type": "interval", "interval": 60},
    ],
)
def test_every_change_of_the_times_begins_anew(
    project: ProjectRef, changes: dict[str, object]
) -> None:
    watch = watching(project)

    watch.edit("12:00:30", **changes)
    sweep("12:01:10")

    assert watch.slots[1] == "12:00 skipped"
    assert watch.incidents == []


def test_change_of_the_name_begins_nothing_anew(project: ProjectRef) -> None:
    watch = watching(project)

    watch.edit("12:00:30", name="hourly", max_runtime=60, failure_threshold=1, action=[])
    sweep("12:01")

    assert watch.slots[1] == "12:00 missed"


def test_edited_monitor_counts_its_failures_from_nothing(project: ProjectRef) -> None:
    watch = watching(project, failure_threshold=2)
    watch.run("12:00", "error")
    watch.edit("12:10", schedule="30 * * * *")

    watch.run("12:30", "error")
    assert watch.incidents == []
    watch.run("13:30", "error")

    assert watch.incidents == [("13:30", None, 2)]


def test_run_that_was_going_on_when_the_monitor_was_edited_counts(project: ProjectRef) -> None:
    watch = watching(project)
    task = watch.run("12:00")
    watch.edit("12:10", schedule="30 * * * *")

    watch.report(task, "12:20", "error")

    assert watch.incidents == [("12:20", None, 1)]


def test_edit_before_a_slot_that_an_early_run_has_filled_asks_for_no_other(
    project: ProjectRef,
) -> None:
    watch = watching(project)
    watch.run("11:56", "success")

    watch.edit("11:58", start_grace=120)

    assert watch.slots == ["11:00 ok", "12:00 ok", "13:00 expected"]


def test_changes_by_hand_are_in_the_audit_log(project: ProjectRef) -> None:
    watch = Watch(project)
    watch.edit("12:00", name="weekly", failure_threshold=2)

    entries = db.session.scalars(audit_entries())
    assert [(one.verb, one.subject, one.detail) for one in entries] == [
        ("monitor.create", "web/nightly", ""),
        ("monitor.change", "web/weekly", "name: nightly → weekly; failure_threshold: 1 → 2"),
    ]
