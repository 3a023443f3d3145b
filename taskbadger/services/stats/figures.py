"""The figures of the overview: running and failed tasks, and the series of its charts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.run_times import Histogram, merged, percentile, read_stored
from taskbadger.domain.status import RUNNING, STALE, STATUSES
from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.models.types import Condition
from taskbadger.services.stats.rows import OUTCOMES, STATS, outcomes_of, read_stats
from taskbadger.services.stats.runs import HOUR, MINUTE, floor

RANGES = {"1h": (MINUTE, 60, 1), "24h": (HOUR, 24, 1), "7d": (HOUR, 28, 6)}
"""The ranges of the charts: the span of each count in seconds, the points, counts per point."""
COUNT_CAP = 10_000

_stat = STATS.c
_task = TASKS.c


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers at the top of the overview."""

    running: int
    stale: int
    failed: int
    """Runs that failed in the last 24 hours."""
    failed_before: int
    """Runs that failed in the 24 hours before."""


@dataclass(frozen=True, slots=True)
class Series:
    """The runs that ended in a range, point by point."""

    times: list[int]
    """The start of each point, in Unix seconds."""
    outcomes: dict[str, list[int]]
    p50: list[float | None]
    """The median run time of each point, in seconds."""
    p95: list[float | None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing ended in the whole range."""
        return not any(any(values) for values in self.outcomes.values())


def read_figures(projects: Sequence[ProjectRef], *, now: datetime) -> Figures:
    """Return the figures of these projects; counts of tasks stop at COUNT_CAP."""
    running = tuple(status for status in STATUSES if status in RUNNING)
    failed, failed_before = _failures(projects, now)
    return Figures(
        running=count_tasks(projects, running),
        stale=count_tasks(projects, (STALE,)),
        failed=failed,
        failed_before=failed_before,
    )


def count_tasks(projects: Sequence[ProjectRef], statuses: Sequence[str]) -> int:
    """Return how many tasks have any of these statuses, up to COUNT_CAP."""
    own = _task.project_id.in_([project.id for project in projects])
    parts = [
        select(func.count())
        .select_from(
            select(_task.id).where(own, _task.status == status).limit(COUNT_CAP).subquery()
        )
        .scalar_subquery()
        for status in statuses
    ]
    return min(sum(db.session.execute(select(*parts)).one()), COUNT_CAP)


def _failures(projects: Sequence[ProjectRef], now: datetime) -> tuple[int, int]:
    day = timedelta(hours=24)
    middle = floor(now, MINUTE) + timedelta(minutes=1) - day
    query = (
        select((_stat.start >= middle).label("recent"), func.sum(_stat.error).label("number"))
        .where(*_counts_of(projects, MINUTE), _stat.start >= middle - day)
        .group_by("recent")
    )
    found = {bool(row.recent): int(row.number) for row in db.session.execute(query)}
    return found.get(True, 0), found.get(False, 0)


def _counts_of(projects: Sequence[ProjectRef], seconds: int, name: str = "") -> list[Condition]:
    return [
        _stat.project_id.in_([project.id for project in projects]),
        _stat.seconds == seconds,
        _stat.name == name,
    ]


def read_series(
    projects: Sequence[ProjectRef], span: str, *, now: datetime, name: str = ""
) -> Series:
    """Return the series of one of RANGES, of all tasks or of one *name* (which has no minutes)."""
    seconds, points, width = RANGES[span]
    if name:
        seconds = max(seconds, HOUR)
    return _series(projects, name, seconds, points, width, now)


def _series(
    projects: Sequence[ProjectRef], name: str, seconds: int, points: int, width: int, now: datetime
) -> Series:
    step = timedelta(seconds=seconds * width)
    last = floor(now, seconds * width)
    starts = [last - step * (points - 1 - number) for number in range(points)]
    outcomes = {outcome: [0] * points for outcome in OUTCOMES}
    run_times: list[list[Histogram]] = [[] for _ in starts]
    for row in read_stats(*_counts_of(projects, seconds, name), _stat.start >= starts[0]):
        place = int((row.start - starts[0]) / step)
        if place >= points:
            continue
        for outcome, number in outcomes_of(row).items():
            outcomes[outcome][place] += number
        run_times[place].append(read_stored(row.run_times))
    histograms = [merged(found) for found in run_times]
    return Series(
        times=[int(start.timestamp()) for start in starts],
        outcomes=outcomes,
        p50=[percentile(histogram, 0.5) for histogram in histograms],
        p95=[percentile(histogram, 0.95) for histogram in histograms],
    )
