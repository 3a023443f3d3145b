"""Names: statistics of the tasks with each name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Response, request, url_for

from taskbadger.blueprints.dashboard import silences
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.overview import run_times, throughput
from taskbadger.blueprints.dashboard.shared import (
    chosen_projects,
    last_change,
    organization_projects,
    render_shared,
    share,
)
from taskbadger.blueprints.dashboard.sharing import share_name
from taskbadger.blueprints.dashboard.tasks.failures import ALL, FailureRow, make_failure
from taskbadger.blueprints.dashboard.tasks.rows import make_task_rows
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.run_times import BAR_NAMES
from taskbadger.domain.search_text import with_term
from taskbadger.errors import NotFound
from taskbadger.services.failures import kinds
from taskbadger.services.failures.kinds import KindFilters
from taskbadger.services.incidents import lists as incidents
from taskbadger.services.monitors import bindings
from taskbadger.services.stats import figures, runs
from taskbadger.services.stats import names as service
from taskbadger.services.stats.names import NameStats
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks

RUNS = 10
FAILURES = 5


@blp.page("/a/<organization_slug>/names/", role=roles.READ)
def names() -> Response:
    """Show the names with the most runs."""
    counted = share("counted", runs.last_counted)
    day = utcnow().date()
    return render_shared("dashboard/tasks/names.html", f"{counted}|{day}", _names_context)


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the names can be sorted by."""

    label: str
    key: Callable[[NameStats], Any]
    is_descending: bool
    """Whether the first click sorts in descending order."""


COLUMNS = {
    "name": Column("Name", lambda row: row.name, is_descending=False),
    "runs": Column("Runs", lambda row: row.count, is_descending=True),
    "success": Column("Success", lambda row: row.success_rate, is_descending=False),
    "p50": Column("p50", lambda row: row.p50, is_descending=True),
    "p95": Column("p95", lambda row: row.p95, is_descending=True),
    "last": Column("Last run", lambda row: row.last, is_descending=True),
}
DEFAULT_SORT = "-runs"


def _sort_parameter(name: str, *, is_descending: bool) -> str:
    return f"-{name}" if is_descending else name


def sorted_names(names: list[NameStats], sort: str) -> list[NameStats]:
    """Return *names* by a column, descending after a minus; those without a value are last."""
    key = COLUMNS[sort.removeprefix("-")].key
    known = [row for row in names if key(row) is not None]
    known.sort(key=key, reverse=sort.startswith("-"))
    return known + [row for row in names if key(row) is None]


def _headers(sort: str, arguments: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the link in each column's header, and how the column is sorted."""
    headers = {}
    for name, column in COLUMNS.items():
        is_current = name == sort.removeprefix("-")
        is_descending = not sort.startswith("-") if is_current else column.is_descending
        wanted = _sort_parameter(name, is_descending=is_descending)
        given = {**arguments, "sort": "" if wanted == DEFAULT_SORT else wanted}
        present: dict[str, Any] = {key: value for key, value in given.items() if value}
        headers[name] = {
            "label": column.label,
            "href": url_for("dashboard.names", **present),
            "sorted": ("descending" if sort.startswith("-") else "ascending") if is_current else "",
        }
    return headers


def _names_context() -> dict[str, Any]:
    slug, search = request.args.get("project", ""), request.args.get("q", "").strip()[:255]
    sort = request.args.get("sort", "")
    if sort.removeprefix("-") not in COLUMNS:
        sort = DEFAULT_SORT
    projects = chosen_projects(slug)
    found, more = service.list_names(projects, now=utcnow(), search=search)
    return {
        "names": sorted_names(found, sort),
        "headers": _headers(sort, {"q": search, "project": slug}),
        "sort": sort,
        "default_sort": DEFAULT_SORT,
        "more": more,
        "q": search,
        "project": slug,
        "projects": organization_projects(),
        "days": service.DAYS,
        "limit": service.MAX_NAMES,
    }


@blp.page("/a/<organization_slug>/names/<project_slug>/", role=roles.READ)
def name(project_slug: str) -> Response:
    """Show one name: its charts and its latest runs."""
    wanted = request.args.get("name", "")
    projects = chosen_projects(project_slug)
    if not wanted or not projects:
        raise NotFound()
    counted = share("counted", runs.last_counted)
    failures = share(("failures of", projects[0].id, wanted), lambda: _failures(projects, wanted))
    failing = share(("failing", projects[0].id, wanted), lambda: _failing(projects[0], wanted))
    windows = silences.of_name(projects[0].id, wanted)
    bound = share(("bound", projects[0].id, wanted), lambda: _bound(projects[0], wanted))
    shown = (utcnow().hour, counted, failures, failing, windows, bound)
    return render_shared(
        "dashboard/tasks/name.html",
        f"{last_change(projects)}|{shown}",
        lambda: {
            **_context(projects[0], wanted, failures),
            "windows": windows,
            "monitor_id": next(iter(bound), None),
        },
    )


def _failures(projects: list[ProjectRef], wanted: str) -> list[FailureRow]:
    """Return the kinds of failures of a name that happened last."""
    filters = KindFilters(name=wanted)
    page = kinds.list_kinds([project.id for project in projects], filters, None, FAILURES)
    return [make_failure(kind) for kind in page.rows]


def _failing(project: ProjectRef, wanted: str) -> tuple[object, ...]:
    """Return what the page shows of the open incident of a name."""
    found = incidents.find_open(project.id, wanted)
    return () if found is None else (found.id, found.runs, found.acknowledged_by)


def _bound(project: ProjectRef, wanted: str) -> tuple[UUID, ...]:
    """Return the id of the monitor that is bound to a name, if there is one."""
    return tuple(bindings.list_bound(project.id, [wanted]).values())


def _context(project: ProjectRef, wanted: str, failures: list[FailureRow]) -> dict[str, Any]:
    now, incident = utcnow(), incidents.find_open(project.id, wanted)
    found = search_tasks([project], Filters(name=(wanted,)), None, RUNS)
    stats = service.find_name(project, wanted, now=now)
    if stats is None and not found.rows and incident is None:
        raise NotFound()
    series = figures.read_series([project], "7d", now=now, name=wanted)
    return {
        "wanted": wanted,
        "silence_choices": silences.CHOICES,
        "project": project,
        "share": share_name(project, wanted),
        "incident": incident,
        "stats": stats,
        "runs": make_task_rows(found.rows, {project.id: project.slug}),
        "series": series,
        "throughput": throughput(series),
        "run_times": run_times(series),
        "bars": list(BAR_NAMES),
        "days": service.DAYS,
        "failures": failures,
        "failures_href": url_for(
            "dashboard.failure_list", state=ALL, project=project.slug, q=wanted[:255]
        ),
        "list_href": url_for(
            "dashboard.task_list", q=with_term("", "name", wanted), project=project.slug
        ),
    }
