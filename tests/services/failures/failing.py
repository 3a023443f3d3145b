"""Tasks that fail, and their kinds."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from alerting import KEY, NOW
from sqlalchemy import select

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind
from taskbadger.models.failure import OPEN
from taskbadger.services.tasks import write


class Kind(NamedTuple):
    """What tests compare of a kind."""

    name: str
    title: str
    cause: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample_task: str
    state: str


class Noted(NamedTuple):
    """What tests compare of a failure."""

    title: str
    failed_at: datetime
    news: str


def data(text: str) -> str:
    return json.dumps({"exception": text})


def fail(project: ProjectRef, text: str = "boom", *, now: datetime = NOW, **fields: Any) -> str:
    """Make a task that has failed; return its id."""
    values = {"name": "job", "status": "error", "data": data(text), **fields}
    made = write.create_task(project, values, now=now, actor=KEY)
    db.session.commit()
    return made.id


def kinds() -> list[Kind]:
    """All kinds, the oldest first."""
    db.session.rollback()
    rows = db.session.scalars(select(FailureKind).order_by(FailureKind.id)).all()
    return [Kind(*(getattr(row, name) for name in Kind._fields)) for row in rows]


def noted() -> dict[str, Noted]:
    """All failures, by the ids of their tasks."""
    db.session.rollback()
    query = select(Failure, FailureKind.title).join(FailureKind, FailureKind.id == Failure.kind_id)
    return {
        row.task_id: Noted(title, row.failed_at, row.news)
        for row, title in db.session.execute(query)
    }


def errors() -> dict[str, str | None]:
    """Why tasks failed, by their ids."""
    db.session.rollback()
    rows = db.session.execute(select(Failure.task_id, Failure.error))
    return {row.task_id: row.error for row in rows}


def set_state(title: str, state: str, until: datetime | None = None) -> None:
    """Change the state of the kind of this title, as the services for people do."""
    kind = db.session.scalars(select(FailureKind).where(FailureKind.title == title)).one()
    kind.state, kind.ignored_until = state, until
    db.session.commit()


def fill(project: ProjectRef, number: int) -> None:
    """Make kinds of the name ``job``."""
    rows = [
        {
            "project_id": project.id,
            "name": "job",
            "fingerprint": f"{number:032x}",
            "title": f"kind {number}",
            "place": "",
            "cause": "error",
            "count": 1,
            "first_seen": NOW,
            "last_seen": NOW,
            "sample_task": "A" * 22,
            "state": OPEN,
        }
        for number in range(number)
    ]
    db.session.execute(FailureKind.__table__.insert(), rows)
    db.session.commit()


def latest() -> list[tuple[str, str, int]]:
    """The kinds that ``fill`` did not make."""
    rows = db.session.execute(
        select(FailureKind.fingerprint, FailureKind.title, FailureKind.count)
        .where(FailureKind.title.not_like("kind %"))
        .order_by(FailureKind.id)
    )
    return [(fingerprint[:5], title, count) for fingerprint, title, count in rows]
