"""The overview: what runs and what failed; for a new organization, how to send tasks."""

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.dashboard.access import blp, current_member
from taskbadger.blueprints.dashboard.how_to import how_to
from taskbadger.blueprints.dashboard.rows import TaskRow, make_row
from taskbadger.blueprints.dashboard.shared import (
    last_change,
    organization_projects,
    render_shared,
    share,
    share_failing,
)
from taskbadger.blueprints.live import Region, live_anchor
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.search import GROUPS
from taskbadger.errors import NotFound
from taskbadger.services import failures, run_stats, task_search, task_stats
from taskbadger.services import overview as surroundings
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.task_list import Filters
from taskbadger.services.task_stats import Figures, Series

ROWS = 8
"""How many running and failed tasks are shown."""
BEHIND = timedelta(minutes=1)
"""Charts that are further behind than this say so."""


@blp.page("/a/<organization_slug>/", role=roles.READ)
def overview() -> Response:
    """Show how things are."""
    projects = organization_projects()
    change = last_change(projects)
    # An open guide sends an anchor, and stays when the first task has come.
    if not change.strip("|") or live_anchor() is not None:
        guide: Response = how_to()
        return guide
    span = request.args.get("range", "24h")
    if span not in task_stats.RANGES:
        raise NotFound()
    view = _View(projects, span)
    return render_shared(
        "dashboard/overview.html",
        f"{change}|{view.around}|{view.counted}|{view.minute}",
        lambda: _context(view),
        view.regions(),
    )


class _View:
    """What an overview shows; an open one shares with others what is not about single tasks."""

    def __init__(self, projects: list[ProjectRef], span: str) -> None:
        self.projects, self.span = projects, span
        self.now = utcnow()
        self.minute = self.now.replace(second=0, microsecond=0)
        self.counted = share("counted", run_stats.last_counted, place="counts")
        number = current_member().organization_id
        self.around = share(
            ("around", number),
            lambda: surroundings.read_surroundings(number, now=self.now),
            place="counts",
        )
        self._ids = tuple(project.id for project in projects)

    @cached_property
    def figures(self) -> Figures:
        """The numbers at the top."""
        return share(
            ("figures", self._ids),
            lambda: task_stats.read_figures(self.projects, now=self.now),
            place="counts",
        )

    @cached_property
    def running(self) -> list[TaskRow]:
        """The newest tasks that run."""
        search = share(
            ("running", self._ids),
            lambda: task_search.PreparedSearch(self.projects, Filters(status=GROUPS["running"])),
            place="counts",
        )
        return self._rows(search.find(None, ROWS).rows)

    @cached_property
    def failed(self) -> list[TaskRow]:
        """The tasks that failed last."""
        return self._rows(failures.list_failed_last(self.projects, ROWS))

    def _rows(self, found: Sequence[Any]) -> list[TaskRow]:
        slugs = {project.id: project.slug for project in self.projects}
        return [make_row(row, slugs) for row in found]

    def _overdue(self) -> list[bool]:
        return [one.expected_at < self.now for one in self.around.next_runs]

    def _expected(self) -> dict[str, Any]:
        return {"expected": zip(self.around.next_runs, self._overdue(), strict=True)}

    def regions(self) -> dict[str, Region]:
        """Return the parts of the page that change by themselves."""
        around, failing = self.around, share_failing()
        return {
            "failing": Region(lambda: (around.monitors, around.names, failing), dict),
            "figures": Region(lambda: (self.figures, around.dead_count, failing), dict),
            "running": Region(
                lambda: (_stamps(self.running), self.figures.running > ROWS),
                lambda: {"running": self.running},
            ),
            "failed": Region(lambda: _stamps(self.failed), lambda: {"failed": self.failed}),
            "expected": Region(lambda: (around.next_runs, self._overdue()), self._expected),
            "dead": Region(lambda: around.dead, dict),
            "charts": Region(lambda: (self.counted, self.minute), lambda: _charts(self)),
        }


def _stamps(rows: list[TaskRow]) -> list[tuple[str, int]]:
    return [(row.id, row.version) for row in rows]


def _context(view: _View) -> dict[str, Any]:
    return {
        "around": view.around,
        "base": url_for("dashboard.overview"),
        "figures": view.figures,
        "failures": share_failing(),
        "span": view.span,
        "ranges": [
            (one, url_for("dashboard.overview", range=one, _anchor="history"))
            for one in task_stats.RANGES
        ],
        "many_projects": len(view.projects) > 1,
        "list_href": lambda text: url_for("dashboard.task_list", q=text),
    }


def _charts(view: _View) -> dict[str, Any]:
    series = task_stats.read_series(view.projects, view.span, now=view.now)
    return {
        "series": series,
        "throughput": throughput(series),
        "run_times": run_times(series),
        "behind": _behind(view.now),
    }


def _behind(now: Any) -> Any:
    """Return since when the worker has not counted, where that is too long ago."""
    since = run_stats.counted_until()
    return since if since is not None and since < now - BEHIND else None


_TONES = (("success", "ok"), ("error", "bad"), ("stale", "warn"), ("cancelled", "idle"))


def throughput(series: Series) -> list[dict[str, Any]]:
    """Return the bars of the chart of what ended how."""
    return [
        {"label": outcome, "tone": tone, "values": series.outcomes[outcome]}
        for outcome, tone in _TONES
    ]


def run_times(series: Series) -> list[dict[str, Any]]:
    """Return the lines of the chart of run times."""
    return [
        {"label": "p50", "tone": "run", "values": _rounded(series.p50)},
        {"label": "p95", "tone": "warn", "dash": True, "values": _rounded(series.p95)},
    ]


def _rounded(values: list[float | None]) -> list[float | None]:
    return [None if value is None else float(f"{value:.3g}") for value in values]
