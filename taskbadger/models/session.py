"""UserSession: a user's sign-in. Identity: a user's account at a sign-on provider."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from taskbadger.extensions import Base
from taskbadger.models.account import User
from taskbadger.models.types import UTCDateTime


class UserSession(Base):
    """A sign-in. The cookie holds 256 random bits, the table only their SHA-256."""

    __tablename__ = "user_session"
    __table_args__ = (Index(None, "expires"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created: Mapped[datetime] = mapped_column(UTCDateTime)
    last_seen: Mapped[datetime] = mapped_column(UTCDateTime)
    """Updated every few minutes."""
    expires: Mapped[datetime] = mapped_column(UTCDateTime)
    """When it expires, even if it is in use."""
    address: Mapped[str] = mapped_column(String(45), default="")
    user_agent: Mapped[str] = mapped_column(String(255), default="")

    user: Mapped[User] = relationship()


class Identity(Base):
    """A user as an OpenID Connect provider knows them."""

    __tablename__ = "identity"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(
        ForeignKey("user_account.id", ondelete="CASCADE"), index=True
    )
    issuer: Mapped[str] = mapped_column(String(255))
    subject: Mapped[str] = mapped_column(String(255))
    created: Mapped[datetime] = mapped_column(UTCDateTime)

    user: Mapped[User] = relationship()
