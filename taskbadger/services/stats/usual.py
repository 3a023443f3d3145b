"""How long tasks of a name usually run, from the counts of runs by name."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select

from taskbadger.domain.run_times import merged, percentile, read_stored
from taskbadger.extensions import read_outside_session
from taskbadger.services.stats.names import DAYS
from taskbadger.services.stats.rows import STATS
from taskbadger.services.stats.runs import DAY, floor

MIN_RUNS = 3
"""Fewer runs say nothing about what is usual."""

_stat = STATS.c
_RUN_TIMES = select(_stat.project_id, _stat.name, _stat.run_times).where(
    _stat.project_id.in_(bindparam("projects", expanding=True)),
    _stat.seconds == DAY,
    _stat.name.in_(bindparam("names", expanding=True)),
    _stat.start >= bindparam("first", type_=_stat.start.type),
)


def usual_run_times(
    wanted: Collection[tuple[int, str]], *, now: datetime
) -> dict[tuple[int, str], float]:
    """Return the median run time in seconds of the last DAYS days, by project and name.

    Names with fewer than MIN_RUNS runs are left out.
    """
    if not wanted:
        return {}
    rows = read_outside_session(
        _RUN_TIMES,
        {
            "projects": sorted({project_id for project_id, _ in wanted}),
            "names": sorted({name for _, name in wanted}),
            "first": floor(now, DAY) - timedelta(days=DAYS - 1),
        },
    )
    found: dict[tuple[int, str], list[dict[int, int]]] = {}
    for row in rows:
        found.setdefault((row.project_id, row.name), []).append(read_stored(row.run_times))
    medians = {key: _median(merged(days)) for key, days in found.items() if key in wanted}
    return {key: median for key, median in medians.items() if median is not None}


def _median(run_times: dict[int, int]) -> float | None:
    return percentile(run_times, 0.5) if sum(run_times.values()) >= MIN_RUNS else None
