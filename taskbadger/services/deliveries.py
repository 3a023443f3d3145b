"""Deliveries: the outbox. Queue a message with the change it tells of, and see what became of it.

Claiming is in ``claims``, and what an attempt's outcome means in ``outcomes``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, cast

from flask import current_app
from sqlalchemy import ColumnElement, Table, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from taskbadger.channels import Message
from taskbadger.domain import ids
from taskbadger.errors import Conflict, NotFound
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Delivery, DeliveryAttempt, Destination
from taskbadger.models.delivery import DEAD, DISMISSED, WAITING
from taskbadger.services import channels

KEPT = timedelta(days=30)
"""How long a delivery is kept after it was delivered or given up."""

UNSENDABLE = "unsendable"
"""The destination of deliveries that lead nowhere."""

_table = cast(Table, Delivery.__table__)
_INSERT = insert(_table)
_QUEUED = "taskbadger_queued"

Poke = Callable[[list[str]], None]
"""Told after a commit which deliveries it has queued; a hint, that may get lost."""


class NotDead(Conflict):
    """Only a delivery that was given up can be replayed."""


class NotRetrying(Conflict):
    """Only a delivery that waits for its next try can be tried now."""


class NotGivenUp(Conflict):
    """Only a delivery that was given up can be dismissed."""


class ChannelGone(Conflict):
    """Its channel was deleted: it cannot be delivered any more, only dismissed."""


class ChannelOff(Conflict):
    """Its channel is turned off: turn it on first."""


def queue(
    message: Message,
    *,
    organization_id: int,
    integration: str,
    config: Mapping[str, Any],
    now: datetime,
    at: datetime | None = None,
    firing_id: int | None = None,
    key: str | None = None,
) -> str | None:
    """Queue *message* for one channel, at once or *at* a later time; return the delivery's id.

    Whatever ``message.id`` is, the delivery gives it its own. With a *key* that was used before
    nothing is queued, and None is returned.
    """
    delivery_id = ids.new_id(now)
    values = {
        "id": delivery_id,
        "organization_id": organization_id,
        "firing_id": firing_id,
        "key": key,
        "kind": message.kind,
        "integration": integration,
        "config": json.dumps(config),
        "destination": _destination(organization_id, integration, config, message.kind),
        "message": replace(message, id=delivery_id).to_json(),
        "state": WAITING,
        "attempts": 0,
        "crashes": 0,
        "next_attempt_at": at or at_once(now),
        "created": now,
    }
    if key is None:
        db.session.execute(_INSERT.values(values))
    elif not _insert_once(values):
        return None
    if at is None:
        _remember(delivery_id)
    return delivery_id


def replace_message(
    delivery_id: str,
    message: Message,
    *,
    organization_id: int,
    integration: str,
    config: Mapping[str, Any],
    firing_id: int,
) -> None:
    """Let a delivery that still waits tell of a later firing, and go where that one would."""
    db.session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id)
        .values(
            message=replace(message, id=delivery_id).to_json(),
            config=json.dumps(config),
            destination=_destination(organization_id, integration, config, message.kind),
            firing_id=firing_id,
        )
        .execution_options(synchronize_session=False)
    )


def queue_test(channel: ChannelConfig, *, now: datetime) -> str:
    """Queue a message that shows whether a channel works; it gets one attempt. Return its id."""
    slug = channels.organization_slug(channel.organization_id)
    queued = queue(
        Message(
            id="",
            kind="test",
            created=now,
            organization=slug,
            title=f"Test of the channel {channel.name}",
        ),
        organization_id=channel.organization_id,
        integration=f"{channel.kind}:{channel.slug}",
        config={},
        now=now,
    )
    assert queued is not None  # noqa: S101 - for the type checker: there is no key
    return queued


def at_once(now: datetime) -> Any:
    """Return the due time of what is due now.

    On PostgreSQL the database's clock has a say, so that a web server whose clock runs ahead
    delays nothing.
    """
    if db.engine.dialect.name != "postgresql":
        return now
    return func.least(now, func.clock_timestamp(), type_=_table.c.next_attempt_at.type)


def _insert_once(values: dict[str, Any]) -> bool:
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(_table)
        .values(values)
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(_table.c.id)
    )
    return db.session.execute(statement).first() is not None


def _destination(
    organization_id: int, integration: str, config: Mapping[str, Any], kind: str
) -> str:
    target = channels.find_target(organization_id, integration)
    if target is None:
        return UNSENDABLE
    try:
        found = target.channel.destination(target.config, config)
    except Exception:  # A plug-in's, or made for a config of an older version.
        return UNSENDABLE
    # A test must neither wait for a circuit to close nor open one.
    return f"test {found}"[:255] if kind == "test" else found[:255]


def redirect(channel: ChannelConfig) -> None:
    """Let what waits for a channel follow it to where its new config leads."""
    integration = f"{channel.kind}:{channel.slug}"
    waiting = (*_of_channel(channel.organization_id, integration), Delivery.state == WAITING)
    configs = db.session.execute(select(Delivery.kind, Delivery.config).where(*waiting).distinct())
    for kind, config in configs.all():
        to = _destination(channel.organization_id, integration, json.loads(config), kind)
        db.session.execute(
            update(Delivery)
            .where(*waiting, Delivery.kind == kind, Delivery.config == config)
            .values(destination=to)
        )


def get_delivery(organization_id: int, delivery_id: str) -> Delivery:
    """Return a delivery of an organization; raises NotFound."""
    delivery = None
    if ids.to_bytes(delivery_id) is not None:
        delivery = db.session.get(Delivery, delivery_id)
    if delivery is None or delivery.organization_id != organization_id:
        raise NotFound()
    return delivery


def find_stamp(organization_id: int, delivery_id: str) -> tuple[Any, ...]:
    """Return what changes whenever a delivery does, by one look-up; raises NotFound."""
    if ids.to_bytes(delivery_id) is None:
        raise NotFound()
    row = db.session.execute(
        select(
            Delivery.state,
            Delivery.attempts,
            Delivery.crashes,
            Delivery.next_attempt_at,
            Delivery.finished,
            Destination.hold_until,
        )
        .join(Destination, Destination.key == Delivery.destination, isouter=True)
        .where(Delivery.id == delivery_id, Delivery.organization_id == organization_id)
    ).first()
    if row is None:
        raise NotFound()
    return tuple(row)


def list_attempts(delivery_id: str) -> Sequence[DeliveryAttempt]:
    """Return the attempts to deliver, oldest first, those before a replay too."""
    return db.session.scalars(
        select(DeliveryAttempt)
        .where(DeliveryAttempt.delivery_id == delivery_id)
        .order_by(DeliveryAttempt.id)
    ).all()


def replay(organization_id: int, delivery_id: str, *, now: datetime) -> None:
    """Try a dead delivery again, from the start of the schedule.

    Raises NotFound, NotDead, ChannelGone and ChannelOff.
    """
    delivery = get_delivery(organization_id, delivery_id)
    if delivery.state in (DEAD, DISMISSED):
        _check_target(delivery)
    if not _revive((Delivery.id == delivery_id, Delivery.state.in_((DEAD, DISMISSED))), now):
        raise NotDead()
    db.session.refresh(delivery)
    _release([delivery.destination])


def _check_target(delivery: Delivery) -> None:
    """Raise ChannelGone or ChannelOff where a delivery would be given up again at once."""
    target = channels.find_target(delivery.organization_id, delivery.integration)
    if target is None:
        raise ChannelGone()
    if target.disabled and delivery.kind != "test":
        raise ChannelOff()


def replay_channel(organization_id: int, integration: str, *, now: datetime) -> int:
    """Try all dead deliveries of a channel again, but for tests; return how many there are."""
    dead = given_up(organization_id, integration)
    destinations = db.session.scalars(select(Delivery.destination).where(*dead).distinct()).all()
    count = _revive(dead, now)
    _release(destinations)
    return count


def hurry(organization_id: int, delivery_id: str, *, now: datetime) -> None:
    """Let a delivery that failed make its next try now. Raises NotFound and NotRetrying."""
    delivery = get_delivery(organization_id, delivery_id)
    hurried = db.session.execute(
        update(Delivery)
        # One that was never tried is due, or waits for the end of a quiet period.
        .where(Delivery.id == delivery_id, Delivery.state == WAITING, Delivery.attempts > 0)
        .values(next_attempt_at=at_once(now))
        .execution_options(synchronize_session=False)
    )
    if not hurried.rowcount:  # type: ignore[attr-defined]
        raise NotRetrying()
    db.session.refresh(delivery)
    _remember(delivery_id)
    _release([delivery.destination])


def dismiss(organization_id: int, delivery_id: str) -> None:
    """Count a dead delivery no more; it stays. Raises NotFound and NotGivenUp."""
    get_delivery(organization_id, delivery_id)
    if not _dismiss((Delivery.id == delivery_id, Delivery.state == DEAD)):
        raise NotGivenUp()


def dismiss_all(organization_id: int, integration: str = "") -> int:
    """Dismiss all that was given up, of one channel or of all; return how many there were."""
    return _dismiss(given_up(organization_id, integration))


def _dismiss(where: tuple[ColumnElement[bool], ...]) -> int:
    dismissed = db.session.execute(
        update(Delivery)
        .where(*where)
        .values(state=DISMISSED)
        .execution_options(synchronize_session=False)
    )
    db.session.expire_all()
    return int(dismissed.rowcount)  # type: ignore[attr-defined]


def given_up(organization_id: int, integration: str = "") -> tuple[ColumnElement[bool], ...]:
    """Return what selects the messages that nobody got, of one channel or of all.

    A test is none: whoever sent it saw what became of it.
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
        .values(state=WAITING, attempts=0, crashes=0, next_attempt_at=at_once(now), finished=None)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    found = list(revived.scalars())
    for delivery_id in found[:100]:
        _remember(delivery_id)
    return len(found)


def _release(destinations: Sequence[str]) -> None:
    """Let a receiver be tried now: someone who replays has reason to think that it works."""
    db.session.execute(
        update(Destination).where(Destination.key.in_(destinations)).values(hold_until=None)
    )


def give_up(organization_id: int, integration: str, *, error: str, now: datetime) -> None:
    """Give up all that waits for a channel that was turned off."""
    db.session.execute(
        update(Delivery)
        .where(*_of_channel(organization_id, integration), Delivery.state == WAITING)
        .values(
            state=DEAD,
            next_attempt_at=None,
            finished=now,
            error_class="channel_disabled",
            error=error,
        )
    )


def purge(*, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* deliveries that ended long ago; return how many."""
    is_old = Delivery.finished < now - KEPT
    old = select(Delivery.id).where(is_old).limit(limit)
    gone = db.session.execute(
        # Once more with the condition: someone may have replayed it meanwhile.
        delete(Delivery)
        .where(Delivery.id.in_(old), is_old)
        .execution_options(synchronize_session=False)
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def _of_channel(organization_id: int, integration: str) -> tuple[ColumnElement[bool], ...]:
    return (Delivery.organization_id == organization_id, Delivery.integration == integration)


def _remember(delivery_id: str) -> None:
    db.session().info.setdefault(_QUEUED, []).append(delivery_id)


def poke_after_commit(session: Session) -> None:
    """Tell the worker what this transaction has queued: for the session's ``after_commit``."""
    queued = session.info.pop(_QUEUED, None)
    if not queued or not current_app:
        return
    poke: Poke | None = current_app.extensions.get("taskbadger_poke")
    if poke is not None:
        poke(queued)


def forget_after_rollback(session: Session) -> None:
    """Forget what a transaction has queued that was rolled back."""
    session.info.pop(_QUEUED, None)
