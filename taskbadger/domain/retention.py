"""Retention: for how long a project keeps tasks, by how they ended."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from taskbadger.domain.status import CANCELLED, ERROR, STATUSES, SUCCESS, TERMINAL

MAX_RETENTION_DAYS = 3650
MIN_HISTORY_DAYS = 30
"""Incidents and kinds of failures are kept for so long at least: longer than digests look back."""
MIN_SLOT_DAYS = 100
"""Slots of monitors are kept for so long at least: longer than their uptime looks back."""
MAX_SLOT_DAYS = 400
"""Slots of monitors are kept for so long where tasks are kept for ever."""

UNFINISHED = "unfinished"
OUTCOMES: Mapping[str, tuple[str, ...]] = {
    SUCCESS: (SUCCESS,),
    "failure": (ERROR,),
    CANCELLED: (CANCELLED,),
    UNFINISHED: tuple(status for status in STATUSES if status not in TERMINAL),
}
"""What retention tells apart, with the statuses of each."""
_OUTCOME_OF = {status: outcome for outcome, some in OUTCOMES.items() for status in some}


class Retention(NamedTuple):
    """For how many days a project keeps tasks. None: for ever; for an outcome: as *days* says."""

    project_id: int
    days: int | None = None
    success: int | None = None
    failure: int | None = None
    unfinished: int | None = None

    def days_of(self, outcome: str) -> int | None:
        """Return for how many days tasks of one of OUTCOMES are kept; None for ever."""
        own = {SUCCESS: self.success, "failure": self.failure, UNFINISHED: self.unfinished}
        return own.get(outcome) or self.days

    def cutoff(self, status: str, now: datetime) -> datetime | None:
        """Return since when tasks with this status are kept; None if all are."""
        days = self.days_of(_OUTCOME_OF[status])
        return None if days is None else now - timedelta(days=days)

    @property
    def days_of_history(self) -> int | None:
        """For how many days incidents and kinds of failures are kept; None for ever."""
        days = self.days_of("failure")
        return None if days is None else max(days, MIN_HISTORY_DAYS)

    def start_of_history(self, now: datetime) -> datetime | None:
        """Return from when on incidents and kinds of failures are kept; None if all are."""
        days = self.days_of_history
        return None if days is None else now - timedelta(days=days)

    @property
    def days_of_slots(self) -> int:
        """For how many days the slots of monitors are kept."""
        return max(MIN_SLOT_DAYS, *(self.days_of(each) or MAX_SLOT_DAYS for each in OUTCOMES))

    def start_of_slots(self, now: datetime) -> datetime:
        """Return from when on the slots of monitors are kept."""
        return now - timedelta(days=self.days_of_slots)

    def shortened(self, before: "Retention") -> list[str]:
        """Return the outcomes whose tasks are kept for a shorter time than *before*."""
        return [name for name in OUTCOMES if _is_shorter(self.days_of(name), before.days_of(name))]


def _is_shorter(days: int | None, before: int | None) -> bool:
    return days is not None and (before is None or days < before)
