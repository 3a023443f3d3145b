"""All that a scrape shows, in a fixed number of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from taskbadger.services.metrics import deliveries, monitors, runs, server, tasks
from taskbadger.services.metrics.deliveries import OpenDeliveries
from taskbadger.services.metrics.monitors import Failing, MonitorFigures
from taskbadger.services.metrics.runs import Runs
from taskbadger.services.metrics.scope import Place, Scope, read_places
from taskbadger.services.metrics.server import ServerFigures
from taskbadger.services.metrics.tasks import OpenTasks


@dataclass(frozen=True, slots=True)
class Messages:
    """What there is to deliver, and what was tried."""

    open: Mapping[str, OpenDeliveries]
    """By kind."""
    attempts: Mapping[tuple[str, str], int]
    """By kind and outcome."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a project, of an organization or of a server."""

    runs: Mapping[tuple[Place, str], Runs]
    """By place and name."""
    tasks: OpenTasks
    monitors: Sequence[MonitorFigures]
    failing: Mapping[Place, Failing]
    messages: Messages | None
    """None for a project: messages belong to organizations."""
    server: ServerFigures | None
    """None for all but the whole server."""


def read_figures(scope: Scope, *, max_names: int, now: datetime) -> Figures:
    """Return the figures of a scope, each of its projects included."""
    places = read_places(scope)
    messages = None
    if scope.project_id is None:
        messages = Messages(deliveries.read_open(scope, now=now), deliveries.read_attempts(scope))
    return Figures(
        runs=runs.read_runs(scope, places, max_names=max_names),
        tasks=tasks.read_open_tasks(scope, places, max_queues=max_names, now=now),
        monitors=monitors.read_monitors(scope, places),
        failing=monitors.read_failing(scope, places),
        messages=messages,
        server=server.read_server(now=now) if scope.is_server else None,
    )
