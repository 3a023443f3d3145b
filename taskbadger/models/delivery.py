"""Firing, Delivery and their attempts: what to send where, and the outcome."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

WAITING = "waiting"
SENDING = "sending"
DELIVERED = "delivered"
DEAD = "dead"
DISMISSED = "dismissed"
"""Dead, but handled by a person: kept, and no longer counted."""
DROPPED = "dropped"
"""Not sent, because there was no reason to any more; *held_by* says why."""
STATES = (WAITING, SENDING, DELIVERED, DEAD, DISMISSED, DROPPED)

HELD = "held by "
"""What *held_by* begins with while a maintenance window holds a delivery back."""
QUIET = "quiet "
"""What *key* begins with if a delivery waits for the end of a quiet period."""
TEST = "test"
"""The kind of a message that tests its channel: whoever sent it has seen the outcome."""

_OPEN = text("next_attempt_at IS NOT NULL")
_SENDING = text("state = 'sending'")
_GIVEN_UP = text("state != 'delivered' AND finished IS NOT NULL")


class Firing(Base):
    """An action or global action that fired for one change of a task, and why."""

    __tablename__ = "firing"
    __table_args__ = (
        # A change fires the same action at most once.
        UniqueConstraint("action_id", "task_version"),
        UniqueConstraint("global_action_id", "task_id", "task_version"),
        Index(None, "task_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[str] = mapped_column(TaskId, ForeignKey("task.id", ondelete="CASCADE"))
    task_version: Mapped[int] = mapped_column(BigInteger)
    action_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("action.id", ondelete="CASCADE")
    )
    global_action_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("global_action.id", ondelete="CASCADE")
    )
    trigger: Mapped[str] = mapped_column(String(255))
    """The trigger at that time."""
    reason: Mapped[str] = mapped_column(Text)
    """JSON: ``domain.triggers.Reason``."""
    held_back: Mapped[bool] = mapped_column(default=False)
    """Whether a quiet period delayed its message."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)


class Delivery(Base):
    """The outbox: one message to one channel, written in the transaction of its change."""

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("firing_id", "integration"),
        Index(
            "ix_delivery_open",
            "destination",
            "next_attempt_at",
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
        Index(
            "ix_delivery_sending", "destination", sqlite_where=_SENDING, postgresql_where=_SENDING
        ),
        Index(None, "organization_id", "id"),
        Index(None, "organization_id", "integration", "state", "id"),
        Index(None, "organization_id", "state", "id"),
        Index(None, "finished"),
        # What was not delivered in a period.
        Index(
            "ix_delivery_given_up",
            "organization_id",
            "state",
            "finished",
            sqlite_where=_GIVEN_UP,
            postgresql_where=_GIVEN_UP,
        ),
    )

    id: Mapped[str] = mapped_column(TaskId, primary_key=True)
    """Sent with every attempt, so that receivers can detect duplicates. Sorts by time."""
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    firing_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("firing.id", ondelete="SET NULL")
    )
    """Its firing; None if the message is not about a task, or the task was deleted."""
    key: Mapped[str | None] = mapped_column(String(255), unique=True)
    """What it is about, without a firing; a second delivery with the same key is not queued."""
    kind: Mapped[str] = mapped_column(String(20))
    """One of ``channels.MESSAGE_KINDS``."""
    integration: Mapped[str] = mapped_column(String(50))
    config: Mapped[str] = mapped_column(Text)
    """JSON: the action's config; after a partial success, the remaining part."""
    destination: Mapped[str] = mapped_column(String(255))
    """The key of the destination, which rate limits and the circuit breaker use."""
    message: Mapped[str] = mapped_column(Text)
    """JSON of ``channels.Message``: the task at the time of the change."""
    state: Mapped[str] = mapped_column(String(10), default=WAITING)
    """One of STATES."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Completed attempts since it was queued or replayed."""
    crashes: Mapped[int] = mapped_column(default=0)
    """How many leases expired without an outcome, because the worker died."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it may be claimed; during an attempt, the end of the lease; None for never."""
    token: Mapped[str | None] = mapped_column(String(32))
    """Who holds the lease."""
    published_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When its id was last published to the broker."""
    error_class: Mapped[str | None] = mapped_column(String(50))
    """The class of the last error; None after a success."""
    error: Mapped[str | None] = mapped_column(Text)
    """The last error as text."""
    waits_for_retry: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether it is dropped if its task was tried again."""
    held_by: Mapped[str | None] = mapped_column(Text)
    """What has held it back, or why it was dropped, in words; None if nothing has."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    finished: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was delivered or became dead."""


class DeliveryAttempt(Base):
    """One attempt to deliver."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index(None, "delivery_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(TaskId, ForeignKey("delivery.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column()
    started: Mapped[datetime] = mapped_column(UTCDateTime)
    duration_ms: Mapped[int] = mapped_column()
    status: Mapped[int | None] = mapped_column()
    """The HTTP status or SMTP reply code, if there was one."""
    error_class: Mapped[str | None] = mapped_column(String(50))
    """None for a success."""
    error: Mapped[str | None] = mapped_column(Text)


class Destination(Base):
    """The state of a destination: failures in a row, and until when sending is paused."""

    __tablename__ = "destination"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    proven: Mapped[bool] = mapped_column(default=False)
    """Whether it has ever accepted a message; until then it gets one at a time."""
    failures: Mapped[int] = mapped_column(default=0)
    hold_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    seen: Mapped[datetime] = mapped_column(UTCDateTime)
    """When something was last sent to it, accurate to about an hour."""


class WorkerTick(Base):
    """The single row that says when the background worker last read the clock."""

    __tablename__ = "worker_tick"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    turns: Mapped[str] = mapped_column(Text, default="{}", server_default="{}")
    """JSON: when each step of a worker last ended, in Unix seconds; late by a few seconds."""
