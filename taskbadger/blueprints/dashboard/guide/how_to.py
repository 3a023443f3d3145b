"""How to send tasks: a key, snippets, and a line that turns green when a task arrives.

For an organization without a task the overview is this page.
"""

from typing import Any, cast

from flask import (
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.guide import demo
from taskbadger.blueprints.dashboard.guide.snippets import make_snippets
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings.keys import ALREADY_MADE
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared, share
from taskbadger.blueprints.dashboard.visit import (
    current_actor,
    current_member,
    current_organization,
    own_project,
)
from taskbadger.blueprints.live import live_anchor
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import roles
from taskbadger.extensions import db
from taskbadger.models.task_rows import ListedTask
from taskbadger.services.organizations import keys, projects
from taskbadger.services.tasks import write
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks

BASE = "/a/<organization_slug>/how-to"
PLACEHOLDER = "YOUR-KEY"


@blp.page(f"{BASE}/", role=roles.READ)
def how_to() -> Response:
    """Show how to send tasks."""
    newest, seen = _find_newest(), live_anchor()
    # An open page sends the creation time of the newest task it knows as its anchor.
    arrived = seen is not None and newest is not None and to_wire(newest.created) > seen

    def context() -> dict[str, Any]:
        guide = _guide(newest, request.args.get("project", ""))
        return {**guide, "arrived": arrived, **({} if seen is None else {"anchor": seen})}

    return render_shared("dashboard/guide/how_to.html", f"{arrived}", context)


def _find_newest() -> ListedTask | None:
    """Return the organization's newest task, if it has one."""
    projects = organization_projects()
    found = share(
        ("newest", tuple(project.id for project in projects)),
        lambda: search_tasks(projects, Filters(), None, 1),
    )
    return found.rows[0] if found.rows else None


def _guide(newest: ListedTask | None, project: str, key: str = PLACEHOLDER) -> dict[str, Any]:
    projects = organization_projects()
    labels = {project.slug: project.label for project in projects}
    chosen = project if project in labels else next(iter(labels), "")
    return {
        "snippets": make_snippets(
            host=base_url(), organization=current_member().organization, project=chosen, key=key
        ),
        "projects": projects,
        "project": chosen,
        "label": labels.get(chosen),
        "key": key,
        "is_placeholder": key == PLACEHOLDER,
        "newest": newest,
        "anchor": to_wire(newest.created) if newest else "",
    }


@blp.page(f"{BASE}/", role=roles.MANAGE_KEYS, methods=["POST"])
def make_first_key() -> AnyResponse:
    """Create a key and show it once, in the snippets."""
    if is_repeated():
        return answer_again(ALREADY_MADE, url_for("dashboard.how_to"))
    project = own_project(request.form.get("project", ""))
    _, secret = keys.create_key(
        current_organization(), project, name="first key", actor=current_actor(), now=utcnow()
    )
    slug = project.slug
    db.session.commit()
    guide = _guide(_find_newest(), slug, secret)
    return make_response(
        render_template("dashboard/guide/how_to.html", live_etag="new", arrived=False, **guide)
    )


@blp.page(f"{BASE}/demo-task", role=roles.CHANGE_TASKS, methods=["POST"])
def send_demo_task() -> AnyResponse:
    """Start a demo task that runs for ten seconds."""
    actor = current_actor()
    found = own_project(request.form.get("project", ""))
    project = projects.project_ref(found, current_organization())
    task = write.create_task(project, demo.TASK, now=utcnow(), actor=actor, base_url=base_url())
    task_id = str(task.id)
    db.session.commit()
    demo.play(cast(Any, current_app)._get_current_object(), project, task_id, actor)
    flash("We are simulating a run for ten seconds.", "info")
    return redirect(url_for("dashboard.task", id=task_id), 303)
