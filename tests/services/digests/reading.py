"""What tests of digests share: an organization in which things happen, and what a digest says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from taskbadger.domain.digests import Period, Section
from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db
from taskbadger.models import FailureKind, Incident
from taskbadger.services.digests.sections import Scope
from taskbadger.services.organizations import projects

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
"""A Monday."""
BASE_URL = "https://tasks.example.com/badger"
HOME = f"{BASE_URL}/a/acme"


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def scope_of(
    project: ProjectRef, *, days: float = 1, zone: str = "UTC", base_url: str = BASE_URL
) -> Scope:
    """Return the scope of a digest about the last *days* before NOW."""
    found = projects.list_project_refs(project.organization_id, project.organization)
    return Scope(
        organization_id=project.organization_id,
        organization=project.organization,
        projects={each.id: each for each in found},
        period=Period(ago(days=days), NOW),
        zone=ZoneInfo(zone),
        base_url=base_url,
    )


def lines(section: Section) -> list[tuple[str, str]]:
    """Return what the entries of a section say."""
    return [(entry.title, entry.detail) for entry in section.entries]


def add_incident(
    project: ProjectRef,
    opened: datetime,
    closed: datetime | None = None,
    *,
    name: str | None = "job",
    **fields: Any,
) -> Incident:
    """Add an incident of a name, or of a monitor."""
    made = Incident(
        organization_id=project.organization_id,
        project_id=project.id,
        name=name,
        opened_at=opened,
        closed_at=closed,
        notified=True,
        **fields,
    )
    db.session.add(made)
    db.session.commit()
    return made


def add_kind(project: ProjectRef, first: datetime, last: datetime, **fields: Any) -> FailureKind:
    """Add a kind of failures."""
    values = {
        "name": "job",
        "fingerprint": f"{first:%m%d%H%M%S}",
        "title": "ValueError: boom",
        "cause": "error",
        "sample_task": "AZ3cE1Jmf2uZ0Jf7rYvM3w",
        **fields,
    }
    made = FailureKind(project_id=project.id, first_seen=first, last_seen=last, **values)
    db.session.add(made)
    db.session.commit()
    return made
