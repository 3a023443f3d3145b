"""Evidence: which failures of an incident a global action may tell of.

Those that were tried again count for nothing, and those of ignored kinds are never told.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from taskbadger.extensions import db
from taskbadger.models.failure import IGNORED
from taskbadger.models.incident_rows import FAILURES, KINDS

_MAX_TIMES = 1000
BACK = "back"
_failure = FAILURES.c
_MAY_BE_TOLD = or_(
    KINDS.c.state != IGNORED,
    and_(KINDS.c.ignored_until <= bindparam("now", type_=KINDS.c.last_seen.type)),
)
_FAILED = (
    select(_failure.task_id, _failure.kind_id, _failure.failed_at)
    .join_from(FAILURES, KINDS, KINDS.c.id == _failure.kind_id)
    .where(
        _failure.incident_id == bindparam("incident"),
        _failure.superseded_by.is_(None),
        _MAY_BE_TOLD,
    )
)

_ANY = (
    select(_failure.task_id)
    .where(_failure.incident_id == bindparam("incident"), _failure.superseded_by.is_(None))
    .limit(1)
)


class Failed(NamedTuple):
    """A failed run of an incident."""

    task_id: str
    kind_id: int
    failed_at: datetime


def first(incident_id: int, causes: Collection[str], *, now: datetime) -> Failed | None:
    """Return the first failure of an incident with one of these causes; None for none."""
    query = _FAILED.where(KINDS.c.cause.in_(causes)).order_by(_failure.failed_at).limit(1)
    row = db.session.execute(query, {"incident": incident_id, "now": now}).first()
    return None if row is None else Failed(*row)


def are_all_ignored(incident_id: int, *, now: datetime) -> bool:
    """Say whether an incident has failures, and all of them are of ignored kinds."""
    values = {"incident": incident_id, "now": now}
    if db.session.execute(_FAILED.limit(1), values).first() is not None:
        return False
    return db.session.execute(_ANY, values).first() is not None


def times(
    incident_id: int, causes: Collection[str], *, until: datetime, now: datetime
) -> list[datetime]:
    """Return when runs of an incident failed with one of these causes, the latest first."""
    query = _FAILED.where(KINDS.c.cause.in_(causes), _failure.failed_at <= until)
    query = query.order_by(_failure.failed_at.desc()).limit(_MAX_TIMES)
    rows = db.session.execute(query, {"incident": incident_id, "now": now})
    return [row.failed_at for row in rows]


def new_kinds(
    incident_id: int,
    causes: Collection[str],
    told: Collection[int],
    *,
    since: datetime | None,
    now: datetime,
) -> list[Failed]:
    """Return the failures that are the first of a kind, or of one that came back, in their order.

    Those of kinds that were *told* are left out, unless they came back after *since*.
    """
    conditions = (KINDS.c.cause.in_(causes), _failure.news != "")
    rows = db.session.execute(
        _FAILED.add_columns(_failure.news).where(*conditions).order_by(_failure.failed_at),
        {"incident": incident_id, "now": now},
    )
    return [
        Failed(row.task_id, row.kind_id, row.failed_at)
        for row in rows
        if row.kind_id not in told
        or (row.news == BACK and since is not None and row.failed_at > since)
    ]
