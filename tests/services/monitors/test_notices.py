"""What is told of a monitor's incident: its notices, reminders, steps and timeline."""

from services.incidents.happening import timeline
from sqlalchemy import select, update
from watching import TO_EMAIL, Watch, at, sweep

from taskbadger.channels import Message
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Incident, IncidentNotice, Monitor
from taskbadger.services.incidents import notices

BOSS = {"integration": "email", "config": {"to": "boss@example.com"}}
STEPS = [{"after": 900, "channels": [BOSS]}]


def watching(project: ProjectRef, **fields: object) -> Watch:
    """Return an hourly monitor that had a first run."""
    watch = Watch(project, fields=dict(fields))
    watch.run("11:40", "success")
    return watch


def tell(time: str) -> None:
    due = notices.list_due(now=at(time), limit=10)
    db.session.rollback()
    notices.tell_due(due, now=at(time), followed_until=at(time), base_url="https://x.example")
    db.session.commit()


def told() -> list[tuple[str, str, str]]:
    db.session.rollback()
    rows = db.session.scalars(select(Delivery).order_by(Delivery.created, Delivery.config)).all()
    return [(row.kind, Message.from_json(row.message).title, row.config) for row in rows]


def test_monitor_is_reminded_of_and_escalated(project: ProjectRef) -> None:
    watch = watching(project, action=TO_EMAIL, remind_after=600, escalation=STEPS)
    sweep("12:01")
    tell("12:11")
    tell("12:16")
    watch.run("12:18", "success")
    tell("12:20")

    kinds = [(kind, config) for kind, _, config in told()]
    assert kinds == [
        ("monitor_failing", '{"to": "ops@example.com"}'),
        ("task.reminder", '{"to": "ops@example.com"}'),
        ("task.reminder", '{"to": "boss@example.com"}'),
        ("monitor_recovered", '{"to": "ops@example.com"}'),
        ("task.recovered", '{"to": "boss@example.com"}'),
    ]
    assert [kind for kind, _ in timeline()] == [
        "opened",
        "told",
        "reminded",
        "escalated",
        "recovered",
        "told",
        "told",
    ]


def test_message_of_a_monitor_says_why_its_run_failed(project: ProjectRef) -> None:
    watch = watching(project, action=TO_EMAIL)
    watch.run("12:00", "error", data='{"exception": "KeyError: \'a\'"}')

    assert errors() == ["KeyError: 'a'"]


def test_message_of_a_monitor_without_a_run_has_no_error(project: ProjectRef) -> None:
    watching(project, action=TO_EMAIL)
    sweep("12:01")

    assert errors() == [None]


def errors() -> list[str | None]:
    db.session.rollback()
    rows = db.session.scalars(select(Delivery)).all()
    return [Message.from_json(row.message).error for row in rows]


def test_acknowledged_monitor_is_left_alone(project: ProjectRef) -> None:
    watching(project, action=TO_EMAIL, remind_after=600, escalation=STEPS)
    sweep("12:01")
    db.session.execute(update(Incident).values(acknowledged_at=at("12:02"), acknowledged_by="ann"))
    db.session.commit()
    tell("12:11")
    tell("12:30")

    assert [kind for kind, *_ in told()] == ["monitor_failing"]


def test_muted_monitor_reminds_of_nothing_until_the_mute_ends(project: ProjectRef) -> None:
    watch = watching(project, action=TO_EMAIL, remind_after=600)
    sweep("12:01")
    db.session.execute(update(Monitor).values(status="muted", muted_until=at("13:00")))
    db.session.commit()
    tell("12:30")
    assert [kind for kind, *_ in told()] == ["monitor_failing"]

    tell("13:00")
    assert [kind for kind, *_ in told()] == ["monitor_failing", "task.reminder"]
    assert watch.monitor.name in told()[1][1]


def test_monitor_without_either_has_no_notices_of_later(project: ProjectRef) -> None:
    watching(project, action=TO_EMAIL)
    sweep("12:01")

    assert db.session.scalars(select(IncidentNotice)).all() == []
    assert [kind for kind, _ in timeline()] == ["opened", "told"]
