"""Windows, snoozes, mutes and pauses that overlap: what still holds afterwards is told once."""

from datetime import datetime, timedelta

import pytest
from alerting import KEY, after, make_global_action
from holding import make_window
from services.incidents.happening import end, kinds, tell, tell_due, work
from sqlalchemy import select
from watching import Watch, at

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Incident
from taskbadger.services.alerts import global_actions
from taskbadger.services.incidents import handling

BOSS = {"integration": "email", "config": {"to": "boss@example.com"}}
STEPS = [{"after": 900, "channels": [BOSS]}]


def snooze(project: ProjectRef, now: datetime, until: datetime | None) -> None:
    number = db.session.scalars(select(Incident.id)).one()
    handling.snooze(project.organization_id, number, until=until, actor=KEY, now=now)
    db.session.commit()


def told_by(last: int, first: int = 1) -> list[tuple[int, str]]:
    """Let the worker look at each minute from *first* to *last*; return when it queued what.

    What was queued before counts as queued in minute 0.
    """
    found: list[tuple[int, str]] = [(0, kind) for kind in kinds()]
    for minute in range(first, last + 1):
        tell(minute)
        found += [(minute, kind) for kind in kinds()[len(found) :]]
    return found


@pytest.mark.parametrize(
    ("window", "snoozed_until"),
    [((20, 65), 40), ((5, 40), 65), ((20, 65), 65)],
)
def test_end_of_a_window_and_a_snooze_is_told_once_and_steps_go_on(
    project: ProjectRef, window: tuple[int, int], snoozed_until: int
) -> None:
    make_global_action(project, mode="incident", escalation=STEPS)
    make_window(project, starts=after(minutes=window[0]), ends=after(minutes=window[1]))
    end(project)
    work()
    snooze(project, after(minutes=5), after(minutes=snoozed_until))

    # A step after 15 minutes, of which 5 had passed.
    assert told_by(100) == [(0, "task.failing"), (65, "task.reminder"), (75, "task.reminder")]


def test_recovery_in_a_window_that_outlasts_a_snooze_is_told_once(project: ProjectRef) -> None:
    make_global_action(project, mode="incident", escalation=STEPS)
    make_window(project, starts=after(minutes=10), ends=after(minutes=60))
    end(project)
    work()
    snooze(project, after(minutes=5), after(minutes=40))
    end(project, "success", 30)
    work(30)
    assert kinds() == ["task.failing"]

    assert told_by(100) == [(0, "task.failing"), (60, "task.recovered")]


def test_new_kind_in_a_window_that_outlasts_a_snooze_is_told_once(project: ProjectRef) -> None:
    make_global_action(project, mode="incident")
    make_window(project, starts=after(minutes=10), ends=after(minutes=60))
    end(project, error="one")
    work()
    snooze(project, after(minutes=5), after(minutes=40))
    end(project, error="two", minute=30)
    work(30)

    assert told_by(100) == [(0, "task.failing"), (60, "task.new_failure")]


def test_new_kind_in_a_window_ends_a_snooze_until_it_changes_at_its_end(
    project: ProjectRef,
) -> None:
    make_global_action(project, mode="incident")
    make_window(project, starts=after(minutes=10), ends=after(minutes=60))
    end(project, error="one")
    work()
    snooze(project, after(minutes=5), None)
    end(project, error="two", minute=30)
    work(30)

    assert told_by(100) == [(0, "task.failing"), (60, "task.new_failure")]


def turn(project: ProjectRef, action_id: int, minute: int, *, is_on: bool) -> None:
    global_actions.update_global_action(
        project.organization_id,
        action_id,
        {"enabled": is_on},
        actor=SERVER,
        now=after(minutes=minute),
    )
    db.session.commit()


def test_steps_stand_still_until_a_rule_is_on_again_that_went_off_in_a_snooze(
    project: ProjectRef,
) -> None:
    action_id = make_global_action(project, mode="incident", escalation=STEPS)
    end(project)
    work()
    snooze(project, after(minutes=5), after(minutes=40))
    assert told_by(9) == [(0, "task.failing")]
    turn(project, action_id, 10, is_on=False)
    assert told_by(59, 10) == [(0, "task.failing")]
    turn(project, action_id, 60, is_on=True)

    # Of the 15 minutes until the step, 5 had passed before the snooze.
    assert told_by(100, 60)[1:] == [(60, "task.reminder"), (70, "task.reminder")]


# Monitors


def watching(project: ProjectRef) -> Watch:
    """An hourly monitor with a step after 15 minutes, which fails at 12:00."""
    watch = Watch(project, fields={"escalation": STEPS, "start_grace": 86_400})
    watch.run("11:00", "success")
    watch.run("12:00", "error")
    return watch


def look(watch: Watch, first: str, last: str) -> list[str]:
    """Let the worker tell what is due each minute; return what all messages say."""
    now = at(first)
    while now <= at(last):
        tell_due(now, followed_until=now)
        now += timedelta(minutes=1)
    return watch.notices


def test_steps_stand_still_while_a_monitor_is_paused(project: ProjectRef) -> None:
    watch = watching(project)
    assert look(watch, "12:01", "12:05") == ["monitor_failing"]
    watch.edit("12:05", status="paused")
    assert look(watch, "12:05", "13:04") == ["monitor_failing"]
    watch.edit("13:05", status="active")

    assert look(watch, "13:05", "13:14") == ["monitor_failing"]
    assert look(watch, "13:15", "13:30") == ["monitor_failing", "task.reminder"]


def test_recovery_after_a_pause_goes_to_everybody_who_was_told(project: ProjectRef) -> None:
    watch = watching(project)
    look(watch, "12:01", "12:20")
    watch.edit("12:25", status="paused")
    look(watch, "12:25", "12:40")
    watch.edit("12:50", status="active")
    watch.run("13:00", "success")

    assert look(watch, "13:01", "15:00") == [
        "monitor_failing",
        "task.reminder",
        "monitor_recovered",
        "task.recovered",
    ]


def test_pause_of_a_monitor_hides_no_window(project: ProjectRef) -> None:
    watch = watching(project)
    watch.edit("12:05", status="paused")
    look(watch, "12:05", "12:19")
    make_window(project, at("12:10"), starts=at("12:10"), ends=at("13:30"))
    watch.edit("12:20", status="active")

    # Five minutes had passed before the pause.
    assert look(watch, "12:20", "13:39") == ["monitor_failing"]
    assert look(watch, "13:40", "14:00") == ["monitor_failing", "task.reminder"]
