"""Settling: what becomes of failures that waited for a retry, once the wait is over.

With a rate or a quiet period, they count only now: a run that was tried again reaches no rate and
begins no quiet period. Whichever worker claims one of their messages first decides for all that are
due, under the lock of the global action's row.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, or_, select, update

from taskbadger.channels import Message
from taskbadger.domain.quiet import Decision
from taskbadger.domain.time_words import duration
from taskbadger.extensions import Statement, db
from taskbadger.models import Delivery, Firing
from taskbadger.models.delivery import DROPPED, SENDING, WAITING
from taskbadger.models.task_rows import TASKS, columns_of
from taskbadger.services.alerts import pacing
from taskbadger.services.alerts.pacing import GlobalActionRow, RateOutcome
from taskbadger.services.delivery import claims, combining, held, outcomes, retried, withdrawals
from taskbadger.services.delivery.claims import Claimed
from taskbadger.services.delivery.withdrawals import Withdrawn

_AT_ONCE = 500
"""Messages that are decided about in one transaction."""
_DELIVERY = cast(Table, Delivery.__table__)
_FIRING = cast(Table, Firing.__table__)
_delivery, _firing = _DELIVERY.c, _FIRING.c
_DROP = Statement(update(_DELIVERY).where(_delivery.id == bindparam("dropped")), tuple)


class _MessageRow(NamedTuple):
    """One message of a firing that nobody has decided about."""

    id: str
    organization_id: int
    integration: str
    firing_id: int
    fired_at: datetime
    retry: str | None
    """The last attempt of the run, if that is another task."""


_Messages = Sequence[_MessageRow]
"""Those of one firing."""


def decide(claimed: Claimed, *, now: datetime) -> Claimed | None:
    """Return the delivery as it is to be sent; None if it is dropped, or waits. The caller commits.

    The result is None, too, if the lease was lost.
    """
    # Locked first: nobody deletes it between the question and the answer.
    global_action = _lock_global_action(claimed)
    withdrawn = withdrawals.find_reason(claimed)
    if withdrawn is not None:
        _withdraw(claimed, withdrawn, now)
        return None
    settled = _settle(claimed, global_action, now)
    if settled is None or not settled.was_held_by_window:
        return settled and held.decide(settled, now=now)
    ready = held.decide(settled, now=now)
    if ready is not None and ready.is_first_attempt and global_action is not None:
        pacing.begin_quiet_period(global_action, now)
    return ready


def _withdraw(claimed: Claimed, withdrawn: Withdrawn, now: datetime) -> None:
    # Locked in this order everywhere: the global action, then its deliveries.
    if claimed.was_quiet and withdrawn.global_action_id is not None:
        pacing.forget_held_back(withdrawn.global_action_id, now)
    outcomes.drop(claimed, withdrawn.reason, now=now)


def _lock_global_action(claimed: Claimed) -> GlobalActionRow | None:
    """Return the global action of a message that was held back, locked; None if there is none."""
    if claimed.firing_id is None or not claimed.was_held or not claimed.is_first_attempt:
        return None
    number = db.session.scalar(
        select(_firing.global_action_id).where(_firing.id == claimed.firing_id)
    )
    return None if number is None else pacing.lock(number)


def _settle(
    claimed: Claimed, global_action: GlobalActionRow | None, now: datetime
) -> Claimed | None:
    """Decide about the firing of a message, and others, unless that was done or is not needed."""
    if not claimed.waits_for_retry or not claimed.is_first_attempt:
        return claimed
    if global_action is None or not pacing.is_paced(global_action):
        return claimed
    waiting = _lock_messages(claimed.organization_id, global_action, now)
    if waiting:
        _settle_firings(global_action, waiting, now)
    settled = claims.refresh(claimed)
    if settled is not None and settled.waits_for_retry:
        # Others come before it.
        outcomes.change_claimed(claimed, state=WAITING, next_attempt_at=now)
        return None
    return settled


def _lock_messages(
    organization_id: int, global_action: GlobalActionRow, now: datetime
) -> list[_Messages]:
    """Return the messages of firings that nobody has decided about, by firing, oldest first."""
    later = retried.LATER.c
    retry = select(later.id).where(retried.IS_LATER).order_by(later.id.desc()).limit(1)
    is_due = or_(_delivery.state == SENDING, _delivery.next_attempt_at <= now)
    rows = db.session.execute(
        select(
            *columns_of(
                _MessageRow,
                _DELIVERY,
                fired_at=_firing.created,
                retry=retry.scalar_subquery(),
            )
        )
        .join(_FIRING, _firing.id == _delivery.firing_id)
        .join(TASKS, TASKS.c.id == _firing.task_id)
        .where(
            _delivery.organization_id == organization_id,
            # So that an index finds the few that are not sent yet.
            _delivery.state.in_((WAITING, SENDING)),
            _delivery.waits_for_retry,
            _delivery.attempts == 0,
            is_due,
            _firing.global_action_id == global_action.id,
        )
        .order_by(_delivery.firing_id, _delivery.id)
        .limit(_AT_ONCE)
        .with_for_update(of=_DELIVERY)
    )
    found = [
        tuple(messages)
        for _, messages in groupby(map(_MessageRow._make, rows), lambda row: row.firing_id)
    ]
    is_cut = sum(map(len, found)) == _AT_ONCE and len(found) > 1
    return list(found[:-1] if is_cut else found)


def _settle_firings(
    global_action: GlobalActionRow, waiting: Sequence[_Messages], now: datetime
) -> None:
    # Also those that were given up, and may be replayed.
    firing_ids = [messages[0].firing_id for messages in waiting]
    db.session.execute(
        update(_DELIVERY).where(_delivery.firing_id.in_(firing_ids)).values(waits_for_retry=False)
    )
    last = retried.words_of({messages[0].retry for messages in waiting} - {None})
    dropped = [(row, last[row.retry]) for messages in waiting for row in messages if row.retry]
    left = [messages for messages in waiting if not messages[0].retry]
    told = left
    if global_action.at_least is not None and left:
        outcomes_of_rate = _count(global_action, left, now)
        told = [each for each, why in zip(left, outcomes_of_rate, strict=True) if why is None]
        dropped += [
            (row, why)
            for messages, why in zip(left, outcomes_of_rate, strict=True)
            if why is not None
            for row in messages
        ]
    if global_action.quiet_period and told:
        dropped += _hold_back(global_action, told, now)
    done = {"state": DROPPED, "token": None, "next_attempt_at": None, "finished": now}
    _DROP.run_each([{**done, "dropped": row.id, "held_by": why} for row, why in dropped])


def _count(
    global_action: GlobalActionRow, firings: Sequence[_Messages], now: datetime
) -> list[str | None]:
    """Count firings; return of each why it is not told, if it is not."""
    # What did not wait was counted when it fired: so the times of both are in order.
    wait = timedelta(seconds=global_action.wait_for_retry)
    times = [messages[0].fired_at + wait for messages in firings]
    found = pacing.count(global_action, times, now=now) or [RateOutcome.TOLD for _ in firings]
    rate = f"the rate of {global_action.at_least} within {duration(global_action.within or 0)}"
    words = {
        RateOutcome.TOLD: None,
        RateOutcome.BELOW: f"{rate} was not reached",
        RateOutcome.ABOVE: f"{rate} had been told already",
    }
    return [words[outcome] for outcome in found]


def _hold_back(
    global_action: GlobalActionRow, firings: Sequence[_Messages], now: datetime
) -> list[tuple[_MessageRow, str]]:
    """Let messages wait for the end of the quiet period, if there is one: one for each channel.

    Returns the others, which it stands for, and why they are dropped.
    """
    decisions = pacing.hold_back(global_action, len(firings), now) or []
    waiting = [
        (messages, decision)
        for messages, decision in zip(firings, decisions, strict=False)
        if decision.held_back
    ]
    firing_ids = [messages[0].firing_id for messages, _ in waiting]
    if firing_ids:
        is_held = _firing.id.in_(firing_ids)
        db.session.execute(update(_FIRING).where(is_held).values(held_back=True))
    last = {row.integration: (row, decision) for messages, decision in waiting for row in messages}
    for row, decision in last.values():
        _hold_until_end(global_action, row, decision, now)
    kept = {row.id for row, _ in last.values()}
    return [
        (row, combining.COMBINED)
        for messages, _ in waiting
        for row in messages
        if row.id not in kept
    ]


def _hold_until_end(
    global_action: GlobalActionRow, row: _MessageRow, decision: Decision, now: datetime
) -> None:
    """Let a message wait for the end of the quiet period; it takes the place of the one before."""
    key = pacing.key_of(global_action.id, row.integration, decision)
    before = pacing.find_held(row.organization_id, key)
    if before is not None and before.state == WAITING:
        _change(
            before.id,
            state=DROPPED,
            next_attempt_at=None,
            finished=now,
            key=None,
            held_by=combining.COMBINED,
        )
        before = None
    text: str = db.session.scalars(select(_delivery.message).where(_delivery.id == row.id)).one()
    message = replace(Message.from_json(text), held_back=decision.quiet.held_back - 1)
    _change(
        row.id,
        state=WAITING,
        token=None,
        key=None if before else key,
        message=message.to_json(),
        next_attempt_at=decision.send_at,
    )


def _change(delivery_id: str, **values: object) -> None:
    db.session.execute(update(_DELIVERY).where(_delivery.id == delivery_id).values(values))
