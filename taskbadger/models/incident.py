"""Incident, its events, and who is told about it when."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, Uuid, text
from sqlalchemy import false as sql_false
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

DEFERRED = text("((closed_at IS NULL AND NOT told) OR owes_recovery) AND name IS NULL")
"""Incidents of monitors with a notice to send, as soon as their monitors may notify."""
_OPEN = text("closed_at IS NULL")
_CLOSED = text("closed_at IS NOT NULL")
_OPEN_OF_NAME = text("closed_at IS NULL AND name IS NOT NULL")


class Incident(Base):
    """A period in which a monitor, or the tasks of one name, were failing."""

    __tablename__ = "incident"
    __table_args__ = (
        Index(None, "monitor_id", "id"),
        Index(None, "organization_id", "id"),
        Index(None, "project_id", "name", "id"),
        # A monitor has at most one open incident, and so has a name.
        Index(
            "uq_incident_open",
            "monitor_id",
            unique=True,
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
        Index(
            "uq_incident_open_name",
            "project_id",
            "name",
            unique=True,
            sqlite_where=_OPEN_OF_NAME,
            postgresql_where=_OPEN_OF_NAME,
        ),
        Index(
            "ix_incident_open",
            "organization_id",
            "id",
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
        # What recovered in a period.
        Index(
            None,
            "organization_id",
            "closed_at",
            "id",
            sqlite_where=_CLOSED,
            postgresql_where=_CLOSED,
        ),
        # What is kept no longer.
        Index(
            None, "project_id", "closed_at", "id", sqlite_where=_CLOSED, postgresql_where=_CLOSED
        ),
        # Names that may have recovered because nothing failed for long.
        Index("ix_incident_quiet_at", "quiet_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_incident_held", "monitor_id", sqlite_where=DEFERRED, postgresql_where=DEFERRED),
        # Keys of deliveries name incidents, so no id is used twice.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    monitor_id: Mapped[UUID | None] = mapped_column(
        Uuid, ForeignKey("monitor.id", ondelete="CASCADE")
    )
    """Its monitor; None for an incident of a name."""
    name: Mapped[str | None] = mapped_column(String(255))
    """The name of the tasks that fail; None for an incident of a monitor."""
    opened_at: Mapped[datetime] = mapped_column(UTCDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    bad_slots: Mapped[int] = mapped_column(default=0)
    """Of a monitor."""
    runs: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Failed runs of a name, superseded attempts aside."""
    last_failed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When a run of the name failed last; None for a monitor."""
    quiet_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the incident of a name closes if nothing else fails; None for a monitor."""
    notified: Mapped[bool] = mapped_column("told")
    """Of a monitor: whether a notice was sent when it opened. Without it, none is sent when it
    closes."""
    owes_recovery: Mapped[bool] = mapped_column(default=False, server_default=sql_false())
    """Of a monitor: whether the notice that it closed is deferred."""
    acknowledged_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    acknowledged_by: Mapped[str | None] = mapped_column(String(255))
    """Who is on it: a person or a key, as the audit log names them."""
    snoozed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was snoozed; None if it is not snoozed."""
    snoozed_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the snooze ends; None, if it is snoozed, for when something changes."""


class IncidentEvent(Base):
    """An entry of an incident's timeline."""

    __tablename__ = "incident_event"
    __table_args__ = (Index(None, "incident_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(BigId, ForeignKey("incident.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    kind: Mapped[str] = mapped_column(String(20))
    """What happened: one of `domain.incidents.EVENTS`."""
    actor: Mapped[str] = mapped_column(String(255), default="")
    """Who did it; empty for the server."""
    detail: Mapped[str] = mapped_column(Text, default="")
    """In words, such as the title of a failure kind or the channels that were told."""
    task_id: Mapped[str | None] = mapped_column(TaskId)
    """The task that it is about; retention may have deleted it."""


class IncidentNotice(Base):
    """What one global action, or the monitor itself, tells about an incident, and when next."""

    __tablename__ = "incident_notice"
    __table_args__ = (
        UniqueConstraint("incident_id", "global_action_id"),
        Index(
            None,
            "next_at",
            sqlite_where=text("next_at IS NOT NULL"),
            postgresql_where=text("next_at IS NOT NULL"),
        ),
        Index(None, "global_action_id"),
        # Keys of deliveries name notices, so no id is used twice.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    incident_id: Mapped[int] = mapped_column(BigId, ForeignKey("incident.id", ondelete="CASCADE"))
    global_action_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("global_action.id", ondelete="CASCADE")
    )
    """None for the notices of a monitor."""
    task_id: Mapped[str | None] = mapped_column(TaskId)
    """The failed task that the first message is about; retention may have deleted it."""
    told_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the first message was queued; None while it waits."""
    last_told_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the last message was queued; reminders are counted from here."""
    messages: Mapped[int] = mapped_column(default=0)
    """How many were queued: a part of the key of the next one."""
    targets: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: everyone who was told, a list of `domain.notification_targets.NotificationTarget`."""
    steps: Mapped[int] = mapped_column(default=0)
    """How many steps of the escalation were done."""
    steps_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """What the steps are counted from: the first message, later by as long as it was snoozed."""
    paused_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the incident was snoozed, as far as *steps_from* does not count it yet."""
    held: Mapped[bool] = mapped_column(default=False)
    """Whether a window, a mute or a quiet period has held the first message back."""
    told_kinds: Mapped[str] = mapped_column(Text, default="[]")
    """JSON: the ids of the failure kinds that were told."""
    news_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When to tell of new kinds of failures; None if there are none."""
    is_over: Mapped[bool] = mapped_column(default=False)
    """Whether all was told, the recovery too, or nothing ever will be."""
    next_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When to look at it again; None for not before something changes."""
