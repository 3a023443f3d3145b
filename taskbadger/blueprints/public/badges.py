"""Badges: small pictures of a status, for other sites to embed."""

import hashlib
import unicodedata
from datetime import UTC, datetime

from flask import Response, request
from markupsafe import escape

from taskbadger.blueprints.dashboard.formats import visible
from taskbadger.domain.status import value_percent
from taskbadger.models.task_rows import PageTask

BADGE_SECONDS = 10
"""How long caches may keep a badge."""
IDLE_COLOUR = "#59616d"
BAD_COLOUR = "#b3202f"
COLOURS = {
    "success": "#1a7f37",
    "error": BAD_COLOUR,
    "stale": "#8a5a00",
    "cancelled": IDLE_COLOUR,
    "pending": IDLE_COLOUR,
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


def draw_status(label: str, row: PageTask, *, since: datetime | None = None) -> Response:
    """Draw the status of a task, with its progress while that says something."""
    percent = value_percent(row.value, row.value_max)
    words = row.status.replace("_", "-")
    if percent is not None and row.status not in ("success", "cancelled"):
        words = f"{words} {percent}%"
    return draw(label, words, COLOURS.get(row.status, RUNNING_COLOUR), since=since)


def draw_unknown() -> Response:
    """Draw what stands for everything that is not public or does not exist."""
    return draw("task", UNKNOWN, IDLE_COLOUR, status=404)


def _moment(moment: datetime) -> str:
    """Return a time as text that stays right in caches."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


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


def draw(
    label: str, words: str, colour: str, *, since: datetime | None = None, status: int = 200
) -> Response:
    """Draw a badge: a label, and words in a colour, with the time *since* when they hold."""
    label = _short(visible(label))
    if since is not None:
        words = f"{words} since {_moment(since)}"
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
