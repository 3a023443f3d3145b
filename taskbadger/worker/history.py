"""History: deletes closed incidents, kinds of failures and slots that are kept no longer."""

import random
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from taskbadger.domain.retention import Retention
from taskbadger.extensions import db, reading
from taskbadger.services.failures import retention as kinds
from taskbadger.services.incidents import retention as incidents
from taskbadger.services.monitors import retention as slots
from taskbadger.services.organizations.retention import (
    Position,
    list_all_retentions,
    list_retentions,
)
from taskbadger.worker import steps
from taskbadger.worker.groups import TimeLimit

AT_ONCE = 100
"""Incidents, kinds or slots per transaction, and monitors that are looked up together."""


_PARTS = {"incidents": incidents.HISTORY, "kinds": kinds.HISTORY}
positions: dict[tuple[str, int], Position] = {}
"""How far the walks have come that one run could not finish, by part and project."""


def delete_old_history() -> bool:
    """Delete what is of no use any more, in small transactions, project by project."""
    with reading():
        retentions = list_retentions()
    random.shuffle(retentions)  # No project is always the last one.
    limit = TimeLimit()
    return not all(
        _delete_old(name, retention, limit) for retention in retentions for name in _PARTS
    )


def _delete_old(name: str, retention: Retention, limit: TimeLimit) -> bool:
    """Delete what is old in one project; say whether there was time for all of it."""
    part, key, now = _PARTS[name], (name, retention.project_id), steps.database_now()
    position = positions.pop(key, None)
    while True:
        with reading():
            old = part.list_old(retention, position, now=now, limit=AT_ONCE)
        if old:
            part.delete_unused(retention, [each.id for each in old], now=now)
            db.session.commit()
        if len(old) < AT_ONCE:
            return True
        position = old[-1]
        if not limit.pause():
            positions[key] = position
            return False


walked: dict[int, UUID] = {}
"""How far the walks through the monitors of projects have come that one run could not finish."""


def delete_old_slots() -> bool:
    """Delete slots of monitors that are of no use any more, in small transactions."""
    with reading():
        retentions = list_all_retentions()
    random.shuffle(retentions)  # No project is always the last one.
    limit, now = TimeLimit(), steps.database_now()
    return not all(_delete_slots(retention, now, limit) for retention in retentions)


def _delete_slots(retention: Retention, now: datetime, limit: TimeLimit) -> bool:
    """Delete the old slots of one project; say whether there was time for all of them."""
    after = walked.pop(retention.project_id, None)
    while True:
        with reading():
            monitors = slots.list_monitors(retention, after, limit=AT_ONCE)
            old = [slots.list_old(retention, one, now=now, limit=AT_ONCE) for one in monitors]
        has_time = _delete_listed(monitors, old, limit)
        if has_time and all(len(some) < AT_ONCE for some in old):
            if len(monitors) < AT_ONCE:
                return True
            after = monitors[-1]
            has_time = limit.pause()
        if not has_time:
            if after is not None:
                walked[retention.project_id] = after
            return False


def _delete_listed(monitors: Sequence[UUID], old: Sequence[list[int]], limit: TimeLimit) -> bool:
    """Delete the slots of each monitor in one transaction; say whether there is time for more."""
    for monitor_id, slot_ids in zip(monitors, old, strict=True):
        if slot_ids:
            slots.delete_listed(monitor_id, slot_ids)
            db.session.commit()
            if not limit.pause():
                return False
    return True
