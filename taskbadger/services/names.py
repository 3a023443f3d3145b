"""What is known of the tasks of each name: how often, how well and how long they run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, func, literal, select, tuple_

from taskbadger.domain.run_times import breadths, merged, percentile
from taskbadger.extensions import db
from taskbadger.models import RunStat, Task
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.run_stats import DAY, OUTCOMES, floor, read_run_times

MAX_NAMES = 200
"""The most names that a page lists."""
DAYS = 14

_stat = cast(Table, RunStat.__table__).c
_task = cast(Table, Task.__table__).c


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
    trend: list[int]
    """How many runs ended on each day, the oldest first."""
    histogram: list[int]
    """How many runs took how long, as ``domain.run_times.BREADTH_NAMES``."""

    @property
    def count(self) -> int:
        """How many runs ended."""
        return sum(self.outcomes.values())

    @property
    def success_rate(self) -> float | None:
        """The share of success among those that succeeded or failed; None of none."""
        judged = self.outcomes["success"] + self.outcomes["error"] + self.outcomes["stale"]
        return self.outcomes["success"] / judged if judged else None


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
    """Return what is known of one name; None when none of its runs ended lately."""
    found = _read([project], {project.id: project.slug}, {(project.id, name)}, now)
    return found[0] if found else None


def _days(projects: Sequence[ProjectRef], now: datetime) -> list[Any]:
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
    query = select(RunStat.__table__).where(*_days(projects, now), _stat.name.in_(wanted))
    rows: dict[tuple[int, str], list[Any]] = {}
    for row in db.session.execute(query):
        if (row.project_id, row.name) in chosen:
            rows.setdefault((row.project_id, row.name), []).append(row)
    stats = [_summed(slugs[key[0]], key[1], found, now) for key, found in rows.items()]
    return sorted(stats, key=lambda one: (-one.count, one.name, one.project))


def _summed(project: str, name: str, rows: list[Any], now: datetime) -> NameStats:
    run_times = merged(read_run_times(row.run_times) for row in rows)
    first = floor(now, DAY) - timedelta(days=DAYS - 1)
    trend = [0] * DAYS
    for row in rows:
        place = (row.start - first).days
        if place < DAYS:
            trend[place] += sum(getattr(row, outcome) for outcome in OUTCOMES)
    return NameStats(
        project=project,
        name=name,
        outcomes={outcome: sum(getattr(row, outcome) for row in rows) for outcome in OUTCOMES},
        last=max(row.last for row in rows),
        p50=percentile(run_times, 0.5),
        p95=percentile(run_times, 0.95),
        trend=trend,
        histogram=breadths(run_times),
    )


def neighbours(project_id: int, task: Any) -> tuple[str | None, str | None]:
    """Return the ids of the runs of the same name before and after *task*."""
    same = select(_task.id).where(_task.project_id == project_id, _task.name == task.name)
    before = (
        same.where(_before(task)).order_by(_task.created.desc(), _task.id.desc()).limit(1)
    ).scalar_subquery()
    after = (same.where(_after(task)).order_by(_task.created, _task.id).limit(1)).scalar_subquery()
    row = db.session.execute(select(before, after)).one()
    return row[0], row[1]


def _key(task: Any) -> Any:
    from_row = (literal(task.created, _task.created.type), literal(task.id, _task.id.type))
    return tuple_(*from_row)


def _before(task: Any) -> Any:
    return tuple_(_task.created, _task.id) < _key(task)


def _after(task: Any) -> Any:
    return tuple_(_task.created, _task.id) > _key(task)
