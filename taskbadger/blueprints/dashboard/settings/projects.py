"""Settings: projects, and what their public pages show."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_organization,
    own_project,
)
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.schemas.settings_forms import NewProjectForm, ProjectForm
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.organizations.projects import NewProject

BASE = "/a/<organization_slug>/settings"


@blp.page(f"{BASE}/", role=roles.READ)
def settings() -> str:
    """Show the projects."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    found = projects.list_projects(current_member().organization_id)
    return render_template("dashboard/settings/projects.html", projects=found, form=form)


@blp.page(f"{BASE}/", role=roles.MANAGE_PROJECTS, methods=["POST"])
def create_project() -> Response:
    """Create a project."""
    form = read_form(NewProjectForm)
    made = None if form.errors else _create(form)
    if made is None:
        return make_response(_list_page(form), 400)
    slug = made.slug
    db.session.commit()
    flash(f"Project {form.data['name']} created. Next, create a key for it.", "success")
    return redirect(url_for("dashboard.keys_page", project=slug), 303)


def _create(form: Form) -> Project | None:
    """Create the project of *form*; None, with errors in the form, if that fails."""
    name = form.data["name"]
    wanted = NewProject(name, form.data["slug"] or organizations.slug_for(name))
    try:
        return projects.create_project(
            current_organization(), wanted, actor=current_actor(), now=utcnow()
        )
    except ValidationFailed as error:
        form.add(error)
        return None


@blp.page(f"{BASE}/projects/<slug>/", role=roles.MANAGE_PROJECTS)
def project_settings(slug: str) -> str:
    """Show one project's settings."""
    return _project_page(own_project(slug), Form())


def _project_page(project: Project, form: Form, *, days: int | None = None) -> str:
    """Show the form; *days* asks to confirm a shorter retention."""
    return render_template("dashboard/settings/project.html", project=project, form=form, days=days)


@blp.page(f"{BASE}/projects/<slug>/", role=roles.MANAGE_PROJECTS, methods=["POST"])
def change_project(slug: str) -> Response:
    """Change one project's settings."""
    project = own_project(slug)
    form = read_form(ProjectForm)
    if form.errors:
        return make_response(_project_page(project, form), 400)
    days = form.data["retention_days"]
    if _deletes_more(project, days) and "delete" not in request.form:
        return make_response(_project_page(project, form, days=days))
    projects.change_project(project, form.data, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.project_settings", slug=slug), 303)


def _deletes_more(project: Project, days: int | None) -> bool:
    """Say whether a retention of *days* deletes tasks that are kept now."""
    kept = project.retention_days
    return days is not None and (kept is None or days < kept)
