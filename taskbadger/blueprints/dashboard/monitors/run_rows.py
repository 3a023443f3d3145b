"""The table of runs on the page of a monitor: what was expected, and what ran."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskbadger.domain.status import RUNNING
from taskbadger.models import Slot
from taskbadger.services.monitors import slot_runs
from taskbadger.services.monitors.lists import ListedSlot
from taskbadger.services.monitors.slot_runs import ListedRun


@dataclass(frozen=True, slots=True)
class RunRow:
    """A slot with its run, or a run that no slot expected."""

    slot: Slot | None
    run: ListedRun | None
    why: str = ""
    """What a run is that no slot expected."""

    @property
    def key(self) -> str:
        """What names the row on open pages."""
        return f"slot-{self.slot.id}" if self.slot else f"run-{self.run.id if self.run else ''}"

    @property
    def started_at(self) -> datetime | None:
        """When the run started."""
        if self.slot is not None:
            return self.slot.started_at
        return (self.run.start_time or self.run.created) if self.run else None

    @property
    def running_since(self) -> datetime | None:
        """When the run started, if it is still running."""
        return self.started_at if self.run and self.run.status in RUNNING else None

    @property
    def took(self) -> timedelta | None:
        """How long the run took; None before it ends."""
        ended_at = self.slot.ended_at if self.slot else self.run and self.run.end_time
        if ended_at is None or self.started_at is None:
            return None
        return max(ended_at - self.started_at, timedelta())


def make_run_rows(slots: Sequence[ListedSlot], without_slot: Sequence[ListedRun]) -> list[RunRow]:
    """Return the rows for a page of slots, newest first, and for runs that count for none."""
    runs = slot_runs.list_runs_of_slots([listed.slot.id for listed in slots])
    rows: list[RunRow] = []
    rest = list(without_slot)
    for listed in slots:
        while rest and rest[0].created > listed.slot.expected_at:
            rows.append(RunRow(None, rest.pop(0), "not expected"))
        rows += _rows_of(listed, runs.get(listed.slot.id, []))
    return [*rows, *(RunRow(None, run, "not expected") for run in rest)]


def _rows_of(listed: ListedSlot, runs: Sequence[ListedRun]) -> list[RunRow]:
    expected = next((run for run in runs if run.id == listed.task_id), None)
    extra = [RunRow(None, run, "one more run") for run in runs if run.id != listed.task_id]
    return [*extra, RunRow(listed.slot, expected)]
