"""Counts requests in the database, so that a limit applies to all workers together."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import db
from taskbadger.models import RequestCount


def count(subject: str, *, limit: int, seconds: int, now: datetime) -> int:
    """Count one request of *subject*; *limit* requests are allowed per window of *seconds*.

    Returns the seconds to wait if this request exceeds the limit, else 0. The caller commits in
    both cases.
    """
    moment = int(now.timestamp())
    window = moment - moment % seconds
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(RequestCount)
        .values(subject=subject, window=window, count=1)
        .on_conflict_do_update(
            index_elements=["subject", "window"], set_={"count": RequestCount.count + 1}
        )
        .returning(RequestCount.count)
    )
    counted: int = db.session.execute(statement).scalar_one()
    return window + seconds - moment if counted > limit else 0


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


def forget(subject: str) -> None:
    """Reset the counters of *subject*."""
    db.session.execute(delete(RequestCount).where(RequestCount.subject == subject))


def forget_all(prefix: str) -> None:
    """Reset the counters of all subjects that start with *prefix*, which has no wildcard."""
    db.session.execute(delete(RequestCount).where(RequestCount.subject.startswith(prefix)))


def purge(*, now: datetime) -> None:
    """Delete the counters whose ``window`` is more than a day ago."""
    db.session.execute(
        delete(RequestCount).where(RequestCount.window < int(now.timestamp()) - 86_400)
    )
