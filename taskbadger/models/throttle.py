"""Counters behind the rate limit."""

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base


class RequestCount(Base):
    """The number of requests of *subject* in one window."""

    __tablename__ = "request_count"
    __table_args__ = (Index(None, "window"),)

    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    """What is counted, such as ``key:17``."""
    window: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Unix time of the window's start, in seconds."""
    count: Mapped[int] = mapped_column(default=1)
