"""FormDraft: what was typed into a form that was sent after its session had ended."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import UTCDateTime


class FormDraft(Base):
    """The fields of one form, for the person who typed them."""

    __tablename__ = "form_draft"
    __table_args__ = (Index(None, "person", "id"), Index(None, "created"))

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """The SHA-256 of the token in the address."""
    person: Mapped[str] = mapped_column(String(64))
    """A keyed digest of the user's id: when a draft is kept, nobody is signed in."""
    action: Mapped[str] = mapped_column(Text)
    """The path that the form is sent to."""
    fields: Mapped[str] = mapped_column(Text)
    """JSON: the values of each field, by its name."""
    created: Mapped[datetime] = mapped_column(UTCDateTime)
