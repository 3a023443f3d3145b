"""Types for the rows that the followers of the history read and write of failures and incidents.

Like those of `task_rows`: the columns of a query are derived from the fields of its type.
"""

from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table

from taskbadger.models.failure import Failure, FailureKind
from taskbadger.models.incident import Incident, IncidentEvent, IncidentNotice
from taskbadger.models.task_rows import columns_of

KINDS = cast(Table, FailureKind.__table__)
FAILURES = cast(Table, Failure.__table__)
INCIDENT_EVENTS = cast(Table, IncidentEvent.__table__)
NOTICES = cast(Table, IncidentNotice.__table__)
_INCIDENTS = cast(Table, Incident.__table__)


class HistoryEntry(NamedTuple):
    """An entry of the history. If no follower needs it, ``project_id`` is None."""

    id: int
    created: datetime
    type: str
    status: str
    task_id: str
    project_id: int | None
    name: str
    external_id: str
    start_time: datetime | None
    end_time: datetime | None


class FailureRow(NamedTuple):
    """A failed task, with its kind."""

    task_id: str
    kind_id: int
    failed_at: datetime
    news: str
    incident_id: int | None
    title: str
    cause: str
    state: str
    ignored_until: datetime | None

    def is_ignored(self, at: datetime) -> bool:
        """Say whether its kind is not told at that time."""
        return self.state == "ignored" and (self.ignored_until is None or self.ignored_until > at)


class NameIncidentRow(NamedTuple):
    """An incident of a name."""

    id: int
    organization_id: int
    project_id: int
    name: str
    opened_at: datetime
    last_failed_at: datetime
    quiet_at: datetime


class NoticeRow(NamedTuple):
    """What one global action, or a monitor, tells about an incident."""

    id: int
    incident_id: int
    global_action_id: int | None
    task_id: str | None
    told_at: datetime | None
    last_told_at: datetime | None
    messages: int
    targets: str
    steps: int
    steps_from: datetime | None
    paused_at: datetime | None
    held: bool
    told_kinds: str
    news_at: datetime | None
    is_over: bool
    next_at: datetime | None


class ToldIncidentRow(NamedTuple):
    """An incident that messages are about."""

    id: int
    organization_id: int
    project_id: int
    monitor_id: UUID | None
    name: str | None
    opened_at: datetime
    closed_at: datetime | None
    bad_slots: int
    runs: int
    last_failed_at: datetime | None
    quiet_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_at: datetime | None
    snoozed_until: datetime | None


FAILURE_COLUMNS = columns_of(FailureRow, FAILURES, KINDS)
NAME_INCIDENT_COLUMNS = columns_of(NameIncidentRow, _INCIDENTS)
NOTICE_COLUMNS = columns_of(NoticeRow, NOTICES)
TOLD_INCIDENT_COLUMNS = columns_of(ToldIncidentRow, _INCIDENTS)
