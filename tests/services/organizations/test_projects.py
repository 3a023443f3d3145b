"""Creating, finding and changing projects."""

import pytest
from conftest import FIXTURES, audit_entries, make_project
from flask import Flask
from sqlalchemy import select

from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.organizations.projects import NewProject

PLUGIN = Actor("plugin", "importer")
NOW = utcnow()


@pytest.fixture
def organization(app: Flask) -> Organization:
    return organizations.ensure_organization("acme", actor=FIXTURES, now=NOW)


def entries() -> list[tuple[str, str, str, str]]:
    found = db.session.scalars(audit_entries())
    return [(one.actor_name, one.verb, one.subject, one.detail) for one in found]


def test_plain_calls_leave_an_entry_for_each_change(organization: Organization) -> None:
    project = projects.create_project(
        organization, NewProject("Shop", "shop"), actor=PLUGIN, now=NOW
    )
    changes = {"name": "The Shop", "retention_days": 30, "slug": "other", "public_pages": True}
    projects.change_project(project, changes, actor=PLUGIN, now=NOW)
    projects.change_project(project, changes, actor=PLUGIN, now=NOW)
    db.session.flush()

    assert (project.slug, project.name, project.retention_days) == ("shop", "The Shop", 30)
    assert entries() == [
        ("importer", "project.create", "shop", "Shop"),
        (
            "importer",
            "project.change",
            "shop",
            "name: Shop → The Shop; retention_days: none → 30",
        ),
    ]


@pytest.mark.parametrize("slug", ["web", "Not A Slug"])
def test_slug_that_is_taken_or_malformed_creates_nothing(
    organization: Organization, slug: str
) -> None:
    projects.ensure_project(organization, "web", actor=FIXTURES, now=NOW)

    with pytest.raises(ValidationFailed) as caught:
        projects.create_project(organization, NewProject("New", slug), actor=PLUGIN, now=NOW)

    assert [error.attr for error in caught.value.errors] == ["slug"]
    assert db.session.scalars(select(Project.slug)).all() == ["web"]
    assert entries() == []


def test_missing_project_is_created_once_with_an_entry(organization: Organization) -> None:
    made = projects.ensure_project(organization, "web", actor=PLUGIN, now=NOW, name="Web")
    found = projects.ensure_project(organization, "web", actor=PLUGIN, now=NOW, name="Other")

    assert found is made
    assert made.name == "Web"
    assert entries() == [("importer", "project.create", "web", "Web")]


def test_project_is_found_in_its_own_organization_only(organization: Organization) -> None:
    web = projects.ensure_project(organization, "web", actor=FIXTURES, now=NOW)
    other = make_project("other", "secret")
    number = organization.id

    assert projects.find_project(number, "web") is web
    assert projects.find_project(number, "web", project_id=web.id) is web
    assert projects.find_project_ref(number, "acme", "web") == ProjectRef(
        web.id, "web", number, "acme"
    )
    for slug in ("secret", "nope", "a\x00b", ""):
        with pytest.raises(NotFound):
            projects.find_project(number, slug)
        with pytest.raises(NotFound):
            projects.find_project_ref(number, "acme", slug)
    with pytest.raises(NotFound):
        projects.find_project(number, "web", project_id=other.id)


def test_lists_are_by_name_and_pages_by_age(organization: Organization) -> None:
    for slug, name in (("c", "Beta"), ("a", "Gamma"), ("b", "Alpha")):
        projects.ensure_project(organization, slug, actor=FIXTURES, now=NOW, name=name)
    make_project("other", "secret")
    number = organization.id
    second = projects.find_project(number, "a")

    first_page = projects.page_of_projects(number, None, 2)
    rest = projects.page_of_projects(number, first_page.next, 2)
    only = projects.page_of_projects(number, None, 2, project_id=second.id)

    assert [one.name for one in projects.list_projects(number)] == ["Alpha", "Beta", "Gamma"]
    assert [one.slug for one in first_page.rows] == ["c", "a"]
    assert [one.slug for one in rest.rows] == ["b"]
    assert [one.slug for one in only.rows] == ["a"]


def test_reference_has_what_services_need(organization: Organization) -> None:
    project = projects.ensure_project(organization, "web", actor=FIXTURES, now=NOW, name="Web shop")

    ref = projects.project_ref(project, organization)

    assert ref == ProjectRef(project.id, "web", organization.id, "acme")
    assert ref.label == "Web shop (web)"
