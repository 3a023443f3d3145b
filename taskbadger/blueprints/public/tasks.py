"""The public page and badge of a task, for anyone with its link."""

import json
from datetime import datetime
from functools import cache
from typing import Any

from flask import Response

from taskbadger.blueprints.dashboard.access import PUBLIC
from taskbadger.blueprints.dashboard.tasks.task import (
    MAX_EVENTS,
    data_region,
    make_timeline,
    run_figures,
)
from taskbadger.blueprints.live import Region, render_live
from taskbadger.blueprints.public import badges
from taskbadger.blueprints.public.pages import blp, missing
from taskbadger.domain.status import RUNNING, TERMINAL, value_percent
from taskbadger.errors import NotFound
from taskbadger.models.task_rows import PageTask
from taskbadger.services.tasks import history, versions, views


@blp.page("/tasks/<id>/", role=PUBLIC)
def task(id: str) -> Response:
    """Show the parts of a task that its project makes public."""
    try:
        version = versions.find_public_version(id)
    except NotFound:
        return missing()
    found = cache(lambda: views.find_public_task(id))
    regions = {
        "task": Region(lambda: run_context(found()), version=lambda: version),
        "data": data_region(lambda: found().row.data if found().shows_data else None),
    }
    return render_live("public/task.html", version, lambda: _frame(found()), regions=regions)


def _frame(found: views.PublicTask) -> dict[str, Any]:
    return {
        "name": found.row.name,
        "organization": found.organization,
        "project": found.project,
        "moving": found.row.status in RUNNING,
    }


def run_context(found: views.PublicTask) -> dict[str, Any]:
    """Return what a public page shows of a task, except its data."""
    row = found.row
    return {
        "status": row.status,
        "value": row.value,
        "value_max": row.value_max,
        "value_percent": value_percent(row.value, row.value_max),
        "created": row.created,
        "started": row.start_time,
        "ended": row.end_time,
        "updated": row.updated,
        "since": since(row),
        **run_figures(row),
        "timeline": make_timeline(history.read_latest(row.id, MAX_EVENTS)),
        "tags": json.loads(row.tags) if found.shows_tags else {},
    }


def since(row: PageTask) -> datetime:
    """Return when a task ended, or since when it runs or waits."""
    if row.status in TERMINAL:
        return row.end_time or row.updated
    return (row.start_time if row.status in RUNNING else None) or row.created


@blp.page("/tasks/<id>/badge.svg", role=PUBLIC)
def badge(id: str) -> Response:
    """Draw the status of a task as an SVG for other sites to embed."""
    try:
        row = views.find_public_task(id).row
    except NotFound:
        return badges.draw_unknown()
    return badges.draw_status(row.name, row)
