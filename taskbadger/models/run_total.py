"""RunTotal: the runs of each name since it was first counted, for metrics."""

from datetime import datetime

from sqlalchemy import BigInteger, Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class RunTotal(Base):
    """The runs of one name in a project. What retention deletes stays counted.

    An organization has a limited number of these names; all others are one row, named ``other``.
    """

    __tablename__ = "run_total"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    success: Mapped[int] = mapped_column(BigInteger)
    error: Mapped[int] = mapped_column(BigInteger)
    cancelled: Mapped[int] = mapped_column(BigInteger)
    stale: Mapped[int] = mapped_column(BigInteger)
    run_seconds: Mapped[float] = mapped_column(Double)
    run_times: Mapped[str] = mapped_column(Text)
    """JSON: the number of runs in each bucket of ``domain.buckets``."""
    wait_seconds: Mapped[float] = mapped_column(Double)
    waits: Mapped[str] = mapped_column(Text)
    """JSON: how long tasks had waited until they started, in the same buckets."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    last_day: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    """The start of the day on which something was counted last."""
