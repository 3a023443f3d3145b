"""The public page and badge of a name and of a monitor: they show its latest run."""

from collections.abc import Callable
from functools import cache
from typing import Any

from flask import Response
from werkzeug.routing import BaseConverter

from taskbadger.blueprints.dashboard.access import PUBLIC
from taskbadger.blueprints.dashboard.sharing import write_part
from taskbadger.blueprints.dashboard.tasks.task import data_region
from taskbadger.blueprints.live import Region, render_live
from taskbadger.blueprints.public import badges
from taskbadger.blueprints.public.pages import blp, missing
from taskbadger.blueprints.public.tasks import run_context, since
from taskbadger.domain.monitors import FAILING, PAUSED
from taskbadger.domain.status import FAILED, RUNNING
from taskbadger.errors import NotFound
from taskbadger.services.tasks import latest, views
from taskbadger.services.tasks.latest import Latest

_NAME = "/<organization>/<project>/names/<any_text:name>/"
_MONITOR = "/monitors/<id>/"


class AnyText(BaseConverter):
    """A part of a path that may be any text, also one with slashes."""

    part_isolating = False
    regex = ".+?"

    def to_url(self, value: str) -> str:
        """Write the text as the links to copy do."""
        return write_part(value)


class SlashEnded(AnyText):
    """Such a part that itself ends with a slash, with the slash after it: no rule ends with two."""

    regex = ".+//"

    def to_python(self, value: str) -> str:
        """Return the text without the slash after it."""
        return value[:-1]

    def to_url(self, value: str) -> str:
        """Write the text with the slash after it."""
        return f"{super().to_url(value)}/"


@blp.page(_NAME.replace("<any_text:name>/", "<slash_ended:name>"), role=PUBLIC)
@blp.page(_NAME, role=PUBLIC)
def name(organization: str, project: str, name: str) -> Response:
    """Show the latest run of a name."""
    return _page(lambda: latest.find_of_name(organization, project, name))


@blp.page(f"{_NAME}badge.svg", role=PUBLIC)
def name_badge(organization: str, project: str, name: str) -> Response:
    """Draw the status of the latest run of a name."""
    return _badge(lambda: latest.find_of_name(organization, project, name))


@blp.page(_MONITOR, role=PUBLIC)
def monitor(id: str) -> Response:
    """Show the latest run of a monitor, and whether the monitor is failing."""
    return _page(lambda: latest.find_of_monitor(id))


@blp.page(f"{_MONITOR}badge.svg", role=PUBLIC)
def monitor_badge(id: str) -> Response:
    """Draw the state of a monitor and of its latest run."""
    return _badge(lambda: latest.find_of_monitor(id))


def _page(find: Callable[[], Latest]) -> Response:
    try:
        found = find()
    except NotFound:
        return missing()
    regions = {"head": Region(lambda: _head(found)), **_run_regions(found)}
    return render_live("public/latest.html", found.version, lambda: _frame(found), regions=regions)


def _frame(found: Latest) -> dict[str, Any]:
    return {
        "name": found.name,
        "organization": found.organization,
        "project": found.project,
        "is_monitor": found.health is not None,
        "moving": found.status in RUNNING,
    }


def _head(found: Latest) -> dict[str, Any]:
    return {"health": found.health, "failing_since": found.failing_since}


def _run_regions(found: Latest) -> dict[str, Region]:
    task_id = found.task_id
    if task_id is None:
        return {
            "run": Region(lambda: {"status": None}),
            "data": data_region(lambda: None),
        }
    task = cache(lambda: views.find_public_task(task_id))
    return {
        "run": Region(lambda: run_context(task()), version=lambda: found.version),
        "data": data_region(lambda: task().row.data if task().shows_data else None),
    }


def _badge(find: Callable[[], Latest]) -> Response:
    try:
        found = find()
        row = None if found.task_id is None else views.find_public_task(found.task_id).row
    except NotFound:
        return badges.draw_unknown()
    if found.health == PAUSED:
        return badges.draw(found.name, PAUSED, badges.IDLE_COLOUR)
    if found.health == FAILING and (row is None or row.status not in FAILED):
        return badges.draw(found.name, FAILING, badges.BAD_COLOUR, since=found.failing_since)
    if row is None:
        return badges.draw(found.name, "no runs yet", badges.IDLE_COLOUR)
    return badges.draw_status(found.name, row, since=since(row))
