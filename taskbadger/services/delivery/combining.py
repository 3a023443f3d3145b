"""Combining: at the end of a maintenance window, what it held back becomes one message.

One for each action and channel, about the latest firing. Whichever of them is claimed first, that
worker combines all of them in one transaction.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, case, func, or_, select, update

from taskbadger.channels import Message
from taskbadger.extensions import db
from taskbadger.models import Delivery, Firing
from taskbadger.models.delivery import DROPPED, SENDING, WAITING
from taskbadger.models.task_rows import TASKS
from taskbadger.services.delivery import outcomes, windows
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.retried import IS_LATER, LATER
from taskbadger.services.delivery.windows import WindowRow

COMBINED = "combined into a later message"
"""Why a delivery was dropped at the end of a window."""

_HELD_BACK = '"held_back":'
_LONGEST_TAIL = 2000
_AT_ONCE = 1000
"""Deliveries that are combined with one statement."""

_DELIVERY = cast(Table, Delivery.__table__)
_FIRING = cast(Table, Firing.__table__)
_delivery, _firing, _task = _DELIVERY.c, _FIRING.c, TASKS.c

_LENGTH = func.length(_delivery.message)
_TAIL = case(
    (_LENGTH > _LONGEST_TAIL, func.substr(_delivery.message, _LENGTH - _LONGEST_TAIL + 1)),
    else_=_delivery.message,
)


class _Sibling(NamedTuple):
    """A delivery of the same action and channel that the same window has held back."""

    id: str
    token: str | None
    firing_id: int
    tail: str
    """The end of its message."""
    retry: bytes | str | None
    """The next attempt of its run, if it is dropped because of one."""
    project_id: int
    name: str
    monitor_id: UUID | None


@dataclass
class _Combined:
    """What a window has held back: one message about the latest firing, and all others."""

    latest: _Sibling | None = None
    dropped: list[str] = field(default_factory=list)
    firings: int = 0
    """How many the others stand for."""

    def add(self, sibling: _Sibling) -> None:
        """Add one that fired earlier than those before."""
        if self.latest is None:
            self.latest = sibling
            return
        self.dropped.append(sibling.id)
        self.firings += 1 + _held_back(sibling)


def combine(claimed: Claimed, active: Sequence[WindowRow], now: datetime) -> Claimed | None:
    """Combine what a window has held back into one message about the latest firing.

    Returns the delivery if it is that message. Those that another window covers are left to it,
    and those whose runs were tried again to the worker that claims them.
    """
    combined, is_ours = _Combined(), False
    for sibling in _list_siblings(claimed, now):
        if sibling.id == claimed.id:
            is_ours = sibling.token == claimed.token
        elif sibling.retry is not None or _is_covered(sibling, active, now):
            continue
        combined.add(sibling)
    for start in range(0, len(combined.dropped), _AT_ONCE):
        _drop(combined.dropped[start : start + _AT_ONCE], now)
    latest = combined.latest
    if latest is None:
        return None
    # As it is now: another worker may have combined something into it.
    message = _add_firings(latest.id, combined.firings)
    if latest.id != claimed.id or not is_ours:
        return None
    # From now on, it is a message like others.
    ready = outcomes.let_go(claimed)
    return ready and replace(ready, message=message)


def _list_siblings(claimed: Claimed, now: datetime) -> Iterator[_Sibling]:
    """Lock and yield what the window held back of the same action and channel, latest first.

    In this order, so that two workers cannot deadlock.
    """
    retry = (
        select(LATER.c.id).where(IS_LATER, _delivery.waits_for_retry).limit(1)
    ).scalar_subquery()
    this = select(_firing.action_id, _firing.global_action_id).where(
        _firing.id == claimed.firing_id
    )
    action = db.session.execute(this).first()
    if action is None:
        return
    query = (
        select(
            _delivery.id,
            _delivery.token,
            _delivery.firing_id,
            _TAIL.label("tail"),
            retry.label("retry"),
            _task.project_id,
            _task.name,
            _task.monitor_id,
        )
        .join(_FIRING, _firing.id == _delivery.firing_id)
        .join(TASKS, _task.id == _firing.task_id)
        .where(*_is_sibling(claimed, now), *_is_of_action(*action))
        .order_by(_delivery.firing_id.desc())
        .limit(_AT_ONCE)
        .with_for_update(of=_DELIVERY)
    )
    last: int | None = None
    while True:
        batch = query if last is None else query.where(_delivery.firing_id < last)
        found = [_Sibling._make(row) for row in db.session.execute(batch)]
        yield from found
        if len(found) < _AT_ONCE:
            return
        last = found[-1].firing_id


def _is_of_action(
    action_id: int | None, global_action_id: int | None
) -> tuple[ColumnElement[bool]]:
    if action_id is not None:
        return (_firing.action_id == action_id,)
    return (_firing.global_action_id == global_action_id,)


def _is_sibling(claimed: Claimed, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for what is held by the same window, and due or claimed."""
    return (
        _delivery.organization_id == claimed.organization_id,
        _delivery.integration == claimed.integration,
        _delivery.held_by == claimed.held_by,
        _delivery.attempts == 0,
        # So that an index finds the few that are not sent yet.
        _delivery.state.in_((WAITING, SENDING)),
        or_(
            and_(_delivery.state == WAITING, _delivery.next_attempt_at <= now),
            _delivery.state == SENDING,
        ),
    )


def _is_covered(sibling: _Sibling, active: Sequence[WindowRow], now: datetime) -> bool:
    covering = windows.first_covering(
        active,
        project_id=sibling.project_id,
        name=sibling.name,
        monitor_id=sibling.monitor_id,
        now=now,
    )
    return covering is not None


def _held_back(sibling: _Sibling) -> int:
    """Return the message's ``held_back``, without reading the task in it."""
    digits = sibling.tail.rpartition(_HELD_BACK)[2].partition(",")[0].strip("}")
    return int(digits) if digits.isdecimal() else 0


def _drop(ids: Sequence[str], now: datetime) -> None:
    """Drop deliveries that were combined, whoever has claimed them."""
    db.session.execute(
        update(_DELIVERY)
        .where(_delivery.id.in_(ids))
        .values(state=DROPPED, token=None, next_attempt_at=None, finished=now, held_by=COMBINED)
    )


def _add_firings(delivery_id: str, firings: int) -> str:
    """Say in a message how many firings it stands for besides its own; return its JSON."""
    before: str = db.session.scalars(
        select(_delivery.message).where(_delivery.id == delivery_id)
    ).one()
    if not firings:
        return before
    message = Message.from_json(before)
    after = replace(message, held_back=message.held_back + firings).to_json()
    db.session.execute(
        update(_DELIVERY)
        .where(_delivery.id == delivery_id)
        .values(message=after, waits_for_retry=False)
    )
    return after
