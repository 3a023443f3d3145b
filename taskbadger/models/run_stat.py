"""RunStat: counts of runs by outcome and run time, computed from the history."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime

_FAILED_DAY = text("seconds = 86400 AND last_outcome IN ('error', 'stale')")


class RunStat(Base):
    """The runs of a project that ended in one period, of one task name or of all."""

    __tablename__ = "run_stat"
    __table_args__ = (
        Index(None, "seconds", "start"),
        # For migration 0009, which opens the incidents of names that were failing.
        Index(None, "project_id", "start", sqlite_where=_FAILED_DAY, postgresql_where=_FAILED_DAY),
    )

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    seconds: Mapped[int] = mapped_column(primary_key=True)
    """The length of the period: a minute, an hour or a day."""
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    """The name of the tasks; empty for all tasks of the project."""
    start: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    success: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[int] = mapped_column(BigInteger, default=0)
    cancelled: Mapped[int] = mapped_column(BigInteger, default=0)
    stale: Mapped[int] = mapped_column(BigInteger, default=0)
    retried: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    """Failed attempts that were followed by another; they are not among the failed runs."""
    last: Mapped[datetime] = mapped_column(UTCDateTime)
    """When the latest run ended."""
    last_outcome: Mapped[str | None] = mapped_column(String(10))
    """The outcome of the latest run that was not cancelled; None if all were."""
    run_times: Mapped[str] = mapped_column(Text, default="{}")
    """JSON: the number of runs in each bin of ``domain.run_times.bin_of``."""


class RunStatCursor(Base):
    """The single row that says how far the history has been counted."""

    __tablename__ = "run_stat_cursor"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger)
    """The last history entry that was counted."""
    counted_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When a worker last looked for more."""
