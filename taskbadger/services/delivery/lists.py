"""Reading deliveries: one, lists with filters, attempts, and what triggered each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Select, func, select
from sqlalchemy.orm import defer

from taskbadger.domain import ids, waiting
from taskbadger.domain.waiting import Waiting
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Delivery, DeliveryAttempt, Destination, Firing
from taskbadger.models.delivery import HELD, QUIET, STATES, TEST, WAITING
from taskbadger.schemas.fields import explain_moment, parse_moment, printable
from taskbadger.services.pagination import Cursor, Order, Page, keyset_of, read_task_id, walk

LONGEST_HEAD = 4000
"""The beginning of a message, which has its title."""
_TITLE = '"title":'


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a list; empty or None for all."""

    states: tuple[str, ...] = ()
    channel: str = ""
    retrying: bool = False
    """Only those that wait for a retry."""
    tests: bool | None = None
    """Only tests of channels, or none of them; None for both."""
    error: str = ""
    task: str | None = None
    since: datetime | None = None


def read_filters(parameters: Mapping[str, str]) -> Filters:
    """Read the query *parameters* of a list; raises ValidationFailed naming each wrong one."""
    states = tuple(filter(None, dict.fromkeys(parameters.get("state", "").split(","))))
    task, since = parameters.get("task"), parameters.get("since")
    moment = parse_moment(since) if since else None
    errors = [
        FieldError("invalid_choice", f'"{printable(state)}" is not a valid choice.', "state")
        for state in states
        if state not in STATES
    ]
    if task and read_task_id(task) is None:
        errors.append(FieldError("invalid", f"“{printable(task)}” is not a valid task ID.", "task"))
    if since and moment is None:
        errors.append(FieldError("invalid", explain_moment(since), "since"))
    if "\x00" in parameters.get("channel", ""):
        errors.append(FieldError("invalid", "Null characters are not allowed.", "channel"))
    if errors:
        raise ValidationFailed(errors)
    return Filters(states, parameters.get("channel", ""), task=task or None, since=moment)


_NEWEST_FIRST = keyset_of(Delivery.id, read_task_id, Order.DESCENDING)


def list_deliveries(
    organization_id: int, filters: Filters, cursor: Cursor | None, size: int
) -> Page[Delivery]:
    """Return a page of an organization's deliveries, newest first, without their messages."""
    query = _listed(organization_id, filters).options(defer(Delivery.message))
    return walk(query, _NEWEST_FIRST, cursor, size)


def _listed(organization_id: int, filters: Filters) -> Select[Delivery]:
    query = select(Delivery).where(Delivery.organization_id == organization_id)
    if filters.states:
        query = query.where(Delivery.state.in_(filters.states))
    if filters.retrying:
        query = query.where(Delivery.state == WAITING, Delivery.attempts > 0)
    if filters.tests is not None:
        query = query.where((Delivery.kind == TEST) == filters.tests)
    if filters.error:
        query = query.where(Delivery.error == filters.error)
    if filters.channel:
        query = query.where(Delivery.integration == filters.channel)
    if filters.task is not None:
        fired = select(Firing.id).where(Firing.task_id == filters.task)
        query = query.where(Delivery.firing_id.in_(fired))
    if filters.since is not None:
        # Ids sort by time, so the walk can end here.
        query = query.where(
            Delivery.created >= filters.since, Delivery.id >= ids.first_id(filters.since)
        )
    return query


@dataclass(frozen=True, slots=True)
class About:
    """What a delivery is about."""

    title: str
    """The title of its message; empty when there is none."""
    task_id: str | None


def about_of(deliveries: Sequence[Delivery]) -> dict[str, About]:
    """Return what *deliveries* are about, by id, without reading whole messages."""
    query = (
        select(Delivery.id, func.substr(Delivery.message, 1, LONGEST_HEAD), Firing.task_id)
        .join(Firing, Firing.id == Delivery.firing_id, isouter=True)
        .where(Delivery.id.in_([delivery.id for delivery in deliveries]))
    )
    return {row[0]: About(read_title(row[1]), row[2]) for row in db.session.execute(query)}


def read_title(beginning: str) -> str:
    """Return the title from the beginning of a message; empty when it is not there."""
    at = beginning.find(_TITLE)
    try:
        return str(json.JSONDecoder().raw_decode(beginning, at + len(_TITLE))[0])
    except ValueError:
        return ""


def holds_of(deliveries: Sequence[Delivery], *, now: datetime) -> dict[str, datetime]:
    """Return when the holds on receivers of waiting *deliveries* end, by destination."""
    waiting = {delivery.destination for delivery in deliveries if delivery.state == WAITING}
    if not waiting:
        return {}
    query = select(Destination.key, Destination.hold_until).where(
        Destination.key.in_(waiting), Destination.hold_until > now
    )
    return {row.key: row.hold_until for row in db.session.execute(query)}


def waiting_of(
    delivery: Delivery, holds: Mapping[str, datetime] = MappingProxyType({}), *, now: datetime
) -> Waiting:
    """Return what a delivery in the state *waiting* waits for; *holds* are those of `holds_of`."""
    held_by, key = delivery.held_by or "", delivery.key or ""
    return waiting.explain(
        attempts=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        window=held_by.removeprefix(HELD) if held_by.startswith(HELD) else None,
        waits_for_retry=delivery.waits_for_retry and not key.startswith(QUIET),
        paused_until=holds.get(delivery.destination),
        now=now,
    )


def firings_of(deliveries: Sequence[Delivery]) -> dict[int, Firing]:
    """Return the firings of *deliveries*, by the firing's id."""
    wanted = {delivery.firing_id for delivery in deliveries if delivery.firing_id is not None}
    if not wanted:
        return {}
    found = db.session.scalars(select(Firing).where(Firing.id.in_(wanted)))
    return {firing.id: firing for firing in found}


def get_delivery(organization_id: int, delivery_id: str) -> Delivery:
    """Return a delivery of an organization; raises NotFound."""
    delivery = None
    if ids.to_bytes(delivery_id) is not None:
        delivery = db.session.get(Delivery, delivery_id)
    if delivery is None or delivery.organization_id != organization_id:
        raise NotFound()
    return delivery


def find_version(organization_id: int, delivery_id: str) -> tuple[object, ...]:
    """Return a value that changes whenever the delivery does; raises NotFound."""
    if ids.to_bytes(delivery_id) is None:
        raise NotFound()
    row = db.session.execute(
        select(
            Delivery.state,
            Delivery.attempts,
            Delivery.crashes,
            Delivery.next_attempt_at,
            Delivery.held_by,
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
