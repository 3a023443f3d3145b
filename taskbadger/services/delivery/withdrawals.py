"""Messages that were held back while what fired was deleted, turned off or cancelled.

They are not sent, and say why. Other changes of a global action are about later firings only.
"""

import json
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, Table, bindparam, or_, select, update

from taskbadger.extensions import db
from taskbadger.models import Action, Delivery, Firing, GlobalAction
from taskbadger.models.action import CANCELLED
from taskbadger.models.delivery import DROPPED, HELD, QUIET, WAITING
from taskbadger.models.task_rows import columns_of
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.held_incidents import RECOVERIES

DELETED = "its alert rule was deleted"
OFF = "its alert rule was turned off"
ACTION_CANCELLED = "its action was cancelled"

_AT_ONCE = 1000
_ACTION = cast(Table, Action.__table__)
_DELIVERY = cast(Table, Delivery.__table__)
_FIRING = cast(Table, Firing.__table__)
_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_delivery, _firing = _DELIVERY.c, _FIRING.c
_QUEUED_AT = (
    select(_delivery.created).where(_delivery.id == bindparam("delivery")).scalar_subquery()
)


class _Fired(NamedTuple):
    """What fired, as it is now."""

    action_id: int | None
    global_action_id: int | None
    status: str | None
    """Of the action."""
    enabled: bool | None
    """Whether the global action is turned on."""


class Withdrawn(NamedTuple):
    """Why a message is not sent."""

    reason: str
    global_action_id: int | None
    """None if it is gone, or was none."""


def find_reason(claimed: Claimed) -> Withdrawn | None:
    """Return why a claimed message that was held back is not sent; None if it is."""
    if not claimed.was_held or not claimed.is_first_attempt:
        return None
    row = db.session.execute(
        select(*columns_of(_Fired, _FIRING, _ACTION, _GLOBAL_ACTION))
        .join_from(_FIRING, _ACTION, _ACTION.c.id == _firing.action_id, isouter=True)
        .join(_GLOBAL_ACTION, _GLOBAL_ACTION.c.id == _firing.global_action_id, isouter=True)
        .where(_firing.id == claimed.firing_id)
    ).first()
    return _reason_of_message(claimed) if row is None else _reason_of(_Fired._make(row))


def _reason_of(fired: _Fired) -> Withdrawn | None:
    if fired.action_id is not None:
        return Withdrawn(ACTION_CANCELLED, None) if fired.status == CANCELLED else None
    if fired.global_action_id is None:
        return Withdrawn(DELETED, None)
    return None if fired.enabled else Withdrawn(OFF, fired.global_action_id)


def _reason_of_message(claimed: Claimed) -> Withdrawn | None:
    """Return the reason for a message without a firing: about an incident, or a task that is gone.

    A recovery is told to those who know of the failure, whatever became of the rule.
    """
    number = (json.loads(claimed.message).get("action") or {}).get("global_action")
    if number is None or claimed.kind in RECOVERIES:
        return None  # An action of the task, with which it was deleted, or a monitor.
    # SQLite gives the id of a deleted rule to a later one.
    row = db.session.execute(
        select(_GLOBAL_ACTION.c.enabled).where(
            _GLOBAL_ACTION.c.id == number,
            _GLOBAL_ACTION.c.organization_id == claimed.organization_id,
            _GLOBAL_ACTION.c.created <= _QUEUED_AT,
        ),
        {"delivery": claimed.id},
    ).first()
    if row is None:
        return Withdrawn(DELETED, None)
    return None if row.enabled else Withdrawn(OFF, number)


def drop_held(organization_id: int, global_action_id: int, *, now: datetime) -> None:
    """Drop what is held back of a global action that is about to be deleted.

    The firings stay with their tasks, so that these can say what became of them.
    """
    of_it = select(_firing.id).where(_firing.global_action_id == global_action_id)
    dropped = db.session.scalars(
        update(_DELIVERY)
        .where(
            _delivery.organization_id == organization_id,
            _delivery.state == WAITING,
            _delivery.attempts == 0,
            _was_held(),
            _delivery.firing_id.in_(of_it),
        )
        .values(state=DROPPED, next_attempt_at=None, finished=now, held_by=DELETED)
        .returning(_delivery.firing_id)
    ).all()
    for start in range(0, len(dropped), _AT_ONCE):
        few = dropped[start : start + _AT_ONCE]
        db.session.execute(update(_FIRING).where(_firing.id.in_(few)).values(global_action_id=None))


def _was_held() -> ColumnElement[bool]:
    """Return the condition that is `Claimed.was_held`."""
    by_window, quiet = _delivery.held_by.startswith(HELD), _delivery.key.startswith(QUIET)
    return or_(_delivery.waits_for_retry, by_window, quiet)
