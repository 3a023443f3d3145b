"""Signed links of messages: what one would do, and doing it once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import cast

from sqlalchemy import Table, select
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.domain.identity import Actor
from taskbadger.domain.incident_links import ACKNOWLEDGE, IncidentLink, InvalidLink, read_token
from taskbadger.errors import NotFound
from taskbadger.extensions import db, delete_some
from taskbadger.models import Incident, Organization, UsedLink
from taskbadger.services.incidents import handling, lists
from taskbadger.services.incidents.lists import ListedIncident

KEPT = timedelta(days=90)
"""How long it is remembered that a link was used: longer than its delivery can be sent again."""
_table = cast(Table, UsedLink.__table__)


class LinkState(Enum):
    """What can be done with a link."""

    USABLE = "usable"
    USED = "used"
    EXPIRED = "expired"
    CLOSED = "closed"
    """Its incident is over."""
    INVALID = "invalid"
    """Not signed by this server, or with a key that counts no more; or its incident was deleted."""


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link that someone opened. Only its state is known if it is INVALID."""

    state: LinkState
    link: IncidentLink | None = None
    listed: ListedIncident | None = None
    organization: str = ""
    """The organization's slug."""
    used_at: datetime | None = None


def open_link(token: str, secret_keys: str | Sequence[str], *, now: datetime) -> OpenedLink:
    """Say what a link would do. Changes nothing."""
    try:
        read = read_token(token, secret_keys)
        incident, slug = _find(read.link.incident_id)
        listed = lists.get_incident(incident.organization_id, incident.id)
    except (InvalidLink, NotFound):
        return OpenedLink(LinkState.INVALID)
    link = read.link
    used_at = db.session.scalar(select(UsedLink.used_at).where(UsedLink.digest == link.digest))
    if used_at is not None:
        state = LinkState.USED
    elif read.expires <= now:
        state = LinkState.EXPIRED
    elif incident.closed_at is not None:
        state = LinkState.CLOSED
    else:
        state = LinkState.USABLE
    return OpenedLink(state, link, listed, slug, used_at)


def use_link(
    token: str, secret_keys: str | Sequence[str], *, snooze_until: datetime | None, now: datetime
) -> OpenedLink:
    """Do what a link says and return that it was USABLE, or return why it was not.

    *snooze_until* is for links that snooze. Two uses at once do it once.
    """
    opened = open_link(token, secret_keys, now=now)
    link, listed = opened.link, opened.listed
    if opened.state is not LinkState.USABLE or link is None or listed is None:
        return opened
    if not _take(link, now):
        return OpenedLink(LinkState.USED, link, listed, opened.organization, now)
    organization_id, actor = listed.incident.organization_id, Actor("link", link.person)
    number = listed.incident.id
    try:
        if link.operation == ACKNOWLEDGE:
            handling.acknowledge(organization_id, number, actor=actor, now=now)
        else:
            handling.snooze(organization_id, number, until=snooze_until, actor=actor, now=now)
    except handling.IncidentClosed:
        return OpenedLink(LinkState.CLOSED, link, listed, opened.organization)
    return opened


def purge(*, now: datetime, limit: int = 500) -> int:
    """Forget up to *limit* links that were used long ago; return how many."""
    return delete_some(_table, _table.c.used_at < now - KEPT, limit=limit)


def _find(incident_id: int) -> tuple[Incident, str]:
    row = db.session.execute(
        select(Incident, Organization.slug)
        .join(Organization, Organization.id == Incident.organization_id)
        .where(Incident.id == incident_id, Organization.deleted_at.is_(None))
    ).first()
    if row is None:
        raise NotFound()
    return row[0], row[1]


def _take(link: IncidentLink, now: datetime) -> bool:
    """Note that a link is used; return False if it was before."""
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(_table)
        .values(digest=link.digest, used_at=now)
        .on_conflict_do_nothing(index_elements=["digest"])
        .returning(_table.c.digest)
    )
    return db.session.execute(statement).first() is not None
