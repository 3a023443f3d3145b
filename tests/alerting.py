"""Tasks that change, global actions, and what they fired and queued."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from taskbadger.channels import Message
from taskbadger.domain.identity import SERVER, Actor, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing
from taskbadger.services.alerts import global_actions
from taskbadger.services.tasks import write as task_writes

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
KEY = Actor("key", "ci")
MAIL = {"integration": "email", "config": {"to": "a@example.com"}}


def after(**span: float) -> datetime:
    return NOW + timedelta(**span)


def queued() -> list[tuple[str, str]]:
    """Every delivery's integration and trigger point, by firing and integration."""
    db.session.commit()
    found = db.session.scalars(select(Delivery).order_by(Delivery.firing_id, Delivery.integration))
    return [(sent.integration, Message.from_json(sent.message).trigger or "") for sent in found]


def firings() -> list[Firing]:
    db.session.commit()
    return list(db.session.scalars(select(Firing).order_by(Firing.id)))


def make_global_action(place: ProjectRef, now: datetime = NOW, **fields: Any) -> int:
    made = global_actions.create_global_action(
        place.organization_id,
        {"name": "all errors", "trigger": "error", "channels": [MAIL], **fields},
        actor=SERVER,
        now=now,
    )
    global_action_id = made.id
    db.session.commit()
    return global_action_id


def create(project: ProjectRef, now: datetime = NOW, **fields: Any) -> str:
    made = task_writes.create_task(project, {"name": "job", **fields}, now=now, actor=KEY)
    db.session.commit()
    return str(made.id)


def update(project: ProjectRef, task_id: str, now: datetime, **fields: Any) -> None:
    task_writes.update_task(project, task_id, fields, now=now, actor=KEY)
    db.session.commit()
