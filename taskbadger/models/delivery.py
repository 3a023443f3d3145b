"""Firing, Delivery and their like: what was to be told, to whom, and what became of it."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

WAITING = "waiting"
SENDING = "sending"
DELIVERED = "delivered"
DEAD = "dead"
DISMISSED = "dismissed"
"""Dead, and somebody has seen to it: kept, but counted no more."""
STATES = (WAITING, SENDING, DELIVERED, DEAD, DISMISSED)

_OPEN = text("next_attempt_at IS NOT NULL")
_SENDING = text("state = 'sending'")


class Firing(Base):
    """One action, or global action, that one change of a task has set off, and why."""

    __tablename__ = "firing"
    __table_args__ = (
        # A change cannot set the same action off twice, whatever goes wrong.
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
    """The whole trigger, as it was then."""
    reason: Mapped[str] = mapped_column(Text)
    """JSON: ``domain.triggers.Reason``."""
    held_back: Mapped[bool] = mapped_column(default=False)
    """Whether a quiet period kept it from being told at once."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)


class Delivery(Base):
    """One message to one channel: the outbox. It is written with the change that it tells of."""

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
    )

    id: Mapped[str] = mapped_column(TaskId, primary_key=True)
    """Goes with every attempt, so that a receiver knows a repetition. Sorts by time."""
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    firing_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("firing.id", ondelete="SET NULL")
    )
    """What set it off; None for what tasks have no part in, and once the task is deleted."""
    key: Mapped[str | None] = mapped_column(String(255), unique=True)
    """What it is about, where there is no firing: a second one with the same key is not queued."""
    kind: Mapped[str] = mapped_column(String(20))
    """One of ``channels.MESSAGE_KINDS``."""
    integration: Mapped[str] = mapped_column(String(50))
    config: Mapped[str] = mapped_column(Text)
    """JSON: the action's config; after a partial success, what is left of it."""
    destination: Mapped[str] = mapped_column(String(255))
    """The receiver's key: limits and the circuit go by it."""
    message: Mapped[str] = mapped_column(Text)
    """JSON of ``channels.Message``: the task as it was at the moment of the change."""
    state: Mapped[str] = mapped_column(String(10), default=WAITING)
    """One of STATES."""
    attempts: Mapped[int] = mapped_column(default=0)
    """How often it was tried, to the end, since it was queued or replayed."""
    crashes: Mapped[int] = mapped_column(default=0)
    """How often a lease ended without an outcome: the worker was killed, or this kills it."""
    next_attempt_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it may be claimed; while it is being sent, when the lease ends; None for never."""
    token: Mapped[str | None] = mapped_column(String(32))
    """Who holds the lease."""
    published_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When its id last went to the broker."""
    error_class: Mapped[str | None] = mapped_column(String(50))
    """What went wrong last, in one word; None after a success."""
    error: Mapped[str | None] = mapped_column(Text)
    """The same for people."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    finished: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was delivered or given up."""


class DeliveryAttempt(Base):
    """One try to deliver."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (Index(None, "delivery_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(TaskId, ForeignKey("delivery.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column()
    started: Mapped[datetime] = mapped_column(UTCDateTime)
    duration_ms: Mapped[int] = mapped_column()
    status: Mapped[int | None] = mapped_column()
    """An HTTP status or an SMTP reply code, where there was one."""
    error_class: Mapped[str | None] = mapped_column(String(50))
    """None for a success."""
    error: Mapped[str | None] = mapped_column(Text)


class Destination(Base):
    """What is known of a receiver: how many failures in a row, and until when it is left alone."""

    __tablename__ = "destination"

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    proven: Mapped[bool] = mapped_column(default=False)
    """Whether it ever took a message; until then it gets one at a time."""
    failures: Mapped[int] = mapped_column(default=0)
    hold_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    seen: Mapped[datetime] = mapped_column(UTCDateTime)
    """When something was last sent to it, to the hour or so."""


class WorkerTick(Base):
    """The one row that says when the background worker last looked at the clock."""

    __tablename__ = "worker_tick"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
