"""RunStat: how many runs ended how, and how long they took, counted from the history."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime

_FAILED_DAY = text("seconds = 86400 AND last_outcome IN ('error', 'stale')")


class RunStat(Base):
    """The runs of a project that ended in one span of time, of one name or of all."""

    __tablename__ = "run_stat"
    __table_args__ = (
        Index(None, "seconds", "start"),
        # Only what may be failing now, so that a look at it reads little else.
        Index(None, "project_id", "start", sqlite_where=_FAILED_DAY, postgresql_where=_FAILED_DAY),
    )

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    seconds: Mapped[int] = mapped_column(primary_key=True)
    """How long the span is: a minute, an hour or a day."""
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    """The name of the tasks; empty for all of the project."""
    start: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    success: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[int] = mapped_column(BigInteger, default=0)
    cancelled: Mapped[int] = mapped_column(BigInteger, default=0)
    stale: Mapped[int] = mapped_column(BigInteger, default=0)
    last: Mapped[datetime] = mapped_column(UTCDateTime)
    """When the latest of them ended."""
    last_outcome: Mapped[str | None] = mapped_column(String(10))
    """How the latest ended of those that were not cancelled; None where all were."""
    run_times: Mapped[str] = mapped_column(Text, default="{}")
    """JSON: how many runs took how long, by ``domain.run_times.bin_of``."""


class RunStatCursor(Base):
    """How far the history has been counted; one row."""

    __tablename__ = "run_stat_cursor"

    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[int] = mapped_column(BigInteger)
    """The last entry of the history that is counted."""
    counted_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When somebody last looked for more."""
