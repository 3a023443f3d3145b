"""Figures of failure kinds: failures per day, and which versions had them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import case, func, select

from taskbadger.domain import ids
from taskbadger.extensions import db
from taskbadger.models import Failure, FailureKind, TaskTag

DAYS = 14
MAX_COUNTED = 200_000
"""Failures that one list counts: kinds beyond that have no trend."""
VERSION_TAGS = ("version", "release")
LATEST = 1000
"""Failures whose versions are counted."""
MAX_VERSIONS = 20


def read_trends(kinds: Sequence[FailureKind], *, now: datetime) -> Mapping[int, list[int]]:
    """Return how many tasks of each kind were created on each of the last DAYS, by its id.

    The tasks are those whose last failure was of the kind. Found by an index alone.
    """
    wanted, left = [], MAX_COUNTED
    for kind in kinds:
        if kind.count <= left:
            left -= kind.count
            wanted.append(kind.id)
    starts = day_starts(now)
    trends = {kind_id: [0] * DAYS for kind_id in wanted}
    first, *later = (ids.first_id(start) for start in starts)
    day = case(
        *((Failure.task_id >= start, number) for number, start in reversed([*enumerate(later, 1)])),
        else_=0,
    ).label("day")
    query = (
        select(Failure.kind_id, day, func.count())
        .where(Failure.kind_id.in_(wanted), Failure.task_id >= first)
        .group_by(Failure.kind_id, day)
    )
    for kind_id, number, count in db.session.execute(query) if wanted else ():
        trends[kind_id][number] = count
    return trends


def day_starts(now: datetime) -> list[datetime]:
    """Return when each of the last DAYS began, in UTC."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]


class VersionCount(NamedTuple):
    """How many of the latest failures of a kind had a tag that names a version."""

    tag: str
    value: str
    number: int


def count_versions(kind_id: int) -> Sequence[VersionCount]:
    """Return the versions among the LATEST failures of a kind, the most frequent first."""
    latest = (
        select(Failure.task_id)
        .where(Failure.kind_id == kind_id)
        .order_by(Failure.task_id.desc())
        .limit(LATEST)
        .subquery()
    )
    number = func.count().label("number")
    query = (
        select(TaskTag.name, TaskTag.value, number)
        .join(latest, latest.c.task_id == TaskTag.task_id)
        .where(TaskTag.name.in_(VERSION_TAGS))
        .group_by(TaskTag.name, TaskTag.value)
        .order_by(number.desc(), TaskTag.name, TaskTag.value)
        .limit(MAX_VERSIONS)
    )
    return [VersionCount(*row) for row in db.session.execute(query)]
