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
from taskbadger.domain.audit_kinds import INGESTION, KINDS, MAX_LENGTH
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.schemas.fields import printable
from taskbadger.schemas.people import NameForm
from taskbadger.services.organizations import audit, organizations


@blp.page(f"{BASE}/organization/", role=roles.MANAGE_ORGANIZATION)
def organization() -> str:
    """Show the organization's name."""
    return render_template("dashboard/settings/organization.html", form=Form())


@blp.page(
    f"{BASE}/organization/", role=roles.MANAGE_ORGANIZATION, methods=["POST"], keeps_draft=True
)
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
    """Show who changed what, newest first; changes of tasks by keys are folded."""
    before = request.args.get("before", type=int)
    if before is not None and not 0 < before < 2**63:
        raise NotFound()
    search = printable(request.args.get("q", "").strip())[:200]
    kind = printable(request.args.get("kind", ""))[:MAX_LENGTH]
    number = current_member().organization_id
    if search or kind:
        page = audit.list_entries(number, before=before, search=search, kind=kind)
    else:
        page = audit.list_folded(number, before=before)
    return render_template(
        "dashboard/settings/audit.html",
        rows=page.rows,
        search=search,
        kind=kind,
        kinds=_kinds(kind),
        unfold=lambda fold: _log_href("", INGESTION, fold.newest_id + 1),
        older=_log_href(search, kind, page.before) if page.before is not None else None,
        newest=_log_href(search, kind) if before is not None else None,
    )


def _kinds(chosen: str) -> list[tuple[str, str]]:
    own = [] if chosen in ("", *dict(KINDS)) else [(chosen, chosen)]
    return [("", "all changes"), *KINDS, *own]


def _log_href(search: str, kind: str, before: int | None = None) -> str:
    return url_for("dashboard.audit_log", q=search or None, kind=kind or None, before=before)
