"""Deliveries that failed, as people handle them: replay, retry now, dismiss.

Each of these is a change by a person or an admin key, and records itself in the audit log.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict
from taskbadger.extensions import change_rows, db
from taskbadger.models import Delivery, Destination
from taskbadger.models.delivery import DEAD, DISMISSED, WAITING
from taskbadger.services.delivery import channels, lists, outbox
from taskbadger.services.organizations import audit


class CannotReplay(Conflict):
    """Only a dead or dismissed delivery can be replayed."""


class NotRetrying(Conflict):
    """Only a delivery that is waiting for its next attempt can be retried now."""


class CannotDismiss(Conflict):
    """Only a dead delivery can be dismissed."""


class ChannelGone(Conflict):
    """Its channel was deleted, so it can only be dismissed."""


class ChannelOff(Conflict):
    """Its channel is turned off. Turn it on first."""


def replay(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> None:
    """Send a dead delivery again, from the start of the schedule.

    Raises NotFound, CannotReplay, ChannelGone and ChannelOff.
    """
    delivery = lists.get_delivery(organization_id, delivery_id)
    if delivery.state in (DEAD, DISMISSED):
        _check_target(delivery)
    if not _revive((Delivery.id == delivery_id, Delivery.state.in_((DEAD, DISMISSED))), now):
        raise CannotReplay()
    db.session.refresh(delivery)
    _release([delivery.destination])
    audit.record(actor, organization_id, "delivery.replay", delivery_id, now=now)


def _check_target(delivery: Delivery) -> None:
    """Raise ChannelGone or ChannelOff where a delivery would be given up again at once."""
    target = channels.find_target(delivery.organization_id, delivery.integration)
    if target is None:
        raise ChannelGone()
    if target.disabled and delivery.kind != "test":
        raise ChannelOff()


def replay_channel(organization_id: int, integration: str, *, actor: Actor, now: datetime) -> int:
    """Send all dead deliveries of a channel again, except tests; return how many."""
    dead = dead_conditions(organization_id, integration)
    destinations = db.session.scalars(select(Delivery.destination).where(*dead).distinct()).all()
    count = _revive(dead, now)
    _release(destinations)
    _record_many(actor, organization_id, "delivery.replay-all", integration, count, now)
    return count


def retry_now(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> None:
    """Retry a failed delivery now instead of later. Raises NotFound and NotRetrying."""
    delivery = lists.get_delivery(organization_id, delivery_id)
    retried = change_rows(
        update(Delivery)
        # A delivery that was never tried is due, or waits for the end of a quiet period.
        .where(Delivery.id == delivery_id, Delivery.state == WAITING, Delivery.attempts > 0)
        .values(next_attempt_at=outbox.at_once(now))
        .execution_options(synchronize_session=False)
    )
    if not retried:
        raise NotRetrying()
    db.session.refresh(delivery)
    outbox.note_queued(delivery_id)
    _release([delivery.destination])
    audit.record(actor, organization_id, "delivery.hurry", delivery_id, now=now)


def dismiss(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> None:
    """Stop counting a dead delivery; its row is kept. Raises NotFound and CannotDismiss."""
    lists.get_delivery(organization_id, delivery_id)
    if not _dismiss((Delivery.id == delivery_id, Delivery.state == DEAD)):
        raise CannotDismiss()
    audit.record(actor, organization_id, "delivery.dismiss", delivery_id, now=now)


def dismiss_all(organization_id: int, integration: str = "", *, actor: Actor, now: datetime) -> int:
    """Dismiss all dead deliveries, of one channel or of all; return how many."""
    count = _dismiss(dead_conditions(organization_id, integration))
    subject = integration or "all channels"
    _record_many(actor, organization_id, "delivery.dismiss-all", subject, count, now)
    return count


def _record_many(
    actor: Actor, organization_id: int, verb: str, subject: str, count: int, now: datetime
) -> None:
    if count:
        detail = f"{count} deliver{'y' if count == 1 else 'ies'}"
        audit.record(actor, organization_id, verb, subject, detail, now=now)


def _dismiss(where: tuple[ColumnElement[bool], ...]) -> int:
    dismissed = change_rows(
        update(Delivery)
        .where(*where)
        .values(state=DISMISSED)
        .execution_options(synchronize_session=False)
    )
    db.session.expire_all()
    return dismissed


def dead_conditions(organization_id: int, integration: str = "") -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for dead deliveries, of one channel or of all.

    Tests do not count: whoever sent one has seen the outcome.
    """
    where = [
        Delivery.organization_id == organization_id,
        Delivery.state == DEAD,
        Delivery.kind != "test",
    ]
    if integration:
        where.append(Delivery.integration == integration)
    return tuple(where)


def _revive(where: tuple[ColumnElement[bool], ...], now: datetime) -> int:
    revived = db.session.execute(
        update(Delivery)
        .where(*where)
        .values(
            state=WAITING, attempts=0, crashes=0, next_attempt_at=outbox.at_once(now), finished=None
        )
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    found = list(revived.scalars())
    for delivery_id in found[:100]:
        outbox.note_queued(delivery_id)
    return len(found)


def _release(destinations: Sequence[str]) -> None:
    """Lift the hold on receivers: someone who replays has reason to think that they work."""
    db.session.execute(
        update(Destination).where(Destination.key.in_(destinations)).values(hold_until=None)
    )


def give_up(organization_id: int, integration: str, *, error: str, now: datetime) -> None:
    """Give up all deliveries that wait for a channel because the channel was turned off."""
    db.session.execute(
        update(Delivery)
        .where(
            Delivery.organization_id == organization_id,
            Delivery.integration == integration,
            Delivery.state == WAITING,
        )
        .values(
            state=DEAD,
            next_attempt_at=None,
            finished=now,
            error_class="channel_disabled",
            error=error,
        )
    )
