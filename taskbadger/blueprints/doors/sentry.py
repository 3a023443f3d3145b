"""Check-ins, as Sentry takes them: in the envelopes of its clients, or by one request.

The answers are those of https://github.com/getsentry/relay. What Sentry only finds out once it
has answered, such as a monitor that does not exist, is in the header ``X-Sentry-Error``.
"""

import base64
import binascii
import json
import logging
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any
from urllib.parse import unquote
from uuid import UUID

from flask import Blueprint, Flask, Response, g, request
from flask_smorest import Api
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from taskbadger.blueprints.api import access_of, base_url
from taskbadger.clock import utcnow
from taskbadger.domain import envelopes
from taskbadger.domain.check_ins import (
    DEFAULTS,
    BadCheckIn,
    BadConfig,
    CheckIn,
    read_check_in,
    read_dsn,
    settings_of,
)
from taskbadger.domain.envelopes import BadBody, BadEnvelope, Envelope, TooLarge, read_json
from taskbadger.domain.identity import Access, Actor, ProjectRef
from taskbadger.domain.keys import secret_of
from taskbadger.domain.pings import ENDS, Sent, Signal
from taskbadger.domain.scopes import ADMIN, PING
from taskbadger.errors import (
    AuthenticationFailed,
    NotFound,
    ServiceUnavailable,
    TaskBadgerError,
    Throttled,
    ValidationFailed,
)
from taskbadger.extensions import is_outage, retried, roll_back, transaction
from taskbadger.process import current_process
from taskbadger.services.pings import monitors
from taskbadger.services.pings.check_ins import find_end, keep_end, receive_check_in
from taskbadger.services.pings.monitors import Pinged

log = logging.getLogger(__name__)

blp = Blueprint("sentry", __name__, url_prefix="/api/<int:project_id>")

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
"""All of them reach the views, so that the wrong ones get an answer in Sentry's shape."""
_MAX_VERSION = 7
_TOO_LARGE = 413
OURS = ("failures", "monitors", "queues", "tasks")
"""What follows a project in addresses of our own API: an organization may be called 5, and its
project cron, so no monitor has these names in an address."""


class _Slug(BaseConverter):
    """What a client calls a monitor."""

    regex = rf"(?!(?:{'|'.join(OURS)})$)[^/]+"
    part_isolating = True


class _Refused(Exception):
    """A request that is answered with an error of Sentry's."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


@dataclass(slots=True)
class _Outcome:
    """What became of some check-ins."""

    problems: list[str]
    wait: int = 0
    """Seconds until more are taken, if some were too many."""


@blp.route("/envelope", methods=_METHODS, endpoint="envelope_bare")
@blp.route("/envelope/", methods=_METHODS)
def envelope(project_id: int) -> Response:
    """Take the check-ins of an envelope, and drop all else."""
    _allow("POST")
    sent_key = _sent_key()
    access = None if sent_key is None else _admit(project_id, sent_key)
    content = _open_body()
    header = envelopes.read_header(content)
    access = _admit_by_header(project_id, header, sent_key, access)
    found = envelopes.read_items(content, header)
    if found.dropped:
        log.debug("items of other kinds dropped", extra={"items": dict(found.dropped)})
    outcome = _take_all(access, found)
    if outcome.wait:
        raise _throttled(outcome.wait)
    event_id = header.get("event_id")
    return _answer(200, {"id": event_id} if isinstance(event_id, str) else {}, outcome)


@blp.route("/store", methods=_METHODS, endpoint="store_bare")
@blp.route("/store/", methods=_METHODS)
def store(project_id: int) -> Response:
    """Drop an event of an old client."""
    _allow("POST")
    _admit(project_id, _sent_key())
    return _answer(200, {})


@blp.route("/cron/<monitor_slug:slug>", methods=_METHODS, endpoint="cron_bare")
@blp.route("/cron/<monitor_slug:slug>/", methods=_METHODS)
@blp.route("/cron/<monitor_slug:slug>/<key>", methods=_METHODS, endpoint="cron_with_key_bare")
@blp.route("/cron/<monitor_slug:slug>/<key>/", methods=_METHODS, endpoint="cron_with_key")
def cron(project_id: int, slug: str, key: str | None = None) -> Response:
    """Take one check-in."""
    _allow("GET", "HEAD", "POST")
    access = _admit(project_id, _sent_key(key))
    outcome = _take(access, [{**_read_request(), "monitor_slug": slug}])
    # Clients of this address know nothing of rates: it never answers 429.
    return _answer(202, None, outcome)


def _allow(*methods: str) -> None:
    if request.method not in methods:
        raise _Refused(405, "method not allowed", {"Allow": ", ".join(methods)})


def _sent_key(in_path: str | None = None) -> str | None:
    """Return the public key of a request, wherever it has it; None if it has none."""
    found = {_key_of_header("X-Sentry-Auth"), _key_of_header("Authorization"), _key_of_query()}
    found = {key for key in (*found, in_path) if key is not None}
    if len(found) > 1:
        raise _Refused(401, "multiple authorization payloads detected")
    return next(iter(found), None)


def _key_of_header(name: str) -> str | None:
    scheme, _, parameters = request.headers.get(name, "").partition(" ")
    if scheme.lower() == "basic" and name == "Authorization":
        return _key_of_basic(parameters)
    if scheme.lower() != "sentry":
        return None
    pairs = (pair.partition("=") for pair in parameters.split(","))
    fields = {name.strip(): unquote(value.strip().strip('"')) for name, _, value in pairs}
    return _key_of(fields)


def _key_of_basic(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[0] or None
    except (binascii.Error, ValueError):
        return None


def _key_of_query() -> str | None:
    return (
        _key_of(request.args) if any(name.startswith("sentry_") for name in request.args) else None
    )


def _key_of(fields: Any) -> str:
    key, version = fields.get("sentry_key"), fields.get("sentry_version", "")
    if not key:
        raise _Refused(401, "bad x-sentry-auth header")
    if version.isdecimal() and int(version[:9]) > _MAX_VERSION:
        raise _Refused(400, f"unsupported protocol version ({version[:9]})")
    return str(key)


def _admit(project_id: int, key: str | None) -> Access:
    """Return what a public key gives access to; only the right one for the project is let in."""
    if key is None:
        raise _Refused(401, "missing authorization information")
    secret = secret_of(key)
    if secret is None:
        raise _Refused(400, "bad sentry DSN public key")
    try:
        access = access_of(secret)
    except AuthenticationFailed:
        access = None
    if (
        access is None
        or access.project is None
        or access.project.id != project_id
        or not access.scopes & {PING, ADMIN}
    ):
        raise _Refused(403, "event submission rejected with_reason: ProjectId")
    g.access = access
    return access


def _admit_by_header(
    project_id: int, header: dict[str, Any], sent_key: str | None, access: Access | None
) -> Access:
    """Return the access of a request, or of its envelope, which must not contradict it."""
    if "dsn" not in header:
        return access or _admit(project_id, None)
    dsn = read_dsn(header["dsn"])
    if dsn is None:
        raise BadEnvelope("invalid envelope header")
    key, project = dsn
    if project != str(project_id):
        raise BadEnvelope("project id header mismatch between envelope and request")
    if access is None:
        return _admit(project_id, key)
    if key != sent_key:
        raise BadEnvelope("public key header mismatch between envelope and request")
    return access


def _open_body() -> Any:
    """Return the content of the body, decompressed as it is read."""
    limit = current_process().settings.MAX_BODY_BYTES
    if (request.content_length or 0) > limit:
        raise TooLarge
    request.max_content_length = limit + 1  # `envelopes` finds what is over the limit.
    encoding = request.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in envelopes.ENCODINGS:
        accepted = ", ".join(envelopes.ENCODINGS[1:])
        raise _Refused(415, "unsupported content encoding", {"Accept-Encoding": accepted})
    # The web server has no more of a chunked body that is over the limit.
    body = BytesIO(request.get_data(cache=False))
    return envelopes.open_body(body, encoding, limit)


def _read_request() -> dict[str, Any]:
    """Return the fields of a check-in that a request has in its JSON, or else in its query."""
    if request.mimetype == "application/json" and request.method == "POST":
        return _read_json_body()
    fields: dict[str, Any] = {
        name: request.args[name]
        for name in ("status", "check_in_id", "environment")
        if name in request.args
    }
    if "status" not in fields:
        raise _Refused(400, "failed to deserialize query string: missing field `status`")
    try:
        if "check_in_id" in fields:
            fields["check_in_id"] = str(UUID(fields["check_in_id"]))
        if "duration" in request.args:
            fields["duration"] = float(request.args["duration"])
    except ValueError as error:
        raise _Refused(400, "failed to deserialize query string") from error
    return fields


def _read_json_body() -> dict[str, Any]:
    body = _open_body().read(envelopes.MAX_CHECK_IN + 1)
    if len(body) > envelopes.MAX_CHECK_IN:
        raise TooLarge
    try:
        found = read_json(body)
    except ValueError as error:
        raise _Refused(400, "invalid JSON data") from error
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise _Refused(422, "failed to deserialize check in: missing field `status`")
    return found


def _take_all(access: Access, envelope: Envelope) -> _Outcome:
    """Take the check-ins of an envelope; each for itself, as it is read in full by now."""
    found: list[Any] = []
    for payload in envelope.check_ins:
        try:
            found.append(read_json(payload))
        except ValueError:
            found.append(None)
    return _take(access, found)


def _take(access: Access, sent: list[Any]) -> _Outcome:
    outcome = _Outcome([])
    for found in sent:
        try:
            problems = _take_one(access, read_check_in(found))
        except BadCheckIn as error:
            problems = [str(error)]
        except Throttled as error:
            problems = ["rate limited"]
            outcome.wait = max(outcome.wait, error.retry_after)
        for problem in problems:
            slug = found.get("monitor_slug") if isinstance(found, dict) else None
            log.warning("check-in dropped", extra={"monitor": str(slug)[:100], "reason": problem})
        outcome.problems += problems
    return outcome


def _take_one(access: Access, check_in: CheckIn) -> list[str]:
    """Take a check-in, and set its monitor up as it says; return what was wrong with it."""
    project, actor = access.project, access.actor
    if project is None:  # `_admit` lets no such key in.
        raise NotFound
    problems = []
    pinged = before = monitors.find_by_slug(project, check_in.slug)
    if check_in.config is not None:
        try:
            pinged = _set_up(project, check_in, pinged, actor)
        except BadConfig as error:
            problems.append(f"monitor_config: {error}")
        except ValidationFailed as error:
            problems.append(f"monitor_config: {error.detail}")
        except NotFound:
            pinged = None  # It was deleted meanwhile.
    sent = _sent(check_in)
    if pinged is None and sent.signal in ENDS:
        with transaction():
            keep_end(project, sent, now=utcnow())
        pinged = monitors.find_by_slug(project, check_in.slug)
    if pinged is None:
        return [*problems, "there is no such monitor"]
    if not _receive(pinged, sent, actor) and sent.signal in ENDS:
        problems.append("the check-in is finished")
    elif before is None and sent.signal is Signal.START:
        _end_at_once(project, pinged, sent, actor)
    return problems


def _end_at_once(project: ProjectRef, pinged: Pinged, sent: Sent, actor: Actor) -> None:
    """End the first run of a monitor if its end came before the monitor was there."""
    end = find_end(project, sent.run_id) if sent.run_id else None
    if end is not None:
        _receive(pinged, replace(sent, signal=end), actor)


def _set_up(
    project: ProjectRef, check_in: CheckIn, pinged: Pinged | None, actor: Actor
) -> Pinged | None:
    """Make a monitor, or change one that pings have set up; raises BadConfig, ValidationFailed."""
    settings = settings_of(check_in.config or {})
    if pinged is not None and monitors.has_settings(pinged, settings):
        return pinged

    def save() -> None:
        now = utcnow()
        with transaction():
            if pinged is None:
                wanted = {"name": check_in.slug, **DEFAULTS, **settings}
                monitors.make_monitor(project, check_in.slug, now=now, actor=actor, settings=wanted)
            else:
                monitors.retime_monitor(pinged, settings, now=now, actor=actor)

    try:
        retried(save)
    except (NotFound, ValidationFailed):
        found = monitors.find_by_slug(project, check_in.slug)
        if pinged is not None or found is None:
            raise
        return found  # Another request was faster.
    return monitors.find_by_slug(project, check_in.slug)


def _sent(check_in: CheckIn) -> Sent:
    return Sent(
        signal=check_in.signal,
        run_id=check_in.id,
        environment=check_in.environment,
        duration=check_in.duration,
        scheme=request.scheme,
        method=request.method,
        address=(request.remote_addr or "")[:45],
        user_agent=request.user_agent.string,
    )


def _receive(pinged: Pinged, sent: Sent, actor: Actor) -> bool:
    """Record a check-in; return False if its run was over."""
    limit = current_process().settings.PING_LIMIT

    def record() -> bool:
        with transaction():
            return receive_check_in(
                pinged, sent, now=utcnow(), actor=actor, base_url=base_url(), limit=limit
            )

    return retried(record)


def _throttled(seconds: int) -> _Refused:
    headers = {
        "Retry-After": str(seconds),
        "X-Sentry-Rate-Limits": f"{seconds}:monitor:key",
    }
    return _Refused(429, "too many check-ins of a monitor", headers)


def _answer(status: int, content: Any, outcome: _Outcome | None = None) -> Response:
    body = "" if content is None else json.dumps(content)
    response = Response(body, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if outcome is not None and outcome.problems:
        response.headers["X-Sentry-Error"] = _in_header("; ".join(outcome.problems))
    return response


def _in_header(text: str) -> str:
    plain = text.translate({ord("“"): '"', ord("”"): '"'}).encode("ascii", "replace").decode()
    return "".join(each if each.isprintable() else " " for each in plain)[:1000]


def _fail(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    response = _answer(status, {"detail": detail}, _Outcome([detail]))
    response.headers.update(headers or {})
    return response


@blp.after_request
def _open_to_browsers(response: Response) -> Response:
    """Let clients in browsers send, and see what became of it (CORS)."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    exposed = "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After"
    response.headers["Access-Control-Expose-Headers"] = exposed
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "*"
    return response


@blp.errorhandler(_Refused)
def _on_refusal(error: _Refused) -> Response:
    return _fail(error.status, error.detail, error.headers)


@blp.errorhandler(TooLarge)
def _on_too_large(_error: TooLarge) -> Response:
    return _fail(_TOO_LARGE, "envelope exceeded size limits")


@blp.errorhandler(BadEnvelope)
def _on_bad_envelope(error: BadEnvelope) -> Response:
    response = _fail(400, "invalid event envelope")
    response.data = json.dumps({"detail": "invalid event envelope", "causes": [str(error)]})
    return response


@blp.errorhandler(BadBody)
@blp.errorhandler(ParseException)
def _on_bad_body(_error: Exception) -> Response:
    return _fail(400, "invalid request body")


@blp.errorhandler(TaskBadgerError)
def _on_error(error: TaskBadgerError) -> Response:
    retry_after = getattr(error, "retry_after", None)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return _fail(error.status, error.detail, headers)


@blp.errorhandler(400)
@blp.errorhandler(413)
@blp.errorhandler(Exception)
def _on_fault(error: Exception) -> Response:
    """Answer what is wrong with the request, an outage, and any fault of ours.

    No client is to stop because of us.
    """
    if isinstance(error, HTTPException):
        return _fail(error.code or 400, error.name.lower())
    roll_back()
    if not is_outage(error):
        log.error("a check-in failed", exc_info=error)
    return _on_error(ServiceUnavailable())


def register(app: Flask, api: Api) -> None:
    """Add the check-ins."""
    app.url_map.converters["monitor_slug"] = _Slug
    app.register_blueprint(blp)
