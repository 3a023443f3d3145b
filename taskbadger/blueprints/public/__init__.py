"""The public page and badge of a task, for anyone with its link."""

import hashlib
import json
import unicodedata
from functools import cache
from typing import Any

from flask import Flask, Response, render_template, request
from flask_smorest import Api
from markupsafe import escape

from taskbadger.blueprints.dashboard.access import PUBLIC, Pages
from taskbadger.blueprints.dashboard.formats import visible
from taskbadger.blueprints.dashboard.tasks.task import (
    MAX_EVENTS,
    data_region,
    make_timeline,
    run_figures,
)
from taskbadger.blueprints.live import Region, render_live
from taskbadger.domain.status import RUNNING, value_percent
from taskbadger.errors import NotFound
from taskbadger.services.tasks import history, versions, views

BADGE_SECONDS = 10
"""How long caches may keep a badge."""
COLOURS = {
    "success": "#1a7f37",
    "error": "#b3202f",
    "stale": "#8a5a00",
    "cancelled": "#59616d",
    "pending": "#59616d",
}
RUNNING_COLOUR = "#2456b3"
UNKNOWN = "unknown"
JOINER = "\u200d"
"""The zero-width joiner: joins emoji that are drawn as one."""
_WIDTHS = (
    (frozenset("mwMW%@—…"), 10.8),
    (frozenset("ijlItf!|.,:;'\"()[]{}/\\- "), 4.4),
    (frozenset("ABCDEFGHJKLNOPQRSTUVXYZ"), 7.9),
)
"""Approximate widths of Verdana at 11 px; ``textLength`` makes browsers fit the text."""
_WIDTH, _WIDE, _PADDING = 6.8, 11.0, 10

blp = Pages("public", __name__, template_folder="templates", url_prefix="/public")


@blp.page("/tasks/<id>/", role=PUBLIC)
def task(id: str) -> Response:
    """Show the parts of a task that its project makes public."""
    try:
        version = versions.find_public_version(id)
    except NotFound:
        response = Response(render_template("public/missing.html"), 404)
        response.headers["Cache-Control"] = "no-store"
        return response
    found = cache(lambda: views.find_public_task(id))
    regions = {
        "task": Region(lambda: _context(found()), version=lambda: version),
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


def _context(found: views.PublicTask) -> dict[str, Any]:
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
        **run_figures(row),
        "timeline": make_timeline(history.read_latest(row.id, MAX_EVENTS)),
        "tags": json.loads(row.tags) if found.shows_tags else {},
    }


@blp.page("/tasks/<id>/badge.svg", role=PUBLIC)
def badge(id: str) -> Response:
    """Draw the status of a task as an SVG for other sites to embed."""
    try:
        row = views.find_public_task(id).row
    except NotFound:
        return _badge("task", UNKNOWN, "#59616d", 404)
    percent = value_percent(row.value, row.value_max)
    words = row.status.replace("_", "-")
    if percent is not None and row.status not in ("success", "cancelled"):
        words = f"{words} {percent}%"
    return _badge(_short(visible(row.name)), words, COLOURS.get(row.status, RUNNING_COLOUR), 200)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:39]}…"


def _width(text: str) -> int:
    """Return the approximate width of *text* in pixels."""
    pairs = zip(f" {text}", text, strict=False)
    return round(
        sum(_character_width(character) for before, character in pairs if before != JOINER)
    )


def _character_width(character: str) -> float:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    if ord(character) > 0x2E7F:
        return _WIDE
    return next((width for characters, width in _WIDTHS if character in characters), _WIDTH)


def _badge(label: str, words: str, colour: str, status: int) -> Response:
    label = "".join(
        character if character.isprintable() or character == JOINER else "�" for character in label
    )
    texts = (label, _width(label)), (words, _width(words))
    left, right = (width + _PADDING for _, width in texts)
    title = escape(f"{label}: {words}")
    middles = (left / 2, left + right / 2)
    drawn = "".join(
        f'<text x="{x}" y="14" textLength="{width}" lengthAdjust="spacingAndGlyphs">'
        f"{escape(text)}</text>"
        for (text, width), x in zip(texts, middles, strict=True)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#404853"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11">{drawn}</g></svg>'
    )
    response = Response(svg, status, mimetype="image/svg+xml")
    response.headers["Cache-Control"] = f"public, max-age={BADGE_SECONDS}"
    response.headers["Content-Security-Policy"] = "default-src 'none'"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.set_etag(f"{_hash(svg)}")
    response.make_conditional(request)
    return response


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@blp.after_request
def _hide(response: Response) -> Response:
    """Keep the link out of search engines and of other sites' logs."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def register(app: Flask, api: Api) -> None:
    app.register_blueprint(blp)
