"""Whose figures a scrape may see: those of a project, of an organization, or of the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from sqlalchemy import Table, select

from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.models.types import Column, Condition

PROJECTS = cast(Table, Project.__table__)
_ORGANIZATIONS = cast(Table, Organization.__table__)


@dataclass(frozen=True, slots=True)
class Scope:
    """The whole server, unless it names an organization, or one of its projects."""

    organization_id: int | None = None
    project_id: int | None = None

    @property
    def is_server(self) -> bool:
        """Whether nothing is left out."""
        return self.organization_id is None

    def in_projects(self, project_id: Column) -> Sequence[Condition]:
        """Return the conditions that rows are of its projects."""
        if self.project_id is not None:
            return (project_id == self.project_id,)
        if self.organization_id is None:
            return ()
        owned = select(PROJECTS.c.id).where(PROJECTS.c.organization_id == self.organization_id)
        return (project_id.in_(owned),)


class Place(NamedTuple):
    """Where something belongs, by the slugs: the first labels of most series."""

    organization: str
    project: str


def read_places(scope: Scope) -> dict[int, Place]:
    """Return the projects of a scope by their ids, sorted by their slugs."""
    query = (
        select(PROJECTS.c.id, _ORGANIZATIONS.c.slug, PROJECTS.c.slug)
        .join_from(PROJECTS, _ORGANIZATIONS, _ORGANIZATIONS.c.id == PROJECTS.c.organization_id)
        .where(_ORGANIZATIONS.c.deleted_at.is_(None), *scope.in_projects(PROJECTS.c.id))
        .order_by(_ORGANIZATIONS.c.slug, PROJECTS.c.slug)
    )
    return {project_id: Place(*slugs) for project_id, *slugs in db.session.execute(query)}
