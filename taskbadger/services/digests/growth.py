"""Which names take longer than in the period before, by the counts of runs."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select

from taskbadger.domain.digests import Entry, Growth, Key, Section, find_growths
from taskbadger.domain.run_times import Histogram, merged, read_stored
from taskbadger.domain.time_words import duration
from taskbadger.extensions import db
from taskbadger.models.types import Condition
from taskbadger.services.digests.sections import Scope, section
from taskbadger.services.stats.rows import OUTCOMES, STATS, read_stats
from taskbadger.services.stats.runs import DAY, HOUR, floor

MAX_NAMES = 200
"""The names that are compared: those with the most runs."""
_BY_HOURS = timedelta(days=2)
"""Shorter periods are compared by hours, longer ones by days of UTC."""

_stat = STATS.c


def read_slower(scope: Scope) -> Section:
    """Return the names whose run time has grown most; the rule is `digests.find_growths`."""
    start, end = scope.period
    seconds = HOUR if end - start <= _BY_HOURS else DAY
    until = floor(end, seconds)
    middle = min(floor(start, seconds), until - timedelta(seconds=seconds))
    first = middle - (until - middle)
    names = _list_names(_counts(scope, seconds, middle, until))
    now, before = (
        _read_histograms(_counts(scope, seconds, *span), names)
        for span in ((middle, until), (first, middle))
    )
    return section("Slower", find_growths(before, now), lambda growth: _entry(scope, growth))


def _counts(scope: Scope, seconds: int, start: datetime, end: datetime) -> list[Condition]:
    return [
        _stat.project_id.in_(scope.project_ids),
        _stat.seconds == seconds,
        _stat.start >= start,
        _stat.start < end,
    ]


def _list_names(counts: Sequence[Condition]) -> set[Key]:
    total = sum((_stat[outcome] for outcome in OUTCOMES[1:]), _stat[OUTCOMES[0]])
    query = (
        select(_stat.project_id, _stat.name)
        .where(*counts, _stat.name != "")
        .group_by(_stat.project_id, _stat.name)
        .order_by(func.sum(total).desc(), _stat.name, _stat.project_id)
        .limit(MAX_NAMES)
    )
    return {(row.project_id, row.name) for row in db.session.execute(query)}


def _read_histograms(counts: Sequence[Condition], names: set[Key]) -> dict[Key, Histogram]:
    found: defaultdict[Key, list[Histogram]] = defaultdict(list)
    for row in read_stats(*counts, _stat.name.in_(sorted({name for _, name in names}))):
        found[row.project_id, row.name].append(read_stored(row.run_times))
    return {key: merged(found[key]) for key in found if key in names}


def _entry(scope: Scope, growth: Growth) -> Entry:
    project_id, name = growth.key
    times = f"{_length(growth.now)}, was {_length(growth.before)}"
    detail = f"{growth.percentile} is about {times} ({growth.factor:.1f} times as long)"
    return Entry(scope.label(project_id, name), detail, scope.name_url(project_id, name))


def _length(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
