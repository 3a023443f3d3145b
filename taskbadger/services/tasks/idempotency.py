"""Idempotency keys: a request that is sent twice has its effect once, and the same answer."""

from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, text

from taskbadger.errors import Conflict, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import IdempotencyRecord

KEPT = timedelta(hours=24)
MAX_LENGTH = 255


class KeyReused(Conflict):
    """This Idempotency-Key was already used with a different request body."""


class KeyInUse(Conflict):
    """Another request with this Idempotency-Key is still in progress."""


def find_answer(
    project_id: int, key: str, body_digest: str, *, now: datetime
) -> tuple[int, str] | None:
    """Return status and body of the first answer to *key*; None if there is none.

    Locks the key until the transaction ends. Raises KeyReused,
    KeyInUse and ValidationFailed.
    """
    if not 1 <= len(key) <= MAX_LENGTH or not key.isprintable():
        raise ValidationFailed.one(
            "Idempotency-Key", f"Ensure this field has 1 to {MAX_LENGTH} printable characters."
        )
    _lock(project_id, key)
    record = db.session.execute(
        select(IdempotencyRecord.__table__).where(
            IdempotencyRecord.project_id == project_id, IdempotencyRecord.key == key
        )
    ).first()
    if record is None:
        return None
    if record.created <= now - KEPT:
        _delete(project_id, key)
        return None
    if record.body_digest != body_digest:
        raise KeyReused()
    return record.status, record.response


def keep_answer(
    project_id: int, key: str, body_digest: str, status: int, response: str, *, now: datetime
) -> None:
    """Keep the first answer to *key*, in the transaction of the request."""
    db.session.execute(
        insert(IdempotencyRecord).values(
            project_id=project_id,
            key=key,
            body_digest=body_digest,
            status=status,
            response=response,
            created=now,
        )
    )


def purge(*, now: datetime, limit: int = 1000) -> int:
    """Delete up to *limit* expired records; return how many."""
    old = (
        select(IdempotencyRecord.project_id, IdempotencyRecord.key)
        .where(IdempotencyRecord.created <= now - KEPT)
        .limit(limit)
    )
    rows = db.session.execute(old).all()
    for row in rows:
        _delete(row.project_id, row.key)
    return len(rows)


def _lock(project_id: int, key: str) -> None:
    """Lock the key for this transaction. SQLite has only one writer at a time."""
    if db.engine.dialect.name != "postgresql":
        return
    taken = db.session.scalar(
        text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"idempotency/{project_id}/{key}"},
    )
    if not taken:
        raise KeyInUse()


def _delete(project_id: int, key: str) -> None:
    db.session.execute(
        delete(IdempotencyRecord).where(
            IdempotencyRecord.project_id == project_id, IdempotencyRecord.key == key
        )
    )
