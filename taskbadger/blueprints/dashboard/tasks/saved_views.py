"""Saved views: searches that a team keeps under a name."""

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.tasks.query import read_query
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.extensions import db
from taskbadger.services.tasks import saved_views


@blp.page(
    "/a/<organization_slug>/tasks/views",
    role=roles.CHANGE_TASKS,
    methods=["POST"],
    keeps_draft=True,
)
def save_view() -> AnyResponse:
    """Keep the search under a name."""
    query = read_query(request.form)
    view = saved_views.save_view(
        current_member().organization_id,
        request.form.get("name", ""),
        query.text,
        query.project,
        actor=current_actor(),
        now=utcnow(),
    )
    name = view.name  # Someone else may delete the view once this is committed.
    db.session.commit()
    flash(f"The view “{name}” has been saved for the team.", "success")
    return redirect(query.href(query.text), 303)


@blp.page(
    "/a/<organization_slug>/tasks/views/<int:view_id>/delete",
    role=roles.CHANGE_TASKS,
    methods=["POST"],
)
def delete_view(view_id: int) -> AnyResponse:
    """Delete a saved view."""
    name = saved_views.delete_view(
        current_member().organization_id, view_id, actor=current_actor(), now=utcnow()
    )
    db.session.commit()
    flash(f"The view “{name}” has been deleted.", "success")
    return redirect(url_for("dashboard.task_list"), 303)
