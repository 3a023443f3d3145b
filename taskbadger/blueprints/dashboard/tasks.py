"""The list of tasks: search, tabs, saved views and cancelling."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from flask import Response, current_app, flash, redirect, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard.access import (
    blp,
    current_actor,
    current_member,
    may,
)
from taskbadger.blueprints.dashboard.rows import TaskRow, make_row
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    last_change,
    organization_projects,
    render_shared,
    share,
    shared_row,
)
from taskbadger.blueprints.live import Region, is_live_request, live_anchor
from taskbadger.clock import utcnow
from taskbadger.domain import roles, search
from taskbadger.domain.status import RUNNING
from taskbadger.errors import NotFound
from taskbadger.extensions import db, reading
from taskbadger.services import audit, saved_views, task_search
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.pagination import Cursor, InvalidCursor, read_cursor
from taskbadger.services.task_list import Filters

PAGE_SIZE = 50
NEWCOMERS = 100
"""Newcomers are counted up to this: a number that goes on growing would be a new page each time."""
CANCEL_BATCH = 200
NOTED_TASKS = 100
"""How many tasks that were cancelled together the audit log names."""
CANCEL_SECONDS = 15
"""A request that cancels all matching tasks stops after so long, and says so."""
NEWEST = NEWCOMERS + PAGE_SIZE + 1
_WORDS_KEPT = 100

TABS = (
    ("All", "", ()),
    ("Running", "running", search.GROUPS["running"]),
    ("Pending", "pending", ("pending",)),
    ("Failed", "error", ("error",)),
    ("Stale", "stale", ("stale",)),
    ("Success", "success", ("success",)),
    ("Cancelled", "cancelled", ("cancelled",)),
)
"""The tabs: the label, the word for the search, and the states."""


@dataclass(frozen=True)
class Query:
    """What the list is narrowed to, by its URL."""

    text: str
    project: str
    projects: list[ProjectRef]
    filters: Filters
    problems: tuple[search.Problem, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """The parts of the URL that are set."""
        found = {"q": self.text, "project": self.project}
        return {name: value for name, value in found.items() if value}

    def href(self, text: str) -> str:
        """Return the address of the list with another search."""
        return list_url({**self.arguments, "q": text})

    def tag_href(self, name: str, value: str) -> str:
        """Return the address of the list narrowed to a tag."""
        return self.href(search.with_term(self.text, "tag", name, value))


def list_url(arguments: dict[str, Any]) -> str:
    """Return the address of the list with those of the arguments that are set."""
    given = {name: value for name, value in arguments.items() if value}
    return url_for("dashboard.task_list", **given)


def read_query(values: Any) -> Query:
    """Read the search and the project from arguments or a form; raises NotFound."""
    text, project = values.get("q", "").strip(), values.get("project", "")
    projects = chosen_projects(project)
    if project and not projects:
        raise NotFound()
    filters, found = task_search.read_search(text, now=utcnow())
    return Query(text, project, projects, filters, found.problems)


@blp.page("/a/<organization_slug>/tasks/", role=roles.READ)
def task_list() -> AnyResponse:
    """Show the tasks that match."""
    query = read_query(request.args)
    try:
        return _show(query)
    except InvalidCursor:
        if is_live_request():
            raise
    flash("There is no such page of the list. Here are the newest.", "warning")
    return redirect(query.href(query.text))


def _show(query: Query) -> Response:
    # A relative time moves on by itself.
    minute = utcnow().replace(second=0, microsecond=0) if query.filters.moments else ""
    views = [(view.id, view.name, view.search, view.project) for view in _views()]
    shown = _Shown(query, minute, _cursor(request.args.get("cursor")))
    return render_shared(
        "dashboard/tasks.html",
        f"{last_change(query.projects)}|{minute}|{views}",
        lambda: _context(shown, views),
        shown.regions(),
    )


class _Shown:
    """Which part of a list a page shows: an open one keeps its first row, and counts newcomers."""

    def __init__(self, query: Query, minute: Any, cursor: Cursor | None) -> None:
        self.query = query
        self.is_first = cursor is None
        self.anchor = _cursor(live_anchor()) if self.is_first else None
        self.cursor = task_search.at_and_below(self.anchor) if self.anchor else cursor
        self._name = (tuple(one.id for one in query.projects), query.text, minute)
        projects = [] if query.problems else query.projects
        self.search = share(
            ("search", self._name),
            lambda: task_search.PreparedSearch(projects, query.filters),
            place="counts",
        )

    @cached_property
    def found(self) -> task_search.Found:
        """The rows."""
        return self.search.find(self.cursor, PAGE_SIZE)

    @cached_property
    def counts(self) -> task_search.Counts:
        """The numbers beside the tabs."""
        return _count(self.query)

    @cached_property
    def newcomers(self) -> int:
        """How many match above the first row that is shown, up to NEWCOMERS."""
        if self.anchor is None:
            return 0
        if not self.search.is_walk:
            return self.search.count_newer(self.anchor, NEWCOMERS)
        return min(self._above, NEWCOMERS)

    @cached_property
    def _newest(self) -> Sequence[Any]:
        """The newest rows, which tell most open pages whether anything has changed for them."""
        name = ("newest", self._name)
        return share(name, lambda: self.search.versions(None, NEWEST))

    @cached_property
    def _above(self) -> int:
        return task_search.count_above(self._newest, self.anchor) if self.anchor else 0

    @cached_property
    def versions(self) -> tuple[list[tuple[str, str, int]], bool, Any]:
        """Ids, states and versions of the rows, and what is known of those below."""
        if is_live_request() and self.search.is_walk:
            rows, end = self._versions(), None
            more = len(rows) > PAGE_SIZE
        else:
            rows, end = self.found.rows, self.found.looked_back_to
            more = self.found.next is not None
        return [(row.id, row.status, row.version) for row in rows[:PAGE_SIZE]], more, end

    def _versions(self) -> Sequence[Any]:
        if self.is_first:
            rows = self._newest[self._above : self._above + PAGE_SIZE + 1]
            if len(rows) > PAGE_SIZE or len(self._newest) < NEWEST:
                return rows
        return self.search.versions(self.cursor, PAGE_SIZE + 1)

    @property
    def _first(self) -> Any:
        return self.versions[0][:1] if self.is_first and self.anchor is None else ()

    @property
    def is_moving(self) -> bool:
        """Whether a task that is shown is running, so that it will change."""
        return any(status in RUNNING for _, status, _ in self.versions[0])

    def regions(self) -> dict[str, Region]:
        """Return the parts of the page that change by themselves."""
        return {
            "tabs": Region(lambda: self.counts, lambda: {"tabs": _tabs(self.query, self.counts)}),
            "newcomers": Region(
                lambda: (self.newcomers, self.counts, self._first), lambda: _newcomers(self)
            ),
            "tasks": Region(
                lambda: (self.versions, len(self.query.projects) > 1), lambda: _rows(self)
            ),
        }


def _views() -> list[Any]:
    organization_id = current_member().organization_id
    return share(("views", organization_id), lambda: saved_views.list_views(organization_id))


def _context(shown: _Shown, views: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    news = {
        "query": shown.query,
        "moving": shown.is_moving,
        "marks": _marks(shown.query),
    }
    return news if is_live_request() else {**news, **_surroundings(views)}


def _surroundings(views: list[tuple[int, str, str, str]]) -> dict[str, Any]:
    """Return what stands around the regions, for the page as a whole."""
    return {
        "projects": organization_projects(),
        "views": [_view_link(*view) for view in views],
    }


def _newcomers(shown: _Shown) -> dict[str, Any]:
    counts = shown.counts
    chosen = shown.query.filters.status or tuple(counts.by_status)
    return {
        "newcomers": shown.newcomers,
        "most_newcomers": NEWCOMERS,
        "newest": _newest_shown(shown),
        "matching": max(counts.of(chosen) - shown.newcomers, 0),
        "is_at_least": counts.is_at_least(chosen),
    }


def _newest_shown(shown: _Shown) -> str:
    """Return up to which task all that match are selected: what came later nobody has seen."""
    if shown.anchor is not None:
        return shown.anchor.write()
    if not shown.is_first:
        return task_search.newest_at(utcnow()).write()
    rows = shown.found.rows
    return task_search.key_of(rows[0]).write() if rows else ""


def _rows(shown: _Shown) -> dict[str, Any]:
    found, query, is_first = shown.found, shown.query, shown.is_first
    slugs = {project.id: project.slug for project in organization_projects()}
    rows = [make_row(row, slugs) for row in found.rows]
    return {
        "rows": rows,
        "row_html": _row_renderer(query),
        "anchor": task_search.key_of(found.rows[0]).write() if rows and is_first else "",
        "newer": None if is_first else _page_href(query, found.previous),
        "older": _page_href(query, found.next),
        "is_first": is_first,
        "looked_back_to": found.looked_back_to,
        "many_projects": len(query.projects) > 1,
    }


def _count(query: Query) -> task_search.Counts:
    if query.problems:
        return task_search.Counts({}, capped=False)
    filters = query.filters
    # The states that are asked for make no difference; a time that moves on would never be found.
    moves_on = filters.moments or filters.without
    asked = query.text if moves_on else repr(replace(filters, status=()))
    name = ("counts", tuple(one.id for one in query.projects), asked)
    return share(
        name,
        lambda: task_search.count_by_status(query.projects, query.filters),
        place="counts",
    )


def _cursor(text: str | None) -> Cursor | None:
    return read_cursor(text, parts=2) if text else None


def _page_href(query: Query, cursor: Cursor | None) -> str | None:
    if cursor is None:
        return None
    return url_for("dashboard.task_list", **query.arguments, cursor=cursor.write())


def _tabs(query: Query, counts: task_search.Counts) -> list[tuple[str, str, str, bool]]:
    chosen = set(query.filters.status)
    tabs = []
    for label, word, statuses in TABS:
        states = statuses or tuple(counts.by_status)
        number = counts.of(states)
        text = _count_text(number, at_least=counts.is_at_least(states))
        href = query.href(search.with_status(query.text, word))
        tabs.append((label, href, text, chosen == set(statuses)))
    return tabs


def _count_text(number: int, *, at_least: bool) -> str:
    if not at_least:
        return f"{number:,}"
    return f"{number // 1000}k+" if number >= 1000 else f"{number}+"


def _view_link(view_id: int, name: str, text: str, project: str) -> dict[str, Any]:
    href = list_url({"q": text, "project": project})
    return {"id": view_id, "name": name, "href": href, "q": text, "project": project}


def _marks(query: Query) -> list[dict[str, Any]]:
    """Return what is wrong with the search, with the place of each problem."""
    return [
        {
            "before": query.text[max(one.start - 20, 0) : one.start],
            "wrong": query.text[one.start : one.end][:_WORDS_KEPT],
            "position": one.start + 1,
            "message": one.message,
        }
        for one in query.problems
    ]


def _row_renderer(query: Query) -> Any:
    """Return what renders a row, once for all open pages that show it in the same way."""
    macro = current_app.jinja_env.get_template("dashboard/_task_row.html").module.row  # type: ignore[attr-defined]
    pick, with_project = may(roles.CHANGE_TASKS), len(query.projects) > 1
    base = url_for("dashboard.task_list")

    def render(row: TaskRow) -> Markup:
        def make() -> Markup:
            return Markup(macro(row, base, query, pick, with_project))  # noqa: S704 - escaped by the template

        key = (row.id, row.version, row.status, base, query.text, query.project, pick, with_project)
        return Markup(shared_row(key, make))  # noqa: S704 - escaped by the template

    return render


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
        flash("No task was cancelled: none was selected that is still open.", "warning")
    elif is_done:
        flash(f"Cancelled {words}; those that had ended stay as they are.", "success")
    else:
        flash(f"Cancelled {words}, and there are more: do it again to go on.", "warning")
    return redirect(url_for("dashboard.task_list", **query.arguments), 303)


def _cancel_selected(query: Query, task_ids: list[str]) -> int:
    cancelled = _cancel_each(organization_projects(), task_ids[:1000], current_actor())
    _note(cancelled, f"{len(task_ids)} selected")
    db.session.commit()
    return len(cancelled)


def _cancel_each(projects: list[ProjectRef], task_ids: list[str], actor: Actor) -> list[str]:
    """Cancel tasks, each in a transaction of its own; return the ids of those that were open.

    One that held the rows of several, with their monitors and quiet periods, would wait in a
    circle with the updates of others.
    """
    cancelled = []
    for task_id in task_ids:
        if task_search.cancel_selected(projects, [task_id], now=utcnow(), actor=actor):
            cancelled.append(task_id)
        db.session.commit()
    return cancelled


def read_newest(form: Any) -> Cursor | None:
    """Return where what is selected begins: at the newest task that its page had."""
    newest = _cursor(form.get("newest"))
    return None if newest is None else task_search.at_and_below(newest)


def _cancel_matching(query: Query, start: Cursor | None) -> tuple[int, bool]:
    """Cancel what matches from *start* on, batch by batch, until the time is over."""
    filters = task_search.open_matching(query.filters)
    if query.problems or filters is None:
        return 0, True
    deadline = utcnow() + timedelta(seconds=CANCEL_SECONDS)
    actor, projects = current_actor(), query.projects
    cursor, cancelled = start, list[str]()
    while True:
        with reading():
            found = task_search.search_tasks(projects, filters, cursor, CANCEL_BATCH)
        cancelled += _cancel_each(projects, [row.id for row in found.rows], actor)
        cursor = found.next
        if cursor is None or utcnow() > deadline:
            break
    _note(cancelled, f"all matching “{query.text}”")
    db.session.commit()
    return len(cancelled), cursor is None


def _note(cancelled: list[str], how: str) -> None:
    """Note which tasks were cancelled; of many the first, as each task's history has the rest."""
    if not cancelled:
        return
    number, more = len(cancelled), len(cancelled) - NOTED_TASKS
    audit.record(
        current_actor(),
        current_member().organization_id,
        "task.cancel",
        f"{number} task{'' if number == 1 else 's'}",
        f"{how}: {', '.join(cancelled[:NOTED_TASKS])}{f' and {more} more' if more > 0 else ''}",
        now=utcnow(),
    )


@blp.page("/a/<organization_slug>/tasks/views", role=roles.CHANGE_TASKS, methods=["POST"])
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
    db.session.commit()
    flash(f"The view “{view.name}” is saved for the team.", "success")
    return redirect(url_for("dashboard.task_list", **query.arguments), 303)


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
    flash(f"The view “{name}” is deleted.", "success")
    return redirect(url_for("dashboard.task_list"), 303)
