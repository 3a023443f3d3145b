"""Task, its tags for the filters, and its history."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, Microseconds, TaskId, UTCDateTime


def _index_where_set(column: str, *others: str) -> Index:
    """Index the rows whose *column* is not null; most tasks need no entry."""
    condition = text(f"{column} IS NOT NULL")
    return Index(None, column, *others, sqlite_where=condition, postgresql_where=condition)


_FAILED = text("status = 'error'")
OPEN_CONDITION = "status IN ('pending', 'pre_processing', 'processing', 'post_processing', 'stale')"
"""The tasks that have entries in the index of queues, in the words of that index."""
_OPEN = text(OPEN_CONDITION)


class Task(Base):
    """One run of a background job. The rules: docs/contract.md#tasks."""

    __tablename__ = "task"
    __table_args__ = (
        # Lists are paginated by id, newest first, on those that end with it.
        Index(None, "project_id", "id"),
        Index(None, "project_id", "status", "id"),
        Index(None, "project_id", "name", "id"),
        Index(None, "project_id", "external_id"),
        Index(None, "project_id", "updated"),
        _index_where_set("parent", "id"),
        _index_where_set("monitor_id", "id"),
        _index_where_set("stale_at"),
        _index_where_set("overdue_at"),
        # For recent failures: only failed tasks have entries.
        Index(None, "project_id", "end_time", "id", sqlite_where=_FAILED, postgresql_where=_FAILED),
        # For queues: only tasks that have not ended have entries.
        Index(
            None,
            "project_id",
            "queue",
            "status",
            "id",
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
    )

    id: Mapped[str] = mapped_column(TaskId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    """Counts the changes, from 1. A delivery is unique per action and version."""
    parent: Mapped[str | None] = mapped_column(TaskId, ForeignKey("task.id", ondelete="SET NULL"))
    has_children: Mapped[bool] = mapped_column(default=False)
    has_actions: Mapped[bool] = mapped_column(default=False)
    """Whether there may be actions to evaluate; saves most updates a query."""
    monitor_id: Mapped[UUID | None] = mapped_column(Uuid)

    name: Mapped[str] = mapped_column(String(255))
    name_folded: Mapped[str] = mapped_column(String(765))
    """The case-folded name, for ``search``."""
    queue: Mapped[str] = mapped_column(String(255), default="")
    external_id: Mapped[str] = mapped_column(String(255), default="")
    status: Mapped[str] = mapped_column(String(16))
    stale_from: Mapped[str | None] = mapped_column(String(16))
    """The status before the task went stale."""
    value: Mapped[int | None] = mapped_column(BigInteger)
    value_max: Mapped[int] = mapped_column(BigInteger, default=100)
    data: Mapped[str | None] = mapped_column(Text)
    """JSON, exactly as received; None if the client sent none or null."""
    tags: Mapped[str] = mapped_column(Text, default="{}")
    """JSON, sorted by name. TaskTag repeats it for the filters."""

    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
    start_time: Mapped[datetime | None] = mapped_column(UTCDateTime)
    end_time: Mapped[datetime | None] = mapped_column(UTCDateTime)
    time_to_start: Mapped[timedelta | None] = mapped_column(Microseconds)
    max_runtime: Mapped[int | None] = mapped_column()
    """Seconds that the task may run; None for no limit."""
    stale_timeout: Mapped[int | None] = mapped_column()
    """Seconds without an update after which the task is stale; None for never."""
    stale_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    overdue_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    progress_event_id: Mapped[int | None] = mapped_column(BigInteger)
    """The latest progress event, if the next one overwrites it."""
    progress_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """The time of the latest progress event that is kept."""
    progress_count: Mapped[int] = mapped_column(default=0)
    progress_step: Mapped[int] = mapped_column(default=1)
    """Minimum seconds between two progress events."""


class TaskTag(Base):
    """One tag of a task, for the filter ``tag=name:value``."""

    __tablename__ = "task_tag"
    __table_args__ = (Index(None, "project_id", "name", "value", "task_id"),)

    task_id: Mapped[str] = mapped_column(
        TaskId, ForeignKey("task.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    value: Mapped[str] = mapped_column(String(255))
    project_id: Mapped[int] = mapped_column()


class TaskEvent(Base):
    """An entry of a task's history: its creation, a change of status, or progress."""

    __tablename__ = "task_event"
    __table_args__ = (Index(None, "task_id", "id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    task_id: Mapped[str] = mapped_column(TaskId, ForeignKey("task.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(10))
    """``created``, ``status`` or ``progress``."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    status: Mapped[str] = mapped_column(String(16))
    value: Mapped[int | None] = mapped_column(BigInteger)
    value_max: Mapped[int] = mapped_column(BigInteger)
    actor_type: Mapped[str] = mapped_column(String(10))
    """``key``, ``user`` or ``server``."""
    actor_name: Mapped[str] = mapped_column(String(255))
