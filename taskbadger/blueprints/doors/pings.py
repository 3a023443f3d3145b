"""Pings, as Healthchecks has them: a job reports by one request, in plain text.

The addresses and the answers are those of https://healthchecks.io/docs/http_api/.
"""

import logging
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, g, request
from flask_smorest import Api
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException

from taskbadger.blueprints.api import access_of, base_url
from taskbadger.clock import utcnow
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.domain.monitors import is_monitor_slug
from taskbadger.domain.pings import MAX_BODY, Sent, read_body, read_end
from taskbadger.domain.scopes import ADMIN, PING
from taskbadger.errors import (
    AuthenticationFailed,
    ServiceUnavailable,
    TaskBadgerError,
    Throttled,
    ValidationFailed,
)
from taskbadger.extensions import is_outage, retried, roll_back, transaction
from taskbadger.process import current_process
from taskbadger.refusals import DETAILS, status_of
from taskbadger.schemas.pings import read_query
from taskbadger.services.pings import monitors, receive
from taskbadger.services.pings.monitors import Pinged, Retimed

log = logging.getLogger(__name__)

blp = Blueprint("pings", __name__, url_prefix="/ping")

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_MAX_READ = 2**30
_BY_ADDRESS = Actor("key", "ping")
"""Who pings by a monitor's own address."""


class _Refused(Exception):
    """A ping that is answered with a status and a few words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass(frozen=True, slots=True)
class _Found:
    """The monitor of a ping, and who pings it."""

    pinged: Pinged
    actor: Actor
    answer: tuple[int, str] = (200, "OK")


@blp.route("/<path:address>", methods=["GET", "POST"])
def ping(address: str) -> Response:
    """Record a ping."""
    first, *others = address.removesuffix("/").split("/")
    if _UUID.fullmatch(first):
        return _ping_by_address(UUID(first), others)
    return _ping_by_slug(first, others)


def _ping_by_address(ping_id: UUID, ends: list[str]) -> Response:
    sent = _read(ends)
    pinged = monitors.find_by_ping_id(ping_id)
    if pinged is None:
        return _answer(200, "OK (not found)")
    _receive(_Found(pinged, _BY_ADDRESS), sent)
    return _answer(200, "OK")


def _ping_by_slug(key: str, others: list[str]) -> Response:
    if not others or not is_monitor_slug(others[0]):
        raise _Refused(400, "invalid url format")
    slug, *ends = others
    sent = _read(ends)
    found = _find(key, slug)
    _receive(found, sent)
    return _answer(*found.answer)


def _find(key: str, slug: str) -> _Found:
    """Return the monitor of a slug, made where the request asks for that."""
    access = access_of(key)
    project = access.project
    if project is None or not access.scopes & {PING, ADMIN}:
        raise AuthenticationFailed()
    g.access = access
    pinged = monitors.find_by_slug(project, slug)
    if request.args.get("create") != "1":
        if pinged is None:
            raise _Refused(404, "not found")
        return _Found(pinged, access.actor)
    settings = _read_settings()
    if pinged is None and _make(project, slug, settings, access.actor):
        answer = (201, "Created")
    elif pinged is not None and settings:
        answer = (200, _RETIMED[_retime(pinged, settings, access.actor)])
    else:
        answer = (200, "OK")
    pinged = pinged or monitors.find_by_slug(project, slug)
    if pinged is None:
        raise ServiceUnavailable()
    return _Found(pinged, access.actor, answer)


_RETIMED = {
    Retimed.SAME: "OK",
    Retimed.CHANGED: "OK (timing changed)",
    Retimed.REFUSED: "OK (timing kept)",
}


def _read_settings() -> dict[str, Any]:
    """Return what the query says about the monitor that it makes. Healthchecks has no such."""
    try:
        return read_query(request.args)
    except ValidationFailed as error:
        words = "; ".join(f"{each.attr}: {each.detail}" for each in error.errors)
        raise _Refused(400, words) from error


def _make(project: ProjectRef, slug: str, settings: dict[str, Any], actor: Actor) -> bool:
    """Make a monitor; return False if another request was faster."""
    try:
        with transaction():
            monitors.make_monitor(project, slug, now=utcnow(), actor=actor, settings=settings)
    except ValidationFailed:
        return False
    return True


def _retime(pinged: Pinged, settings: dict[str, Any], actor: Actor) -> Retimed:
    def retime() -> Retimed:
        with transaction():
            return monitors.retime_monitor(pinged, settings, now=utcnow(), actor=actor)

    return retried(retime)


def _read(ends: list[str]) -> Sent:
    """Return what this request says, by the last part of its address, its query and its body."""
    meaning = read_end(ends[0] if ends else "") if len(ends) < 2 else None
    if meaning is None or ends == [""]:
        raise _Refused(400, "invalid url format")
    signal, exit_status = meaning
    return Sent(
        signal=signal,
        exit_status=exit_status,
        run_id=_run_id(),
        output=read_body(_body()) if request.method == "POST" else None,
        scheme=request.scheme,
        method=request.method,
        address=(request.remote_addr or "")[:45],
        user_agent=request.user_agent.string,
    )


def _run_id() -> UUID | None:
    text = request.args.get("rid")
    if text is None:
        return None
    if not _UUID.fullmatch(text.lower()):
        raise _Refused(400, "invalid uuid format")
    return UUID(text)


def _body() -> bytes:
    """Return the body, of which more than is kept is read, so that the client can send it all."""
    request.max_content_length = _MAX_READ
    kept = bytearray()
    while chunk := request.stream.read(65_536):
        kept += chunk[: MAX_BODY + 1 - len(kept)]
    return bytes(kept)


def _receive(found: _Found, sent: Sent) -> None:
    limit = current_process().settings.PING_LIMIT

    def record() -> None:
        with transaction():
            receive.receive(
                found.pinged,
                sent,
                now=utcnow(),
                actor=found.actor,
                base_url=base_url(),
                limit=limit,
            )

    retried(record)


def _answer(status: int, words: str) -> Response:
    response = Response(words, status=status, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    response.headers["Ping-Body-Limit"] = str(MAX_BODY)
    return response


@blp.after_request
def _open_to_browsers(response: Response) -> Response:
    """Let pages of other sites ping (CORS), also where they have to ask first."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST"
        response.headers["Access-Control-Allow-Headers"] = "*"
    return response


@blp.errorhandler(_Refused)
def _on_refusal(error: _Refused) -> Response:
    return _answer(error.status, error.words)


@blp.errorhandler(ParseException)
def _on_malformed_body(error: ParseException) -> Response:
    return _answer(400, DETAILS[status_of(error)][1])


@blp.errorhandler(TaskBadgerError)
def _on_error(error: TaskBadgerError) -> Response:
    if isinstance(error, AuthenticationFailed):
        return _answer(404, "not found")
    words = "rate limited" if isinstance(error, Throttled) else error.detail
    response = _answer(error.status, words)
    response.headers.update(error.retry_headers)
    return response


@blp.errorhandler(Exception)
def _on_fault(error: Exception) -> Response:
    """Answer an outage, and any fault of ours: a client that pings tries again, and reads no page.

    Raises what the framework found wrong with the request.
    """
    if isinstance(error, HTTPException):
        raise error
    roll_back()
    if not is_outage(error):
        log.error("a ping failed", exc_info=error)
    return _on_error(ServiceUnavailable())


def register(app: Flask, api: Api) -> None:
    """Add the pings."""
    app.register_blueprint(blp)
