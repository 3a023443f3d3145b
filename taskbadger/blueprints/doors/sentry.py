"""Check-ins, as Sentry takes them: in the envelopes of its clients, or by one request.

The answers are those of https://github.com/getsentry/relay. What Sentry only finds out once it
has answered, such as a monitor that does not exist, is in the header ``X-Sentry-Error``.
"""

import logging
from io import BytesIO
from typing import Any
from uuid import UUID

from flask import Blueprint, Flask, Response, request
from flask_smorest import Api
from werkzeug.routing import BaseConverter

from taskbadger.blueprints.doors.sentry_access import admit, admit_by_header, find_key
from taskbadger.blueprints.doors.sentry_answers import Refused, answer, handle_errors, throttled
from taskbadger.blueprints.doors.sentry_check_ins import take, take_all
from taskbadger.domain import envelopes
from taskbadger.domain.envelopes import TooLarge, read_json
from taskbadger.process import current_process

log = logging.getLogger(__name__)

blp = Blueprint("sentry", __name__, url_prefix="/api/<int:project_id>")
handle_errors(blp)

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
"""All of them reach the views, so that the wrong ones get an answer in Sentry's shape."""
OURS = ("failures", "monitors", "queues", "tasks")
"""What follows a project in addresses of our own API: an organization may be called 5, and its
project cron, so no monitor has these names in an address."""


class _Slug(BaseConverter):
    """What a client calls a monitor."""

    regex = rf"(?!(?:{'|'.join(OURS)})$)[^/]+"
    part_isolating = True


@blp.route("/envelope", methods=_METHODS, endpoint="envelope_bare")
@blp.route("/envelope/", methods=_METHODS)
def envelope(project_id: int) -> Response:
    """Take the check-ins of an envelope, and drop all else."""
    _allow("POST")
    sent_key = find_key()
    access = None if sent_key is None else admit(project_id, sent_key)
    content = _open_body()
    header = envelopes.read_header(content)
    access = admit_by_header(project_id, header, sent_key, access)
    found = envelopes.read_items(content, header)
    if found.dropped:
        log.debug("items of other kinds dropped", extra={"items": dict(found.dropped)})
    outcome = take_all(access, found)
    if outcome.wait:
        raise throttled(outcome.wait)
    event_id = header.get("event_id")
    return answer(200, {"id": event_id} if isinstance(event_id, str) else {}, outcome)


@blp.route("/store", methods=_METHODS, endpoint="store_bare")
@blp.route("/store/", methods=_METHODS)
def store(project_id: int) -> Response:
    """Drop an event of an old client."""
    _allow("POST")
    admit(project_id, find_key())
    return answer(200, {})


@blp.route("/cron/<monitor_slug:slug>", methods=_METHODS, endpoint="cron_bare")
@blp.route("/cron/<monitor_slug:slug>/", methods=_METHODS)
@blp.route("/cron/<monitor_slug:slug>/<key>", methods=_METHODS, endpoint="cron_with_key_bare")
@blp.route("/cron/<monitor_slug:slug>/<key>/", methods=_METHODS, endpoint="cron_with_key")
def cron(project_id: int, slug: str, key: str | None = None) -> Response:
    """Take one check-in."""
    _allow("GET", "HEAD", "POST")
    access = admit(project_id, find_key(key))
    outcome = take(access, [{**_read_request(), "monitor_slug": slug}])
    # Clients of this address know nothing of rates: it never answers 429.
    return answer(202, None, outcome)


def _allow(*methods: str) -> None:
    if request.method not in methods:
        raise Refused(405, "method not allowed", {"Allow": ", ".join(methods)})


def _open_body() -> Any:
    """Return the content of the body, decompressed as it is read."""
    limit = current_process().settings.MAX_BODY_BYTES
    if (request.content_length or 0) > limit:
        raise TooLarge
    request.max_content_length = limit + 1  # `envelopes` finds what is over the limit.
    encoding = request.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if encoding not in envelopes.ENCODINGS:
        accepted = ", ".join(envelopes.ENCODINGS[1:])
        raise Refused(415, "unsupported content encoding", {"Accept-Encoding": accepted})
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
        raise Refused(400, "failed to deserialize query string: missing field `status`")
    try:
        if "check_in_id" in fields:
            fields["check_in_id"] = str(UUID(fields["check_in_id"]))
        if "duration" in request.args:
            fields["duration"] = float(request.args["duration"])
    except ValueError as error:
        raise Refused(400, "failed to deserialize query string") from error
    return fields


def _read_json_body() -> dict[str, Any]:
    body = _open_body().read(envelopes.MAX_CHECK_IN + 1)
    if len(body) > envelopes.MAX_CHECK_IN:
        raise TooLarge
    try:
        found = read_json(body)
    except ValueError as error:
        raise Refused(400, "invalid JSON data") from error
    if not isinstance(found, dict) or not isinstance(found.get("status"), str):
        raise Refused(422, "failed to deserialize check in: missing field `status`")
    return found


def register(app: Flask, api: Api) -> None:
    """Add the check-ins."""
    app.url_map.converters["monitor_slug"] = _Slug
    app.register_blueprint(blp)
