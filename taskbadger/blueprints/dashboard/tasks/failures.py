"""Failures: the kinds of failures of an organization, and changes of their state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    organization_projects,
    render_shared,
    share,
    share_longer,
)
from taskbadger.blueprints.dashboard.visit import current_actor, current_member
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import FailureKind
from taskbadger.models.failure import IGNORED, OPEN, RESOLVED, STATES
from taskbadger.services.failures import figures, kinds
from taskbadger.services.failures.kinds import KindChanges, KindFilters
from taskbadger.services.pagination import Cursor, read_big_number, read_cursor

PAGE_SIZE = 50
MAX_CHOSEN = 1000
ALL = "all"
TABS = ((OPEN, "Open"), (RESOLVED, "Resolved"), (IGNORED, "Ignored"), (ALL, "All"))
SPANS = (("1", "for an hour"), ("24", "for a day"), ("168", "for a week"), ("", "forever"))
"""For how many hours a kind can be ignored."""
_DONE = {OPEN: "Opened", RESOLVED: "Resolved", IGNORED: "Ignored"}


@dataclass(frozen=True, slots=True)
class FailureRow:
    """A kind as pages show it."""

    id: int
    project: str
    name: str
    title: str
    place: str
    cause: str
    state: str
    ignored_until: datetime | None
    back_since: datetime | None
    count: int
    first_seen: datetime
    last_seen: datetime
    sample_task: str


@dataclass(frozen=True, slots=True)
class _List:
    rows: list[FailureRow]
    newer: Cursor | None
    older: Cursor | None
    trends: Mapping[int, list[int]]


@blp.page("/a/<organization_slug>/failures/", role=roles.READ)
def failure_list() -> Response:
    """Show the kinds of failures, the one that happened last first."""
    asked = _asked()
    text = request.args.get("cursor")
    cursor = read_cursor(text, parts=2) if text else None
    name = ("failures", current_member().organization_id, request.query_string)
    found = share(name, lambda: _read_list(asked, cursor))
    version = repr((found, utcnow().date()))
    return render_shared("dashboard/tasks/failures.html", version, lambda: _context(asked, found))


def _read_list(asked: Mapping[str, str], cursor: Cursor | None) -> _List:
    projects = chosen_projects(asked["project"])
    state = "" if asked["state"] == ALL else asked["state"]
    filters = KindFilters(state=state, search=asked["q"])
    page = kinds.list_kinds([project.id for project in projects], filters, cursor, PAGE_SIZE)
    name = ("trends", tuple(kind.id for kind in page.rows))
    trends = share_longer(name, lambda: figures.read_trends(page.rows, now=utcnow()))
    return _List([make_failure(kind) for kind in page.rows], page.previous, page.next, trends)


def make_failure(kind: FailureKind) -> FailureRow:
    """Return a kind as pages show it."""
    slugs = {project.id: project.slug for project in organization_projects()}
    state = kinds.state_of(kind, now=utcnow())
    return FailureRow(
        id=kind.id,
        project=slugs[kind.project_id],
        name=kind.name,
        title=kind.title,
        place=kind.place,
        cause=kind.cause,
        state=state,
        ignored_until=kind.ignored_until if state == IGNORED else None,
        back_since=kind.back_since,
        count=kind.count,
        first_seen=kind.first_seen,
        last_seen=kind.last_seen,
        sample_task=kind.sample_task,
    )


def _asked() -> dict[str, str]:
    """Return the filters of the URL."""
    state = request.args.get("state", "")
    return {
        "state": state if state in (*STATES, ALL) else OPEN,
        "q": request.args.get("q", "").strip()[:255],
        "project": request.args.get("project", ""),
    }


def _context(asked: dict[str, str], found: _List) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "trends": found.trends,
        "asked": asked,
        "tabs": [
            (words, _href({**asked, "state": state}), None, state == asked["state"])
            for state, words in TABS
        ],
        "projects": organization_projects(),
        "spans": SPANS,
        "default_state": OPEN,
        "newer": _page_href(asked, found.newer),
        "older": _page_href(asked, found.older),
    }


def _href(asked: Mapping[str, str], **more: str) -> str:
    given: dict[str, Any] = {name: value for name, value in {**asked, **more}.items() if value}
    if given.get("state") == OPEN:
        del given["state"]
    return url_for("dashboard.failure_list", **given)


def _page_href(asked: Mapping[str, str], cursor: Cursor | None) -> str | None:
    return None if cursor is None else _href(asked, cursor=cursor.write())


@blp.page("/a/<organization_slug>/failures/change", role=roles.CHANGE_TASKS, methods=["POST"])
def change_failures() -> AnyResponse:
    """Resolve, ignore or open the chosen kinds."""
    chosen = [read_big_number(text) for text in request.form.getlist("failure")[:MAX_CHOSEN]]
    found = kinds.get_kinds(
        [project.id for project in organization_projects()],
        [number for number in chosen if number is not None],
    )
    if not found:
        flash("No failure was selected.", "warning")
    else:
        flash(*_change(found))
    if request.form.get("from") == "page" and len(found) == 1:
        return redirect(url_for("dashboard.failure", id=found[0].id), 303)
    return redirect(_href({name: request.form.get(name, "") for name in _asked()}), 303)


def _change(found: Sequence[FailureKind]) -> tuple[str, str]:
    """Make the changes of the form; return a message and its category."""
    changes = _read_changes()
    if changes is None:
        return "Choose what to do with the selected failures.", "warning"
    organization_id = current_member().organization_id
    try:
        kinds.change_kinds(organization_id, found, changes, actor=current_actor(), now=utcnow())
    except ValidationFailed as error:
        return error.errors[0].detail, "error"
    db.session.commit()
    number = len(found)
    return f"{_DONE[changes['state']]} {number:,} failure{'' if number == 1 else 's'}.", "success"


def _read_changes() -> KindChanges | None:
    state, hours = request.form.get("to", ""), request.form.get("span", "")
    if state not in STATES or hours not in dict(SPANS):
        return None
    until = utcnow() + timedelta(hours=int(hours)) if hours and state == IGNORED else None
    return cast(KindChanges, {"state": state, "ignored_until": until})
