"""ChannelConfig: a channel that someone set up for an organization."""

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
    """JSON, as the channel's config_schema loaded it; holds secrets."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the first of the failures happened that no success has followed; None when it works."""
    disabled: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it was turned off, by hand or after days of failures; None while it is in use."""
