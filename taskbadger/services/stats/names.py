"""Statistics by name: how often tasks ran, how they ended, and how long they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ScalarSelect, func, literal, select

from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.run_times import (
    Histogram,
    count_by_bar,
    merged,
    p95_change,
    percentile,
    read_stored,
)
from taskbadger.domain.status import FAILED
from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS, PageTask, TaskState
from taskbadger.models.types import Condition
from taskbadger.services.pagination import Order
from taskbadger.services.stats.rows import OUTCOMES, STATS, StatRow, outcomes_of, read_stats
from taskbadger.services.stats.runs import DAY, floor

MAX_NAMES = 200
"""Names on a page."""
DAYS = 14
"""Days that the statistics cover, today included."""

_stat = STATS.c
_task = TASKS.c


@dataclass(frozen=True, slots=True)
class NameStats:
    """The runs of one name that ended in the last DAYS days."""

    project: str
    """The project's slug."""
    name: str
    outcomes: dict[str, int]
    last: datetime
    """When the latest of them ended."""
    p50: float | None
    p95: float | None
    p95_change: float | None
    """By what share p95 has changed from the first half of the days to the second, if it has."""
    trend: list[int]
    """How many runs ended on each day, the oldest day first."""
    failed: list[int]
    """How many of them failed or went stale."""
    histogram: list[int]
    """Runs by run time, in the bars of ``domain.run_times.BAR_NAMES``."""

    @property
    def count(self) -> int:
        """How many runs ended."""
        return sum(self.outcomes.values())

    @property
    def success_rate(self) -> float | None:
        """The share of runs that succeeded; None without runs. Cancelled ones do not count."""
        finished = self.outcomes["success"] + self.outcomes["error"] + self.outcomes["stale"]
        return self.outcomes["success"] / finished if finished else None


def list_names(
    projects: Sequence[ProjectRef], *, now: datetime, search: str = ""
) -> tuple[list[NameStats], bool]:
    """Return the names with the most runs, and whether there are more than MAX_NAMES."""
    total = sum((_stat[outcome] for outcome in OUTCOMES[1:]), _stat[OUTCOMES[0]])
    query = (
        select(_stat.project_id, _stat.name)
        .where(*_days(projects, now), _stat.name != "")
        .group_by(_stat.project_id, _stat.name)
        .order_by(func.sum(total).desc(), _stat.name)
        .limit(MAX_NAMES + 1)
    )
    if search:
        query = query.where(func.lower(_stat.name).contains(search.lower(), autoescape=True))
    found = db.session.execute(query).all()
    slugs = {project.id: project.slug for project in projects}
    chosen = {(row.project_id, row.name) for row in found[:MAX_NAMES]}
    return _read(projects, slugs, chosen, now), len(found) > MAX_NAMES


def find_name(project: ProjectRef, name: str, *, now: datetime) -> NameStats | None:
    """Return the statistics of one name; None when no run of it ended in the last DAYS days."""
    found = _read([project], {project.id: project.slug}, {(project.id, name)}, now)
    return found[0] if found else None


def _days(projects: Sequence[ProjectRef], now: datetime) -> list[Condition]:
    first = floor(now, DAY) - timedelta(days=DAYS - 1)
    return [
        _stat.project_id.in_([project.id for project in projects]),
        _stat.seconds == DAY,
        _stat.start >= first,
    ]


def _read(
    projects: Sequence[ProjectRef],
    slugs: dict[int, str],
    chosen: set[tuple[int, str]],
    now: datetime,
) -> list[NameStats]:
    if not chosen:
        return []
    wanted = [name for _, name in chosen]
    rows: dict[tuple[int, str], list[StatRow]] = {}
    for row in read_stats(*_days(projects, now), _stat.name.in_(wanted)):
        if (row.project_id, row.name) in chosen:
            rows.setdefault((row.project_id, row.name), []).append(row)
    stats = [_summed(slugs[key[0]], key[1], found, now) for key, found in rows.items()]
    return sorted(stats, key=lambda name: (-name.count, name.name, name.project))


def _summed(project: str, name: str, rows: list[StatRow], now: datetime) -> NameStats:
    first = floor(now, DAY) - timedelta(days=DAYS - 1)
    trend, failed = [0] * DAYS, [0] * DAYS
    outcomes = dict.fromkeys(OUTCOMES, 0)
    halves: tuple[list[Histogram], list[Histogram]] = ([], [])
    for row in rows:
        day = min((row.start - first).days, DAYS - 1)
        halves[day >= DAYS // 2].append(read_stored(row.run_times))
        for outcome, number in outcomes_of(row).items():
            outcomes[outcome] += number
            trend[day] += number
            failed[day] += number if outcome in FAILED else 0
    before, recent = (merged(half) for half in halves)
    run_times = merged([before, recent])
    return NameStats(
        project=project,
        name=name,
        outcomes=outcomes,
        last=max(row.last for row in rows),
        p50=percentile(run_times, 0.5),
        p95=percentile(run_times, 0.95),
        p95_change=p95_change(before, recent),
        trend=trend,
        failed=failed,
        histogram=count_by_bar(run_times),
    )


def neighbours(task: TaskState | PageTask) -> tuple[str | None, str | None]:
    """Return the ids of the runs of the same name before and after *task* in its project."""
    same = select(_task.id).where(_task.project_id == task.project_id, _task.name == task.name)
    at = literal(task.id, _task.id.type)

    def nearest(order: Order) -> ScalarSelect[str]:
        following = same.where(order.after([_task.id], [at])).order_by(*order.sort([_task.id]))
        return following.limit(1).scalar_subquery()

    found = select(nearest(Order.DESCENDING), nearest(Order.ASCENDING))
    before, after = db.session.execute(found).one()
    return before, after
