"""QueueStat: what came into each queue and what left it, computed from the history."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class QueueStat(Base):
    """What happened in a queue of a project within five minutes."""

    __tablename__ = "queue_stat"
    __table_args__ = (Index(None, "start"),)

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    queue: Mapped[str] = mapped_column(String(255), primary_key=True)
    """Empty for tasks without a queue."""
    start: Mapped[datetime] = mapped_column(UTCDateTime, primary_key=True)
    arrived: Mapped[int] = mapped_column(BigInteger, default=0)
    """Tasks that became pending."""
    departed: Mapped[int] = mapped_column(BigInteger, default=0)
    """Tasks that were pending and are no longer, for whatever reason."""
    finished: Mapped[int] = mapped_column(BigInteger, default=0)
    """Runs that ended in success or error."""
    waits: Mapped[str] = mapped_column(Text, default="{}")
    """JSON: how long departed tasks had waited, as ``RunStat.run_times``; stale and cancelled ones
    aside."""
