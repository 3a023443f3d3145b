"""AuditEntry: who changed what."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, UTCDateTime

_IS_NO_INGESTION = text("kind != 'ingestion'")


class AuditEntry(Base):
    """An entry of an organization's audit log: a change and who made it."""

    __tablename__ = "audit_entry"
    __table_args__ = (
        Index(None, "organization_id", "id"),
        Index(None, "organization_id", "kind", "id"),
        Index(
            "ix_audit_entry_no_ingestion",
            "organization_id",
            "id",
            sqlite_where=_IS_NO_INGESTION,
            postgresql_where=_IS_NO_INGESTION,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    actor_type: Mapped[str] = mapped_column(String(10))
    """``key``, ``user``, ``server``, or what a plug-in passes."""
    actor_name: Mapped[str] = mapped_column(String(255))
    verb: Mapped[str] = mapped_column(String(50))
    """What was done, such as ``key.revoke``."""
    kind: Mapped[str] = mapped_column(String(20), server_default="")
    """One of `domain.audit_kinds`, or what a plug-in's verb begins with.

    Empty in entries of servers before kinds, until the worker has found it.
    """
    subject: Mapped[str] = mapped_column(String(255))
    """What was changed: a name or a slug."""
    detail: Mapped[str] = mapped_column(Text, default="")
