"""Lists of deliveries: their filters, and what set each off."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import defer

from taskbadger.domain import ids
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Delivery, Destination, Firing
from taskbadger.models.delivery import STATES, WAITING
from taskbadger.schemas.fields import parse_moment, printable
from taskbadger.services.keyset import read_task_id, walk
from taskbadger.services.pagination import Cursor, Page

_LONGEST_HEAD = 4000
_TITLE = '"title":'


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; empty or None for all."""

    states: tuple[str, ...] = ()
    channel: str = ""
    retrying: bool = False
    """Only those that wait for another try."""
    task: str | None = None
    since: datetime | None = None


def read_filters(parameters: Mapping[str, str]) -> Filters:
    """Read the query *parameters* of a list; raises ValidationFailed naming each wrong one."""
    states = tuple(filter(None, parameters.get("state", "").split(",")))
    task, since = parameters.get("task"), parameters.get("since")
    moment = parse_moment(since) if since else None
    errors = [
        FieldError("invalid_choice", f'"{printable(state)}" is not a valid choice.', "state")
        for state in states
        if state not in STATES
    ]
    if task and read_task_id(task) is None:
        errors.append(FieldError("invalid", f"“{printable(task)}” is not a task id.", "task"))
    if since and moment is None:
        errors.append(FieldError("invalid", "Datetime has wrong format. Use ISO 8601.", "since"))
    if "\x00" in parameters.get("channel", ""):
        errors.append(FieldError("invalid", "Null characters are not allowed.", "channel"))
    if errors:
        raise ValidationFailed(errors)
    return Filters(states, parameters.get("channel", ""), task=task or None, since=moment)


def list_deliveries(
    organization_id: int, filters: Filters, cursor: Cursor | None, size: int
) -> Page[Any]:
    """Return a page of an organization's deliveries, newest first, without their messages."""
    query = _listed(organization_id, filters).options(defer(Delivery.message))
    return walk(query, Delivery.id, cursor, size, newest_first=True, read=read_task_id)


def _listed(organization_id: int, filters: Filters) -> Select[Any]:
    query = select(Delivery).where(Delivery.organization_id == organization_id)
    if filters.states:
        query = query.where(Delivery.state.in_(filters.states))
    if filters.retrying:
        query = query.where(Delivery.state == WAITING, Delivery.attempts > 0)
    if filters.channel:
        query = query.where(Delivery.integration == filters.channel)
    if filters.task is not None:
        fired = select(Firing.id).where(Firing.task_id == filters.task)
        query = query.where(Delivery.firing_id.in_(fired))
    if filters.since is not None:
        # The ids sort by time, to the millisecond: where the walk may end.
        query = query.where(
            Delivery.created >= filters.since, Delivery.id >= ids.first_id(filters.since)
        )
    return query


@dataclass(frozen=True, slots=True)
class About:
    """What a delivery is about."""

    title: str
    """What its message says in a line; empty where it does not say."""
    task_id: str | None


def about_of(deliveries: Sequence[Delivery]) -> dict[str, About]:
    """Return what *deliveries* are about, by id, without reading their messages whole."""
    query = (
        select(Delivery.id, func.substr(Delivery.message, 1, _LONGEST_HEAD), Firing.task_id)
        .join(Firing, Firing.id == Delivery.firing_id, isouter=True)
        .where(Delivery.id.in_([one.id for one in deliveries]))
    )
    return {row[0]: About(_title(row[1]), row[2]) for row in db.session.execute(query)}


def _title(beginning: str) -> str:
    """Return the title out of the beginning of a message, where ``Message`` has it."""
    at = beginning.find(_TITLE)
    try:
        return str(json.JSONDecoder().raw_decode(beginning, at + len(_TITLE))[0])
    except ValueError:
        return ""


def holds_of(deliveries: Sequence[Delivery], *, now: datetime) -> dict[str, datetime]:
    """Return until when the receivers of those that wait are left alone, since they fail."""
    waiting = {one.destination for one in deliveries if one.state == WAITING}
    if not waiting:
        return {}
    query = select(Destination.key, Destination.hold_until).where(
        Destination.key.in_(waiting), Destination.hold_until > now
    )
    return {row.key: row.hold_until for row in db.session.execute(query)}


def firings_of(deliveries: Sequence[Delivery]) -> dict[int, Firing]:
    """Return what set *deliveries* off, by id."""
    wanted = {one.firing_id for one in deliveries if one.firing_id is not None}
    if not wanted:
        return {}
    found = db.session.scalars(select(Firing).where(Firing.id.in_(wanted)))
    return {firing.id: firing for firing in found}
