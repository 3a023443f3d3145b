"""The outbox: messages are queued in the transaction of the change that they are about.

``claims`` decides who sends them, ``sending`` sends, and ``outcomes`` records how it ended.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Table, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from taskbadger.channels import Config, Message
from taskbadger.domain import ids
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.extensions import change_rows, db
from taskbadger.models import ChannelConfig, Delivery
from taskbadger.models.delivery import WAITING
from taskbadger.services.delivery import channels

KEPT = timedelta(days=30)
"""How long a delivery is kept after it was delivered or given up."""

UNSENDABLE = "unsendable"
"""The destination of deliveries whose channel is missing or broken."""

_table = cast(Table, Delivery.__table__)
_INSERT = insert(_table)
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
    """Queue many messages to be sent now, together; those whose keys were used are left out."""
    destinations: dict[tuple[int, str, str, str], str] = {}
    rows = []
    for outgoing in messages:
        message, organization_id, integration, config, *_ = outgoing
        target = organization_id, integration, json.dumps(config), message.kind
        if target not in destinations:
            destinations[target] = _destination(organization_id, integration, config, message.kind)
        rows.append(_row(outgoing, destinations[target], now))
    if rows:
        statement = _insert_once().values(next_attempt_at=at_once(now))
        for row in db.session.execute(statement, rows):
            note_queued(row.id)


def _row(outgoing: Outgoing, destination: str, now: datetime) -> dict[str, object]:
    """Return the columns of a new delivery, except when its first attempt is due."""
    message, organization_id, integration, config, key, firing_id = outgoing
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


def at_once(now: datetime) -> datetime | ColumnElement[datetime]:
    """Return the value of ``next_attempt_at`` for a delivery that is due now.

    On PostgreSQL it is never later than the database's clock, so that a web server whose clock
    runs ahead delays nothing.
    """
    if db.engine.dialect.name != "postgresql":
        return now
    return func.least(now, func.clock_timestamp(), type_=_table.c.next_attempt_at.type)


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
    is_old = Delivery.finished < now - KEPT
    old = select(Delivery.id).where(is_old).limit(limit)
    return change_rows(
        # The condition again, because someone may have replayed one in between.
        delete(Delivery)
        .where(Delivery.id.in_(old), is_old)
        .execution_options(synchronize_session=False)
    )


def note_queued(delivery_id: str) -> None:
    """Note a delivery, so that a worker gets a hint after the commit."""
    db.session().info.setdefault(_QUEUED, []).append(delivery_id)


def take_queued(session: Session) -> list[str]:
    """Return the ids of the deliveries that this transaction has queued, and forget them."""
    queued: list[str] = session.info.pop(_QUEUED, [])
    return queued
