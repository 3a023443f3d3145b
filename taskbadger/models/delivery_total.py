"""DeliveryTotal: the attempts to deliver since they were first counted, for metrics."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class DeliveryTotal(Base):
    """The attempts of one kind and outcome. What retention deletes stays counted."""

    __tablename__ = "delivery_total"
    __table_args__ = (UniqueConstraint("organization_id", "kind", "outcome"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int | None] = mapped_column(
        ForeignKey("organization.id", ondelete="CASCADE")
    )
    """None for the whole server: its counts outlive organizations."""
    kind: Mapped[str] = mapped_column(String(20))
    """One of ``channels.MESSAGE_KINDS``."""
    outcome: Mapped[str] = mapped_column(String(10))
    """``delivered`` or ``failed``."""
    attempts: Mapped[int] = mapped_column(BigInteger)


class DeliveryCursor(Base):
    """The single row that says how far the attempts have been counted."""

    __tablename__ = "delivery_cursor"

    id: Mapped[int] = mapped_column(primary_key=True)
    attempt_id: Mapped[int] = mapped_column(BigInteger)
    """The last attempt that was counted."""
    counted_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When a worker last counted any."""
