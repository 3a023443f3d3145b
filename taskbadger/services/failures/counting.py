"""Counting: the statements that add failures to their kinds, and note the kind of each task."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import (
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert

from taskbadger.domain.fingerprints import OTHERS
from taskbadger.extensions import Statement
from taskbadger.models.failure import IGNORED, OPEN, RESOLVED
from taskbadger.models.incident_rows import FAILURES, KINDS
from taskbadger.models.task_rows import columns_of
from taskbadger.models.types import Column, Columns, Condition

MAX_KINDS = 300
"""Kinds per name. Transactions that run at once may exceed it: they do not see each other."""
OTHER = frozenset(kind.fingerprint for kind in OTHERS.values())
"""The fingerprints of the kinds that take the failures of a name that has MAX_KINDS."""


class CountedKind(NamedTuple):
    """A kind after its failures were counted."""

    id: int
    name: str
    fingerprint: str
    number: int
    """How many failures of it there were."""
    state: str
    ignored_until: datetime | None
    back_since: datetime | None


_kind = KINDS.c
RETURNED = columns_of(CountedKind, KINDS, number=_kind["count"])


def is_no_other() -> Condition:
    """Return the condition that a kind is not one of OTHER."""
    # Literals: planners choose by them.
    return _kind.fingerprint.not_in([literal_column(f"'{name}'") for name in sorted(OTHER)])


def _parameter(name: str, column: Column) -> Column:
    return bindparam(name, type_=column.type)


def _added_values() -> dict[str, Column]:
    """Return the columns of a new kind, with the names of their parameters."""
    return {
        "project_id": _parameter("of_project", _kind.project_id),
        "name": _parameter("of_name", _kind.name),
        "fingerprint": _parameter("of_fingerprint", _kind.fingerprint),
        "title": _parameter("new_title", _kind.title),
        "place": _parameter("new_place", _kind.place),
        "cause": _parameter("new_cause", _kind.cause),
        "count": _parameter("added", _kind["count"]),
        "first_seen": _parameter("first_at", _kind.first_seen),
        "last_seen": _parameter("last_at", _kind.last_seen),
        "sample_task": _parameter("last_task", _kind.sample_task),
        "state": _parameter("new_state", _kind.state),
    }


def _fits(values: Mapping[str, Column]) -> Condition:
    """Return the condition that a name has room for a kind, or has it."""
    fingerprint = values["fingerprint"]
    of_name = and_(_kind.project_id == values["project_id"], _kind.name == values["name"])
    is_known = exists().where(of_name, _kind.fingerprint == fingerprint)
    # A literal: SQLite compiles a statement anew each time if its limit is a parameter.
    limit: Column = literal_column(str(MAX_KINDS))
    others = select(_kind.id).where(of_name, is_no_other()).limit(limit)
    is_full = select(func.count() >= MAX_KINDS).select_from(others.subquery()).scalar_subquery()
    return or_(is_known, not_(is_full))


def _upsert(*, is_news: bool, fitting: bool) -> Insert:
    """Return the statement that adds failures to their kind.

    If a name has too many, they go to OTHER; it is not asked for kinds that are *fitting*.
    """
    values = _added_values()
    if not fitting:
        fits = _fits(values)
        others = {
            "fingerprint": _parameter("other_fingerprint", _kind.fingerprint),
            "title": _parameter("other_title", _kind.title),
            "place": literal(""),
        }
        for name, other in others.items():
            values[name] = case((fits, values[name]), else_=other)
    source = select(*values.values())
    # SQLite's own construct gives the same text.
    inserts = postgresql.insert(KINDS).from_select(list(values), source)
    changes = _changes(inserts.excluded, is_news=is_news)
    unique = ["project_id", "name", "fingerprint"]
    return inserts.on_conflict_do_update(index_elements=unique, set_=changes)


def _changes(added: Columns, *, is_news: bool) -> dict[str, Column]:
    """Return what *added* failures change in a kind that exists."""
    is_later = added.last_seen >= _kind.last_seen
    changes: dict[str, Column] = {
        name: case((is_later, added[name]), else_=_kind[name])
        for name in ("title", "place", "cause", "last_seen", "sample_task")
    }
    changes["count"] = _kind["count"] + added["count"]
    if is_news:
        return changes | _reopening(added.first_seen)
    is_earlier = added.first_seen < _kind.first_seen
    return changes | {"first_seen": case((is_earlier, added.first_seen), else_=_kind.first_seen)}


def _reopening(at: Column) -> dict[str, Column]:
    """Return what a failure *at* a time changes in a resolved kind, or one ignored until then."""
    is_back = _kind.state == RESOLVED
    is_over = and_(_kind.state == IGNORED, _kind.ignored_until <= at)
    return {
        "state": case((or_(is_back, is_over), OPEN), else_=_kind.state),
        "ignored_until": case((is_over, null()), else_=_kind.ignored_until),
        "back_since": case((is_back, at), else_=_kind.back_since),
    }


def _counting(*, is_news: bool) -> Statement[CountedKind]:
    upsert = _upsert(is_news=is_news, fitting=False)
    return Statement(upsert.returning(*RETURNED), CountedKind._make)


COUNT, COUNT_OLD = _counting(is_news=True), _counting(is_news=False)
COUNT_FITTING = Statement(_upsert(is_news=True, fitting=True), tuple)
COUNT_OLD_FITTING = Statement(_upsert(is_news=False, fitting=True), tuple)
_INSERT_NOTE = postgresql.insert(FAILURES)
NOTE = Statement(
    _INSERT_NOTE.on_conflict_do_update(
        index_elements=["task_id"],
        set_={
            name: _INSERT_NOTE.excluded[name] for name in ("kind_id", "failed_at", "news", "error")
        },
    ),
    tuple,
)
