"""How many requests were answered, and how fast: the HTTP figures of this host for ``/metrics``.

They need prometheus-client, the extra ``metrics``; without it nothing is counted. It is imported
with the first request, so commands do not pay for it.

The web workers of ``serve`` share a folder, in which each counts in a file of its own
(https://prometheus.github.io/client_python/multiprocess/), so any of them knows the figures of
all. Without such a folder each process knows only its own.
"""

import fcntl
import json
import logging
import os
import struct
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app
from flask.globals import request_ctx

from taskbadger import time_limit
from taskbadger.errors import SettingsError

if TYPE_CHECKING:
    from prometheus_client import Histogram, Metric

log = logging.getLogger(__name__)

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of prometheus-client that names the shared folder."""
REQUESTS = "taskbadger_http_requests"
DURATION = "taskbadger_http_request_duration_seconds"
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""In seconds. The last is also the default of DATABASE_TIMEOUT."""
OTHER = "other"
"""The label of all methods that HTTP does not know, and of all paths that no route matches."""
MAX_SERIES = 1000
"""How many combinations of method, route and code a process counts; more are not counted."""

_EXTENSION = "taskbadger.http_figures"
_LABELS = ("method", "route", "code")
_HELP = "Seconds from the arrival of a request to its answer."
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FILES = "histogram_*.db"
_ENDED = "histogram_0.db"
"""What processes counted that have ended. None has the id 0."""
_FIRST_BYTES = 64 * 1024
_SERIES_BYTES = 8 * 1024
"""More than the names and values of one combination take."""
_LOCK_SECONDS = 1.0

Key = tuple[str, str, int]


def init_http_figures(app: Flask) -> None:
    """Count the requests of *app*, if prometheus-client is installed.

    Raises SettingsError for a shared folder that there is not.
    """
    if find_spec("prometheus_client") is None:
        return
    folder = os.environ.get(FOLDER)
    if folder and not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"{FOLDER}: {folder} is no folder that we may write to")
    figures = app.extensions[_EXTENSION] = HttpFigures(folder)
    app.after_request(figures.note)


def http_families() -> "Iterator[Metric]":
    """Yield the HTTP figures of this host; none without prometheus-client."""
    figures: HttpFigures | None = current_app.extensions.get(_EXTENSION)
    if figures is not None:
        yield from figures.families()


class HttpFigures:
    """Counts requests by method, route and code, with the time from arrival to answer."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = Path(folder) if folder else None
        self._series: dict[Key, Histogram] = {}
        """What counts each combination."""
        self._lock = Lock()
        self._all: Histogram | None = None
        self._has_failed = False

    def note(self, response: Response) -> Response:
        """Count a request when its answer is ready to be sent; a stream is still to be made."""
        request = request_ctx.request  # Once: each look at `request` finds it anew.
        rule = request.url_rule
        method = request.method if request.method in _METHODS else OTHER
        key = (method, OTHER if rule is None else rule.rule, response.status_code)
        series = self._series.get(key) or self._add(key)
        if series is not None:
            series.observe(time_limit.elapsed())
        return response

    def _add(self, key: Key) -> "Histogram | None":
        """Return what counts a combination; None if there are too many, or the disk is full."""
        with self._lock:
            if key not in self._series and len(self._series) < MAX_SERIES:
                try:
                    self._series[key] = self._make(key)
                except OSError as error:
                    if not self._has_failed:
                        log.warning("cannot count all requests", extra={"error": str(error)})
                    self._has_failed = True
            return self._series.get(key)

    def _make(self, key: Key) -> "Histogram":
        if self._folder is not None:
            if self._all is None:
                with suppress(OSError):  # The disk is full: the next process does it.
                    _sum_up_ended(self._folder)
            _make_room(self._folder / f"histogram_{os.getpid()}.db")
        if self._all is None:
            self._all = _histogram()
        return self._all.labels(*key)

    def families(self) -> "Iterator[Metric]":
        """Yield the numbers of requests, and how long they took."""
        from prometheus_client.core import (  # noqa: PLC0415 - see this module's docstring
            CounterMetricFamily,
        )

        with self._lock:
            if self._all is None and self._folder is None:
                self._all = _histogram()
        durations = self._durations()
        requests = CounterMetricFamily(REQUESTS, "Requests that were answered.", labels=_LABELS)
        for sample in durations.samples:
            if sample.name == f"{DURATION}_count":
                labels = [sample.labels[label] for label in _LABELS]
                requests.add_metric(labels, sample.value)
        yield requests
        yield durations

    def _durations(self) -> "Metric":
        if self._folder is None:
            assert self._all is not None  # noqa: S101 - see `families`
            return next(iter(self._all.collect()))
        with _locked(self._folder, fcntl.LOCK_SH, seconds=_LOCK_SECONDS):
            totals = _add_up(self._folder.glob(_FILES))
        return _family_of(totals)


def _histogram() -> "Histogram":
    from prometheus_client import Histogram  # noqa: PLC0415 - see this module's docstring

    return Histogram(DURATION, _HELP, _LABELS, registry=None, buckets=BUCKETS)


def _family_of(totals: Mapping[str, float]) -> "Metric":
    """Return what files of prometheus-client contain, by the keys in them.

    Its own collector takes three times as long, and fails for a file that was begun only.
    """
    from prometheus_client.core import (  # noqa: PLC0415 - see this module's docstring
        HistogramMetricFamily,
    )

    counts: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    seconds: dict[tuple[str, ...], float] = {}
    for key, value in totals.items():
        _, name, labels, _ = json.loads(key)
        place = tuple(labels[label] for label in _LABELS)
        if name == f"{DURATION}_bucket":
            counts[place][labels["le"]] = value
        else:
            seconds[place] = value
    family = HistogramMetricFamily(DURATION, _HELP, labels=_LABELS)
    limits = (*map(str, BUCKETS), "+Inf")
    for place, found in counts.items():
        sums = accumulate(found.get(limit, 0.0) for limit in limits)
        family.add_metric(place, list(zip(limits, sums, strict=True)), seconds.get(place, 0.0))
    return family


def _make_room(path: Path) -> None:
    """Make sure that the disk has room for one more combination in a file; raises OSError.

    To write where it has none would kill the process, since the file is mapped into memory.
    prometheus-client doubles a file when it is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return  # macOS
    with path.open("a+b") as file:
        file.seek(0)
        used = int.from_bytes(file.read(4), sys.byteorder)
        size = os.fstat(file.fileno()).st_size
        if used + _SERIES_BYTES > size:
            os.posix_fallocate(file.fileno(), size, size or _FIRST_BYTES)


def _sum_up_ended(folder: Path) -> None:
    """Add what ended processes have counted to one file, so that workers come and go at no cost.

    A process does it before it counts. If another holds the lock, it is left to the next one.
    """
    from prometheus_client.mmap_dict import (  # noqa: PLC0415 - see this module's docstring
        MmapedDict,
    )

    with _locked(folder, fcntl.LOCK_EX, seconds=0) as is_locked:
        ended = [path for path in folder.glob(_FILES) if not _is_of_a_process(path)]
        kept = folder / _ENDED
        if not is_locked or not set(ended) - {kept}:
            return
        totals = _add_up(ended)
        new = folder / "new"
        new.unlink(missing_ok=True)
        with new.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                size = sum(path.stat().st_size for path in ended)
                os.posix_fallocate(file.fileno(), 0, size)
        written = MmapedDict(str(new))
        for key, value in totals.items():
            written.write_value(key, value, 0.0)
        written.close()
        new.replace(kept)
        for path in set(ended) - {kept}:
            path.unlink()


def _add_up(paths: Iterable[Path]) -> dict[str, float]:
    from prometheus_client.mmap_dict import (  # noqa: PLC0415 - see this module's docstring
        MmapedDict,
    )

    totals: dict[str, float] = defaultdict(float)
    for path in paths:
        try:
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):
                totals[key] += value
        except (FileNotFoundError, RuntimeError, struct.error):
            # A process has just begun it, or was killed then; or its counts have moved.
            continue
    return totals


def _is_of_a_process(path: Path) -> bool:
    """Say whether the process that writes a file exists."""
    number = int(path.stem.partition("_")[2])
    if number == 0:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def _locked(folder: Path, kind: int, *, seconds: float) -> Iterator[bool]:
    """Hold the lock of a folder, if it can be had within *seconds*: who has it may be stopped."""
    deadline = time.monotonic() + seconds
    with (folder / "lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                yield False
            else:
                yield True
            return
