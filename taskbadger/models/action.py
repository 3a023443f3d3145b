"""Action and GlobalAction: what to do when a task, or any task, reaches a trigger."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

ACTIVE = "active"
CANCELLED = "cancelled"


class Action(Base):
    """An action on one task. The contract, section 5, has the rules."""

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
    """An action on every task of an organization that its filters let through."""

    __tablename__ = "global_action"
    __table_args__ = (Index(None, "organization_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    """The only project whose tasks count; None for all projects."""
    name_pattern: Mapped[str] = mapped_column(String(255), default="")
    """RE2, searched for anywhere in the task's name; ``^…$`` asks for the whole. Empty: all."""
    trigger: Mapped[str] = mapped_column(String(255))
    channels: Mapped[str] = mapped_column(Text)
    """JSON: ``[{"integration": "email", "config": {"to": "a@example.com"}}, …]``."""
    enabled: Mapped[bool] = mapped_column(default=True)
    quiet_period: Mapped[int] = mapped_column(default=0)
    """Seconds after a message in which no other is sent; 0 for none."""
    quiet_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The end of the current, or the latest, quiet period."""
    held_back: Mapped[int] = mapped_column(default=0)
    """Firings held back in that period: one message tells of them when it ends."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
