"""The outbox: messages are queued in the transaction of the change that they are about.

``claims`` decides who sends them, ``sending`` sends, and ``outcomes`` records how it ended.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, DateTime, Table, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from taskbadger.channels import Config, Message
from taskbadger.domain import ids
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.extensions import db, delete_some
from taskbadger.models import ChannelConfig, Delivery, Destination
from taskbadger.models.delivery import WAITING
from taskbadger.services.delivery import channels

KEPT = timedelta(days=30)
"""How long a delivery is kept after it was delivered or given up."""

DESTINATIONS_KEPT = timedelta(days=90)
"""How long it is remembered how sending to a destination went last."""

UNSENDABLE = "unsendable"
"""The destination of deliveries whose channel is missing or broken."""

_table = cast(Table, Delivery.__table__)
_DESTINATIONS = cast(Table, Destination.__table__)
_INSERT = insert(_table)
_IS_OPEN = _table.c.next_attempt_at.is_not(None)
_QUEUED = "taskbadger_queued"


class Outgoing(NamedTuple):
    """A message for one channel."""

    message: Message
    organization_id: int
    integration: str
    config: Config
    key: str | None = None
    """Nothing is queued if it was used before."""
    firing_id: int | None = None
    wait_for_retry: int = 0
    """Seconds that it waits, to be dropped if its run is tried again meanwhile."""


def queue(
    message: Message,
    *,
    organization_id: int,
    integration: str,
    config: Config,
    now: datetime,
    at: datetime | None = None,
    firing_id: int | None = None,
    key: str | None = None,
) -> str | None:
    """Queue *message* for one channel, now or *at* a later time; return the delivery's id.

    The id replaces that of the message. If the *key* was used before, nothing is queued and the
    result is None.
    """
    outgoing = Outgoing(message, organization_id, integration, config, key, firing_id)
    values = {
        **_row(outgoing, _destination(organization_id, integration, config, message.kind), now),
        "next_attempt_at": at or at_once(now),
    }
    if key is None:
        db.session.execute(_INSERT.values(values))
    elif not db.session.execute(_insert_once().values(values)).first():
        return None
    delivery_id = str(values["id"])
    if at is None:
        note_queued(delivery_id)
    return delivery_id


def queue_all(messages: Sequence[Outgoing], *, now: datetime) -> None:
    """Queue many messages together; those whose keys were used are left out.

    They are sent now, except for those that wait to be tried again.
    """
    destinations: dict[tuple[int, str, str, str], str] = {}
    rows: dict[int, list[dict[str, object]]] = {}
    for outgoing in messages:
        message, organization_id, integration, config, *_ = outgoing
        target = organization_id, integration, json.dumps(config), message.kind
        if target not in destinations:
            destinations[target] = _destination(organization_id, integration, config, message.kind)
        row = _row(outgoing, destinations[target], now)
        rows.setdefault(outgoing.wait_for_retry, []).append(row)
    for wait, alike in rows.items():
        due = at_once(now, later=timedelta(seconds=wait))
        inserted = db.session.execute(_insert_once().values(next_attempt_at=due), alike)
        if not wait:
            for delivery in inserted:
                note_queued(delivery.id)


def _row(outgoing: Outgoing, destination: str, now: datetime) -> dict[str, object]:
    """Return the columns of a new delivery, except when its first attempt is due."""
    message, organization_id, integration, config, key, firing_id, wait = outgoing
    delivery_id = ids.new_id(now)
    return {
        "id": delivery_id,
        "organization_id": organization_id,
        "firing_id": firing_id,
        "key": key,
        "kind": message.kind,
        "integration": integration,
        "config": json.dumps(config),
        "destination": destination,
        "message": replace(message, id=delivery_id).to_json(),
        "state": WAITING,
        "attempts": 0,
        "crashes": 0,
        "waits_for_retry": wait > 0,
        "created": now,
    }


def targets_of(keys: Sequence[str]) -> list[NotificationTarget]:
    """Return where the deliveries with these keys went; those of long ago are forgotten."""
    rows = db.session.execute(
        select(Delivery.integration, Delivery.config)
        .where(Delivery.key.in_(keys))
        .order_by(Delivery.id)
    )
    return [{"integration": row.integration, "config": json.loads(row.config)} for row in rows]


def replace_message(
    delivery_id: str,
    message: Message,
    *,
    organization_id: int,
    integration: str,
    config: Config,
    firing_id: int,
    at: datetime,
) -> None:
    """Replace the message and the receiver of a waiting delivery with those of a later firing."""
    db.session.execute(
        update(Delivery)
        .where(Delivery.id == delivery_id)
        .values(
            message=replace(message, id=delivery_id).to_json(),
            config=json.dumps(config),
            destination=_destination(organization_id, integration, config, message.kind),
            firing_id=firing_id,
            next_attempt_at=at,
            waits_for_retry=False,
        )
        .execution_options(synchronize_session=False)
    )


def queue_test(channel: ChannelConfig, *, now: datetime) -> str:
    """Queue a test of a channel, which gets one attempt; return the delivery's id."""
    slug = channels.organization_slug(channel.organization_id)
    queued = queue(
        Message(
            id="",
            kind="test",
            created=now,
            organization=slug,
            title=f"Test message for channel {channel.name}",
        ),
        organization_id=channel.organization_id,
        integration=channels.integration_of(channel),
        config={},
        now=now,
    )
    assert queued is not None  # noqa: S101 - for the type checker: there is no key
    return queued


def at_once(now: datetime, *, later: timedelta = timedelta()) -> datetime | ColumnElement[datetime]:
    """Return the value of ``next_attempt_at`` for a delivery that is due now, or so much *later*.

    On PostgreSQL it goes by the database's clock if that is behind, so that a web server whose
    clock runs ahead delays nothing.
    """
    if db.engine.dialect.name != "postgresql":
        return now + later
    clock = func.clock_timestamp(type_=DateTime(timezone=True))
    column = _table.c.next_attempt_at.type
    return func.least(now + later, clock + later if later else clock, type_=column)


def _insert_once() -> ReturningInsert[Any]:
    """Return an INSERT of deliveries whose keys are new, which returns their ids."""
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    inserts = dialect.insert(_table).on_conflict_do_nothing(index_elements=["key"])
    return cast(ReturningInsert[Any], inserts.returning(_table.c.id))


def _destination(organization_id: int, integration: str, config: Config, kind: str) -> str:
    target = channels.find_target(organization_id, integration)
    if target is None:
        return UNSENDABLE
    try:
        found = target.channel.destination(target.config, config)
    except Exception:
        # A plug-in may raise anything; the config may come from an older version.
        return UNSENDABLE
    # A test must neither wait for a hold to end nor cause one.
    return f"test {found}"[:255] if kind == "test" else found[:255]


def redirect(channel: ChannelConfig) -> None:
    """Give the waiting deliveries of a channel the destination of its new config."""
    integration = channels.integration_of(channel)
    waiting = (
        Delivery.organization_id == channel.organization_id,
        Delivery.integration == integration,
        Delivery.state == WAITING,
    )
    configs = db.session.execute(select(Delivery.kind, Delivery.config).where(*waiting).distinct())
    for kind, config in configs.all():
        to = _destination(channel.organization_id, integration, json.loads(config), kind)
        db.session.execute(
            update(Delivery)
            .where(*waiting, Delivery.kind == kind, Delivery.config == config)
            .values(destination=to)
        )


def purge(*, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* deliveries that ended long ago; return how many."""
    return delete_some(_table, _table.c.finished < now - KEPT, limit=limit)


def purge_destinations(*, now: datetime, limit: int = 500) -> int:
    """Forget up to *limit* destinations to which nothing was sent for long; return how many."""
    is_held = exists().where(_table.c.destination == _DESTINATIONS.c.key, _IS_OPEN)
    return delete_some(
        _DESTINATIONS, _DESTINATIONS.c.seen < now - DESTINATIONS_KEPT, ~is_held, limit=limit
    )


def note_queued(delivery_id: str) -> None:
    """Note a delivery, so that a worker gets a hint after the commit."""
    db.session().info.setdefault(_QUEUED, []).append(delivery_id)


def take_queued(session: Session) -> list[str]:
    """Return the ids of the deliveries that this transaction has queued, and forget them."""
    queued: list[str] = session.info.pop(_QUEUED, [])
    return queued
