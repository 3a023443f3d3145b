"""The overview: running tasks and failures; for a new organization, how to send tasks."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from flask import Response, request, url_for

from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.alerts.deliveries import cause_href
from taskbadger.blueprints.dashboard.guide.how_to import how_to
from taskbadger.blueprints.dashboard.shared import (
    last_change,
    organization_projects,
    render_shared,
    share_failing,
    share_longer,
    share_search,
)
from taskbadger.blueprints.dashboard.silences import ActiveWindows, active_windows
from taskbadger.blueprints.dashboard.tasks.rows import TaskRow, make_task_rows
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.blueprints.live import Region, live_anchor
from taskbadger.clock import utcnow
from taskbadger.domain import roles
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.search import GROUPS
from taskbadger.errors import NotFound
from taskbadger.models.task_rows import ListedTask
from taskbadger.services import outage
from taskbadger.services.outage import Silence
from taskbadger.services.stats import figures as task_stats
from taskbadger.services.stats import overview as surroundings
from taskbadger.services.stats import runs
from taskbadger.services.stats.figures import Figures, Series
from taskbadger.services.tasks import failures
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import PreparedSearch

ROWS = 8
"""How many running and failed tasks are shown."""
BEHIND = timedelta(minutes=1)
"""Charts whose counts are older than this say so."""


@blp.page("/a/<organization_slug>/", role=roles.READ)
def overview() -> Response:
    """Show the overview."""
    projects = organization_projects()
    change = last_change(projects)
    # An open guide sends an anchor, and stays after the first task.
    if not change.strip("|") or live_anchor() is not None:
        guide: Response = how_to()
        return guide
    span = request.args.get("range", "24h")
    if span not in task_stats.RANGES:
        raise NotFound()
    view = _View(projects, span)
    return render_shared(
        "dashboard/overview.html",
        f"{change}|{view.silence}|{view.windows}|{view.around}|{view.counted}|{view.minute}",
        lambda: _context(view),
        view.regions(),
    )


class _View:
    """What an overview shows. Open pages share everything that is not about single tasks."""

    def __init__(self, projects: list[ProjectRef], span: str) -> None:
        self.projects, self.span = projects, span
        self.now = utcnow()
        self.minute = self.now.replace(second=0, microsecond=0)
        self.counted = share_longer("counted", runs.last_counted)
        number = current_member().organization_id
        self.around = share_longer(
            ("around", number),
            lambda: surroundings.read_surroundings(number, now=self.now),
        )
        self._ids = tuple(project.id for project in projects)
        self.many_projects = len(projects) > 1

    @cached_property
    def silence(self) -> Silence:
        """Whether no background worker runs."""
        return share_longer("silence", lambda: outage.read_silence(now=self.now))

    @cached_property
    def windows(self) -> ActiveWindows:
        """The maintenance windows that are active."""
        return active_windows()

    @cached_property
    def figures(self) -> Figures:
        """The numbers at the top."""
        return share_longer(
            ("figures", self._ids),
            lambda: task_stats.read_figures(self.projects, now=self.now),
        )

    @cached_property
    def running(self) -> list[TaskRow]:
        """The newest running tasks."""
        search = share_search(
            ("running", self._ids),
            lambda: PreparedSearch(self.projects, Filters(status=GROUPS["running"])),
        )
        return self._rows(search.find(None, ROWS).rows)

    @cached_property
    def failed(self) -> list[TaskRow]:
        """Recent failures."""
        return self._rows(failures.list_recent_failures(self.projects, ROWS))

    def _rows(self, found: Sequence[ListedTask]) -> list[TaskRow]:
        return make_task_rows(found, {project.id: project.slug for project in self.projects})

    def _failing(self) -> dict[str, Any]:
        return {
            "failures": share_failing(),
            "incidents": self.around.incidents,
            "many_projects": self.many_projects,
        }

    def _figures(self) -> dict[str, Any]:
        return {
            "failures": share_failing(),
            "figures": self.figures,
            "dead_count": self.around.dead_count,
        }

    def _running(self) -> dict[str, Any]:
        return {
            "running": self.running,
            "more_running": self.figures.running > len(self.running),
            "many_projects": self.many_projects,
        }

    def _failed(self) -> dict[str, Any]:
        return {"failed": self.failed, "many_projects": self.many_projects}

    def _expected(self) -> dict[str, Any]:
        runs = [(run, run.expected_at < self.now) for run in self.around.next_runs]
        return {"expected": runs, "many_projects": self.many_projects}

    def regions(self) -> dict[str, Region]:
        """Return the parts of the page that change by themselves."""
        return {
            "silence": Region(lambda: {"silence": self.silence}),
            "windows": Region(lambda: {"windows": self.windows}),
            "failing": Region(self._failing),
            "figures": Region(self._figures),
            "running": Region(self._running),
            "failed": Region(self._failed),
            "expected": Region(self._expected),
            "dead": Region(
                lambda: {"dead": [(cause, cause_href(cause)) for cause in self.around.dead]}
            ),
            # The series are the costly part of the page, and only change when runs are counted.
            "charts": Region(lambda: _charts(self), version=lambda: (self.counted, self.minute)),
        }


def _context(view: _View) -> dict[str, Any]:
    return {
        "base": url_for("dashboard.overview"),
        "moving": view.figures.running > 0,
        "span": view.span,
        "ranges": [
            (span, url_for("dashboard.overview", range=span, _anchor="history"))
            for span in task_stats.RANGES
        ],
        "list_href": lambda text: url_for("dashboard.task_list", q=text),
    }


def _charts(view: _View) -> dict[str, Any]:
    series = task_stats.read_series(view.projects, view.span, now=view.now)
    return {
        "series": series,
        "throughput": throughput(series),
        "run_times": run_times(series),
        "behind": _behind(view),
    }


def _behind(view: _View) -> datetime | None:
    """Return since when the worker has not counted; None if that is recent."""
    since = runs.time_after(view.counted)
    return since if since is not None and since < view.now - BEHIND else None


_TONES = (("success", "ok"), ("error", "bad"), ("stale", "warn"), ("cancelled", "idle"))


def throughput(series: Series) -> list[dict[str, Any]]:
    """Return the bars of the chart of outcomes."""
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
