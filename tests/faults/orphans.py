"""Deliveries whose worker was killed, and how long it took until another one sent them.

A trigger of the database records each claim, in the transaction that makes it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy import Column, Integer, MetaData, Table, select, text

from taskbadger.extensions import db
from taskbadger.models.types import TaskId, UTCDateTime

_claims = Table(
    "trial_claim",
    MetaData(),
    Column("number", Integer, primary_key=True),
    Column("delivery", TaskId),
    Column("crashes", Integer),
    Column("lease_end", UTCDateTime),
)
_INSERT = """
    INSERT INTO trial_claim (delivery, crashes, lease_end)
    VALUES (new.id, new.crashes, new.next_attempt_at)
"""
_TRIGGERS = {
    "sqlite": (
        f"""CREATE TRIGGER trial_claim AFTER UPDATE ON delivery
        WHEN new.state = 'sending' AND new.token IS NOT old.token BEGIN {_INSERT}; END""",
    ),
    "postgresql": (
        f"""CREATE FUNCTION trial_claim() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {_INSERT}; RETURN NULL; END $$""",
        """CREATE TRIGGER trial_claim AFTER UPDATE ON delivery FOR EACH ROW
        WHEN (new.state = 'sending' AND new.token IS DISTINCT FROM old.token)
        EXECUTE FUNCTION trial_claim()""",
    ),
}


@dataclass(frozen=True)
class Claim:
    """A delivery that a worker has begun to send."""

    delivery: str
    crashes: int
    """How many workers had died while they sent it."""
    lease_end: datetime


@dataclass(frozen=True)
class Orphan:
    """A delivery whose worker died, from its claim to the next one."""

    again: datetime
    """When it was claimed again."""
    waited: timedelta
    late: timedelta
    """The time from when it was due, and a worker and the database were up, to the next claim."""


def record_claims() -> None:
    """Record all claims from now on; the caller commits."""
    _claims.create(db.session.connection())
    for statement in _TRIGGERS[db.engine.dialect.name]:
        db.session.execute(text(statement))


def read_claims() -> list[Claim]:
    """Return all claims, oldest first."""
    query = select(_claims.c.delivery, _claims.c.crashes, _claims.c.lease_end)
    return [Claim(*row) for row in db.session.execute(query.order_by(_claims.c.number))]


def find_orphans(
    claims: Iterable[Claim], lease: timedelta, present: Sequence[datetime]
) -> Iterator[Orphan]:
    """Find the orphans among *claims*.

    *present* are the moments at which something that was missing came back: a worker, the database.
    """
    by_delivery: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims:
        by_delivery[claim.delivery].append(claim)
    for found in by_delivery.values():
        for before, after in pairwise(found):
            if after.crashes > before.crashes:
                again = after.lease_end - lease
                possible = [moment for moment in present if moment <= again]
                yield Orphan(
                    again,
                    waited=after.lease_end - before.lease_end,
                    late=again - max([before.lease_end, *possible]),
                )
