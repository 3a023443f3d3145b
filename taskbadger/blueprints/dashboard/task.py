"""One task: where it stands, how it came there, and all that is known of it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from flask import Response, flash, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.api import base_url, json_response
from taskbadger.blueprints.dashboard.access import blp, current_actor
from taskbadger.blueprints.dashboard.formats import actor
from taskbadger.blueprints.dashboard.rows import make_row
from taskbadger.blueprints.dashboard.shared import organization_projects, render_shared
from taskbadger.blueprints.live import Region
from taskbadger.clock import utcnow
from taskbadger.domain import numbers, roles, search, secrets
from taskbadger.domain.status import RUNNING, TERMINAL, value_percent
from taskbadger.errors import NotFound
from taskbadger.extensions import db
from taskbadger.services import alerts, audit, history, names, task_search, task_view, tasks
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.task_list import Filters

MAX_EVENTS = 1000
MAX_CHILDREN = 50
MAX_SHOWN_EVENTS = 50
MAX_STEPS = 30
MAX_TAGS = 8
"""Shown at once; the others are folded."""


@dataclass(frozen=True, slots=True)
class Step:
    """A stay in one state."""

    status: str
    began: datetime
    lasted: timedelta | None
    """None while the task is in it, and for the end."""
    by: str

    @property
    def goes_on(self) -> bool:
        """Whether it is the present state, and may end."""
        return self.lasted is None and self.status not in TERMINAL


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest stays of a task in its states."""

    steps: list[Step]
    earlier: str
    """How many stays came before, in words; empty for none."""


@blp.page("/a/<organization_slug>/tasks/<id>/", role=roles.READ)
def task(id: str) -> Response:
    """Show a task."""
    project, version = _find(id)
    shown = _Shown(project, id)
    regions = {
        "task": Region(lambda: version, shown.story),
        "data": data_region(lambda: shown.row.data),
    }
    return render_shared("dashboard/task.html", version, shown.context, regions)


def _find(task_id: str) -> tuple[ProjectRef, str]:
    """Return the project of a task of this page's organization, and the version of its page."""
    projects = organization_projects()
    stamp = task_view.find_stamp([project.id for project in projects], task_id)
    return next(one for one in projects if one.id == stamp.project_id), stamp.version


def data_region(read: Callable[[], str | None]) -> Region:
    """Return the region of a task's data; *read* gives its text, if it is to be shown."""

    def context() -> dict[str, Any]:
        text = read()
        return {"has_data": text is not None, "data": None if text is None else masked_data(text)}

    return Region(read, context)


def masked_data(text: str) -> Any:
    """Return a task's data as it may be shown, each number as it was written."""
    return secrets.masked(numbers.read_exactly(text))


class _Shown:
    """What the page of a task shows."""

    def __init__(self, project: ProjectRef, task_id: str) -> None:
        self.project, self.task_id = project, task_id

    @cached_property
    def row(self) -> Any:
        """The row of the task, read when it is needed."""
        return task_view.get_task(self.project, self.task_id)

    def context(self) -> dict[str, Any]:
        """Return what stands around the regions."""
        share = share_links(self.row) if self.row.public_pages else None
        return {"task": self.row, "moving": self.row.status in RUNNING, "share": share}

    def story(self) -> dict[str, Any]:
        """Return what is told of the task, apart from its data."""
        row, project = self.row, self.project
        latest = history.read_latest(row.id, MAX_EVENTS)
        events = latest.events
        before, after = names.neighbours(project.id, row)
        tags = list(json.loads(row.tags).items())
        children = _children(project, row.id) if row.has_children else []
        return {
            "project": project,
            "value_percent": value_percent(row.value, row.value_max),
            "tags": dict(tags[:MAX_TAGS]),
            "more_tags": dict(tags[MAX_TAGS:]),
            "timeline": make_timeline(latest),
            **run_figures(row),
            "events": events[-MAX_SHOWN_EVENTS:][::-1],
            "hidden_events": counted(max(len(events) - MAX_SHOWN_EVENTS, 0) + latest.earlier),
            "progress": progress_series(events),
            "children": children[:MAX_CHILDREN],
            "more_children": len(children) > MAX_CHILDREN,
            "before": before,
            "after": after,
            "alerts": alerts.list_alerts(project, row),
            "is_open": row.status not in TERMINAL,
            "tag_href": lambda name, value: _list_href("tag", name, value),
            "same_href": _list_href("name", row.name),
            "queue_href": _list_href("queue", row.queue),
            "children_href": _list_href("parent", row.id),
        }


def share_links(row: Any) -> dict[str, str]:
    """Return the public addresses of a task, and the badge as Markdown."""
    page = f"{base_url()}/public/tasks/{row.id}/"
    badge = f"{page}badge.svg"
    name = re.sub(r"([\\\[\]])", r"\\\1", " ".join(row.name.split()))
    return {"page": page, "badge": badge, "markdown": f"[![{name}]({badge})]({page})"}


@blp.page("/a/<organization_slug>/tasks/<id>/data", role=roles.READ)
def task_data(id: str) -> Response:
    """Give all of a task's data as JSON, without its secrets."""
    project, _ = _find(id)
    text = task_view.get_task(project, id).data
    if text is None:
        raise NotFound()
    return json_response(numbers.write(masked_data(text)))


def _list_href(*term: str) -> str:
    return url_for("dashboard.task_list", q=search.with_term("", *term))


def _children(project: ProjectRef, task_id: str) -> list[Any]:
    found = task_search.search_tasks([project], Filters(parent=(task_id,)), None, MAX_CHILDREN + 1)
    return [make_row(row, {project.id: project.slug}) for row in found.rows]


def make_timeline(latest: history.Latest) -> Timeline:
    """Return the last stays of a task in its states, from its history."""
    changes = [event for event in latest.events if event.type != "progress"]
    ends: list[Any] = [*(event.created for event in changes[1:]), None]
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
    """Return how many entries there are that are not shown; nothing for none."""
    most = history.MOST_COUNTED
    return f"{most:,}+" if number > most else f"{number:,}" if number else ""


def run_figures(row: Any) -> dict[str, Any]:
    """Return how long a task waited and has run, and whether it still does."""
    return {
        "waited": row.time_to_start if row.start_time else None,
        "took": run_time(row),
        "goes_on": row.start_time is not None and row.status in RUNNING,
    }


def run_time(row: Any) -> timedelta | None:
    """Return how long a task has run, or ran; None before it starts."""
    if row.start_time is None:
        return None
    lasted: timedelta = (row.end_time or utcnow()) - row.start_time
    return max(lasted, timedelta())


def progress_series(events: Any) -> dict[str, Any] | None:
    """Return the chart of progress; None where it would have less than three points."""
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
    now, person = utcnow(), current_actor()
    cancelled = tasks.cancel_task(project, id, now=now, actor=person)
    if cancelled is not None:
        name = cancelled.name
        audit.record(person, project.organization_id, "task.cancel", name, id, now=now)
    db.session.commit()
    flash("The task is cancelled.", "success")
    return redirect(url_for("dashboard.task", id=id), 303)
