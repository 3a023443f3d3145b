"""Action: what to do when a task reaches a trigger."""

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
