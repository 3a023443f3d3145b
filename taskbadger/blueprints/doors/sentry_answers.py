"""Answers of Sentry's check-ins: JSON, errors in its shape, and headers for browsers."""

import json
import logging
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException

from taskbadger.domain.envelopes import BadBody, BadEnvelope, TooLarge
from taskbadger.errors import ServiceUnavailable, TaskBadgerError
from taskbadger.extensions import is_outage, roll_back

log = logging.getLogger(__name__)

_TOO_LARGE = 413


class Refused(Exception):
    """A request that is answered with an error of Sentry's."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers or {}


@dataclass(slots=True)
class Outcome:
    """What became of some check-ins."""

    problems: list[str]
    wait: int = 0
    """Seconds until more are taken, if some were too many."""


def handle_errors(blp: Blueprint) -> None:
    """Let all answers of a blueprint be as here."""
    blp.after_request(_open_to_browsers)
    blp.register_error_handler(Refused, _on_refusal)
    blp.register_error_handler(TooLarge, _on_too_large)
    blp.register_error_handler(BadEnvelope, _on_bad_envelope)
    blp.register_error_handler(BadBody, _on_bad_body)
    blp.register_error_handler(ParseException, _on_bad_body)
    blp.register_error_handler(TaskBadgerError, _on_error)
    for code in (400, 413):
        blp.register_error_handler(code, _on_fault)
    blp.register_error_handler(Exception, _on_fault)


def throttled(seconds: int) -> Refused:
    """Return what tells a client to wait so many seconds."""
    headers = {
        "Retry-After": str(seconds),
        "X-Sentry-Rate-Limits": f"{seconds}:monitor:key",
    }
    return Refused(429, "too many check-ins of a monitor", headers)


def answer(status: int, content: Any, outcome: Outcome | None = None) -> Response:
    """Return *content* as JSON, or no body for None, with the problems in a header."""
    body = "" if content is None else json.dumps(content)
    response = Response(body, status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    if outcome is not None and outcome.problems:
        response.headers["X-Sentry-Error"] = _in_header("; ".join(outcome.problems))
    return response


def _in_header(text: str) -> str:
    plain = text.translate({ord("“"): '"', ord("”"): '"'}).encode("ascii", "replace").decode()
    return "".join(each if each.isprintable() else " " for each in plain)[:1000]


def fail(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error in Sentry's shape."""
    response = answer(status, {"detail": detail}, Outcome([detail]))
    response.headers.update(headers or {})
    return response


def _open_to_browsers(response: Response) -> Response:
    """Let clients in browsers send, and see what became of it (CORS)."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    exposed = "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After"
    response.headers["Access-Control-Expose-Headers"] = exposed
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "POST"
        response.headers["Access-Control-Allow-Headers"] = "*"
    return response


def _on_refusal(error: Refused) -> Response:
    return fail(error.status, error.detail, error.headers)


def _on_too_large(_error: TooLarge) -> Response:
    return fail(_TOO_LARGE, "envelope exceeded size limits")


def _on_bad_envelope(error: BadEnvelope) -> Response:
    response = fail(400, "invalid event envelope")
    response.data = json.dumps({"detail": "invalid event envelope", "causes": [str(error)]})
    return response


def _on_bad_body(_error: Exception) -> Response:
    return fail(400, "invalid request body")


def _on_error(error: TaskBadgerError) -> Response:
    return fail(error.status, error.detail, error.retry_headers)


def _on_fault(error: Exception) -> Response:
    """Answer what is wrong with the request, an outage, and any fault of ours.

    No client is to stop because of us.
    """
    if isinstance(error, HTTPException):
        return fail(error.code or 400, error.name.lower())
    roll_back()
    if not is_outage(error):
        log.error("a check-in failed", exc_info=error)
    return _on_error(ServiceUnavailable())
