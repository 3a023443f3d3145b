"""FailureKind and Failure: which kinds of failures a name has, and the tasks that failed."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from taskbadger.extensions import Base
from taskbadger.models.types import BigId, TaskId, UTCDateTime

OPEN = "open"
RESOLVED = "resolved"
"""Mended, as people say; another failure opens it again."""
IGNORED = "ignored"
"""Counted, and never told."""
STATES = (OPEN, RESOLVED, IGNORED)

_IGNORED = text("state = 'ignored'")
_IN_INCIDENT = text("incident_id IS NOT NULL")


class FailureKind(Base):
    """What failures of one name have in common; `domain.fingerprints` tells kinds apart."""

    __tablename__ = "failure_kind"
    __table_args__ = (
        UniqueConstraint("project_id", "name", "fingerprint"),
        # Lists: the kind seen last comes first.
        Index(None, "project_id", "last_seen", "id"),
        Index(None, "project_id", "state", "last_seen", "id"),
        Index("ix_failure_kind_ignored", "id", sqlite_where=_IGNORED, postgresql_where=_IGNORED),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    """The name of the tasks."""
    fingerprint: Mapped[str] = mapped_column(String(64))
    """That of one of `domain.fingerprints.OTHERS` for what is left when a name has too many."""
    title: Mapped[str] = mapped_column(String(200))
    place: Mapped[str] = mapped_column(String(255), default="")
    """The innermost frame of the user's own code, as ``file, function``; empty if unknown."""
    cause: Mapped[str] = mapped_column(String(25))
    """``error``, ``stale`` or ``max_runtime_exceeded``."""
    count: Mapped[int] = mapped_column(BigInteger, default=1)
    first_seen: Mapped[datetime] = mapped_column(UTCDateTime)
    last_seen: Mapped[datetime] = mapped_column(UTCDateTime)
    sample_task: Mapped[str] = mapped_column(TaskId)
    """The task that failed last; retention may have deleted it."""
    state: Mapped[str] = mapped_column(String(10), default=OPEN)
    """One of STATES. ``ignored`` ends at *ignored_until*."""
    ignored_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When an ignored kind is told again; None for never."""
    back_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When it failed again after it had been resolved; None if it has not."""


class Failure(Base):
    """A task that failed: its kind, and what became of it."""

    __tablename__ = "failure"
    __table_args__ = (
        Index(None, "kind_id", "task_id"),
        # The kinds of an incident, and its tasks.
        Index(
            None,
            "incident_id",
            "kind_id",
            sqlite_where=_IN_INCIDENT,
            postgresql_where=_IN_INCIDENT,
        ),
        # The first and the latest of them.
        Index(
            None,
            "incident_id",
            "failed_at",
            sqlite_where=_IN_INCIDENT,
            postgresql_where=_IN_INCIDENT,
        ),
        Index(
            None,
            "incident_id",
            "task_id",
            sqlite_where=_IN_INCIDENT,
            postgresql_where=_IN_INCIDENT,
        ),
    )

    task_id: Mapped[str] = mapped_column(
        TaskId, ForeignKey("task.id", ondelete="CASCADE"), primary_key=True
    )
    kind_id: Mapped[int] = mapped_column(BigId, ForeignKey("failure_kind.id", ondelete="CASCADE"))
    failed_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When it failed last."""
    news: Mapped[str] = mapped_column(String(5), default="")
    """``new`` if it was the first of its kind, ``back`` if its kind had been resolved."""
    error: Mapped[str | None] = mapped_column(String(300))
    """Why it failed last, in one line (`domain.error_lines`); None if it did not say."""
    superseded_by: Mapped[str | None] = mapped_column(TaskId)
    """The next attempt of the same run; set when the history is followed."""
    incident_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("incident.id", ondelete="SET NULL")
    )


class FailureBackfill(Base):
    """Failed tasks from before kinds were counted: how far the worker has got with them.

    A row is deleted when nothing is left of it. Tasks are counted once, because then they have
    failures.
    """

    __tablename__ = "failure_backfill"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("project.id", ondelete="CASCADE"), primary_key=True
    )
    status: Mapped[str] = mapped_column(String(16), primary_key=True)
    """``error`` or ``stale``."""
    before: Mapped[str | None] = mapped_column(TaskId)
    """Tasks with this id and later ones are done; None if none is."""
