"""Counts runs by name for good, for metrics; `services/stats/runs.py` says what is next.

Every end of a task counts, so the numbers never fall: an attempt that was tried again, too, and a
run that went stale and ended after all counts as both. The first names of an organization have
counts of their own; what has no room is counted as OTHER, and stays there.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

from sqlalchemy import Table, delete, func, select

from taskbadger.domain.buckets import Durations, read_stored
from taskbadger.extensions import db
from taskbadger.models import Project, RunTotal
from taskbadger.models.incident_rows import HistoryEntry
from taskbadger.services.stats.queue_counts import Move
from taskbadger.services.stats.rows import OUTCOMES, Counts, run_time

OTHER = "other"
"""Stands for all names without counts of their own, and for the tasks of this very name."""
MAX_NAMES = 200
"""How many names of an organization have counts of their own, unless a setting says otherwise."""
KEPT = timedelta(days=400)
"""A name that has not run for longer makes room for another."""

TOTALS = cast(Table, RunTotal.__table__)
_PROJECTS = cast(Table, Project.__table__)
_total = TOTALS.c


class _Key(NamedTuple):
    project_id: int
    name: str


class TotalRow(NamedTuple):
    """The runs of a name, or of OTHER."""

    project_id: int
    name: str
    success: int
    error: int
    cancelled: int
    stale: int
    run_seconds: float
    run_times: str
    wait_seconds: float
    waits: str
    created: datetime
    last_day: datetime


COUNTS = Counts(TOTALS, _Key, TotalRow)


@dataclass(slots=True)
class _Tally:
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    run_times: Durations = field(default_factory=Durations)
    waits: Durations = field(default_factory=Durations)

    def add_run(self, entry: HistoryEntry) -> None:
        self.outcomes[entry.status] += 1
        seconds = run_time(entry)
        if seconds is not None:
            self.run_times.add(seconds)

    def merge(self, other: "_Tally") -> None:
        for outcome, number in other.outcomes.items():
            self.outcomes[outcome] += number
        self.run_times.merge(other.run_times)
        self.waits.merge(other.waits)


def count(
    entries: Iterable[HistoryEntry], moves: Iterable[Move], *, max_names: int, now: datetime
) -> None:
    """Add the ends and the starts of tasks to the counts of their names."""
    tallies: dict[_Key, _Tally] = {}
    for entry in entries:
        if entry.project_id is not None and entry.status in OUTCOMES:
            tallies.setdefault(_Key(entry.project_id, entry.name), _Tally()).add_run(entry)
    for move in moves:
        if (waited := move.waited) is not None:
            tallies.setdefault(_Key(move.project_id, move.name), _Tally()).waits.add(waited)
    if not tallies:
        return
    others = {_Key(key.project_id, OTHER) for key in tallies}
    known = COUNTS.read([*tallies.keys() | others])
    new = [key for key in tallies if key not in known and key.name != OTHER]
    without_room = _without_room(new, max_names)
    counted: dict[_Key, _Tally] = {}
    for key, tally in tallies.items():
        place = _Key(key.project_id, OTHER) if key in without_room else key
        counted.setdefault(place, _Tally()).merge(tally)
    COUNTS.write(counted, known, partial(_values, now=now))


def _without_room(new: Sequence[_Key], max_names: int) -> Collection[_Key]:
    """Return those of these names that get no counts of their own."""
    if not new:
        return ()
    owners = _read_owners({key.project_id for key in new})
    room = {organization: max_names - names for organization, names in owners.values()}
    refused = set()
    for key in new:
        organization, _ = owners[key.project_id]
        room[organization] -= 1
        if room[organization] < 0:
            refused.add(key)
    return refused


def _read_owners(project_ids: Collection[int]) -> Mapping[int, tuple[int, int]]:
    """Return the organization of each project, and how many names it has."""
    siblings = _PROJECTS.alias("siblings").c
    names = (
        select(func.count())
        .join_from(siblings.id.table, TOTALS, _total.project_id == siblings.id)
        .where(siblings.organization_id == _PROJECTS.c.organization_id, _total.name != OTHER)
        .scalar_subquery()
    )
    query = select(_PROJECTS.c.id, _PROJECTS.c.organization_id, names)
    rows = db.session.execute(query.where(_PROJECTS.c.id.in_(project_ids)))
    return {project_id: (organization, number) for project_id, organization, number in rows}


def _values(tally: _Tally, row: TotalRow | None, *, now: datetime) -> Mapping[str, object]:
    outcomes, run_times, waits = tally.outcomes, tally.run_times, tally.waits
    if row is not None:
        outcomes = {name: number + getattr(row, name) for name, number in outcomes.items()}
        run_times.merge(read_stored(row.run_times, row.run_seconds))
        waits.merge(read_stored(row.waits, row.wait_seconds))
    return {
        **outcomes,
        "run_seconds": run_times.seconds,
        "run_times": run_times.stored(),
        "wait_seconds": waits.seconds,
        "waits": waits.stored(),
        "created": now if row is None else row.created,
        "last_day": now.replace(hour=0, minute=0, second=0, microsecond=0),
    }


def forget_old(*, now: datetime) -> None:
    """Delete the counts of names that have not run for so long, which makes room for others."""
    db.session.execute(delete(TOTALS).where(_total.last_day < now - KEPT, _total.name != OTHER))
