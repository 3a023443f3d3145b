"""Runs by name: how they ended, how long they took, and how long they had waited."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import select

from taskbadger.domain.buckets import Durations, read_stored
from taskbadger.extensions import db
from taskbadger.models.task_rows import columns_of
from taskbadger.services.metrics.scope import Place, Scope
from taskbadger.services.stats.rows import OUTCOMES
from taskbadger.services.stats.totals import OTHER, TOTALS, TotalRow

_COLUMNS = columns_of(TotalRow, TOTALS)


@dataclass(slots=True)
class Runs:
    """The runs of a name in a project, or those of OTHER, since they were first counted."""

    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    run_times: Durations = field(default_factory=Durations)
    waits: Durations = field(default_factory=Durations)

    def add(self, row: TotalRow) -> None:
        """Add what one row counts."""
        for outcome in OUTCOMES:
            self.outcomes[outcome] += getattr(row, outcome)
        self.run_times.merge(read_stored(row.run_times, row.run_seconds))
        self.waits.merge(read_stored(row.waits, row.wait_seconds))


def read_runs(
    scope: Scope, places: Mapping[int, Place], *, max_names: int
) -> Mapping[tuple[Place, str], Runs]:
    """Return the runs by place and name; of an organization, the first *max_names* to come."""
    found = {(place, OTHER): Runs() for place in places.values()}
    names: Counter[str] = Counter()
    query = (
        select(*_COLUMNS)
        .where(*scope.in_projects(TOTALS.c.project_id))
        .order_by(TOTALS.c.created, TOTALS.c.project_id, TOTALS.c.name)
    )
    for row in cast(Sequence[TotalRow], db.session.execute(query).all()):
        place = places.get(row.project_id)
        if place is None:
            continue
        name = row.name
        if name != OTHER:
            names[place.organization] += 1
            if names[place.organization] > max_names:
                name = OTHER
        found.setdefault((place, name), Runs()).add(row)
    return found
