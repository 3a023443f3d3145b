"""Operations on many tasks of the list at once."""

from datetime import timedelta

from flask import flash, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.shared import organization_projects
from taskbadger.blueprints.dashboard.tasks.query import Query, read_newest, read_query
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.extensions import db, reading
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks import auditing
from taskbadger.services.tasks.search.cancelling import cancel_selected
from taskbadger.services.tasks.search.pages import search_tasks
from taskbadger.services.tasks.search.reading import open_matching

MAX_SELECTED = 1000
CANCEL_BATCH = 200
CANCEL_SECONDS = 15
"""A request that cancels all matching tasks stops after this, and says so."""


@blp.page("/a/<organization_slug>/tasks/cancel", role=roles.CHANGE_TASKS, methods=["POST"])
def cancel_tasks() -> AnyResponse:
    """Cancel the selected tasks, or all that match."""
    query = read_query(request.form)
    if request.form.get("all"):
        number, is_done = _cancel_matching(query, read_newest(request.form))
    else:
        number, is_done = _cancel_selected(query, request.form.getlist("task")), True
    words = f"{number:,} task{'' if number == 1 else 's'}"
    if number == 0 and is_done:
        flash("No task was cancelled: none of the selected tasks is still open.", "warning")
    elif is_done:
        flash(f"Cancelled {words}. Tasks that had already ended were not changed.", "success")
    else:
        flash(f"Cancelled {words}. There are more: repeat to continue.", "warning")
    return redirect(query.href(query.text), 303)


def _cancel_selected(query: Query, task_ids: list[str]) -> int:
    cancelled = _cancel_each(organization_projects(), task_ids[:MAX_SELECTED], current_actor())
    _record_cancelled(cancelled, f"{len(task_ids)} selected")
    db.session.commit()
    return len(cancelled)


def _cancel_each(projects: list[ProjectRef], task_ids: list[str], actor: Actor) -> list[str]:
    """Cancel tasks, each in a transaction of its own; return the ids of those that were open.

    A transaction that held the rows of several tasks, with their monitors and quiet periods, could
    deadlock with other updates.
    """
    cancelled = []
    for task_id in task_ids:
        if cancel_selected(projects, [task_id], now=utcnow(), actor=actor, base_url=base_url()):
            cancelled.append(task_id)
        db.session.commit()
    return cancelled


def _cancel_matching(query: Query, start: Cursor | None) -> tuple[int, bool]:
    """Cancel what matches from *start* on, batch by batch, until CANCEL_SECONDS are over."""
    filters = open_matching(query.filters)
    if query.problems or filters is None:
        return 0, True
    deadline = utcnow() + timedelta(seconds=CANCEL_SECONDS)
    actor, projects = current_actor(), query.projects
    cursor, cancelled = start, list[str]()
    while True:
        with reading():
            found = search_tasks(projects, filters, cursor, CANCEL_BATCH)
        cancelled += _cancel_each(projects, [row.id for row in found.rows], actor)
        cursor = found.next
        if cursor is None or utcnow() > deadline:
            break
    _record_cancelled(cancelled, f"all matching “{query.text}”")
    db.session.commit()
    return len(cancelled), cursor is None


def _record_cancelled(task_ids: list[str], selection: str) -> None:
    organization_id = current_member().organization_id
    auditing.record_cancelled(current_actor(), organization_id, task_ids, selection, now=utcnow())
