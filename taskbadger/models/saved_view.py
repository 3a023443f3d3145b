"""SavedView: a search that a team saved under a name."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class SavedView(Base):
    """A search over the tasks of an organization, shown to all its members."""

    __tablename__ = "saved_view"
    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(80))
    search: Mapped[str] = mapped_column(String(1000), default="")
    project: Mapped[str] = mapped_column(String(50), default="")
    """The slug of the project to search in; empty for all."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
