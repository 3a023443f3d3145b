"""Notices deferred by a mute: the worker sends them once it has ended, by the real clock."""

import json
from datetime import datetime, timedelta

import pytest
from conftest import count_queries
from flask import Flask
from plans import plan_of
from simultaneous import at_once
from watching import Watch

from taskbadger.clock import utcnow
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident
from taskbadger.services.monitors import sweep
from taskbadger.worker import sweeps

GRACE = {"start_grace": 86_400, "schedule": "0 * * * *"}


class Past(Watch):
    """A watch whose times are hours before now; nothing of it is due."""

    def time(self, ago: int) -> str:
        hour = utcnow().replace(minute=0, second=0, microsecond=0) - timedelta(hours=ago)
        return f"{hour:%Y-%m-%d %H:%M}"


def watching(project: ProjectRef) -> Past:
    """Return an hourly monitor that had a first run nine hours ago."""
    start = utcnow() - timedelta(hours=10)
    watch = Past(project, f"{start:%Y-%m-%d %H:%M}", GRACE)
    watch.run(watch.time(9), "success")
    return watch


def mute(watch: Past, ago: int, until: datetime | None = None) -> None:
    watch.edit(watch.time(ago), status="muted", muted_until=until)


def turn() -> None:
    """Let the worker take a turn."""
    db.session.rollback()
    while sweeps.close_slots():
        pass


def ended() -> datetime:
    """Return a moment just before now: a mute until then is over."""
    return utcnow() - timedelta(seconds=1)


@pytest.mark.parametrize("way", ["unmuted", "run out"])
@pytest.mark.parametrize(
    ("before", "within", "sent"),
    [
        ("", "error", "failing"),
        ("", "error error", "failing"),
        ("", "error success", ""),
        ("", "error success error", "failing"),
        ("error", "", ""),
        ("error", "error", ""),
        ("error", "success", "recovered"),
        ("error", "success error", "recovered failing"),
        ("error", "success error success", "recovered"),
        ("", "success", ""),
    ],
)
def test_end_of_a_mute_sends_what_changed_and_lasts(
    project: ProjectRef, way: str, before: str, within: str, sent: str
) -> None:
    watch = watching(project)
    ago = 8
    for outcome in before.split():
        watch.run(watch.time(ago), outcome)
        ago -= 1
    mute(watch, ago)
    known = watch.notices
    for outcome in within.split():
        watch.run(watch.time(ago), outcome)
        ago -= 1
    turn()
    assert watch.notices == known

    if way == "unmuted":
        watch.edit(watch.time(1), status="active")
    else:
        watch.edit(watch.time(3), muted_until=ended())
    turn()
    turn()

    assert sorted(watch.notices) == sorted([*known, *(f"monitor_{word}" for word in sent.split())])


def test_incident_with_a_deferred_notice_goes_on_as_usual(project: ProjectRef) -> None:
    watch = watching(project)
    mute(watch, 8)
    watch.run(watch.time(8), "error")
    watch.edit(watch.time(7), status="active")
    turn()

    watch.run(watch.time(6), "error")
    watch.run(watch.time(5), "success")
    turn()

    assert sorted(watch.notices) == ["monitor_failing", "monitor_recovered"]
    assert [one.notified for one in db.session.query(Incident)] == [True]


def test_recovery_goes_to_those_who_were_notified_of_the_failure(project: ProjectRef) -> None:
    watch = watching(project)
    watch.run(watch.time(8), "error")
    mute(watch, 8)
    other = [{"integration": "email", "config": {"to": "other@example.com"}}]
    watch.edit(watch.time(8), action=other)
    watch.run(watch.time(7), "success")
    watch.run(watch.time(6), "error")
    watch.edit(watch.time(5), status="active")
    turn()

    sent = db.session.query(Delivery.kind, Delivery.config).all()

    assert sorted((kind, json.loads(config)["to"]) for kind, config in sent) == [
        ("monitor_failing", "ops@example.com"),
        ("monitor_failing", "other@example.com"),
        ("monitor_recovered", "ops@example.com"),
    ]


def test_failure_in_a_pause_is_notified_by_the_first_failure_after_it(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit(watch.time(8), status="paused")
    watch.run(watch.time(7), "error")
    turn()
    watch.edit(watch.time(6), status="active")
    turn()
    assert watch.notices == []

    watch.run(watch.time(5), "error")
    watch.run(watch.time(4), "error")
    turn()

    assert watch.notices == ["monitor_failing"]


def test_pause_of_a_muted_monitor_keeps_its_silence(project: ProjectRef) -> None:
    watch = watching(project)
    mute(watch, 8)
    watch.run(watch.time(8), "error")
    watch.edit(watch.time(7), status="paused")
    turn()
    watch.edit(watch.time(6), status="active")
    turn()

    assert watch.notices == []


def test_several_workers_notify_once(app: Flask, project: ProjectRef) -> None:
    watched = [watching(project) for _ in range(4)]
    for watch in watched:
        watch.run(watch.time(8), "error")
        mute(watch, 8)
        watch.run(watch.time(7), "success")
        watch.run(watch.time(6), "error")
        watch.edit(watch.time(5), status="active")

    at_once(app, *[lambda: sweep.send_deferred_notices(now=utcnow())] * 4)
    turn()

    sent = ["monitor_failing", "monitor_failing", "monitor_recovered"]
    assert [sorted(watch.notices) for watch in watched] == [sent] * 4


def test_idle_turn_asks_one_question_whatever_is_deferred(project: ProjectRef) -> None:
    watch = watching(project)
    mute(watch, 8)
    watch.run(watch.time(8), "error")
    db.session.rollback()

    with count_queries() as statements:
        due = sweep.is_due(now=utcnow())

    assert (due, len(statements)) == (False, 1)
    assert sweep.is_due(now=utcnow() + timedelta(days=2)) is True  # Its slots.


def test_deferred_notices_are_found_by_an_index(project: ProjectRef) -> None:
    plan = plan_of(lambda: sweep.is_due(now=utcnow()))

    assert "ix_incident_held" in plan
