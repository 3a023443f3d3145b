"""Incidents with their failures, notices and events, as tests need them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from taskbadger.domain import ids
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, Incident, IncidentEvent, IncidentNotice, Task
from taskbadger.services.tasks import write

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ANNA = Actor("user", "anna@example.com")
BOB = Actor("user", "bob@example.com")


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def make_incident(project: ProjectRef, name: str | None = "import", **values: Any) -> int:
    """Insert an incident, by default an open one that began at NOW; return its id."""
    row = Incident(
        **{
            "organization_id": project.organization_id,
            "project_id": project.id,
            "name": name,
            "opened_at": NOW,
            "runs": 1 if name else 0,
            "bad_slots": 0 if name else 1,
            "last_failed_at": NOW if name else None,
            "quiet_at": after(days=1) if name else None,
            "notified": False,
            **values,
        }
    )
    db.session.add(row)
    db.session.commit()
    return row.id


def make_kind(project: ProjectRef, title: str, name: str = "import", **values: Any) -> int:
    """Insert a failure kind; return its id."""
    row = FailureKind(
        **{
            "project_id": project.id,
            "name": name,
            "fingerprint": title,
            "title": title,
            "cause": "error",
            "first_seen": NOW,
            "last_seen": NOW,
            "sample_task": ids.new_id(NOW),
            **values,
        }
    )
    db.session.add(row)
    db.session.commit()
    return row.id


def make_failure(
    project: ProjectRef,
    kind_id: int,
    incident_id: int | None,
    name: str = "import",
    now: datetime = NOW,
) -> str:
    """Insert a failed task of an incident, of that kind; return its id."""
    task = write.create_task(
        project, {"name": name, "status": "cancelled"}, now=now, actor=Actor("key", "ci")
    )
    db.session.execute(update(Task).where(Task.id == task.id).values(status="error"))
    db.session.add(
        Failure(task_id=task.id, kind_id=kind_id, failed_at=now, incident_id=incident_id)
    )
    db.session.commit()
    return str(task.id)


def make_notice(incident_id: int, **values: Any) -> int:
    row = IncidentNotice(incident_id=incident_id, **values)
    db.session.add(row)
    db.session.commit()
    return row.id


def make_event(incident_id: int, kind: str, **values: Any) -> None:
    db.session.add(
        IncidentEvent(**{"incident_id": incident_id, "created": NOW, "kind": kind, **values})
    )
    db.session.commit()


def get_incident(incident_id: int) -> Incident:
    """Return an incident as it is in the database now."""
    db.session.rollback()
    return db.session.scalars(
        select(Incident).where(Incident.id == incident_id).execution_options(populate_existing=True)
    ).one()


def events() -> list[tuple[str, str, str]]:
    """Return all events as kind, actor and detail, oldest first."""
    db.session.rollback()
    rows = db.session.scalars(select(IncidentEvent).order_by(IncidentEvent.id))
    return [(row.kind, row.actor, row.detail) for row in rows]
