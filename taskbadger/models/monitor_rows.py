"""Types for the rows that sweeps read and write of monitors, slots and incidents, by the hundred.

Like those of `task_rows`: the columns of a query are derived from the fields of its type.
"""

from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table

from taskbadger.models.incident import Incident
from taskbadger.models.monitor import Monitor, Slot, SlotRun
from taskbadger.models.task_rows import columns_of

MONITORS = cast(Table, Monitor.__table__)
SLOTS = cast(Table, Slot.__table__)
SLOT_RUNS = cast(Table, SlotRun.__table__)
INCIDENTS = cast(Table, Incident.__table__)


class MonitorRow(NamedTuple):
    """A monitor that was locked."""

    id: UUID
    project_id: int
    name: str
    type: str
    schedule: str | None
    interval: int | None
    anchor: str | None
    timezone: str
    start_grace: int | None
    early_margin: int | None
    failure_threshold: int
    recovery_threshold: int
    status: str
    muted_until: datetime | None
    targets: str
    remind_after: int
    escalation: str
    seen: bool
    epoch: int
    expected_at: datetime | None


class SlotRow(NamedTuple):
    """A slot."""

    id: int
    monitor_id: UUID
    epoch: int
    expected_at: datetime
    count: int  # type: ignore[assignment]  # hides tuple.count
    deadline_at: datetime | None
    state: str
    ended_at: datetime | None


class NewSlot(NamedTuple):
    """All columns of a slot that is to be inserted, except its id."""

    monitor_id: UUID
    epoch: int
    expected_at: datetime
    deadline_at: datetime | None
    state: str
    count: int = 1  # type: ignore[assignment]  # hides tuple.count
    last_expected_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    extra_runs: int = 0


class IncidentRow(NamedTuple):
    """An incident."""

    id: int
    monitor_id: UUID
    opened_at: datetime
    closed_at: datetime | None
    bad_slots: int
    notified: bool
    owes_recovery: bool


AnyMonitor = Monitor | MonitorRow
AnySlot = Slot | SlotRow | NewSlot
AnyIncident = Incident | IncidentRow

MONITOR_COLUMNS = columns_of(MonitorRow, MONITORS, targets=MONITORS.c.action)
SLOT_COLUMNS = columns_of(SlotRow, SLOTS)
INCIDENT_COLUMNS = columns_of(IncidentRow, INCIDENTS, notified=INCIDENTS.c.told)
