"""Users, organizations, memberships, projects and API keys."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from taskbadger.domain.digests import OFF
from taskbadger.domain.incidents import QUIET_AFTER
from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime

ROLES = ("owner", "admin", "member", "viewer")
"""From the highest to the lowest; each may do all that the lower ones may."""

SCOPES = ("ingest", "read", "ping", "admin")
DEFAULT_SCOPES = "ingest,read"

_WITH_DIGEST = text("next_digest_at IS NOT NULL")
_IS_DELETED = text("deleted_at IS NOT NULL")
_IDS_ARE_USED_ONCE = {"sqlite_autoincrement": True}
"""Links that are signed, and what processes keep in memory, name these rows by their ids."""


class Organization(Base):
    """A team: it owns projects, channels and monitors, and has members.

    While one is deleted, its row keeps together what is left of it, or of one of its projects, and
    nobody finds it: `services/deletion/closing.py`.
    """

    __tablename__ = "organization"
    __table_args__ = (
        Index(None, "deleted_at", sqlite_where=_IS_DELETED, postgresql_where=_IS_DELETED),
        _IDS_ARE_USED_ONCE,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(50), unique=True)
    name: Mapped[str] = mapped_column(String(255))
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When somebody deleted it; None for one in use."""
    deleted_as: Mapped[str | None] = mapped_column(String(101))
    """What was deleted: ``acme``, or ``acme/web`` for a project."""
    deleted_from: Mapped[int | None] = mapped_column()
    """Of a project: the organization that it belonged to."""

    projects: Mapped[list["Project"]] = relationship(back_populates="organization")
    memberships: Mapped[list["Membership"]] = relationship(back_populates="organization")


class User(Base):
    """A person who may sign in to the dashboard."""

    __tablename__ = "user_account"
    __table_args__ = (_IDS_ARE_USED_ONCE,)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    """In lower case."""
    name: Mapped[str] = mapped_column(String(255), default="")
    password_hash: Mapped[str | None] = mapped_column(String(255))
    """An argon2id hash; None for a user who only uses single sign-on."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    disabled: Mapped[datetime | None] = mapped_column(UTCDateTime)
    timezone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    """Where the person is, for the time of digests: an IANA name."""

    memberships: Mapped[list["Membership"]] = relationship(back_populates="user")


class Membership(Base):
    """The role of a user in an organization."""

    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("user_id", "organization_id"),
        Index(None, "next_digest_at", sqlite_where=_WITH_DIGEST, postgresql_where=_WITH_DIGEST),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"))
    organization_id: Mapped[int] = mapped_column(
        ForeignKey("organization.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str] = mapped_column(String(10))
    """One of ROLES."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    digest: Mapped[str] = mapped_column(String(10), default=OFF, server_default=OFF)
    """How often digests are sent: one of `domain.digests.FREQUENCIES`."""
    next_digest_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the next digest is due; None for never."""
    last_digest_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the last digest was written: the next one begins there. None if there was none since
    digests were turned on."""

    user: Mapped[User] = relationship(back_populates="memberships")
    organization: Mapped[Organization] = relationship(back_populates="memberships")


class Project(Base):
    """A group of tasks, with settings and keys of its own."""

    __tablename__ = "project"
    __table_args__ = (UniqueConstraint("organization_id", "slug"), _IDS_ARE_USED_ONCE)

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    slug: Mapped[str] = mapped_column(String(50))
    name: Mapped[str] = mapped_column(String(255))
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    public_pages: Mapped[bool] = mapped_column(default=True)
    """Whether anyone with the link may see a task's public page."""
    public_data: Mapped[bool] = mapped_column(default=False)
    """Whether a public page shows ``data``."""
    public_tags: Mapped[bool] = mapped_column(default=False)
    """Whether a public page shows the tags."""
    retention_days: Mapped[int | None] = mapped_column()
    """Days after which tasks are deleted; None keeps them."""
    retention_days_success: Mapped[int | None] = mapped_column()
    """The same for successes; None for *retention_days*. So are the next two."""
    retention_days_failure: Mapped[int | None] = mapped_column()
    """For tasks that ended in error."""
    retention_days_unfinished: Mapped[int | None] = mapped_column()
    """For tasks that have not ended, from their last change."""
    quiet_after: Mapped[int] = mapped_column(
        default=QUIET_AFTER, server_default=text(str(QUIET_AFTER))
    )
    """Seconds without a failure after which incidents of names close."""

    organization: Mapped[Organization] = relationship(back_populates="projects")


class ApiKey(Base):
    """A key for the API: of one project, or of a whole organization when project_id is None."""

    __tablename__ = "api_key"
    __table_args__ = (Index(None, "organization_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"))
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(255))
    prefix: Mapped[str] = mapped_column(String(20))
    """The part of the secret that may be shown."""
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the secret, in hexadecimal."""
    scopes: Mapped[str] = mapped_column(String(50), default=DEFAULT_SCOPES)
    """Names of SCOPES, separated by commas."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    expires: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_used: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Written at most once a minute."""

    organization: Mapped[Organization] = relationship()
    project: Mapped[Project | None] = relationship()
