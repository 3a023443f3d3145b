"""Settings: deleting a project, or the whole organization. Its name has to be typed."""

from flask import flash, make_response, redirect, render_template, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.settings.projects import BASE
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_organization,
    own_project,
)
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.extensions import db
from taskbadger.models import Organization, Project
from taskbadger.schemas.people import ConfirmForm
from taskbadger.services.deletion import closing, counting

_PROJECT = f"{BASE}/projects/<slug>/delete/"
_ORGANIZATION = f"{BASE}/organization/delete/"


@blp.page(_PROJECT, role=roles.DELETE_PROJECTS)
def project_deletion(slug: str) -> str:
    """Show what the deletion of a project deletes."""
    return _project_page(own_project(slug), Form())


def _project_page(project: Project, form: Form) -> str:
    return render_template(
        "dashboard/settings/project_deletion.html",
        project=project,
        counts=counting.count_project(project),
        form=form,
    )


@blp.page(_PROJECT, role=roles.DELETE_PROJECTS, methods=["POST"])
def delete_project(slug: str) -> Response:
    """Delete a project, if its name was typed; a background worker deletes the rows."""
    project = own_project(slug)
    form = read_confirmation(project.name)
    if form.errors:
        return make_response(_project_page(project, form), 400)
    closing.delete_project(current_organization(), project.id, actor=current_actor(), now=utcnow())
    db.session.commit()
    return redirect(url_for("dashboard.settings"), 303)


@blp.page(_ORGANIZATION, role=roles.MANAGE_ORGANIZATION)
def organization_deletion() -> str:
    """Show what the deletion of the organization deletes."""
    return _organization_page(current_organization(), Form())


def _organization_page(organization: Organization, form: Form) -> str:
    return render_template(
        "dashboard/settings/organization_deletion.html",
        counts=counting.count_organization(organization),
        form=form,
    )


@blp.page(_ORGANIZATION, role=roles.MANAGE_ORGANIZATION, methods=["POST"])
def delete_organization() -> Response:
    """Delete the organization, if its name was typed; a background worker deletes the rows."""
    organization = current_organization()
    name = organization.name
    form = read_confirmation(name)
    if form.errors:
        return make_response(_organization_page(organization, form), 400)
    closing.delete_organization(organization, actor=current_actor(), now=utcnow())
    db.session.commit()
    flash(f"{name} has been deleted. What it had is being removed in the background.", "success")
    return redirect(url_for("dashboard.account"), 303)


def read_confirmation(name: str) -> Form:
    """Return the form in which *name* had to be typed; with an error if something else was."""
    form = read_form(ConfirmForm)
    if not form.errors and form.data["confirm"] != name.strip():
        form.errors = {"confirm": [f"Type {name} to delete it."]}
    return form
