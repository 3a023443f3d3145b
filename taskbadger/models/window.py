"""MaintenanceWindow: when no messages are sent about what it covers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, UTCDateTime

_IS_CURRENT = text("ends_at IS NOT NULL")
_IS_OVER = text("ends_at IS NULL")
_LONG_AGO = text("'1970-01-01T00:00:00.000000Z'")
"""For windows that an older version makes while this one begins to run."""


class MaintenanceWindow(Base):
    """A maintenance window, once or recurring.

    It covers the organization, unless it names a project, a monitor or a pattern of names.
    """

    __tablename__ = "maintenance_window"
    __table_args__ = (
        Index(None, "organization_id", "id"),
        # Finds those that are active without reading those to come and those that are over.
        Index(
            "ix_maintenance_window_current",
            "organization_id",
            "starts_at",
            "id",
            sqlite_where=_IS_CURRENT,
            postgresql_where=_IS_CURRENT,
        ),
        Index(
            "ix_maintenance_window_over",
            "organization_id",
            "id",
            sqlite_where=_IS_OVER,
            postgresql_where=_IS_OVER,
        ),
        Index(None, "ends_at", sqlite_where=_IS_CURRENT, postgresql_where=_IS_CURRENT),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    monitor_id: Mapped[UUID | None] = mapped_column(
        Uuid, ForeignKey("monitor.id", ondelete="CASCADE"), index=True
    )
    name_pattern: Mapped[str] = mapped_column(String(255), default="")
    """An RE2 expression that is searched for in the task's name."""
    starts: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it starts, if it is not recurring."""
    ends: Mapped[datetime | None] = mapped_column(UTCDateTime)
    schedule: Mapped[str | None] = mapped_column(String(255))
    """When it starts each time: a cron expression."""
    duration: Mapped[int | None] = mapped_column()
    """How long it lasts each time, in seconds."""
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    starts_at: Mapped[datetime | None] = mapped_column(
        UTCDateTime().evaluates_none(), server_default=_LONG_AGO
    )
    """When the span that ends at ``ends_at`` starts, or earlier; None for one that is over."""
    ends_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the current or next span ends, after which the worker tells what still fails; None for
    one that is over."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    updated: Mapped[datetime] = mapped_column(UTCDateTime)
