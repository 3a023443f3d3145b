"""Badges of checks, as Healthchecks has them: anyone with the address sees the status.

Their addresses are signed: nobody can make up that of another project, tag or check.
"""

import json
from collections.abc import Callable
from urllib.parse import quote
from uuid import UUID

from flask import Blueprint, Flask, Response
from flask_smorest import Api
from werkzeug.routing import BaseConverter

from taskbadger.blueprints.api import base_url
from taskbadger.blueprints.public import badges as pictures
from taskbadger.clock import utcnow
from taskbadger.domain.checks import ALL, is_signed_badge, sign_badge, summarize
from taskbadger.errors import NotFound
from taskbadger.process import current_process
from taskbadger.services.pings import checks
from taskbadger.services.pings.checks import BadgeOf

FORMATS = ("svg", "json", "shields")
_UP_OR_DOWN, _WITH_LATE = 2, 3
"""The number of states that a badge tells apart."""
_COLOURS = {
    "up": pictures.COLOURS["success"],
    "late": pictures.COLOURS["stale"],
    "down": pictures.BAD_COLOUR,
}
_SHIELDS_COLOURS = {"up": "success", "late": "important", "down": "critical"}

blp = Blueprint("check_badges", __name__, url_prefix="/badge/<int:states>")


class AnyTag(BaseConverter):
    """A tag, which may contain slashes."""

    part_isolating = False
    regex = ".+?"


@blp.get("/<int:project_id>/<signature>.<any(svg, json, shields):form>")
def of_project(states: int, project_id: int, signature: str, form: str) -> Response:
    """Tell how all checks of a project are doing."""
    if not _is_signed(_subject(project_id, ALL), signature):
        return _unknown(form)
    return _answer(lambda: checks.badge_of_project(project_id, now=utcnow()), states, form)


@blp.get("/<int:project_id>/<signature>/<any_tag:tag>.<any(svg, json, shields):form>")
def of_tag(states: int, project_id: int, signature: str, tag: str, form: str) -> Response:
    """Tell how the checks with a tag are doing."""
    if not _is_signed(_subject(project_id, tag), signature):
        return _unknown(form)
    return _answer(lambda: checks.badge_of_tag(project_id, tag, now=utcnow()), states, form)


@blp.get("/check/<signature>/<uuid:monitor_id>.<any(svg, json, shields):form>")
def of_check(states: int, signature: str, monitor_id: UUID, form: str) -> Response:
    """Tell how one check is doing."""
    if not _is_signed(str(monitor_id), signature):
        return _unknown(form)
    return _answer(lambda: checks.badge_of_check(monitor_id, now=utcnow()), states, form)


def badge_urls(project_id: int, tag: str) -> dict[str, str]:
    """Return the addresses of a tag's badges, by what their formats are called."""
    signature = _sign(_subject(project_id, tag))
    end = f"/{project_id}/{signature}" + ("" if tag == ALL else f"/{quote(tag, safe='')}")
    return {
        f"{form}{suffix}": f"{base_url()}/badge/{states}{end}.{form}"
        for form in FORMATS
        for suffix, states in (("", _UP_OR_DOWN), ("3", _WITH_LATE))
    }


def badge_url_of_check(monitor_id: UUID) -> str:
    """Return the address of the badge of one check."""
    return f"{base_url()}/badge/{_UP_OR_DOWN}/check/{_sign(str(monitor_id))}/{monitor_id}.svg"


def _subject(project_id: int, tag: str) -> str:
    return f"{project_id}:{tag}"


def _sign(subject: str) -> str:
    return sign_badge(subject, current_process().settings.SECRET_KEY)


def _is_signed(subject: str, signature: str) -> bool:
    return is_signed_badge(subject, signature, current_process().settings.secret_keys)


def _answer(found: Callable[[], BadgeOf], states: int, form: str) -> Response:
    if states not in (_UP_OR_DOWN, _WITH_LATE):
        return _unknown(form)
    try:
        badge = found()
    except NotFound:
        return _unknown(form)
    summary = summarize(badge.statuses, tells_late=states == _WITH_LATE)
    if form == "svg":
        return pictures.draw(badge.label, summary.status, _COLOURS[summary.status])
    if form == "json":
        shown = {name: getattr(summary, name) for name in ("status", "total", "grace", "down")}
        return _json(shown)
    return _json(
        {
            "schemaVersion": 1,
            "label": badge.label,
            "message": summary.status,
            "color": _SHIELDS_COLOURS[summary.status],
        }
    )


def _unknown(form: str) -> Response:
    return pictures.draw_unknown() if form == "svg" else _json({"error": "not found"}, 404)


def _json(value: object, status: int = 200) -> Response:
    response = Response(json.dumps(value), status=status, content_type="application/json")
    response.headers["Cache-Control"] = f"public, max-age={pictures.BADGE_SECONDS}"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def register(app: Flask, api: Api) -> None:
    """Add the badges."""
    app.url_map.converters["any_tag"] = AnyTag
    app.register_blueprint(blp)
