"""The figures as families of prometheus-client, and as text: needs the extra ``metrics``.

The names, types and labels are a promise: docs/operating.md#metrics.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client import Metric, exposition
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from taskbadger.domain.buckets import LIMITS, Durations
from taskbadger.services.metrics.figures import Figures, Messages
from taskbadger.services.metrics.server import ServerFigures

TEXT = exposition.CONTENT_TYPE_PLAIN_0_0_4
OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST
CONTENT_TYPES = (TEXT, OPENMETRICS)
_END = "# EOF\n"
"""The end of OpenMetrics."""
_WRITERS: dict[str, Callable[[Collector], bytes]] = {
    TEXT: exposition.generate_latest,
    OPENMETRICS: openmetrics.generate_latest,
}
_LIMITS = (*map(str, LIMITS), "+Inf")
_PROJECT = ("organization", "project")


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def write(families: Iterable[Metric], content_type: str) -> str:
    """Return families as text in one of CONTENT_TYPES."""
    return _WRITERS[content_type](_Given(families)).decode()


def join(first: str, second: str) -> str:
    """Return two texts of the same format as one."""
    return first.removesuffix(_END) + second


def families_of(figures: Figures, database: str) -> Iterator[Metric]:
    """Yield the families of what the database says."""
    build = GaugeMetricFamily(
        "taskbadger_build_info", "The server; the value is 1.", labels=("version", "database")
    )
    build.add_metric((version("taskbadger-server"), database), 1)
    yield build
    yield from _of_tasks(figures)
    yield from _of_runs(figures)
    yield from _of_monitors(figures)
    if figures.messages is not None:
        yield from _of_messages(figures.messages)
    if figures.server is not None:
        yield from _of_server(figures.server)


def _gauge(
    name: str, meaning: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"taskbadger_{name}", meaning, labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _of_tasks(figures: Figures) -> Iterator[Metric]:
    tasks = figures.tasks
    yield _gauge(
        "tasks",
        "Tasks that have not ended.",
        (*_PROJECT, "status"),
        (((*place, status), number) for (place, status), number in tasks.numbers.items()),
    )
    yield _gauge(
        "oldest_pending_seconds",
        "How long the oldest pending task of a queue has waited.",
        (*_PROJECT, "queue"),
        (((*place, queue), wait) for (place, queue), wait in tasks.oldest_pending.items()),
    )


def _of_runs(figures: Figures) -> Iterator[Metric]:
    labels = (*_PROJECT, "name")
    ends = CounterMetricFamily(
        "taskbadger_runs", "Ends of tasks, each attempt by itself.", labels=(*labels, "outcome")
    )
    run_times = HistogramMetricFamily(
        "taskbadger_run_duration_seconds",
        "How long tasks that ended in success or error had run.",
        labels=labels,
    )
    waits = HistogramMetricFamily(
        "taskbadger_queue_wait_seconds",
        "How long tasks had been pending when they started.",
        labels=labels,
    )
    for (place, name), runs in figures.runs.items():
        for outcome, number in runs.outcomes.items():
            ends.add_metric((*place, name, outcome), number)
        for family, durations in ((run_times, runs.run_times), (waits, runs.waits)):
            family.add_metric((*place, name), _buckets(durations), durations.seconds)
    yield from (ends, run_times, waits)


def _buckets(durations: Durations) -> Sequence[tuple[str, float]]:
    return list(zip(_LIMITS, durations.cumulative, strict=True))


def _of_monitors(figures: Figures) -> Iterator[Metric]:
    labels, monitors = (*_PROJECT, "monitor"), figures.monitors
    yield _gauge(
        "monitor_up",
        "Whether a monitor is not failing; not there while it is paused.",
        labels,
        (((*each.place, each.label), each.is_up) for each in monitors if each.is_up is not None),
    )
    yield _gauge(
        "monitor_last_success_timestamp_seconds",
        "When the last successful run of a monitor ended.",
        labels,
        (
            ((*each.place, each.label), each.last_success.timestamp())
            for each in monitors
            if each.last_success is not None
        ),
    )
    yield _gauge(
        "monitor_last_duration_seconds",
        "How long the last successful run of a monitor took.",
        labels,
        (
            ((*each.place, each.label), each.last_duration)
            for each in monitors
            if each.last_duration is not None
        ),
    )
    yield _gauge(
        "names_failing",
        "Names of tasks with an open incident.",
        _PROJECT,
        ((place, failing.names) for place, failing in figures.failing.items()),
    )
    yield _gauge(
        "incidents_open",
        "Open incidents, of names and of monitors.",
        _PROJECT,
        ((place, failing.incidents) for place, failing in figures.failing.items()),
    )


def _of_messages(messages: Messages) -> Iterator[Metric]:
    yield _gauge(
        "deliveries_open",
        "Messages that wait to be sent or sent again.",
        ("kind",),
        (((kind,), found.number) for kind, found in messages.open.items()),
    )
    yield _gauge(
        "delivery_oldest_seconds",
        "How long ago the oldest of them was queued.",
        ("kind",),
        (((kind,), found.oldest) for kind, found in messages.open.items()),
    )
    attempts = CounterMetricFamily(
        "taskbadger_delivery_attempts", "Attempts to send.", labels=("kind", "outcome")
    )
    for key, number in messages.attempts.items():
        attempts.add_metric(key, number)
    yield attempts


def _of_server(server: ServerFigures) -> Iterator[Metric]:
    yield _gauge(
        "worker_last_turn_timestamp_seconds",
        "When each step of the background worker last ended.",
        ("step",),
        (((step,), at) for step, at in server.turns.items()),
    )
    yield _gauge(
        "sweep_lag_seconds",
        "How long each step of the background worker has left undone what was due.",
        ("step",),
        (((step,), lag) for step, lag in server.lags.items()),
    )
    yield _gauge(
        "database_size_bytes", "The size of the database.", (), [((), server.database_bytes)]
    )
    yield _gauge(
        "history_count_lag_seconds",
        "How old the oldest entry of the history is that is not counted yet.",
        (),
        [((), server.count_lag)],
    )
