"""Counts requests in the database, so that a limit applies to all workers together."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import Statement, db, delete_some
from taskbadger.models import RequestCount


def count(subject: str, *, limit: int, seconds: int, now: datetime) -> int:
    """Count one request of *subject*; *limit* requests are allowed per window of *seconds*.

    Returns the seconds to wait if this request exceeds the limit, else 0. The caller commits in
    both cases.
    """
    moment = int(now.timestamp())
    window = moment - moment % seconds
    statement = _COUNT[db.engine.dialect.name]
    [(counted,)] = statement.all({"subject": subject, "window": window, "count": 1})
    return window + seconds - moment if counted > limit else 0


def _count_in(dialect: Any) -> Statement[tuple[int]]:
    insert = dialect.insert(RequestCount)
    return Statement(
        insert.on_conflict_do_update(
            index_elements=["subject", "window"], set_={"count": RequestCount.count + 1}
        ).returning(RequestCount.count),
        tuple,
    )


_COUNT = {"postgresql": _count_in(postgresql), "sqlite": _count_in(sqlite)}


def take(subject: str, *, until: datetime) -> bool:
    """Take *subject*; return False if it was taken before. Remembered at least *until* then."""
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(RequestCount)
        .values(subject=subject, window=int(until.timestamp()), count=1)
        .on_conflict_do_nothing(index_elements=["subject", "window"])
        .returning(RequestCount.count)
    )
    return db.session.execute(statement).first() is not None


def is_taken(subject: str) -> bool:
    """Say whether *subject* was taken, and is remembered."""
    query = select(RequestCount.subject).where(RequestCount.subject == subject).limit(1)
    return db.session.scalar(query) is not None


def forget(subject: str) -> None:
    """Reset the counters of *subject*."""
    db.session.execute(delete(RequestCount).where(RequestCount.subject == subject))


def forget_all(prefix: str) -> None:
    """Reset the counters of all subjects that start with *prefix*, which has no wildcard."""
    db.session.execute(delete(RequestCount).where(RequestCount.subject.startswith(prefix)))


def purge(*, now: datetime, limit: int = 1_000) -> int:
    """Delete up to *limit* counters whose ``window`` is more than a day ago; return how many."""
    is_old = RequestCount.window < int(now.timestamp()) - 86_400
    return delete_some(cast(Table, RequestCount.__table__), is_old, limit=limit)
