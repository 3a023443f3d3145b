"""What holds a message back at sending: its run was tried again, or a maintenance window.

A worker asks when it has claimed a delivery, before it sends it; nothing of this is on the path of
a request. Whoever has lost the lease meanwhile changes nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import cast

from sqlalchemy import Table, select, update

from taskbadger.channels import Message
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing, Project
from taskbadger.models.delivery import WAITING
from taskbadger.models.task_rows import TASKS
from taskbadger.services.delivery import (
    combining,
    held_incidents,
    outbox,
    outcomes,
    retried,
    windows,
)
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.windows import Subject

KIND = "task"
"""The kind of messages about tasks; ``held_incidents`` decides about those of incidents."""

_DELIVERY = cast(Table, Delivery.__table__)
_FIRING = cast(Table, Firing.__table__)
_delivery, _firing, _task = _DELIVERY.c, _FIRING.c, TASKS.c


def is_affected(claimed: Claimed, *, clock: Callable[[], datetime]) -> bool:
    """Say whether ``decide`` may hold back or change a claimed delivery. Read-only."""
    if claimed.kind not in (KIND, *held_incidents.KINDS):
        return False
    if claimed.was_held or claimed.kind in held_incidents.RECOVERIES:
        return True
    return windows.has_active(claimed.organization_id, now=clock())


def decide(claimed: Claimed, *, now: datetime) -> Claimed | None:
    """Return the delivery as it is to be sent; None if it is dropped, or waits. The caller commits.

    The result is None, too, if the lease was lost.
    """
    if claimed.kind != KIND:
        return held_incidents.decide(claimed, now=now)
    retry = retried.find_retry(claimed) if claimed.waits_for_retry else None
    if retry is not None:
        outcomes.drop(claimed, retry, now=now)
        return None
    active = windows.list_active(claimed.organization_id, now=now)
    covering = windows.keep_covering(active, _subject_of(claimed), now=now) if active else None
    if covering is not None:
        outcomes.hold(claimed, covering)
        return None
    if not claimed.was_held_by_window:
        return claimed
    if claimed.firing_id is not None and claimed.is_first_attempt:
        return combining.combine(claimed, active, now)
    return outcomes.let_go(claimed)


def release(organization_id: int, name: str, *, now: datetime) -> None:
    """Let workers decide anew about what the window of this *name* holds back."""
    released = db.session.scalars(
        update(_DELIVERY)
        .where(
            _delivery.organization_id == organization_id,
            _delivery.state == WAITING,
            _delivery.held_by == outcomes.held_by(name),
            _delivery.next_attempt_at > now,
        )
        .values(next_attempt_at=outbox.at_once(now))
        .returning(_delivery.id)
    ).all()
    for delivery_id in released[:100]:
        outbox.note_queued(delivery_id)


def _subject_of(claimed: Claimed) -> Subject:
    """Return the task of a delivery: by its firing or, if it was deleted, by its message."""
    row = db.session.execute(
        select(_task.project_id, _task.name, _task.monitor_id)
        .join(_FIRING, _firing.task_id == _task.id)
        .where(_firing.id == claimed.firing_id)
    ).first()
    if row is not None:
        return Subject._make(row)
    message = Message.from_json(claimed.message)
    project_id = db.session.scalar(
        select(Project.id).where(
            Project.organization_id == claimed.organization_id, Project.slug == message.project
        )
    )
    return Subject(project_id, (message.task or {}).get("name", ""), None)
