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
from taskbadger.blueprints.dashboard import demo
from taskbadger.blueprints.dashboard.access import (
    blp,
    current_actor,
    current_member,
    current_organization,
    find_project,
)
from taskbadger.blueprints.dashboard.once import answer_again, is_repeated
from taskbadger.blueprints.dashboard.settings_keys import ALREADY_MADE
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared, share
from taskbadger.blueprints.dashboard.snippets import make_snippets
from taskbadger.blueprints.live import live_anchor
from taskbadger.clock import to_wire, utcnow
from taskbadger.domain import roles
from taskbadger.extensions import db
from taskbadger.services import accounts, audit, task_search, tasks
from taskbadger.services.task_list import Filters

BASE = "/a/<organization_slug>/how-to"
PLACEHOLDER = "YOUR-KEY"


@blp.page(f"{BASE}/", role=roles.READ)
def how_to() -> Response:
    """Show how to send tasks."""
    newest, seen = _find_newest(), live_anchor()
    # What an open page sends as its anchor is when the newest task was made that it knew of.
    arrived = seen is not None and newest is not None and to_wire(newest.created) > seen

    def context() -> dict[str, Any]:
        guide = _guide(newest, request.args.get("project", ""))
        return {**guide, "arrived": arrived, **({} if seen is None else {"anchor": seen})}

    return render_shared("dashboard/how_to.html", f"{arrived}", context)


def _find_newest() -> Any:
    """Return the row of the organization's newest task, or None."""
    projects = organization_projects()
    found = share(
        ("newest", tuple(project.id for project in projects)),
        lambda: task_search.search_tasks(projects, Filters(), None, 1),
    )
    return found.rows[0] if found.rows else None


def _guide(newest: Any, project: str, key: str = PLACEHOLDER) -> dict[str, Any]:
    projects = organization_projects()
    labels = {one.slug: one.label for one in projects}
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
    """Make a key and show it, this once, in the snippets."""
    if is_repeated():
        return answer_again(ALREADY_MADE, url_for("dashboard.how_to"))
    now, organization = utcnow(), current_organization()
    project = find_project(request.form.get("project", ""))
    key, secret = accounts.create_key(organization, project, name="first key", now=now)
    detail = f"{key.prefix}, {key.scopes}, {project.slug}"
    audit.record(current_actor(), organization.id, "key.create", key.name, detail, now=now)
    slug = project.slug
    db.session.commit()
    guide = _guide(_find_newest(), slug, secret)
    return make_response(
        render_template("dashboard/how_to.html", live_etag="new", arrived=False, **guide)
    )


@blp.page(f"{BASE}/demo-task", role=roles.CHANGE_TASKS, methods=["POST"])
def send_demo_task() -> AnyResponse:
    """Let a small task run before the visitor's eyes."""
    actor = current_actor()
    found = find_project(request.form.get("project", ""))
    project = accounts.project_ref(found, current_organization())
    task = tasks.create_task(project, demo.TASK, now=utcnow(), actor=actor)
    task_id = str(task.id)
    number, name = project.organization_id, str(demo.TASK["name"])
    audit.record(actor, number, "task.create", name, task_id, now=utcnow())
    db.session.commit()
    demo.play(cast(Any, current_app)._get_current_object(), project, task_id, actor)
    flash("The server plays your program now: watch the task run for ten seconds.", "info")
    return redirect(url_for("dashboard.task", id=task_id), 303)
