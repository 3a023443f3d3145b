"""What is told about incidents, when, and to whom."""

from datetime import timedelta
from typing import Any

from alerting import MAIL, NOW, after, make_global_action
from alerting import update as update_task
from holding import make_window
from services.incidents.happening import (
    BASE_URL,
    change_incident,
    end,
    follow,
    kinds,
    messages,
    tell,
    tell_due,
    timeline,
    told,
    work,
)
from sqlalchemy import select, update
from watching import Watch

from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, FailureKind, GlobalAction, Incident, Task
from taskbadger.services import outage
from taskbadger.services.alerts import global_actions
from taskbadger.services.incidents import notices
from taskbadger.services.tasks import write
from taskbadger.services.windows import manage

OTHER = {"integration": "email", "config": {"to": "boss@example.com"}}
STEPS = [
    {"after": 900, "channels": [OTHER]},
    {
        "after": 1800,
        "channels": [
            OTHER,
        ],
    },
]


def watch(place: ProjectRef, **fields: Any) -> int:
    return make_global_action(place, mode="incident", **fields)


def receivers() -> list[str]:
    db.session.rollback()
    return list(db.session.scalars(select(Delivery.config).order_by(Delivery.id)))


def test_failing_new_kind_and_recovery_are_one_message_each(project: ProjectRef) -> None:
    watch(project)
    first = end(project, error="ValueError: 7")
    work()
    for minute in range(1, 5):
        end(project, error="ValueError: 8", minute=minute)
    work(5)
    end(project, error="KeyError: 'a'", minute=6)
    work(6)
    end(project, error="KeyError: 'b'", minute=7)
    work(7)
    end(project, "success", 8)
    work(8)
    work(9)

    assert told() == [
        ("task.failing", "job is failing: ValueError: 7 (1 run since 03:02 UTC)"),
        ("task.new_failure", "job fails in a new way: KeyError: 'a' (6 runs since 03:02 UTC)"),
        ("task.recovered", "job recovered after 8 min, 7 failed runs"),
    ]
    assert messages()[0].task["id"] == first  # type: ignore[index]


def test_message_shows_the_incident_the_task_and_the_kind(project: ProjectRef) -> None:
    number = watch(project)
    task_id = end(project, error="boom")
    work()

    [message] = messages()
    incident = db.session.scalars(select(Incident)).one()
    kind = db.session.scalars(select(FailureKind)).one()
    assert message.incident == {
        "id": incident.id,
        "project": "web",
        "name": "job",
        "monitor": None,
        "opened": "2026-05-04T03:02:01.000000Z",
        "closed": None,
        "runs": 1,
        "failures": [kind.id],
        "acknowledged": None,
        "acknowledged_by": None,
        "snoozed": None,
        "snoozed_until": None,
    }
    assert message.task is not None
    assert (message.task["id"], message.task["status"]) == (task_id, "error")
    assert message.failure == {"id": kind.id, "title": "boom"}
    assert message.action == {
        "global_action": number,
        "name": "all errors",
        "trigger": "error",
        **MAIL,
    }
    assert message.url == f"{BASE_URL}/a/acme/incidents/{incident.id}/"
    assert message.created == NOW


def test_message_waits_for_a_retry(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, external_id="a")
    work()
    work(0.9)
    assert kinds() == []

    end(project, "success", 0.95, external_id="a")
    work(5)
    assert kinds() == []


def test_run_that_was_not_retried_is_told_after_the_wait(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, external_id="a")
    end(project, minute=0.5, external_id="a")
    work(0.6)
    work(1.2)
    assert kinds() == []

    work(1.5)
    assert kinds() == ["task.failing"]


def test_first_message_waits_until_the_history_is_followed(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, external_id="a")
    follow()
    end(project, "pending", 0.9, external_id="a")

    later = NOW + timedelta(minutes=2)
    tell_due(later, followed_until=NOW + timedelta(seconds=54))
    assert kinds() == []

    work(3)
    assert kinds() == []


def test_reminders_and_steps_until_someone_acknowledges(project: ProjectRef) -> None:
    watch(project, remind_after=600, escalation=STEPS)
    end(project, error="boom")
    work()
    for minute in range(1, 21):
        work(minute)
    change_incident(acknowledged_at=NOW + timedelta(minutes=20), acknowledged_by="ann")
    for minute in range(20, 60):
        work(minute)

    assert told() == [
        ("task.failing", "job is failing: boom (1 run since 03:02 UTC)"),
        ("task.reminder", "job is still failing: boom (1 run since 03:02 UTC)"),
        (
            "task.reminder",
            "job is still failing, and nobody has acknowledged it for 15 min: boom "
            "(1 run since 03:02 UTC)",
        ),
        ("task.reminder", "job is still failing: boom (1 run since 03:02 UTC)"),
    ]
    assert receivers()[2] == '{"to": "boss@example.com"}'
    assert [kind for kind, _ in timeline()] == [
        "opened",
        "told",
        "reminded",
        "escalated",
        "reminded",
    ]


def test_recovery_is_told_to_all_who_were_told(project: ProjectRef) -> None:
    watch(project, escalation=STEPS)
    end(project)
    work()
    work(16)
    end(project, "success", 20)
    work(20)

    told_at_last = receivers()[2:]
    assert sorted(told_at_last) == ['{"to": "a@example.com"}', '{"to": "boss@example.com"}']
    assert kinds()[2:] == ["task.recovered", "task.recovered"]


def test_recovery_is_not_told_to_those_who_were_not(project: ProjectRef) -> None:
    watch(project, escalation=STEPS)
    end(project)
    work()
    end(project, "success", 5)
    work(5)
    work(60)

    assert receivers() == ['{"to": "a@example.com"}'] * 2


def test_snooze_until_a_change_ends_with_a_new_kind(project: ProjectRef) -> None:
    watch(project, remind_after=600)
    end(project, error="one")
    work()
    change_incident(snoozed_at=NOW)
    work(60)
    assert kinds() == ["task.failing"]

    end(project, error="two", minute=61)
    work(61)

    assert kinds() == ["task.failing", "task.new_failure"]
    assert db.session.scalars(select(Incident.snoozed_at)).one() is None


def test_quiet_period_delays_the_next_incident(project: ProjectRef) -> None:
    watch(project, quiet_period=600)
    end(project, name="one")
    end(project, name="two")
    work()
    assert [title for _, title in told()] == [
        "one is failing: error without details (1 run since 03:02 UTC)"
    ]

    work(9)
    work(10)
    assert kinds() == ["task.failing", "task.failing"]


def test_global_action_that_was_turned_off_tells_nothing(project: ProjectRef) -> None:
    watch(project)
    end(project)
    follow()
    db.session.execute(update(GlobalAction).values(enabled=False))
    db.session.commit()
    tell()

    assert kinds() == []


def test_message_about_a_task_that_is_gone(project: ProjectRef) -> None:
    watch(project, remind_after=600)
    end(project, error="boom")
    work()
    db.session.execute(db.metadata.tables["task"].delete())
    db.session.commit()
    work(10)

    [_, reminder] = messages()
    assert (reminder.task, reminder.failure) == (None, None)
    assert reminder.title == "job is still failing (1 run since 03:02 UTC)"


def test_incident_that_went_quiet_says_so(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    tell(24 * 60)

    assert told()[1] == ("task.recovered", "job: no failure for 24 h, after 1 failed run in 1 d")


def test_nothing_is_due_without_incidents(project: ProjectRef) -> None:
    watch(project)
    assert notices.list_due(now=NOW, limit=5) == []

    end(project)
    follow()
    assert len(notices.list_due(now=NOW, limit=5)) == 1


def test_second_global_action_does_not_tell_of_a_healed_run(project: ProjectRef) -> None:
    watch(project)
    watch(project, name="patient", wait_for_retry=60)
    end(project, external_id="a")
    work()
    end(project, "processing", 0.5, external_id="a")
    work(0.5)
    work(1)
    assert kinds() == ["task.failing"]

    end(project, minute=2)
    work(2)
    work(3)
    assert [message.action["name"] for message in messages() if message.action] == [
        "all errors",
        "patient",
    ]


def test_new_kind_waits_for_a_retry_too(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, error="known")
    work(1)
    end(project, error="flaky", external_id="a", minute=2)
    work(2)
    end(project, "success", 2.1, name="healing", external_id="a")
    end(project, "processing", 2.2, external_id="a")
    work(3)
    work(4)
    assert kinds() == ["task.failing"]

    end(project, error="real", minute=5)
    work(5)
    work(6)
    assert told()[-1] == (
        "task.new_failure",
        "job fails in a new way: real (2 runs since 03:02 UTC)",
    )


def test_new_kind_is_told_although_its_first_attempt_was_tried_again(project: ProjectRef) -> None:
    watch(project)
    end(project, error="known")
    work()
    end(project, error="new", external_id="a", minute=1)
    end(project, error="new", external_id="a", minute=1.1)
    work(2)

    assert kinds() == ["task.failing", "task.new_failure"]


def test_second_kind_of_a_task_that_was_stale_is_told(project: ProjectRef) -> None:
    watch(project, trigger="stale,error")
    task_id = end(project, "processing", stale_timeout=60)
    write.mark_stale(project, [task_id], now=after(minutes=2))
    db.session.commit()
    work(2)
    update_task(project, task_id, after(minutes=3), status="error")
    work(3)

    assert kinds() == ["task.failing", "task.new_failure"]


def test_first_message_is_about_a_failure_that_reaches_the_trigger(project: ProjectRef) -> None:
    watch(project, trigger="stale", wait_for_retry=60)
    healed = end(project, "stale", external_id="a")
    end(project, minute=0.1)
    follow(0.1)
    end(project, "processing", 0.5, external_id="a")
    work(2)
    assert kinds() == []

    real = end(project, "stale", 3)
    work(3)
    work(4)
    [message] = messages()
    assert message.task is not None
    assert (message.task["id"], healed != real) == (real, True)


def test_rate_counts_runs_that_were_not_tried_again(project: ProjectRef) -> None:
    watch(project, at_least=3, within=600)
    end(project, external_id="a")
    follow()
    end(project, "processing", 0.5, external_id="a")
    end(project, minute=1)
    end(project, minute=2)
    work(2)
    assert kinds() == []

    end(project, minute=3)
    work(3)
    assert kinds() == ["task.failing"]


def test_rate_within_the_time_only(project: ProjectRef) -> None:
    watch(project, at_least=3, within=600)
    for minute in (0, 1, 12, 13):
        end(project, minute=minute)
        work(minute)
    change_incident(acknowledged_at=NOW, acknowledged_by="ann")
    work(13)
    assert kinds() == []

    end(project, minute=14)
    work(14)
    assert kinds() == ["task.failing"]


def test_recovery_goes_to_those_who_were_told(project: ProjectRef) -> None:
    number = watch(project)
    end(project)
    work()
    global_actions.update_global_action(
        project.organization_id, number, {"channels": [OTHER]}, actor=SERVER, now=NOW
    )
    db.session.commit()
    end(project, "success", 1)
    work(1)

    assert receivers() == ['{"to": "a@example.com"}'] * 2


def test_global_action_that_is_turned_on_again_goes_on(project: ProjectRef) -> None:
    watch(project, escalation=STEPS)
    end(project)
    work()
    db.session.execute(update(GlobalAction).values(enabled=False))
    db.session.commit()
    work(16)
    assert kinds() == ["task.failing"]

    db.session.execute(update(GlobalAction).values(enabled=True))
    db.session.commit()
    work(18)
    assert kinds() == ["task.failing", "task.reminder"]


def test_ignoring_its_kind_silences_an_open_incident(project: ProjectRef) -> None:
    watch(project, remind_after=600)
    end(project)
    work()
    db.session.execute(update(FailureKind).values(state="ignored"))
    db.session.commit()
    work(11)
    assert kinds() == ["task.failing"]

    db.session.execute(update(FailureKind).values(state="open"))
    db.session.commit()
    work(13)
    assert kinds() == ["task.failing", "task.reminder"]


def test_incident_that_ends_within_a_quiet_period_is_not_told(project: ProjectRef) -> None:
    watch(project, quiet_period=600)
    end(project, name="one")
    work()
    end(project, name="two", minute=1)
    work(1)
    end(project, "success", 2, name="two")
    work(2)
    work(11)

    assert kinds() == ["task.failing"]
    assert ("held", "The quiet period of all errors has not ended.") in timeline()


def test_quiet_period_that_ends_too_late_is_cut(project: ProjectRef) -> None:
    watch(project, quiet_period=600)
    db.session.execute(update(GlobalAction).values(quiet_until=after(days=365)))
    db.session.commit()
    end(project)
    work()
    work(11)

    assert kinds() == []  # Each look moves the end, until the action has told something.


def test_window_holds_messages_and_what_still_fails_is_told_at_its_end(
    project: ProjectRef,
) -> None:
    watch(project)
    make_window(project, name="tonight", starts=NOW, ends=after(minutes=30))
    end(project, name="recovers")
    end(project, name="fails", minute=1)
    work(1)
    end(project, "success", 5, name="recovers")
    work(5)
    work(29)
    assert kinds() == []

    work(30)
    assert [title.partition(" is")[0] for _, title in told()] == ["fails"]
    assert ("held", "held by tonight") in timeline()


def test_snooze_with_an_end_is_told_again_then(project: ProjectRef) -> None:
    watch(project)
    end(project)
    work()
    change_incident(snoozed_at=NOW, snoozed_until=after(minutes=60))
    work(30)
    assert kinds() == ["task.failing"]

    work(60)
    assert kinds() == ["task.failing", "task.reminder"]


def test_our_own_outage_closes_nothing(project: ProjectRef) -> None:
    watch(project)
    outage.tick(now=NOW)
    end(project)
    work()
    outage.tick(now=after(hours=25))
    db.session.commit()
    work(25 * 60)
    assert kinds() == ["task.failing"]

    work(49 * 60 + 1)
    assert kinds() == ["task.failing", "task.recovered"]


def test_clock_that_was_ahead_delays_nothing(project: ProjectRef) -> None:
    watch(project, remind_after=600)
    outage.tick(now=NOW)
    end(project)
    outage.tick(now=after(days=300))
    db.session.commit()
    work(300 * 24 * 60)
    outage.tick(now=NOW)
    db.session.commit()
    work(11)

    assert sorted(kinds()) == ["task.failing", "task.reminder"]


def test_second_new_kind_within_the_wait_is_told_later(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, error="known")
    work(1)
    end(project, error="one", minute=3)
    end(project, error="two", minute=3.5)
    work(3.5)
    work(4)
    work(4.5)

    assert kinds() == ["task.failing", "task.new_failure", "task.new_failure"]


def test_new_kind_is_told_although_the_history_lags(project: ProjectRef) -> None:
    watch(project)
    end(project, error="known")
    work()
    end(project, error="new", minute=3)
    follow(3)
    tell_due(after(minutes=3), followed_until=after(minutes=2.8))
    assert kinds() == ["task.failing"]

    work(4)
    assert kinds() == ["task.failing", "task.new_failure"]


def test_new_kind_whose_attempts_are_followed_one_by_one(project: ProjectRef) -> None:
    watch(project)
    end(project, error="known")
    work()
    end(project, error="new", external_id="a", minute=1)
    follow(1)
    again = end(project, "processing", 1.2, external_id="a")
    follow(1.2)
    update_task(project, again, after(minutes=1.4), status="error", data='{"exception": "new"}')
    work(2)

    assert kinds() == ["task.failing", "task.new_failure"]


def test_window_that_ends_early_lets_go_within_a_minute(project: ProjectRef) -> None:
    watch(project)
    number = make_window(project, starts=NOW, ends=after(days=7))
    end(project)
    work()
    manage.delete_window(project.organization_id, number, actor=SERVER, now=after(minutes=5))
    db.session.commit()
    work(5)

    assert kinds() == ["task.failing"]


def test_snooze_that_ends_with_a_change_wakes_all_rules(project: ProjectRef) -> None:
    watch(project, trigger="stale", remind_after=600)
    watch(project, name="errors", trigger="error")
    end(project, "stale")
    work()
    change_incident(snoozed_at=NOW)
    end(project, error="new", minute=1)
    end(project, error="newer", minute=2)
    work(2)
    work(20)

    assert "task.reminder" in kinds()


def test_attempt_that_is_tried_again_ends_no_snooze(project: ProjectRef) -> None:
    watch(project, remind_after=300, wait_for_retry=60)
    end(project, error="known")
    work(1)
    change_incident(snoozed_at=after(minutes=1))
    end(project, error="new", external_id="a", minute=2)
    work(2)
    end(project, "processing", 2.5, external_id="a")
    work(3)
    work(30)

    assert kinds() == ["task.failing"]


def test_rate_waits_for_retries(project: ProjectRef) -> None:
    watch(project, at_least=2, within=600, wait_for_retry=60)
    end(project)
    end(project, external_id="a", minute=0.9)
    work(1.1)
    end(project, "success", 1.3, external_id="a", name="job 2")
    end(project, "processing", 1.3, external_id="a")
    work(2)
    work(3)

    assert kinds() == []


def test_rule_that_was_made_again_tells(project: ProjectRef) -> None:
    number = watch(project)
    end(project)
    work()
    global_actions.delete_global_action(project.organization_id, number, actor=SERVER, now=NOW)
    db.session.commit()
    watch(project)
    end(project, minute=1)
    work(1)

    assert kinds() == ["task.failing", "task.failing"]


def test_kind_that_comes_back_in_an_incident_is_told(project: ProjectRef) -> None:
    watch(project)
    end(project, error="boom")
    work()
    db.session.execute(update(FailureKind).values(state="resolved"))
    db.session.commit()
    end(project, error="boom", minute=1)
    work(1)

    assert kinds() == ["task.failing", "task.new_failure"]


def test_snooze_outlives_a_retry(project: ProjectRef) -> None:
    watch(project, wait_for_retry=60)
    end(project, external_id="a")
    follow()
    change_incident(snoozed_at=NOW, snoozed_until=after(hours=5))
    end(project, external_id="a", minute=0.5)
    work(10)

    assert kinds() == []


def test_reminder_that_is_set_later_applies_to_the_open_incident(project: ProjectRef) -> None:
    number = watch(project)
    end(project)
    work()
    global_actions.update_global_action(
        project.organization_id, number, {"remind_after": 300}, actor=SERVER, now=after(minutes=1)
    )
    db.session.commit()
    work(1)
    work(6)

    assert kinds() == ["task.failing", "task.reminder"]


def test_taking_an_acknowledgement_back_lets_the_steps_go_on(project: ProjectRef) -> None:
    watch(project, escalation=STEPS)
    end(project)
    work()
    change_incident(acknowledged_at=after(minutes=2), acknowledged_by="ann")
    work(2)
    change_incident(acknowledged_at=None, acknowledged_by=None)
    work(120)
    assert kinds() == ["task.failing"]

    work(133)
    assert kinds() == ["task.failing", "task.reminder"]


def test_window_of_a_monitor_covers_the_incident_of_its_tasks(project: ProjectRef) -> None:
    watch(project)
    monitor = Watch(project).monitor
    make_window(project, monitor=str(monitor.id), starts=NOW, ends=after(minutes=30))
    end(project)
    db.session.execute(update(Task).values(monitor_id=monitor.id))
    db.session.commit()
    work()

    assert kinds() == []
