"""Which of Celery's beats sends."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base


class BeatLease(Base):
    """The single row that says which beat sends.

    It has no time: those who wait measure how long it has not changed.
    """

    __tablename__ = "beat_lease"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    holder: Mapped[str | None] = mapped_column(String(255))
    """The name of a process; None once it has stopped."""
    changes: Mapped[int] = mapped_column()
    """How often the row was written."""
