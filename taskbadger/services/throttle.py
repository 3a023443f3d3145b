"""Counting requests in the database, so that a limit holds for all workers together."""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite

from taskbadger.extensions import db
from taskbadger.models import RequestCount


def count(subject: str, *, limit: int, seconds: int, now: datetime) -> int:
    """Count one request of *subject*, of which *limit* are allowed per window of *seconds*.

    Returns how many seconds to wait when there were more, else 0. The caller commits in any case.
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
    """Say whether nobody took *subject* before; remembered at least *until* then."""
    dialect = postgresql if db.engine.dialect.name == "postgresql" else sqlite
    statement = (
        dialect.insert(RequestCount)
        .values(subject=subject, window=int(until.timestamp()), count=1)
        .on_conflict_do_nothing(index_elements=["subject", "window"])
        .returning(RequestCount.count)
    )
    return db.session.execute(statement).first() is not None


def forget(subject: str) -> None:
    """Begin to count *subject* anew."""
    db.session.execute(delete(RequestCount).where(RequestCount.subject == subject))


def purge(*, now: datetime) -> None:
    """Delete the counters of windows that ended more than a day ago."""
    db.session.execute(
        delete(RequestCount).where(RequestCount.window < int(now.timestamp()) - 86_400)
    )
