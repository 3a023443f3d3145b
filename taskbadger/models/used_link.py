"""UsedLink: which signed links of messages were used, since each works once."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class UsedLink(Base):
    """A link that was used."""

    __tablename__ = "used_link"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """`domain.incident_links.IncidentLink.digest`."""
    used_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
