"""Monitor, and its slots with their runs."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, Uuid, false, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.domain.monitors import ACTIVE, MAX_SLUG, MAX_TAGS
from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime


class Monitor(Base):
    """When a job is expected to run. The rules are in ``domain/slots.py``."""

    __tablename__ = "monitor"
    __table_args__ = (
        Index(None, "project_id", "id"),
        Index("ix_monitor_expected_at", "expected_at"),
        Index(None, "project_id", "task_name", unique=True),
        # Not with the project first: without statistics, PostgreSQL takes it for task names, too.
        Index(None, "slug", "project_id", unique=True),
        Index(None, "ping_id", unique=True),
    )

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    """A UUID of version 7, so it sorts by time of creation."""
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    slug: Mapped[str | None] = mapped_column(String(MAX_SLUG))
    """What pings and files call it. None only for one that an older version of us made, beside us.
    """
    ping_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The secret in the address of its pings; its id is on public pages. None as for the slug."""
    task_name: Mapped[str | None] = mapped_column(String(255))
    """The name that it is bound to: the tasks of that name are its runs."""
    tags: Mapped[str] = mapped_column(String(MAX_TAGS), default="", server_default="")
    """Words, separated by spaces, as the API of Healthchecks sets and filters them."""
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    """For people."""
    type: Mapped[str] = mapped_column(String(10))
    """One of `domain.monitors.TYPES`."""
    schedule: Mapped[str | None] = mapped_column(String(255))
    """Cron only: the expression, as entered."""
    interval: Mapped[int | None] = mapped_column()
    """Interval only: seconds."""
    anchor: Mapped[str | None] = mapped_column(String(5))
    """Interval only: it begins at the ``start`` or the ``end`` of the last run."""
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    start_grace: Mapped[int | None] = mapped_column()
    """Seconds that a run may start late; None for the default."""
    max_runtime: Mapped[int | None] = mapped_column()
    """Seconds that a run may take from its start; None for no limit."""
    early_margin: Mapped[int | None] = mapped_column()
    """Seconds that a run may start early; None for the default."""
    failure_threshold: Mapped[int] = mapped_column(default=1)
    recovery_threshold: Mapped[int] = mapped_column(default=1)
    status: Mapped[str] = mapped_column(String(10), default=ACTIVE)
    """One of `domain.monitors.STATUSES`, as set: ``status_at`` there applies ``muted_until``."""
    muted_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    targets: Mapped[str] = mapped_column("action", Text, default="[]")
    """JSON: the API's ``action``, a list of `domain.notification_targets.NotificationTarget`."""
    remind_after: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Seconds after a message until it is told again that the monitor fails; 0 for never."""
    escalation: Mapped[str] = mapped_column(Text, default="[]", server_default="[]")
    """JSON, as in `GlobalAction`."""

    timed_by_pings: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a ping gave it its timing, and nobody has changed that since."""
    seen: Mapped[bool] = mapped_column(default=False)
    """Whether it has ever had a run; until the first one it opens no incidents."""
    epoch: Mapped[int] = mapped_column(default=1)
    """Counts restarts of the schedule. Only slots of this epoch open and close incidents."""
    expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the current slot, the newest, is expected; None while nothing is expected."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)


WITH_DEADLINE = text("deadline_at IS NOT NULL")
"""Slots that are expected or running, with a time at which that ends."""

GOOD_SLOT = text("state IN ('ok', 'late')")
"""Slots whose runs succeeded: `domain.slots.GOOD`, in the words of their index."""


class Slot(Base):
    """One expected run of a monitor. After a long gap, one row stands for the rest of it."""

    __tablename__ = "slot"
    __table_args__ = (
        UniqueConstraint("monitor_id", "expected_at"),
        Index(
            "ix_slot_open",
            "monitor_id",
            sqlite_where=text("state IN ('expected', 'running')"),
            postgresql_where=text("state IN ('expected', 'running')"),
        ),
        # Finds the monitors with due slots.
        Index(
            "ix_slot_deadline_at",
            "deadline_at",
            sqlite_where=WITH_DEADLINE,
            postgresql_where=WITH_DEADLINE,
        ),
        # Finds the due slots of some monitors, however many slots without a deadline they have.
        Index(
            None,
            "monitor_id",
            "deadline_at",
            sqlite_where=WITH_DEADLINE,
            postgresql_where=WITH_DEADLINE,
        ),
        # Finds the last success of each monitor, however long it has been failing.
        Index(
            "ix_slot_good",
            "monitor_id",
            "expected_at",
            sqlite_where=GOOD_SLOT,
            postgresql_where=GOOD_SLOT,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    monitor_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("monitor.id", ondelete="CASCADE"))
    epoch: Mapped[int] = mapped_column()
    """The monitor's epoch when the slot was created."""
    expected_at: Mapped[datetime] = mapped_column(UTCDateTime)
    count: Mapped[int] = mapped_column(default=1)
    """The number of slots that this row stands for."""
    last_expected_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the last of them was expected; None for a single slot."""
    deadline_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The deadline for the start of the run, then for its end; None for no deadline."""
    state: Mapped[str] = mapped_column(String(10))
    """A `domain.slots.SlotState`."""
    started_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When its first run started; None if it has no run."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When that run ended or exceeded its time."""
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
    """Whether it is not the run that the slot expected; then only its failure counts."""
    ended_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
