"""What goes on while a file is applied: the plan, and what all kinds of entries share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Select, func, select

from taskbadger.channels import SendContext
from taskbadger.domain.changes import IsSecret, no_secret
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import TaskBadgerError
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, MaintenanceWindow, Monitor, Organization
from taskbadger.services.apply.diff import Change, added, changed
from taskbadger.services.apply.file import Document, Path

ACTOR = Actor("server", "taskbadger-server apply")

Row = TypeVar("Row", GlobalAction, MaintenanceWindow, Monitor)


@dataclass
class Plan:
    """The state of applying a file."""

    document: Document
    organization: Organization
    context: SendContext
    now: datetime
    projects: dict[str, ProjectRef]
    changes: list[Change] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    kept: dict[str, set[int | UUID]] = field(default_factory=dict)
    """The ids of the rows that the file names, by section."""


def find_only(query: "Select[Row]", what: str) -> Row | None:
    """Return the only row of *query*, or None; raises TaskBadgerError if there are several."""
    count = db.session.scalar(select(func.count()).select_from(query.subquery())) or 0
    if count > 1:
        raise TaskBadgerError(f"{count} {what} have this name: rename or remove some.")
    return db.session.scalar(query)


def plan_added(
    plan: Plan,
    path: Path,
    subject: str,
    after: Mapping[str, object],
    is_secret: IsSecret = no_secret,
) -> Change:
    """Return the change that adds *subject*; values from the environment count as secret."""
    return added(subject, after, _is_secret(plan, path, is_secret))


def plan_changed(
    plan: Plan,
    path: Path,
    subject: str,
    before: Mapping[str, object],
    after: Mapping[str, object],
    is_secret: IsSecret = no_secret,
) -> Change | None:
    """Return the change of the fields that differ, if any; like ``plan_added``."""
    return changed(subject, before, after, _is_secret(plan, path, is_secret))


def _is_secret(plan: Plan, path: Path, is_secret_of_kind: IsSecret) -> IsSecret:
    def is_secret(name: str) -> bool:
        from_environment = plan.document.is_secret((*path, *name.split(".")))
        return from_environment or is_secret_of_kind(name)

    return is_secret
