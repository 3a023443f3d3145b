"""Action and GlobalAction: whom to notify when a task reaches a trigger."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

ACTIVE = "active"
CANCELLED = "cancelled"

EVERY = "every"
"""A global action tells of each firing."""
INCIDENT = "incident"
"""A global action tells when a name begins to fail, of new kinds of failures, and of recovery."""
MODES = (EVERY, INCIDENT)


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
    mode: Mapped[str] = mapped_column(String(10), default=EVERY, server_default=EVERY)
    """One of MODES."""
    wait_for_retry: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Seconds that a message about a failure is held, and dropped if the run was tried again."""
    remind_after: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    """Seconds after a message until an open incident is told again; 0 for never."""
    escalation: Mapped[str] = mapped_column(Text, default="[]", server_default="[]")
    """JSON: ``[{"after": 900, "channels": [as above]}, …]``; *after* is in seconds."""
    at_least: Mapped[int | None] = mapped_column()
    """How many firings within *within* seconds it takes to send a message; None for one."""
    within: Mapped[int | None] = mapped_column()
    """Seconds."""
    rate: Mapped[str] = mapped_column(Text, default="[]", server_default="[]")
    """JSON: the times of the latest firings, as far as they count for *at_least*."""
    rate_reached: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the latest firing was one of *at_least*; then the next one is not told."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
