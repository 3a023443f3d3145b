"""Monitor, its slots with the runs that filled them, and its incidents."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.domain.monitors import ACTIVE
from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime


class Monitor(Base):
    """Knows when a task is expected to run. ``domain/slots.py`` has the rules."""

    __tablename__ = "monitor"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index("ix_monitor_expected_at", "expected_at"),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    """Version 7, so it sorts by the time of creation."""
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(10))
    """One of `domain.monitors.TYPES`."""
    schedule: Mapped[str | None] = mapped_column(String(255))
    """Cron only: the expression, as it was written."""
    interval: Mapped[int | None] = mapped_column()
    """Interval only: seconds."""
    anchor: Mapped[str | None] = mapped_column(String(5))
    """Interval only: the end of the last run from which it counts, ``start`` or ``end``."""
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    start_grace: Mapped[int | None] = mapped_column()
    """Seconds that a start may be late; None for the default."""
    max_runtime: Mapped[int | None] = mapped_column()
    """Seconds from a run's start; None for no limit."""
    early_margin: Mapped[int | None] = mapped_column()
    """Seconds that a run may come before its slot; None for the default."""
    failure_threshold: Mapped[int] = mapped_column(default=1)
    recovery_threshold: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(10), default=ACTIVE)
    """One of `domain.monitors.STATUSES`; see ``status_at`` there for a mute that has run out."""
    muted_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    action: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: where notices go, a list of ``{"integration", "config"}``."""

    seen: Mapped[bool] = mapped_column(default=False)
    """Whether a run ever came; without one the monitor is new, and silent."""
    epoch: Mapped[int] = mapped_column(default=1)
    """Counts how often the schedule began anew; outcomes of before open and close no incident."""
    expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """That of the current slot, the newest there is; None while nothing is expected."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)


class Slot(Base):
    """One expected run of a monitor, or the summed up rest of a long gap."""

    __tablename__ = "slot"
    __table_args__ = (
        UniqueConstraint("monitor_id", "expected_at"),
        Index(
            "ix_slot_open",
            "monitor_id",
            sqlite_where=text("state IN ('expected', 'running')"),
            postgresql_where=text("state IN ('expected', 'running')"),
        ),
        Index(
            "ix_slot_deadline_at",
            "deadline_at",
            sqlite_where=text("deadline_at IS NOT NULL"),
            postgresql_where=text("deadline_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("monitor.id", ondelete="CASCADE"))
    epoch: Mapped[int] = mapped_column()
    """The monitor's, when the slot was written."""
    expected_at: Mapped[datetime] = mapped_column(UTCDateTime)
    count: Mapped[int] = mapped_column(default=1)
    """How many slots this row stands for."""
    last_expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the last of them was expected; None where there is but one."""
    deadline_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Until when it waits: for a start, then for the end of the run; None for nothing."""
    state: Mapped[str] = mapped_column(String(10))
    """A `domain.slots.SlotState`."""
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When its first run started; None without one."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When that run ended, or took too long."""
    extra_runs: Mapped[int] = mapped_column(default=0)


class SlotRun(Base):
    """A task that ran for a slot."""

    __tablename__ = "slot_run"
    __table_args__ = (
        Index(
            "ix_slot_run_going",
            "monitor_id",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    task_id: Mapped[str] = mapped_column(
        TaskId, ForeignKey("task.id", ondelete="CASCADE"), primary_key=True
    )
    slot_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("slot.id", ondelete="CASCADE"), index=True
    )
    monitor_id: Mapped[UUID] = mapped_column(Uuid)
    is_extra: Mapped[bool] = mapped_column()
    """Not the first of its slot: only its error counts."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Incident(Base):
    """A time in which a monitor was failing."""

    __tablename__ = "incident"
    __table_args__ = (
        Index(None, "monitor_id", "id"),
        # The database's own word that a monitor has one open incident at most.
        Index(
            "uq_incident_open",
            "monitor_id",
            unique=True,
            sqlite_where=text("closed_at IS NULL"),
            postgresql_where=text("closed_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("monitor.id", ondelete="CASCADE"))
    opened_at: Mapped[datetime] = mapped_column(UTCDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    bad_slots: Mapped[int] = mapped_column()
    told: Mapped[bool] = mapped_column()
    """Whether a notice was sent when it opened; if not, none is when it closes."""
