"""Messages about incidents that were queued before a maintenance window began."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from alerting import NOW, after
from conftest import count_queries
from delivering import make_webhook
from flask import Flask
from holding import WEBHOOK, State, alert, claim, decide, deliveries, finish, make_window
from holding import work as send
from services.incidents.happening import end, follow, tell, timeline, work
from simultaneous import at_once
from sqlalchemy import select
from watching import Watch, at

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery
from taskbadger.services.alerts import global_actions
from taskbadger.services.delivery import claims
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.monitors import incidents
from taskbadger.services.windows import manage

pytestmark = pytest.mark.usefixtures("webhook")
DEPLOY = "held by ‹deploy›"
WAS_HELD = "was held by ‹deploy›"
ENDED = "the incident ended before it was sent"
NOT_TOLD = "the failure was not told either"


def watch(project: ProjectRef, **fields: Any) -> int:
    return alert(project, mode="incident", **fields)


def window(project: ProjectRef, begin: float = 1, until: float = 31, **fields: Any) -> int:
    """Make a window between so many minutes after NOW."""
    times = {"starts": after(minutes=begin), "ends": after(minutes=until)}
    return make_window(project, **{**times, **fields})


def kinds() -> list[tuple[str, str]]:
    """The kinds and states of all messages, in order."""
    db.session.rollback()
    rows = db.session.execute(select(Delivery.kind, Delivery.state).order_by(Delivery.id))
    return [(row.kind, row.state) for row in rows]


def reasons() -> list[str | None]:
    return [one.held_by for one in deliveries()]


def test_message_that_was_queued_before_a_window_is_told_once_at_its_end(
    project: ProjectRef,
) -> None:
    watch(project)
    end(project)
    work()
    window(project)

    assert send(after(minutes=1)) == []
    assert deliveries() == [State("waiting", DEPLOY, after(minutes=31))]
    end(project, minute=10)
    work(31)
    assert send(after(minutes=31)) == [("job", 0)]
    work(60)
    assert send(after(minutes=60)) == []
    assert deliveries() == [State("delivered", WAS_HELD, None)]


@pytest.mark.parametrize("is_told_first", [True, False])
def test_what_recovers_in_a_window_before_it_was_sent_is_not_told(
    project: ProjectRef, is_told_first: bool
) -> None:
    watch(project)
    end(project)
    work()
    window(project)
    assert send(after(minutes=1)) == []
    end(project, "success", minute=10)

    work(10)
    assert send(after(minutes=10)) == []
    if is_told_first:  # The message that it failed is looked at before the other is queued.
        assert send(after(minutes=31)) == []
    work(31)
    assert send(after(minutes=31)) == []

    assert kinds() == [("task.failing", "dropped"), ("task.recovered", "dropped")]
    assert reasons() == [ENDED, NOT_TOLD]
    assert [detail for kind, detail in timeline() if kind == "dropped"] == [
        f"The message to webhook:ops was held back: {ENDED}.",
        f"The message to webhook:ops was held back: {NOT_TOLD}.",
    ]


def test_recovery_in_a_window_of_what_was_told_before_it_is_told_at_the_end(
    project: ProjectRef,
) -> None:
    watch(project)
    end(project)
    work()
    assert send(NOW) == [("job", 0)]
    window(project)
    end(project, "success", minute=10)

    work(10)
    assert send(after(minutes=10)) == []
    work(31)
    assert send(after(minutes=31)) == [("task.recovered", 0)]
    assert kinds() == [("task.failing", "delivered"), ("task.recovered", "delivered")]


def test_recovery_that_was_queued_before_a_window_is_told_at_its_end(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    assert send(NOW) == [("job", 0)]
    end(project, "success", minute=0.5)
    work(0.5)
    window(project)

    assert send(after(minutes=1)) == []
    assert deliveries()[-1] == State("waiting", DEPLOY, after(minutes=31))
    assert send(after(minutes=31)) == [("task.recovered", 0)]


def test_failure_and_recovery_that_were_queued_before_a_window_are_both_dropped(
    project: ProjectRef,
) -> None:
    watch(project)
    end(project)
    work()
    end(project, "success", minute=0.5)
    work(0.5)
    window(project)

    assert send(after(minutes=1)) == []
    assert send(after(minutes=31)) == []
    assert reasons() == [ENDED, NOT_TOLD]


def test_each_channel_is_told_of_the_recovery_if_it_was_told_of_the_failure(
    project: ProjectRef,
) -> None:
    make_webhook(project, "two")
    watch(project, channels=[WEBHOOK, {"integration": "webhook:two", "config": {}}])
    end(project)
    work()
    [one] = [each for each in claim(NOW) if each.integration == "webhook:ops"]
    ready = decide(one, NOW)
    assert ready is not None
    finish(ready)
    window(project)
    assert send(after(minutes=1) + claims.LEASE) == []
    end(project, "success", minute=10)

    work(31)

    assert send(after(minutes=31)) == [("task.recovered", 0)]
    db.session.rollback()
    rows = db.session.execute(select(Delivery.integration, Delivery.kind, Delivery.state))
    assert sorted(map(tuple, rows)) == [
        ("webhook:ops", "task.failing", "delivered"),
        ("webhook:ops", "task.recovered", "delivered"),
        ("webhook:two", "task.failing", "dropped"),
        ("webhook:two", "task.recovered", "dropped"),
    ]


def test_second_window_goes_on_holding(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    window(project)
    window(project, 20, 60, name="night")

    assert send(after(minutes=1)) == []
    assert send(after(minutes=31)) == []
    assert deliveries() == [State("waiting", "held by ‹night›", after(minutes=60))]
    assert send(after(minutes=60)) == [("job", 0)]


def test_window_that_covers_something_else_holds_nothing(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    window(project, name_pattern="^other$")

    assert send(after(minutes=1)) == [("job", 0)]


def test_window_that_ends_early_lets_go_at_once(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    number = window(project)
    assert send(after(minutes=1)) == []

    manage.delete_window(project.organization_id, number, actor=SERVER, now=after(minutes=5))
    db.session.commit()

    assert send(after(minutes=5)) == [("job", 0)]


def test_message_that_is_tried_again_in_a_window_waits_and_is_sent_anyway(
    project: ProjectRef,
) -> None:
    """It may have reached some of its recipients, who are told of the recovery, too."""
    watch(project)
    end(project)
    work()
    db.session.query(Delivery).update({"attempts": 1})
    db.session.commit()
    window(project)
    assert send(after(minutes=1)) == []
    end(project, "success", minute=10)
    work(31)

    assert sorted(send(after(minutes=31))) == [("job", 0), ("task.recovered", 0)]


def test_reminders_that_a_window_held_back_are_no_further_messages(project: ProjectRef) -> None:
    watch(project, remind_after=300)
    end(project)
    for minute in (0, 5, 10):
        work(minute)
    window(project, 11)
    assert send(after(minutes=11)) == []

    follow(31)

    assert send(after(minutes=31)) == [("job", 0)]
    assert kinds() == [
        ("task.failing", "delivered"),
        ("task.reminder", "dropped"),
        ("task.reminder", "dropped"),
    ]
    assert reasons() == [WAS_HELD, *["combined into an earlier message"] * 2]


def test_incident_whose_runs_were_all_tried_again_is_not_told_at_the_end(
    project: ProjectRef,
) -> None:
    watch(project)
    end(project, external_id="run")
    work()
    window(project)
    assert send(after(minutes=1)) == []
    end(project, "success", minute=10, external_id="run")
    work(31)

    assert send(after(minutes=31)) == []
    assert deliveries()[0] == State("dropped", ENDED, None)


def test_worker_that_dies_between_claim_and_decision_loses_nothing(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    window(project)
    assert claim(after(minutes=1))  # By a worker that dies.

    assert send(after(minutes=1) + claims.LEASE) == []
    assert claim(after(minutes=31))  # By another one.
    assert send(after(minutes=31) + claims.LEASE) == [("job", 0)]


def test_failure_and_recovery_that_are_claimed_at_once_are_both_told_or_neither(
    app: Flask, project: ProjectRef
) -> None:
    watch(project)
    number = 0
    for number in range(5):
        minute = number * 100
        end(project, minute=minute)
        work(minute)
        window(project, minute + 1, minute + 31)
        assert send(after(minutes=minute + 1)) == []
        end(project, "success", minute=minute + 10)
        work(minute + 31)
        now = after(minutes=minute + 31)
        db.session.execute(
            db.text("UPDATE destination SET proven = true")
        )  # So that it gets two at once.
        db.session.commit()
        claimed = claim(now)
        assert len(claimed) == 2
        ready: list[Claimed | None] = []

        def settle(one: Claimed, now: Any = now, found: list[Claimed | None] = ready) -> None:
            found.append(decide(one, now))

        at_once(app, *(partial(settle, one) for one in claimed))

        assert ready == [None, None]
    assert len(kinds()) == 2 * (number + 1)


def test_message_of_a_rule_that_was_turned_off_in_the_window_is_not_sent(
    project: ProjectRef,
) -> None:
    number = watch(project)
    end(project)
    work()
    window(project)
    assert send(after(minutes=1)) == []
    off: Any = {"enabled": False}
    global_actions.update_global_action(
        project.organization_id, number, off, actor=SERVER, now=after(minutes=2)
    )
    db.session.commit()

    assert send(after(minutes=31)) == []
    assert reasons() == ["its alert rule was turned off"]


@pytest.mark.parametrize("recovers", [False, True])
def test_notice_of_a_monitor_that_was_queued_before_a_window_waits_too(
    project: ProjectRef, recovers: bool
) -> None:
    watched = Watch(project, fields={"action": [WEBHOOK]})
    watched.run("12:00", "error")
    monitor = str(watched.monitor.id)
    make_window(project, monitor=monitor, starts=at("12:01"), ends=at("13:31"))

    assert send(at("12:01")) == []
    if recovers:
        watched.run("13:00", "success")
    assert send(at("13:00")) == []
    incidents.send_deferred(watched.monitor, now=at("13:31"), base_url="")
    db.session.commit()

    assert send(at("13:31")) == ([] if recovers else [("monitor_failing", 0)])
    assert reasons() == ([ENDED, NOT_TOLD] if recovers else [WAS_HELD])


def test_message_in_time_is_not_touched(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    tell()

    [claimed] = claim(NOW + timedelta(seconds=1))

    assert decide(claimed, NOW + timedelta(seconds=1)) == claimed


def test_monitor_is_looked_for_only_if_a_window_names_one(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    window(project, name_pattern="other")
    [claimed] = claim(after(minutes=2))

    with count_queries() as statements:
        assert decide(claimed, after(minutes=2)) == claimed
    assert [each for each in statements if "monitor_id IS NOT NULL" in each] == []
