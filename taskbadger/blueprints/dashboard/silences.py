"""The windows that are active, as the pages of what they cover show them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from flask import g

from taskbadger.blueprints.dashboard.shared import share_longer
from taskbadger.blueprints.dashboard.visit import current_member
from taskbadger.clock import utcnow
from taskbadger.domain.windows import Scope
from taskbadger.services.delivery import windows

TOMORROW = "tomorrow"
CHOICES = (("1", "1 h"), ("4", "4 h"), (TOMORROW, "until tomorrow 08:00"))
"""For how long one button silences something: its value, and its words."""


@dataclass(frozen=True, slots=True)
class ActiveWindow:
    """A window that is active."""

    id: int
    name: str
    until: datetime
    scope: Scope


@dataclass(frozen=True, slots=True)
class ActiveWindows:
    """What a page shows of the windows that are active."""

    count: int
    last: ActiveWindow | None
    """The one that ends last."""


class _Found(NamedTuple):
    windows: list[ActiveWindow]
    version: str


def active_windows(covers: Callable[[Scope], bool] = lambda _scope: True) -> ActiveWindows:
    """Return the windows of this page's organization that are active and cover something."""
    found = [window for window in _find().windows if covers(window.scope)]
    return ActiveWindows(len(found), found[-1] if found else None)


def version() -> str:
    """Return a text that changes whenever an active window of this organization does."""
    return _find().version


def _find() -> _Found:
    number = current_member().organization_id
    if "windows" not in g:
        g.windows = share_longer(("windows", number), lambda: _read(number))
    found: _Found = g.windows
    return found


def _read(organization_id: int) -> _Found:
    now = utcnow()
    found = [
        ActiveWindow(row.id, row.name, span.end, windows.scope_of(row))
        for row in windows.list_active(organization_id, now=now)
        if (span := windows.active_span(row, now))
    ]
    found.sort(key=lambda window: (window.until, window.id))
    return _Found(found, sha256(repr(found).encode()).hexdigest())


def of_monitor(project_id: int, monitor_id: UUID) -> ActiveWindows:
    """Return the active windows that cover a monitor."""
    return active_windows(lambda scope: scope.covers_monitor(project_id, monitor_id))


def of_name(project_id: int, name: str) -> ActiveWindows:
    """Return the active windows that cover the tasks of a name, but not only those of a monitor."""
    return active_windows(lambda scope: scope.covers_task(project_id, name, None))


def of_task(project_id: int, name: str, monitor_id: UUID | None) -> ActiveWindows:
    """Return the active windows that cover a task."""
    return active_windows(lambda scope: scope.covers_task(project_id, name, monitor_id))
