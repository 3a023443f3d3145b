"""The endpoints of an organization's projects."""

from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.identity import Access
from taskbadger.errors import PermissionDenied
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.models import Project as ProjectRow
from taskbadger.process import current_process
from taskbadger.schemas.accounts import (
    PaginatedProjectList,
    PatchedProjectRequest,
    Project,
    ProjectRequest,
    show_project,
)
from taskbadger.services.incidents import quiet
from taskbadger.services.organizations import projects
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.pagination import Cursor, Page


def locate(view_args: dict[str, Any]) -> None:
    """Raise NotFound unless the project of the URL exists."""
    if "slug" in view_args:
        opened_project(view_args["slug"])


blp = ApiBlueprint(
    "projects",
    __name__,
    url_prefix="/api/<organization_slug>/-/projects",
    locate=locate,
    write_scope=scopes.ADMIN,
)


def opened_project(slug: str) -> ProjectRow:
    """Return a project that the key of this request opens; raises NotFound."""
    access = current_access()
    return projects.find_project(access.organization_id, slug, project_id=_only_project(access))


def _only_project(access: Access) -> int | None:
    """Return the only project that *access* opens; None for all of the organization."""
    return None if access.project is None else access.project.id


def _page(cursor: Cursor | None, size: int) -> Page[ProjectRow]:
    access = current_access()
    return projects.page_of_projects(
        access.organization_id, cursor, size, project_id=_only_project(access)
    )


@blp.route("/")
class ProjectList(MethodView):
    """The projects of an organization."""

    @blp.response(200, PaginatedProjectList)
    @blp.doc(operationId="project_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Projects

        List the projects that the key gives access to, oldest first
        """
        return answer_page(_page, _show)

    @blp.arguments(ProjectRequest)
    @blp.response(201, Project)
    @blp.doc(operationId="project_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Project

        Create a project; requires an organization key
        """
        access, now = current_access(), utcnow()
        if access.project is not None:
            raise PermissionDenied()
        organization = db.session.get_one(Organization, access.organization_id)
        wanted = NewProject(data["name"], data["slug"], _default_retention(data))
        project = projects.create_project(organization, wanted, actor=current_actor(), now=now)
        quiet.change_project(project, data, actor=current_actor(), now=now)
        return _done(project, 201)


@blp.route("/<slug>/")
class ProjectDetail(MethodView):
    """One project."""

    @blp.response(200, Project)
    @blp.doc(operationId="project_get")
    def get(self, slug: str) -> Response:
        """Get Project

        Fetch a project by its slug
        """
        return answer(_show(opened_project(slug)))

    @blp.arguments(PatchedProjectRequest)
    @blp.response(200, Project)
    @blp.doc(operationId="project_partial_update")
    def patch(self, data: dict[str, Any], slug: str) -> Response:
        """Update Project (partial)

        Change the name, public pages, retention or end of incidents of a project
        """
        project = opened_project(slug)
        quiet.change_project(project, data, actor=current_actor(), now=utcnow())
        return _done(project, 200)


def _default_retention(data: dict[str, Any]) -> int | None:
    """Return how long a new project keeps tasks that does not say so; None for ever."""
    return None if "retention_days" in data else current_process().settings.default_retention


def _show(project: ProjectRow) -> dict[str, Any]:
    return show_project(project, organization=current_access().organization)


def _done(project: ProjectRow, status: int) -> Response:
    shown = _show(project)
    db.session.commit()
    return answer(shown, status)


def register(app: Flask, api: Api) -> None:
    """Add the project endpoints."""
    api.register_blueprint(blp)
