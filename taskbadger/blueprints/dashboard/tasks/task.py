"""The page of a task: its status, its history, and everything known about it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from flask import Response, flash, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.api import base_url, json_response
from taskbadger.blueprints.dashboard import silences
from taskbadger.blueprints.dashboard.access import blp
from taskbadger.blueprints.dashboard.formats import actor, two_digits
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared
from taskbadger.blueprints.dashboard.sharing import share_task
from taskbadger.blueprints.dashboard.tasks.children import tell_apart
from taskbadger.blueprints.dashboard.tasks.error_panel import make_panel
from taskbadger.blueprints.dashboard.tasks.event_list import list_events
from taskbadger.blueprints.dashboard.tasks.failures import make_failure
from taskbadger.blueprints.dashboard.tasks.rows import TaskRow, make_row, make_task_rows
from taskbadger.blueprints.dashboard.visit import current_actor
from taskbadger.blueprints.live import Region
from taskbadger.clock import utcnow
from taskbadger.domain import numbers, roles, secrets
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.search_text import with_term
from taskbadger.domain.status import ERROR, RUNNING, STALE, TERMINAL, value_percent
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.models.task_rows import EventRow, PageTask
from taskbadger.services.alerts import explain
from taskbadger.services.failures import kinds
from taskbadger.services.stats import names
from taskbadger.services.stats.usual import usual_run_times
from taskbadger.services.tasks import history, versions, views, write
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks

MAX_EVENTS = 1000
MAX_ATTEMPTS = 20
MAX_CHILDREN = 50
MAX_STEPS = 30
MAX_TAGS = 8
"""Tags that are shown at once; the others are folded."""


@dataclass(frozen=True, slots=True)
class Step:
    """A period in one status."""

    status: str
    began: datetime
    lasted: timedelta | None
    """None for the current status, also for a final one."""
    by: str

    @property
    def goes_on(self) -> bool:
        """Whether it is the current status and not final."""
        return self.lasted is None and self.status not in TERMINAL


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest periods of a task in its statuses."""

    steps: list[Step]
    earlier: str
    """How many periods came before, in words; empty for none."""


@blp.page("/a/<organization_slug>/tasks/<id>/", role=roles.READ)
def task(id: str) -> Response:
    """Show a task."""
    project, version = _find(id)
    shown = _Shown(project, id)
    regions = {
        "windows": Region(shown.windows),
        "task": Region(shown.story, version=lambda: version),
        "data": data_region(lambda: shown.row.data),
    }
    page = f"{version}|{silences.version()}"
    return render_shared("dashboard/tasks/task.html", page, shown.context, regions)


def _find(task_id: str) -> tuple[ProjectRef, str]:
    """Return the project of a task of this page's organization, and the version of its page."""
    projects = organization_projects()
    found = versions.find_page_version([project.id for project in projects], task_id)
    return next(project for project in projects if project.id == found.project_id), found.version


def data_region(read: Callable[[], str | None]) -> Region:
    """Return the region of a task's data; *read* gives its text, or None to hide it."""

    def context() -> dict[str, Any]:
        text = read()
        return {"has_data": text is not None, "data": None if text is None else masked_data(text)}

    return Region(context, version=read)


def masked_data(text: str) -> Any:
    """Return a task's data with secrets masked, each number digit by digit as it was sent."""
    return secrets.masked(numbers.read_exactly(text))


class _Shown:
    """What the page of a task shows."""

    def __init__(self, project: ProjectRef, task_id: str) -> None:
        self.project, self.task_id = project, task_id

    def windows(self) -> dict[str, Any]:
        """Return the maintenance windows that cover the task."""
        found = silences.active_windows()
        if found.last is None:
            return {"windows": found}
        row = self.row
        return {"windows": silences.of_task(self.project.id, row.name, row.monitor_id)}

    @cached_property
    def row(self) -> PageTask:
        """The task, read when it is needed."""
        return views.get_page_task(self.project, self.task_id)

    def context(self) -> dict[str, Any]:
        """Return what is outside of the regions."""
        row = self.row
        share = share_task(row.id, row.name) if row.public_pages else None
        return {"task": row, "moving": row.status in RUNNING, "share": share}

    def story(self) -> dict[str, Any]:
        """Return everything about the task except its data."""
        row, project = self.row, self.project
        latest = history.read_latest(row.id, MAX_EVENTS)
        events, shown = latest.events, list_events(latest.events)
        before, after = names.neighbours(row)
        tags = list(json.loads(row.tags).items())
        children = _children(project, row.id) if row.has_children else []
        kind = kinds.kind_of_task(row.id) if row.status in (ERROR, STALE) else None
        return {
            "project": project,
            "panel": make_panel(row, kind.cause if kind else ""),
            "failure": make_failure(kind) if kind else None,
            "value_percent": value_percent(row.value, row.value_max),
            "tags": dict(tags[:MAX_TAGS]),
            "more_tags": dict(tags[MAX_TAGS:]),
            "timeline": make_timeline(latest),
            **run_figures(row),
            "run_note": _run_note(row),
            "events": shown.entries,
            "hidden_events": counted(shown.hidden + latest.earlier),
            "progress": progress_series(events),
            "children": tell_apart(children[:MAX_CHILDREN]),
            "more_children": len(children) > MAX_CHILDREN,
            "attempts": _attempts(project, row),
            "before": before,
            "after": after,
            "alerts": explain.list_alerts(project, row, now=utcnow()),
            "is_open": row.status not in TERMINAL,
            "tag_href": lambda name, value: _list_href("tag", name, value),
            "same_href": _list_href("name", row.name),
            "queue_href": _list_href("queue", row.queue),
            "children_href": _list_href("parent", row.id),
        }


@blp.page("/a/<organization_slug>/tasks/<id>/data", role=roles.READ)
def task_data(id: str) -> Response:
    """Return all of a task's data as JSON, with secrets masked."""
    project, _ = _find(id)
    text = views.get_page_task(project, id).data
    if text is None:
        raise NotFound()
    return json_response(numbers.write(masked_data(text)))


def _list_href(*term: str) -> str:
    return url_for("dashboard.task_list", q=with_term("", *term))


def _children(project: ProjectRef, task_id: str) -> list[TaskRow]:
    found = search_tasks([project], Filters(parent=(task_id,)), None, MAX_CHILDREN + 1)
    return make_task_rows(found.rows, {project.id: project.slug})


def _attempts(project: ProjectRef, task: PageTask) -> list[TaskRow]:
    """Return the attempts of the task's run, the latest first; none if it is the only one."""
    if not views.has_other_attempts(task):
        return []
    same = Filters(external_id=(task.external_id,), name=(task.name,))
    found = search_tasks([project], same, None, MAX_ATTEMPTS).rows
    return [make_row(row, {project.id: project.slug}) for row in found]


def make_timeline(latest: history.Latest) -> Timeline:
    """Return the latest periods of a task in its statuses, from its history."""
    changes = [event for event in latest.events if event.type != "progress"]
    ends = [*(event.created for event in changes[1:]), None]
    steps = [
        Step(
            event.status,
            event.created,
            None if end is None else end - event.created,
            f"by {actor(event)}",
        )
        for event, end in zip(changes, ends, strict=True)
    ]
    hidden = max(len(steps) - MAX_STEPS, 0) + latest.earlier_changes
    return Timeline(steps[-MAX_STEPS:], counted(hidden))


def counted(number: int) -> str:
    """Return how many entries are hidden, in words; empty for none."""
    limit = history.MAX_COUNTED
    return f"{limit:,}+" if number > limit else f"{number:,}" if number else ""


def run_figures(row: PageTask) -> dict[str, Any]:
    """Return how long a task waited and ran, and whether it is still running."""
    return {
        "waited": row.time_to_start if row.start_time else None,
        "took": run_time(row),
        "goes_on": row.start_time is not None and row.status in RUNNING,
    }


def _run_note(row: PageTask) -> str:
    """Return what is said beside the run time: how long runs of the name usually take."""
    name = (row.project_id, row.name)
    usual = usual_run_times({name}, now=utcnow()).get(name)
    notes = [
        "so far" if row.start_time and row.status in RUNNING else "",
        f"usually {two_digits(usual)}" if usual is not None else "",
    ]
    return ", ".join(filter(None, notes))


def run_time(row: PageTask) -> timedelta | None:
    """Return how long a task has run so far, or ran in all; None before it starts."""
    if row.start_time is None:
        return None
    lasted = (row.end_time or utcnow()) - row.start_time
    return max(lasted, timedelta())


def progress_series(events: Sequence[EventRow]) -> dict[str, Any] | None:
    """Return the chart of progress; None if it would have fewer than three points."""
    points = [event for event in events if event.value is not None]
    if len(points) < 3:
        return None
    return {
        "x": [round(event.created.timestamp(), 3) for event in points],
        "values": [event.value for event in points],
    }


@blp.page("/a/<organization_slug>/tasks/<id>/cancel", role=roles.CHANGE_TASKS, methods=["POST"])
def cancel_task(id: str) -> AnyResponse:
    """Cancel a task."""
    project, _ = _find(id)
    write.cancel_task(project, id, now=utcnow(), actor=current_actor(), base_url=base_url())
    db.session.commit()
    flash("The task has been marked as cancelled.", "success")
    return redirect(url_for("dashboard.task", id=id), 303)
