"""Ping: a signal of a job by one HTTP request, as it arrived."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, Uuid, false
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import TaskId, UTCDateTime

MAX_USER_AGENT = 200


class Ping(Base):
    """One of the latest pings of a monitor. What became of its run is in the task."""

    __tablename__ = "ping"

    monitor_id: Mapped[UUID] = mapped_column(
        Uuid, ForeignKey("monitor.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    """Counts the pings of the monitor, from 1."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    signal: Mapped[str] = mapped_column(String(8))
    """A `domain.pings.Signal`."""
    exit_status: Mapped[int | None] = mapped_column()
    run_id: Mapped[UUID | None] = mapped_column(Uuid)
    """What ties the start and the end of one run, if the client gave it."""
    task_id: Mapped[str | None] = mapped_column(TaskId)
    """The task of the run, which may be deleted; None for entries of the log."""
    scheme: Mapped[str] = mapped_column(String(8))
    method: Mapped[str] = mapped_column(String(8))
    address: Mapped[str] = mapped_column(String(45))
    """Of the client."""
    user_agent: Mapped[str] = mapped_column(String(MAX_USER_AGENT))
    has_body: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a body came with it."""
    body: Mapped[str | None] = mapped_column(Text)
    """What an entry of the log says; None for the others, whose output is in the task."""
