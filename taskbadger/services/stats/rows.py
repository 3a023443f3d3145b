"""Rows of the counts of runs, as all of these services read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import Table, select

from taskbadger.domain.status import CANCELLED, ERROR, STALE, SUCCESS
from taskbadger.extensions import db
from taskbadger.models import RunStat
from taskbadger.models.task_rows import columns_of
from taskbadger.models.types import Condition

STATS = cast(Table, RunStat.__table__)
OUTCOMES = (SUCCESS, ERROR, CANCELLED, STALE)
"""How runs end; ``RunStat`` has a column for each."""


class StatRow(NamedTuple):
    """The runs that ended in one span of time, of one name or of all."""

    project_id: int
    seconds: int
    name: str
    start: datetime
    success: int
    error: int
    cancelled: int
    stale: int
    last: datetime
    last_outcome: str | None
    run_times: str


_COLUMNS = columns_of(StatRow, STATS)


def read_stats(*conditions: Condition) -> Sequence[StatRow]:
    """Return the counts for which all *conditions* are true."""
    rows = db.session.execute(select(*_COLUMNS).where(*conditions)).all()
    return cast(Sequence[StatRow], rows)


def outcomes_of(row: StatRow) -> dict[str, int]:
    """Return the numbers of runs by outcome."""
    return {SUCCESS: row.success, ERROR: row.error, CANCELLED: row.cancelled, STALE: row.stale}
