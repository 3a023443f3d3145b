"""Settings: the organization's name, and its audit log."""

from flask import flash, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.forms import Form, read_form
from taskbadger.blueprints.dashboard.settings.projects import BASE
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_organization,
)
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.schemas.fields import printable
from taskbadger.schemas.people import NameForm
from taskbadger.services.organizations import audit, organizations


@blp.page(f"{BASE}/organization/", role=roles.MANAGE_ORGANIZATION)
def organization() -> str:
    """Show the organization's name."""
    return render_template("dashboard/settings/organization.html", form=Form())


@blp.page(f"{BASE}/organization/", role=roles.MANAGE_ORGANIZATION, methods=["POST"])
def rename_organization() -> Response:
    """Rename the organization."""
    form = read_form(NameForm)
    if form.errors:
        return make_response(
            render_template("dashboard/settings/organization.html", form=form), 400
        )
    organizations.rename_organization(
        current_organization(), form.data["name"], actor=current_actor(), now=utcnow()
    )
    db.session.commit()
    flash("Saved.", "success")
    return redirect(url_for("dashboard.organization"), 303)


@blp.page(f"{BASE}/audit/", role=roles.READ_AUDIT_LOG)
def audit_log() -> str:
    """Show who changed what, newest first."""
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before < 2**63:
        raise NotFound()
    search = printable(request.args.get("q", "").strip())[:200]
    number = current_member().organization_id
    entries = audit.list_entries(number, before=before, search=search)
    page, more = entries[: audit.PAGE_SIZE], len(entries) > audit.PAGE_SIZE
    return render_template(
        "dashboard/settings/audit.html",
        entries=page,
        search=search,
        older=_log_href(search, page[-1].id) if more else None,
        newest=_log_href(search) if before is not None else None,
    )


def _log_href(search: str, before: int | None = None) -> str:
    return url_for("dashboard.audit_log", q=search or None, before=before)
