"""The management API of Healthchecks, versions 1 to 3: checks are monitors.

The addresses and the answers are those of https://healthchecks.io/docs/api/. What differs:
docs/doors.md#management-api.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, g, request
from flask_smorest import Api
from werkzeug.routing import BaseConverter

from taskbadger.blueprints.api import (
    access_of,
    base_url,
    check_rate,
    check_size,
    current_actor,
    current_project,
)
from taskbadger.blueprints.doors.check_badges import badge_url_of_check, badge_urls
from taskbadger.blueprints.doors.healthchecks_answers import answer, handle_errors
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.checks import ALL
from taskbadger.errors import (
    AuthenticationFailed,
    ParseError,
    PermissionDenied,
    ValidationFailed,
)
from taskbadger.extensions import db
from taskbadger.schemas.body import Members, load, read_object
from taskbadger.schemas.checks import (
    Addresses,
    CheckRequest,
    check_url,
    show_channel,
    show_check,
    show_flip,
    show_ping,
)
from taskbadger.services.delivery import channels as channel_lists
from taskbadger.services.pings import check_changes, check_history, checks
from taskbadger.services.pings.check_history import Period
from taskbadger.services.pings.checks import Check

View = Callable[..., Response]

_MAX_TIMESTAMP = 10_000_000_000
_MAX_SECONDS = 31_536_000
_OPEN = "status"
"""What answers without a key."""
_READABLE = frozenset(
    {"list_checks", "get_check", "get_by_unique_key", "flips", "flips_by_unique_key", "badges"}
)
"""What a key that only reads may use."""

blp = Blueprint("healthchecks_api", __name__, url_prefix="/api/<any(v1, v2, v3):version>")
handle_errors(blp)


class UniqueKey(BaseConverter):
    """What stands for a check where its secret address is not shown."""

    regex = "[A-Za-z0-9]{40}"


def _route(rule: str, name: str, method: str = "GET") -> Callable[[View], View]:
    """Add a route, with and without a slash at its end."""

    def add(view: View) -> View:
        for each in (rule, f"{rule}/"):
            blp.add_url_rule(each, name, view, methods=[method])
        return view

    return add


# Who asks


@blp.url_value_preprocessor
def _take_version(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    if values is not None:
        g.version = values.pop("version")


@blp.before_request
def _admit() -> Response | None:
    """Check the key, after the body, which may have it."""
    if request.method == "OPTIONS":
        return Response(status=204)
    name = str(request.endpoint).partition(".")[2]
    if name == _OPEN:
        return None
    g.body = _read_body() if request.method == "POST" else Members()
    key = request.headers.get("X-Api-Key", str(g.body.get("api_key", "")))
    if not key:
        raise AuthenticationFailed("missing api key")
    g.access = access = access_of(key)
    g.is_readonly = scopes.ADMIN not in access.scopes
    if g.is_readonly and (scopes.READ not in access.scopes or name not in _READABLE):
        raise AuthenticationFailed()
    if access.project is None:
        raise PermissionDenied("this key opens a whole organization; use the key of a project")
    g.project = access.project
    check_rate(access)
    return None


def _read_body() -> Members:
    """Return the body of a POST request, whatever its media type says."""
    check_size()
    body = request.get_data(cache=True, parse_form_data=False)
    try:
        return read_object(body)
    except ParseError as error:
        raise ValidationFailed.one(None, "could not parse request body") from error
    except ValidationFailed as error:
        detail = "json validation error: value is not an object"
        raise ValidationFailed.one(None, detail) from error


# Checks


@_route("/checks", "list_checks")
def list_checks() -> Response:
    """List the checks of the project."""
    found = checks.list_checks(
        current_project(), slug=request.args.get("slug"), tags=request.args.getlist("tag")
    )
    now = utcnow()
    return answer({"checks": [_show(check, now) for check in found]})


@_route("/checks", "create_check", "POST")
def create_check() -> Response:
    """Create a check, or update the one that ``unique`` finds."""
    project, now = current_project(), utcnow()
    spec = load(CheckRequest, g.body)
    monitor_id, is_new = check_changes.create_check(project, spec, now=now, actor=current_actor())
    return _done(monitor_id, now, 201 if is_new else 200)


@_route("/checks/<uuid:code>", "get_check")
def get_check(code: UUID) -> Response:
    """Show a check."""
    return answer(_show(checks.get_check(current_project(), code), utcnow()))


@_route("/checks/<unique_key:key>", "get_by_unique_key")
def get_by_unique_key(key: str) -> Response:
    """Show a check to who does not know its address."""
    return answer(_show(checks.get_by_unique_key(current_project(), key), utcnow()))


@_route("/checks/<uuid:code>", "update_check", "POST")
def update_check(code: UUID) -> Response:
    """Change a check."""
    project, now = current_project(), utcnow()
    monitor = checks.get_check(project, code).monitor
    spec = load(CheckRequest, g.body)
    check_changes.update_check(project, monitor, spec, now=now, actor=current_actor())
    return _done(monitor.id, now)


@_route("/checks/<uuid:code>", "delete_check", "DELETE")
def delete_check(code: UUID) -> Response:
    """Delete a check; show what it was."""
    project, now = current_project(), utcnow()
    check = checks.get_check(project, code)
    shown = _show(check, now)
    check_changes.delete_check(project, check.monitor, now=now, actor=current_actor())
    db.session.commit()
    return answer(shown)


@_route("/checks/<uuid:code>/pause", "pause_check", "POST")
def pause_check(code: UUID) -> Response:
    """Pause a check."""
    project, now = current_project(), utcnow()
    monitor = checks.get_check(project, code).monitor
    check_changes.pause_check(project, monitor, now=now, actor=current_actor())
    return _done(monitor.id, now)


@_route("/checks/<uuid:code>/resume", "resume_check", "POST")
def resume_check(code: UUID) -> Response:
    """Resume a check that is paused."""
    project, now = current_project(), utcnow()
    monitor = checks.get_check(project, code).monitor
    check_changes.resume_check(project, monitor, now=now, actor=current_actor())
    return _done(monitor.id, now)


def _done(monitor_id: UUID, now: datetime, status: int = 200) -> Response:
    """Commit, and show the check as it is then."""
    shown = _show(checks.get_by_id(current_project(), monitor_id), now)
    db.session.commit()
    return answer(shown, status)


# What belongs to one


@_route("/checks/<uuid:code>/pings", "pings")
def pings(code: UUID) -> Response:
    """List the latest pings of a check."""
    check = checks.get_check(current_project(), code)
    url = check_url(_addresses(), code)
    return answer(
        {
            "pings": [
                show_ping(
                    ping,
                    duration=None if duration is None else duration.total_seconds(),
                    body_url=f"{url}/pings/{ping.number}/body" if has_body else None,
                )
                for ping, duration, has_body in check_history.list_pings(check.monitor.id)
            ]
        }
    )


@_route("/checks/<uuid:code>/pings/<int:n>/body", "ping_body")
def ping_body(code: UUID, n: int) -> Response:
    """Show what came with a ping."""
    check = checks.get_check(current_project(), code)
    body = check_history.read_body(check.monitor.id, n)
    return Response(body, content_type="text/plain; charset=utf-8")


@_route("/checks/<uuid:code>/flips", "flips")
def flips(code: UUID) -> Response:
    """List when a check went down and up."""
    return _flips(checks.get_check(current_project(), code))


@_route("/checks/<unique_key:key>/flips", "flips_by_unique_key")
def flips_by_unique_key(key: str) -> Response:
    """List that for who does not know its address."""
    return _flips(checks.get_by_unique_key(current_project(), key))


def _flips(check: Check) -> Response:
    found = check_history.list_flips(check.monitor.id, _read_period())
    return answer([show_flip(flip.at, is_up=flip.is_up) for flip in found])


def _read_period() -> Period:
    start, end = (_read_number(name, _MAX_TIMESTAMP) for name in ("start", "end"))
    seconds = _read_number("seconds", _MAX_SECONDS)
    starts = [] if start is None else [datetime.fromtimestamp(start, UTC)]
    if seconds is not None:
        starts.append(utcnow() - timedelta(seconds=seconds))
    return Period(
        max(starts, default=None), None if end is None else datetime.fromtimestamp(end, UTC)
    )


def _read_number(name: str, max_value: int) -> int | None:
    """Return a number of the query; an empty one is none."""
    given = request.args.get(name, "")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= len(str(max_value))):
        raise ValidationFailed.one(None, f"{name} is not a number from 0 to {max_value}")
    if int(given) > max_value:
        raise ValidationFailed.one(None, f"{name} is not a number from 0 to {max_value}")
    return int(given)


# What belongs to the project


@_route("/channels", "channels")
def channels() -> Response:
    """List the channels of the organization."""
    found = channel_lists.list_channels(current_project().organization_id)
    return answer({"channels": [show_channel(channel) for channel in found]})


@_route("/badges", "badges")
def badges() -> Response:
    """List the badges of the tags, and of all checks."""
    project = current_project()
    tags = [*checks.list_tags(project), ALL]
    return answer({"badges": {tag: badge_urls(project.id, tag) for tag in tags}})


@_route("/status", _OPEN)
def status() -> Response:
    """Say that the database answers."""
    checks.ask_database()
    return Response("OK", content_type="text/plain; charset=utf-8")


def _addresses() -> Addresses:
    return Addresses(base_url(), g.version)


def _show(check: Check, now: datetime) -> dict[str, Any]:
    return show_check(
        check.monitor,
        check.figures(now),
        _addresses(),
        badge_url=badge_url_of_check(check.monitor.id),
        is_readonly=g.is_readonly,
    )


def register(app: Flask, api: Api) -> None:
    """Add the API of Healthchecks."""
    app.url_map.converters["unique_key"] = UniqueKey
    app.register_blueprint(blp)
