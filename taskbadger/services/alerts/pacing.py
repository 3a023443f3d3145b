"""Pacing: the rate and the quiet period of a global action, which its row keeps.

The row is locked, so firings are counted one after the other.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, or_, select, update

from taskbadger.clock import to_wire
from taskbadger.domain import quiet, rates
from taskbadger.domain.quiet import Decision, Quiet
from taskbadger.domain.rates import Rate
from taskbadger.extensions import db
from taskbadger.models import Delivery, GlobalAction
from taskbadger.models.delivery import QUIET
from taskbadger.models.task_rows import columns_of


class GlobalActionRow(NamedTuple):
    """What firing reads of a global action."""

    id: int
    name: str
    project_id: int | None
    name_pattern: str
    trigger: str
    channels: str
    """JSON: a list of `domain.notification_targets.NotificationTarget`."""
    quiet_period: int
    """Seconds; 0 for none."""
    at_least: int | None
    within: int | None
    wait_for_retry: int
    """Seconds; 0 for not at all."""


class HeldRow(NamedTuple):
    """A message that was held back to the end of a quiet period."""

    id: str
    state: str


class RateOutcome(Enum):
    """What the rate of a global action makes of a firing."""

    BELOW = "below"
    TOLD = "told"
    """It is the one with which the rate is reached."""
    ABOVE = "above"
    """The rate was told before, and has not fallen since."""


_GLOBAL_ACTION = cast(Table, GlobalAction.__table__)
_global_action = _GLOBAL_ACTION.c

_QUIET = select(_global_action.quiet_until, _global_action.held_back).where(
    _global_action.id == bindparam("global_action")
)
# FOR NO KEY UPDATE: inserting a firing takes a key-share lock on this row, and FOR UPDATE would
# conflict with it.
_LOCK_QUIET = _QUIET.with_for_update(key_share=True)
_KEEP = _QUIET.with_for_update(read=True, key_share=True)
_LOCK_RATE = (
    select(_global_action.rate, _global_action.rate_reached.label("reached"))
    .where(_global_action.id == bindparam("global_action"))
    .with_for_update(key_share=True)
)
_LOCK = (
    select(*columns_of(GlobalActionRow, _GLOBAL_ACTION))
    .where(_global_action.id == bindparam("global_action"))
    .with_for_update(key_share=True)
)


def is_paced(global_action: GlobalActionRow) -> bool:
    """Say whether a global action has a rate or a quiet period."""
    return global_action.at_least is not None or global_action.quiet_period > 0


def lock(global_action_id: int) -> GlobalActionRow | None:
    """Return a global action as it is now, and lock it; None if it is gone."""
    row = db.session.execute(_LOCK, {"global_action": global_action_id}).first()
    return cast(GlobalActionRow | None, row)


def keep(global_action: GlobalActionRow) -> bool:
    """Let nobody delete a global action until the commit; say whether it still exists."""
    found = db.session.execute(_KEEP, {"global_action": global_action.id}).first()
    return found is not None


def count(
    global_action: GlobalActionRow, times: Iterable[datetime], *, now: datetime
) -> list[RateOutcome] | None:
    """Count firings at these times; return what the rate makes of each.

    Returns None if the global action is gone.
    """
    state = db.session.execute(_LOCK_RATE, {"global_action": global_action.id}).first()
    if state is None:
        return None
    rate = Rate([datetime.fromisoformat(time) for time in json.loads(state.rate)], state.reached)
    found = []
    for time in times:
        rate, speaks = rates.count(
            rate,
            time,
            at_least=global_action.at_least or 1,
            within=timedelta(seconds=global_action.within or 0),
            now=now,
        )
        silent = RateOutcome.ABOVE if rate.is_reached else RateOutcome.BELOW
        found.append(RateOutcome.TOLD if speaks else silent)
    db.session.execute(
        update(_GLOBAL_ACTION)
        .where(_global_action.id == global_action.id)
        .values(
            rate=json.dumps([to_wire(time) for time in rate.times]), rate_reached=rate.is_reached
        )
    )
    return found


def hold_back(global_action: GlobalActionRow, number: int, now: datetime) -> list[Decision] | None:
    """Return what the quiet period makes of so many firings; None if the global action is gone."""
    row = db.session.execute(_LOCK_QUIET, {"global_action": global_action.id}).first()
    if row is None:
        return None
    state, period = Quiet(*row), timedelta(seconds=global_action.quiet_period)
    found = []
    for _ in range(number):
        found.append(quiet.schedule_message(state, period, now=now))
        state = found[-1].quiet
    db.session.execute(
        update(_GLOBAL_ACTION)
        .where(_global_action.id == global_action.id)
        .values(quiet_until=state.until, held_back=state.held_back)
    )
    return found


def begin_quiet_period(global_action: GlobalActionRow, now: datetime) -> None:
    """Begin its quiet period, if it has one, with a late message, unless one goes on."""
    until = now + timedelta(seconds=global_action.quiet_period)
    is_over = or_(_global_action.quiet_until.is_(None), _global_action.quiet_until <= now)
    db.session.execute(
        update(_GLOBAL_ACTION)
        .where(_global_action.id == global_action.id, _global_action.quiet_period > 0, is_over)
        .values(quiet_until=until, held_back=0)
    )


def forget_held_back(global_action_id: int, now: datetime) -> None:
    """Begin no quiet period with the message at the end of one, because it is not sent."""
    db.session.execute(
        update(_GLOBAL_ACTION)
        .where(_global_action.id == global_action_id, _global_action.quiet_until <= now)
        .values(held_back=0)
    )


def key_of(global_action_id: int, integration: str, decision: Decision) -> str:
    """Return the key of the message at the end of a quiet period."""
    return f"{QUIET}{global_action_id} {integration} {to_wire(decision.send_at)}"


def find_held(organization_id: int, key: str) -> HeldRow | None:
    """Return, locked, the message at the end of a quiet period; None if there is none yet."""
    row = db.session.execute(
        select(Delivery.id, Delivery.state)
        .where(Delivery.key == key, Delivery.organization_id == organization_id)
        .with_for_update()
    ).first()
    return cast(HeldRow | None, row)
