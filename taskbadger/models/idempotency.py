"""IdempotencyRecord: responses to repeat."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class IdempotencyRecord(Base):
    """The response to the first request with a key, kept for 24 hours per project."""

    __tablename__ = "idempotency_record"
    __table_args__ = (Index(None, "created"),)

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    body_digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 of the request's body in canonical JSON."""
    status: Mapped[int] = mapped_column()
    response: Mapped[str] = mapped_column(Text)
    """The body of the response."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
