"""ChannelConfig: a channel that an organization has set up."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class ChannelConfig(Base):
    """A channel of an organization; actions name it as ``kind:slug``."""

    __tablename__ = "channel"
    __table_args__ = (UniqueConstraint("organization_id", "kind", "slug"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(20))
    slug: Mapped[str] = mapped_column(String(29))
    name: Mapped[str] = mapped_column(String(255))
    config: Mapped[str] = mapped_column(Text)
    """JSON, validated by the channel's config_schema; contains secrets."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the current series of failures began; None while the channel works."""
    disabled: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was turned off, by a person or after days of failures; None while it is in use."""
