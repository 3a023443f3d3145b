"""Deliveries that failed, as people handle them: replay, retry now, dismiss.

Each of these is a change by a person or an admin key, and records itself in the audit log.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, update

from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict
from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination
from taskbadger.models.delivery import DEAD, DISMISSED, TEST, WAITING
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


def replay_channel(
    organization_id: int, integration: str, error: str = "", *, actor: Actor, now: datetime
) -> int:
    """Send all dead deliveries of a channel again, except tests; return how many.

    With *error*, only those that were given up because of that.
    """
    dead = dead_conditions(organization_id, integration, error)
    destinations = db.session.scalars(select(Delivery.destination).where(*dead).distinct()).all()
    count = len(_revive(dead, now))
    _release(destinations)
    _record_many(actor, organization_id, "delivery.replay-all", integration, count, now)
    return count


def replay_cause(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> int:
    """Send all dead deliveries again that have the channel and the error of one; return how many.

    Raises NotFound, ChannelGone and ChannelOff.
    """
    sample = lists.get_delivery(organization_id, delivery_id)
    _check_target(sample)
    integration, error = sample.integration, sample.error or ""
    return replay_channel(organization_id, integration, error, actor=actor, now=now)


def retry_selected(
    organization_id: int, delivery_ids: Sequence[str], *, actor: Actor, now: datetime
) -> int:
    """Send some deliveries again, or now instead of later, except tests; return how many.

    Those that were delivered, are on their way or were never tried stay as they are, and those
    that would be given up again at once.
    """
    selected = [
        Delivery.organization_id == organization_id,
        Delivery.id.in_(delivery_ids),
        Delivery.kind != TEST,
    ]
    integrations = db.session.scalars(select(Delivery.integration).where(*selected).distinct())
    usable = [each for each in integrations.all() if _is_usable(organization_id, each)]
    selected.append(Delivery.integration.in_(usable))
    found = _revive((*selected, Delivery.state.in_((DEAD, DISMISSED))), now)
    found += _hurry((*selected,), now)
    destinations = select(Delivery.destination).where(Delivery.id.in_(found)).distinct()
    _release(db.session.scalars(destinations).all())
    _record_selected(actor, organization_id, "delivery.replay", found, now)
    return len(found)


def _is_usable(organization_id: int, integration: str) -> bool:
    target = channels.find_target(organization_id, integration)
    return target is not None and not target.disabled


def dismiss_selected(
    organization_id: int, delivery_ids: Sequence[str], *, actor: Actor, now: datetime
) -> int:
    """Stop counting some dead deliveries; return how many."""
    found = _dismiss((*dead_conditions(organization_id), Delivery.id.in_(delivery_ids)))
    _record_selected(actor, organization_id, "delivery.dismiss", found, now)
    return len(found)


def _record_selected(
    actor: Actor, organization_id: int, verb: str, delivery_ids: list[str], now: datetime
) -> None:
    if delivery_ids:
        subject = counted(len(delivery_ids))
        audit.record(actor, organization_id, verb, subject, ", ".join(delivery_ids), now=now)


def counted(count: int) -> str:
    """Return how many deliveries, in words."""
    return f"{count} deliver{'y' if count == 1 else 'ies'}"


def retry_now(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> None:
    """Retry a failed delivery now instead of later. Raises NotFound and NotRetrying."""
    delivery = lists.get_delivery(organization_id, delivery_id)
    if not _hurry((Delivery.id == delivery_id,), now):
        raise NotRetrying()
    db.session.refresh(delivery)
    _release([delivery.destination])
    audit.record(actor, organization_id, "delivery.hurry", delivery_id, now=now)


def dismiss(organization_id: int, delivery_id: str, *, actor: Actor, now: datetime) -> None:
    """Stop counting a dead delivery; its row is kept. Raises NotFound and CannotDismiss."""
    lists.get_delivery(organization_id, delivery_id)
    if not _dismiss((Delivery.id == delivery_id, Delivery.state == DEAD)):
        raise CannotDismiss()
    audit.record(actor, organization_id, "delivery.dismiss", delivery_id, now=now)


def dismiss_all(
    organization_id: int,
    integration: str = "",
    error: str = "",
    *,
    actor: Actor,
    now: datetime,
) -> int:
    """Dismiss all dead deliveries, of one channel or of all; return how many.

    With *error*, only those that were given up because of that.
    """
    count = len(_dismiss(dead_conditions(organization_id, integration, error)))
    subject = integration or "all channels"
    _record_many(actor, organization_id, "delivery.dismiss-all", subject, count, now)
    return count


def _record_many(
    actor: Actor, organization_id: int, verb: str, subject: str, count: int, now: datetime
) -> None:
    if count:
        audit.record(actor, organization_id, verb, subject, counted(count), now=now)


def _dismiss(where: tuple[ColumnElement[bool], ...]) -> list[str]:
    dismissed = db.session.execute(
        update(Delivery)
        .where(*where)
        .values(state=DISMISSED)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    found = list(dismissed.scalars())
    db.session.expire_all()
    return found


def dead_conditions(
    organization_id: int, integration: str = "", error: str = ""
) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions for dead deliveries, of one channel or of all, with one error or any.

    Tests do not count: whoever sent one has seen the outcome.
    """
    where = [
        Delivery.organization_id == organization_id,
        Delivery.state == DEAD,
        Delivery.kind != TEST,
    ]
    if integration:
        where.append(Delivery.integration == integration)
    if error:
        where.append(Delivery.error == error)
    return tuple(where)


def _hurry(where: tuple[ColumnElement[bool], ...], now: datetime) -> list[str]:
    """Let failed deliveries be due now; return their ids."""
    hurried = db.session.execute(
        update(Delivery)
        # A delivery that was never tried is due, or waits for the end of a quiet period.
        .where(*where, Delivery.state == WAITING, Delivery.attempts > 0)
        .values(next_attempt_at=outbox.at_once(now))
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    return _noted(list(hurried.scalars()))


def _revive(where: tuple[ColumnElement[bool], ...], now: datetime) -> list[str]:
    """Queue dead deliveries again, from the start; return their ids."""
    revived = db.session.execute(
        update(Delivery)
        .where(*where)
        .values(
            state=WAITING, attempts=0, crashes=0, next_attempt_at=outbox.at_once(now), finished=None
        )
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    return _noted(list(revived.scalars()))


def _noted(delivery_ids: list[str]) -> list[str]:
    for delivery_id in delivery_ids[:100]:
        outbox.note_queued(delivery_id)
    return delivery_ids


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
