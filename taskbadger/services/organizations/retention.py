"""How long projects keep what has ended, and how what they keep no longer is deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Table, delete, or_, select, tuple_

from taskbadger.domain.retention import Retention
from taskbadger.extensions import change_rows, db
from taskbadger.models import Project

FIELDS = (
    "retention_days",
    "retention_days_success",
    "retention_days_failure",
    "retention_days_unfinished",
)
"""The settings of a project, in the order of `Retention`."""
_DAYS = tuple(getattr(Project, name) for name in FIELDS)


class Position(NamedTuple):
    """How far a walk through what is old has come: the last time, and the id."""

    at: datetime
    id: int


@dataclass(frozen=True)
class History:
    """What is kept for some time after it has ended; its index is by project, end and id."""

    table: Table
    ended: ColumnElement[datetime]
    may_go: ColumnElement[bool]
    """Of its own columns; holds while its row is locked."""
    is_used: ColumnElement[bool]
    """Whether something else still needs it."""

    def list_old(
        self, retention: Retention, after: Position | None, *, now: datetime, limit: int
    ) -> list[Position]:
        """Return up to *limit* of a project that ended long ago, after *after*.

        They may still be of use. Read-only; walks an index.
        """
        start = retention.start_of_history(now)
        if start is None:
            return []
        key = (self.ended, self.table.c.id)
        query = select(*key).where(
            self.table.c.project_id == retention.project_id, self.ended < start
        )
        if after is not None:
            query = query.where(tuple_(*key) > after)
        rows = db.session.execute(query.order_by(*key).limit(limit))
        return [Position(*row) for row in rows]

    def delete_unused(self, retention: Retention, ids: Sequence[int], *, now: datetime) -> int:
        """Delete those of these that are of no use any more; return how many."""
        start = retention.start_of_history(now)
        if start is None:
            return 0
        number, is_old = self.table.c.id, self.ended < start
        locked = select(number).where(number.in_(ids), is_old, self.may_go)
        locked = locked.order_by(number).with_for_update(skip_locked=True)
        found = db.session.scalars(locked).all()
        # In a statement of its own, which sees what those have written who had the locks before.
        return change_rows(delete(self.table).where(number.in_(found), ~self.is_used))


def list_retentions() -> list[Retention]:
    """Return the projects that do not keep all tasks for ever."""
    query = select(Project.id, *_DAYS).where(or_(*(days.is_not(None) for days in _DAYS)))
    return [Retention(*row) for row in db.session.execute(query)]


def list_all_retentions() -> list[Retention]:
    """Return all projects."""
    return [Retention(*row) for row in db.session.execute(select(Project.id, *_DAYS))]


def retention_of(project: Project, changes: Mapping[str, object] | None = None) -> Retention:
    """Return how long a project keeps tasks, with *changes* of its FIELDS."""
    values = {name: getattr(project, name) for name in FIELDS}
    values |= {name: changes[name] for name in FIELDS if changes and name in changes}
    return Retention(project.id, *values.values())
