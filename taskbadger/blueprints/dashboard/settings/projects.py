"""Settings: projects, and what their public pages show."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.settings import retention as words
from taskbadger.blueprints.dashboard.settings.retention import Deletion
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_organization,
    own_project,
)
from taskbadger.clock import utcnow
from taskbadger.domain import durations, roles
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import Project
from taskbadger.process import current_process
from taskbadger.schemas.settings_forms import NewProjectForm, ProjectForm
from taskbadger.services.deletion import closing
from taskbadger.services.incidents import quiet
from taskbadger.services.organizations import organizations, projects
from taskbadger.services.organizations.projects import NewProject
from taskbadger.services.organizations.retention import retention_of
from taskbadger.services.tasks import sizes

BASE = "/a/<organization_slug>/settings"


@blp.page(f"{BASE}/", role=roles.READ)
def settings() -> str:
    """Show the projects."""
    return _list_page(Form())


def _list_page(form: Form) -> str:
    number = current_member().organization_id
    found = projects.list_projects(number)
    return render_template(
        "dashboard/settings/projects.html",
        projects=found,
        kept={each.id: words.list_words(retention_of(each)) for each in found},
        deletions=closing.list_deletions(origin=number),
        form=form,
    )


@blp.page(f"{BASE}/", role=roles.MANAGE_PROJECTS, methods=["POST"], keeps_draft=True)
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
    slug = form.data["slug"] or organizations.slug_for(name)
    wanted = NewProject(name, slug, current_process().settings.default_retention)
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


def _project_page(project: Project, form: Form, *, deletion: Deletion | None = None) -> str:
    """Show the form; *deletion* asks to confirm a shorter retention."""
    return render_template(
        "dashboard/settings/project.html",
        project=project,
        form=form,
        deletion=deletion,
        retention_fields=words.FIELDS,
        sizes=words.rows(sizes.read_sizes(project), retention_of(project)),
        limit=sizes.LIMIT,
        sample=sizes.SAMPLE,
        quiet_after=durations.write(project.quiet_after),
    )


@blp.page(
    f"{BASE}/projects/<slug>/", role=roles.MANAGE_PROJECTS, methods=["POST"], keeps_draft=True
)
def change_project(slug: str) -> Response:
    """Change one project's settings."""
    project = own_project(slug)
    form = read_form(ProjectForm)
    if form.errors:
        return make_response(_project_page(project, form), 400)
    deletion = _deletion(project, form)
    if deletion is not None and deletion.confirmation != request.form.get("delete"):
        return make_response(_project_page(project, form, deletion=deletion))
    quiet.change_project(project, form.data, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.project_settings", slug=slug), 303)


def _deletion(project: Project, form: Form) -> Deletion | None:
    """Return what the retention in *form* deletes; None if it keeps tasks as long as now."""
    before, wanted = retention_of(project), retention_of(project, form.data)
    if not wanted.shortened(before):
        return None
    return words.deletion(wanted, sizes.count_deleted(wanted, before, now=utcnow()))
