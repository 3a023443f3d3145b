"""Tasks that fail and succeed, the history that is followed, and what is told about it."""

from datetime import datetime
from typing import Any, NamedTuple

from alerting import KEY, NOW, after
from sqlalchemy import select, update

from taskbadger.channels import Message
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Failure, Incident, IncidentEvent, IncidentNotice
from taskbadger.services.incidents import following, notices
from taskbadger.services.stats import runs
from taskbadger.services.tasks import write

BASE_URL = "https://badger.example"


class Seen(NamedTuple):
    """What tests compare of an incident; times are minutes after NOW."""

    name: str | None
    opened: float
    closed: float | None
    runs: int


def end(
    project: ProjectRef,
    status: str = "error",
    minute: float = 0,
    *,
    error: str = "",
    name: str = "job",
    **fields: Any,
) -> str:
    """Make a task that ended so many minutes after NOW; return its id."""
    data = f'{{"exception": "{error}"}}' if error else None
    values = {"name": name, "status": status, "data": data, **fields}
    made = write.create_task(project, values, now=after(minutes=minute), actor=KEY)
    db.session.commit()
    return made.id


def follow(minute: float = 0) -> None:
    """Follow the history as the worker does, so many minutes after NOW."""
    now = after(minutes=minute)
    while (batch := runs.read_batch(now=now)) is not None:
        assert runs.count_batch(batch, now=now)
        db.session.commit()
    db.session.rollback()


def tell(minute: float = 0) -> None:
    """Tell what is due so many minutes after NOW, once all of the history is followed."""
    now = after(minutes=minute)
    following.close_quiet(now=now)
    db.session.commit()
    tell_due(now, followed_until=now)
    db.session.rollback()


def tell_due(now: datetime, *, followed_until: datetime) -> None:
    """Tell what is due, in one transaction."""
    due = notices.list_due(now=now, limit=100)
    db.session.rollback()
    notices.tell_due(due, now=now, followed_until=followed_until, base_url=BASE_URL)
    db.session.commit()


def work(minute: float = 0) -> None:
    """Do both."""
    follow(minute)
    tell(minute)


def incidents() -> list[Seen]:
    """All incidents, the oldest first."""
    db.session.rollback()
    rows = db.session.scalars(select(Incident).order_by(Incident.id)).all()
    return [
        Seen(row.name, minutes(row.opened_at), row.closed_at and minutes(row.closed_at), row.runs)
        for row in rows
    ]


def minutes(moment: datetime) -> float:
    return round((moment - NOW).total_seconds() / 60, 3)


def timeline() -> list[tuple[str, str]]:
    """The kinds and details of all entries of all timelines."""
    db.session.rollback()
    rows = db.session.scalars(select(IncidentEvent).order_by(IncidentEvent.id)).all()
    return [(row.kind, row.detail) for row in rows]


def tasks_of_incidents() -> dict[str, int | None]:
    db.session.rollback()
    rows = db.session.execute(select(Failure.task_id, Failure.incident_id))
    return {row.task_id: row.incident_id for row in rows}


def messages() -> list[Message]:
    """All messages that were queued, in order."""
    db.session.rollback()
    rows = db.session.scalars(select(Delivery).order_by(Delivery.id)).all()
    return [Message.from_json(row.message) for row in rows]


def told() -> list[tuple[str, str]]:
    """Kind and title of all messages that were queued."""
    return [(message.kind, message.title) for message in messages()]


def kinds() -> list[str]:
    return [message.kind for message in messages()]


def change_incident(**values: Any) -> None:
    """Change the only incident, as people do, and let its notices be looked at again."""
    db.session.execute(update(Incident).values(**values))
    db.session.execute(update(IncidentNotice).values(next_at=NOW))
    db.session.commit()
