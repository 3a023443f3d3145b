"""What is failing now: the names of tasks whose latest run failed, for a day or until one succeeds.

Monitors fail by their own rules (``incidents.py``). Read from the counts of ``run_stats``, so it is
as far behind as they are.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Select, Table, func, literal_column, select
from sqlalchemy.orm import aliased

from taskbadger.extensions import db
from taskbadger.models import RunStat
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.run_stats import DAY, floor

LASTS = timedelta(hours=24)
"""A name without another run is no longer counted as failing after so long."""
COUNT_CAP = 1000

_stat = cast(Table, RunStat.__table__).c
_later = aliased(RunStat)
# Written out, as in the index: with parameters in their places planners would not take it.
_FAILED_DAY = (
    _stat.seconds == literal_column("86400"),
    _stat.last_outcome.in_([literal_column("'error'"), literal_column("'stale'")]),
)


def list_failing(projects: Sequence[ProjectRef], most: int, *, now: datetime) -> Sequence[Any]:
    """Return the names that fail, the latest first.

    Rows of ``project_id``, ``name``, ``last_outcome`` and ``last`` (when a run ended last).
    """
    columns = (_stat.project_id, _stat.name, _stat.last_outcome, _stat.last)
    query = _failing(columns, projects, now).order_by(_stat.last.desc(), _stat.name)
    return db.session.execute(query.limit(most)).all()


def count_failing(projects: Sequence[ProjectRef], *, now: datetime) -> int:
    """Return how many names fail, up to COUNT_CAP."""
    some = _failing((_stat.name,), projects, now).limit(COUNT_CAP).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def _failing(
    columns: tuple[Any, ...], projects: Sequence[ProjectRef], now: datetime
) -> Select[Any]:
    since = now - LASTS
    # The newest day of a name tells; a day on which all was called off says nothing.
    is_over = (
        select(_later.name)
        .where(
            _later.project_id == _stat.project_id,
            _later.seconds == DAY,
            _later.name == _stat.name,
            _later.start > _stat.start,
            _later.last_outcome.is_not(None),
        )
        .exists()
    )
    return select(*columns).where(
        _stat.project_id.in_([project.id for project in projects]),
        *_FAILED_DAY,
        _stat.start >= floor(since, DAY),
        _stat.last >= since,
        ~is_over,
    )
