"""Tellers: who tells of an incident, which is a global action or the monitor itself."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, select

from taskbadger.domain.monitors import MUTED, PAUSED, status_at
from taskbadger.domain.notification_targets import EscalationStep, NotificationTarget
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Monitor
from taskbadger.services.incidents.noting import causes_of

_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_MONITOR = cast(Table, Monitor.__table__)
_ASK_AGAIN = timedelta(minutes=1)
"""When to look again whether a mute without an end has ended."""


class ShownMonitor(NamedTuple):
    """What messages show of a monitor."""

    id: UUID
    name: str
    schedule: str | None
    timezone: str
    interval: int | None


class Teller(NamedTuple):
    """What a notice needs of a global action or a monitor."""

    name: str
    channels: Sequence[NotificationTarget]
    remind_after: int
    escalation: Sequence[EscalationStep]
    is_on: bool = True
    global_action_id: int | None = None
    trigger: str | None = None
    causes: Sequence[str] = ()
    """The causes of failures that reach the trigger."""
    wait_for_retry: int = 0
    at_least: int | None = None
    within: int | None = None
    quiet_period: int = 0
    quiet_until: datetime | None = None
    monitor: ShownMonitor | None = None
    muted_until: datetime | None = None
    """When to look again whether a monitor may notify; None if it may."""


def lock_global_actions(ids: Collection[int | None]) -> dict[int, Teller]:
    """Return these global actions, whose quiet periods nobody else may change meanwhile."""
    if not ids:
        return {}
    rows = db.session.execute(
        select(_GLOBAL_ACTION)
        .where(_GLOBAL_ACTION.c.id.in_(ids))
        .order_by(_GLOBAL_ACTION.c.id)
        # FOR NO KEY UPDATE, as when one fires.
        .with_for_update(key_share=True)
    )
    return {
        row.id: Teller(
            name=row.name,
            channels=json.loads(row.channels),
            remind_after=row.remind_after,
            escalation=json.loads(row.escalation),
            is_on=row.enabled,
            global_action_id=row.id,
            trigger=row.trigger,
            causes=causes_of(row.trigger),
            wait_for_retry=row.wait_for_retry,
            at_least=row.at_least,
            within=row.within,
            quiet_period=row.quiet_period,
            quiet_until=row.quiet_until,
        )
        for row in rows
    }


def list_monitors(ids: Collection[UUID | None], now: datetime) -> dict[UUID | None, Teller]:
    """Return these monitors as tellers."""
    if not ids:
        return {}
    found: dict[UUID | None, Teller] = {}
    for row in db.session.execute(select(_MONITOR).where(_MONITOR.c.id.in_(ids))):
        is_muted = status_at(row.status, row.muted_until, now) == MUTED
        found[row.id] = Teller(
            name=row.name,
            channels=json.loads(row.action),
            remind_after=row.remind_after,
            escalation=json.loads(row.escalation),
            is_on=row.status != PAUSED,
            monitor=ShownMonitor(row.id, row.name, row.schedule, row.timezone, row.interval),
            muted_until=(row.muted_until or now + _ASK_AGAIN) if is_muted else None,
        )
    return found
