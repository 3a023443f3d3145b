"""The audit log: changes made by people, admin keys, plug-ins and the command line.

Services record their own changes; their callers do not.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import ColumnElement, Select, delete, func, literal_column, or_, select, update

from taskbadger.domain import changes
from taskbadger.domain.audit_kinds import INGESTION, Change, Folded, fold, kind_of
from taskbadger.domain.identity import Actor
from taskbadger.extensions import change_rows, db
from taskbadger.models import AuditEntry, Membership, Organization

PAGE_SIZE = 50
MAX_FOLDED = 1_000
"""How many changes of tasks are read and counted at once."""
MAX_READS = 10
"""How often a page reads on after more changes than that; then it is shorter."""
# A literal, as in the index: planners do not use it for a parameter.
_INGESTION: ColumnElement[str] = literal_column(f"'{INGESTION}'")
_SEARCHED = (AuditEntry.actor_name, AuditEntry.verb, AuditEntry.subject, AuditEntry.detail)


def record(
    actor: Actor,
    organization_id: int,
    verb: str,
    subject: str,
    detail: str = "",
    *,
    now: datetime,
) -> None:
    """Record that *actor* did *verb*, such as ``key.revoke``, to *subject*.

    *detail* must not hold a secret: members with READ_AUDIT_LOG see it.
    """
    db.session.add(
        AuditEntry(
            organization_id=organization_id,
            created=now,
            actor_type=actor.type,
            actor_name=actor.name[:255],
            verb=verb,
            kind=kind_of(actor.type, verb),
            subject=subject[:255],
            detail=detail,
        )
    )


def record_change(
    actor: Actor,
    organization_id: int,
    verb: str,
    subject: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    *,
    is_secret: changes.IsSecret = changes.no_secret,
    now: datetime,
) -> bool:
    """Record which fields differ, as ``name: old → new``; return whether any does."""
    lines = changes.describe(before, after, is_secret)
    if lines:
        record(actor, organization_id, verb, subject, "; ".join(lines), now=now)
    return bool(lines)


def record_for_user(
    actor: Actor, user_id: int, verb: str, subject: str, detail: str = "", *, now: datetime
) -> None:
    """Record a change of a user's account in each organization that they belong to."""
    query = select(Membership.organization_id).where(Membership.user_id == user_id)
    for organization_id in db.session.scalars(query):
        record(actor, organization_id, verb, subject, detail, now=now)


def list_entries(
    organization_id: int, *, before: int | None = None, search: str = "", kind: str = ""
) -> Folded[AuditEntry]:
    """Return a page of entries, newest first, older than the entry *before*.

    *search* keeps those with this text in any field, ignoring case; *kind* those of a kind.
    """
    query = _listed(organization_id, before)
    if kind:
        query = query.where(AuditEntry.kind == kind)
    if search:
        query = query.where(
            or_(*(column.icontains(search, autoescape=True) for column in _SEARCHED))
        )
    found = list(db.session.scalars(query.limit(PAGE_SIZE + 1)))
    page = found[:PAGE_SIZE]
    return Folded([*page], page[-1].id if len(found) > PAGE_SIZE else None)


def list_folded(organization_id: int, *, before: int | None = None) -> Folded[AuditEntry]:
    """Return a page of entries like ``list_entries``; changes of tasks by keys are folded.

    Each read takes at most PAGE_SIZE and MAX_FOLDED entries from two indexes.
    """
    page = _read_folded(organization_id, before)
    for _ in range(MAX_READS - 1):
        if page.before is None or len(page.rows) >= PAGE_SIZE:
            break
        more = _read_folded(organization_id, page.before)
        page = Folded([*page.rows, *more.rows], more.before)
    return page


def _read_folded(organization_id: int, before: int | None) -> Folded[AuditEntry]:
    query = _listed(organization_id, before).where(AuditEntry.kind != _INGESTION)
    others = db.session.scalars(query.limit(PAGE_SIZE + 1)).all()
    floor = others[PAGE_SIZE - 1].id if len(others) > PAGE_SIZE else 0
    changes = (
        _listed(organization_id, before)
        .with_only_columns(AuditEntry.id, AuditEntry.created, AuditEntry.actor_name)
        .where(AuditEntry.kind == INGESTION, AuditEntry.id > floor)
        .limit(MAX_FOLDED + 1)
    )
    rows = cast(Sequence[Change], db.session.execute(changes).all())
    return fold([(each.id, each) for each in others], rows, size=PAGE_SIZE, limit=MAX_FOLDED)


def _listed(organization_id: int, before: int | None) -> Select[AuditEntry]:
    query = select(AuditEntry).where(AuditEntry.organization_id == organization_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return query.order_by(AuditEntry.id.desc())


def purge(*, kept: timedelta, now: datetime, limit: int = 500) -> int:
    """Delete up to *limit* entries of all organizations that are older than *kept*.

    Returns how many. Ids are given in the order of time, so the oldest ones have the lowest.
    """
    oldest = select(AuditEntry.id, AuditEntry.created).order_by(AuditEntry.id).limit(limit)
    old = [row.id for row in db.session.execute(oldest) if row.created < now - kept]
    return change_rows(
        delete(AuditEntry)
        .where(AuditEntry.id.in_(old))
        .execution_options(synchronize_session=False)
    )


def list_without_kind(*, limit: int) -> Sequence[int]:
    """Return entries whose kind is unknown: up to *limit* of one organization, newest first.

    Servers before kinds wrote them. The empty kind is the lowest, so an index has it first.
    """
    lowest = (
        select(func.min(AuditEntry.kind))
        .where(AuditEntry.organization_id == Organization.id)
        .scalar_subquery()
    )
    first = select(Organization.id).where(lowest == "").order_by(Organization.id).limit(1)
    query = (
        select(AuditEntry.id)
        # Not `==`: planners would then ignore the kind in the order, and may take another index.
        .where(AuditEntry.organization_id == first.scalar_subquery(), AuditEntry.kind <= "")
        .order_by(AuditEntry.kind.desc(), AuditEntry.id.desc())
    )
    return db.session.scalars(query.limit(limit)).all()


def find_kinds(entry_ids: Sequence[int]) -> None:
    """Give entries without a kind theirs."""
    query = (
        select(AuditEntry.id, AuditEntry.actor_type, AuditEntry.verb)
        .where(AuditEntry.id.in_(entry_ids), AuditEntry.kind == "")
        .order_by(AuditEntry.id)
        .with_for_update()
    )
    by_kind: defaultdict[str, list[int]] = defaultdict(list)
    for entry_id, actor_type, verb in db.session.execute(query):
        by_kind[kind_of(actor_type, verb)].append(entry_id)
    for kind, ids in by_kind.items():
        change_rows(
            update(AuditEntry)
            .where(AuditEntry.id.in_(ids))
            .values(kind=kind)
            .execution_options(synchronize_session=False)
        )
