"""The parts of the task list's page that change: its rows, its tabs and its newcomers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from flask import current_app, url_for
from markupsafe import Markup

from taskbadger.blueprints.dashboard.shared import (
    organization_projects,
    share,
    share_longer,
    share_search,
    shared_row,
)
from taskbadger.blueprints.dashboard.tasks.query import Query, list_url, read_position
from taskbadger.blueprints.dashboard.tasks.rows import TaskRow, make_task_rows
from taskbadger.blueprints.dashboard.visit import may
from taskbadger.blueprints.live import Region, is_live_request, live_anchor
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.search import GROUPS
from taskbadger.domain.search_text import with_status
from taskbadger.domain.status import PENDING, RUNNING
from taskbadger.models.task_rows import ListedTask
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks.search.counts import Counts, count_by_status
from taskbadger.services.tasks.search.pages import (
    Found,
    PreparedSearch,
    RowVersion,
)
from taskbadger.services.tasks.search.positions import (
    OLDEST,
    at_and_below,
    count_above,
    cursor_at,
    newest_at,
)

PAGE_SIZE = 50
NEWCOMERS = 100
"""Newcomers are counted up to this; an unlimited number would change the page all the time."""
NEWEST = NEWCOMERS + PAGE_SIZE + 1

TABS = (
    ("All", "", ()),
    ("Running", "running", GROUPS["running"]),
    ("Pending", "pending", ("pending",)),
    ("Failed", "error", ("error",)),
    ("Stale", "stale", ("stale",)),
    ("Success", "success", ("success",)),
    ("Cancelled", "cancelled", ("cancelled",)),
)
"""The tabs: the label, the word for the search, and the statuses."""


class ListPage:
    """The part of the list that a page shows.

    An open page keeps its first row, the *anchor*, and counts newcomers above it.
    """

    def __init__(self, query: Query, minute: datetime | None, cursor: Cursor | None) -> None:
        self.query = query
        self.is_first = cursor is None
        self.anchor = read_position(live_anchor()) if self.is_first else None
        self.cursor = at_and_below(self.anchor) if self.anchor else cursor
        self._name = (
            tuple(project.id for project in query.projects),
            query.text,
            query.zone if minute else "",
            minute,
        )
        projects = [] if query.problems else query.projects
        self.search = share_search(
            ("search", self._name),
            lambda: PreparedSearch(projects, query.filters),
        )

    @cached_property
    def found(self) -> Found[ListedTask]:
        """The rows."""
        return self.search.find(self.cursor, PAGE_SIZE)

    @cached_property
    def counts(self) -> Counts:
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
    def oldest(self) -> ListedTask | None:
        """On a page of pending tasks, the one that has waited longest; None on any other."""
        if self.query.filters.status != (PENDING,) or not self.search.is_walk:
            return None
        return next(iter(self.search.find(OLDEST, 1).rows), None)

    @cached_property
    def _newest(self) -> Sequence[RowVersion]:
        """The newest rows, which tell most open pages whether anything has changed for them."""
        name = ("newest", self._name)
        return share(name, lambda: self.search.versions(None, NEWEST))

    @cached_property
    def _above(self) -> int:
        return count_above(self._newest, self.anchor) if self.anchor else 0

    @cached_property
    def versions(self) -> tuple[list[tuple[str, str, int]], bool, datetime | None]:
        """Ids, statuses and versions of the rows, whether there are more, and how far it looked."""
        if is_live_request() and self.search.is_walk:
            known = self._read_versions()
            return _versions_of(known[:PAGE_SIZE]), len(known) > PAGE_SIZE, None
        found = self.found
        return _versions_of(found.rows), found.next is not None, found.looked_back_to

    def _read_versions(self) -> Sequence[RowVersion]:
        if self.is_first:
            rows = self._newest[self._above : self._above + PAGE_SIZE + 1]
            if len(rows) > PAGE_SIZE or len(self._newest) < NEWEST:
                return rows
        return self.search.versions(self.cursor, PAGE_SIZE + 1)

    @property
    def _first(self) -> Sequence[object]:
        return self.versions[0][:1] if self.is_first and self.anchor is None else ()

    @property
    def is_moving(self) -> bool:
        """Whether a task on the page is running, so that it will change."""
        return any(status in RUNNING for _, status, _ in self.versions[0])

    def regions(self) -> dict[str, Region]:
        """Return the parts of the page that change by themselves."""
        return {
            "tabs": Region(
                lambda: {"tabs": _tabs(self.query, self.counts)}, version=lambda: self.counts
            ),
            "oldest": Region(lambda: {"oldest": self.oldest}),
            "newcomers": Region(
                lambda: _newcomers(self),
                version=lambda: (self.newcomers, self.counts, self._first),
            ),
            "tasks": Region(
                lambda: _rows(self),
                version=lambda: (self.versions, len(self.query.projects) > 1),
            ),
        }


def _versions_of(
    rows: Sequence[RowVersion] | Sequence[ListedTask],
) -> list[tuple[str, str, int]]:
    return [(row.id, row.status, row.version) for row in rows]


def _newcomers(page: ListPage) -> dict[str, Any]:
    counts = page.counts
    chosen = page.query.filters.status or tuple(counts.by_status)
    return {
        "newcomers": page.newcomers,
        "max_newcomers": NEWCOMERS,
        "newest": _newest_shown(page),
        "matching": max(counts.of(chosen) - page.newcomers, 0),
        "is_at_least": counts.is_at_least(chosen),
    }


def _newest_shown(page: ListPage) -> str:
    """Return the newest task that "all that match" selects; the page does not show later ones."""
    if page.anchor is not None:
        return page.anchor.write()
    if not page.is_first:
        return newest_at(utcnow()).write()
    rows = page.found.rows
    return cursor_at(rows[0]).write() if rows else ""


def _rows(page: ListPage) -> dict[str, Any]:
    found, query, is_first = page.found, page.query, page.is_first
    slugs = {project.id: project.slug for project in organization_projects()}
    rows = make_task_rows(found.rows, slugs)
    return {
        "rows": rows,
        "row_html": _row_renderer(query),
        "anchor": cursor_at(found.rows[0]).write() if rows and is_first else "",
        "newer": None if is_first else _href(query, found.previous),
        "older": _href(query, found.next),
        "is_first": is_first,
        "looked_back_to": found.looked_back_to,
        "many_projects": len(query.projects) > 1,
    }


def _href(query: Query, cursor: Cursor | None) -> str | None:
    return None if cursor is None else list_url(query.text, query.project, cursor=cursor)


def _count(query: Query) -> Counts:
    if query.problems:
        return Counts({}, capped=False)
    filters = query.filters
    # Counts do not depend on the status filter. A relative time differs from search to search.
    moves_on = filters.moments or filters.without
    asked = (query.text, query.zone) if moves_on else repr(replace(filters, status=()))
    name = ("counts", tuple(project.id for project in query.projects), asked)
    return share_longer(
        name,
        lambda: count_by_status(query.projects, query.filters),
    )


def _tabs(query: Query, counts: Counts) -> list[tuple[str, str, str, bool]]:
    chosen = set(query.filters.status)
    tabs = []
    for label, word, statuses in TABS:
        states = statuses or tuple(counts.by_status)
        number = counts.of(states)
        text = _count_text(number, at_least=counts.is_at_least(states))
        href = query.href(with_status(query.text, word))
        tabs.append((label, href, text, chosen == set(statuses)))
    return tabs


def _count_text(number: int, *, at_least: bool) -> str:
    if not at_least:
        return f"{number:,}"
    return f"{number // 1000}k+" if number >= 1000 else f"{number}+"


def _row_renderer(query: Query) -> Callable[[TaskRow], Markup]:
    """Return a function that renders a row, once for all open pages that show it alike."""
    template = current_app.jinja_env.get_template("dashboard/tasks/_task_row.html")
    macro = template.module.row  # type: ignore[attr-defined]  # the template's own macro
    pick, with_project = may(roles.CHANGE_TASKS), len(query.projects) > 1
    base = url_for("dashboard.task_list")

    def render(row: TaskRow) -> Markup:
        def make() -> Markup:
            return Markup(macro(row, base, query, pick, with_project))  # noqa: S704 - escaped by the template

        shown = (row.id, row.version, row.status, row.usually)
        key = (shown, base, query.text, query.project, pick, with_project)
        return Markup(shared_row(key, make))  # noqa: S704 - escaped by the template

    return render
