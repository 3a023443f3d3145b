"""Whose figures a scrape may see."""

from conftest import make_project

from taskbadger.clock import utcnow
from taskbadger.domain.identity import SERVER, ProjectRef
from taskbadger.extensions import db
from taskbadger.models import Organization
from taskbadger.services.deletion import closing
from taskbadger.services.metrics.scope import Scope, read_places


def test_scope_is_a_server_an_organization_or_a_project(project: ProjectRef) -> None:
    sibling, stranger = make_project("acme", "api"), make_project("globex", "web")

    assert list(read_places(Scope()).items()) == [
        (sibling.id, ("acme", "api")),
        (project.id, ("acme", "web")),
        (stranger.id, ("globex", "web")),
    ]
    of_organization = Scope(project.organization_id)
    assert list(read_places(of_organization)) == [sibling.id, project.id]
    assert list(read_places(Scope(project.organization_id, project.id))) == [project.id]
    assert [each.is_server for each in (Scope(), of_organization)] == [True, False]


def test_deleted_projects_have_no_figures(project: ProjectRef) -> None:
    sibling = make_project("acme", "api")
    organization = db.session.get_one(Organization, project.organization_id)

    closing.delete_project(organization, sibling.id, actor=SERVER, now=utcnow())

    assert list(read_places(Scope())) == [project.id]
