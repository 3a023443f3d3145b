"""Action and GlobalAction: whom to notify when a task reaches a trigger."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

ACTIVE = "active"
CANCELLED = "cancelled"


class Action(Base):
    """An action on one task. The rules: docs/contract.md#actions."""

    __tablename__ = "action"
    __table_args__ = (Index(None, "task_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[str] = mapped_column(TaskId, ForeignKey("task.id", ondelete="CASCADE"))
    trigger: Mapped[str] = mapped_column(String(255))
    integration: Mapped[str] = mapped_column(String(50))
    config: Mapped[str] = mapped_column(Text, default="{}")
    """JSON."""
    status: Mapped[str] = mapped_column(String(10), default=ACTIVE)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)


class GlobalAction(Base):
    """An action on all tasks of an organization that match its filters."""

    __tablename__ = "global_action"
    __table_args__ = (Index(None, "organization_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    """The project whose tasks it watches; None for all projects."""
    name_pattern: Mapped[str] = mapped_column(String(255), default="")
    """An RE2 expression that is searched for in the task's name; empty for all tasks."""
    trigger: Mapped[str] = mapped_column(String(255))
    channels: Mapped[str] = mapped_column(Text)
    """JSON: ``[{"integration": "email", "config": {"to": "a@example.com"}}, …]``."""
    enabled: Mapped[bool] = mapped_column(default=True)
    quiet_period: Mapped[int] = mapped_column(default=0)
    """Seconds after a message during which no other is sent; 0 for none."""
    quiet_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The end of the current or latest quiet period."""
    held_back: Mapped[int] = mapped_column(default=0)
    """The number of firings held back in that period; one message at its end reports them."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
