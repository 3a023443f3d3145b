"""Answers of the API of Healthchecks: JSON, errors in its shape, and headers for other sites."""

import json
import logging
import re
from typing import Any

from flask import Blueprint, Response, request
from flask.globals import request_ctx
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoSuchPath

from taskbadger.blueprints.problems import allow_header
from taskbadger.errors import (
    AuthenticationFailed,
    NotFound,
    PermissionDenied,
    ServiceUnavailable,
    TaskBadgerError,
    Throttled,
    ValidationFailed,
)
from taskbadger.extensions import is_outage, roll_back
from taskbadger.refusals import status_of

log = logging.getLogger(__name__)

_PATH = re.compile(r"/api/v[123](?:/|$)")
_HANDLED_CODES = (400, 403, 404, 405, 413, 500)
_OWN_PATH = re.compile(
    r"/api/v[123]/(?:checks(?:/(?:[0-9A-Fa-f-]{36}|[A-Za-z0-9]{40})(?:/.*)?)?"
    r"|channels|badges|status)/?"
)
"""The other paths may be those of an organization that had such a slug before."""


def handle_errors(blp: Blueprint) -> None:
    """Let all answers of a blueprint, and those for paths that nothing has, be as here."""
    blp.after_request(_open_to_browsers)
    blp.before_app_request(_answer_unknown)
    blp.register_error_handler(TaskBadgerError, _on_error)
    # Those of the application for single codes would come before one for all.
    for error in (HTTPException, *_HANDLED_CODES):
        blp.register_error_handler(error, _on_http_error)
    blp.register_error_handler(ParseException, _on_malformed_body)
    blp.register_error_handler(Exception, _on_fault)


def answer(value: Any, status: int = 200) -> Response:
    """Return *value* as JSON."""
    response = Response(json.dumps(value), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def refuse(status: int, words: str) -> Response:
    """Return an error in the shape of Healthchecks."""
    return answer({"error": words}, status)


def _open_to_browsers(response: Response) -> Response:
    """Let pages of other sites use the API (CORS)."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    routes = request_ctx.url_adapter
    if request.method == "OPTIONS" and routes is not None:
        response.headers["Access-Control-Allow-Headers"] = "X-Api-Key"
        response.headers["Allow"] = allow = allow_header(routes.allowed_methods())
        response.headers["Access-Control-Allow-Methods"] = allow
        response.headers["Access-Control-Max-Age"] = "600"
    return response


def _on_error(error: TaskBadgerError) -> Response:
    response = refuse(error.status, _words(error))
    response.headers.update(error.retry_headers)
    return response


def _words(error: TaskBadgerError) -> str:
    if isinstance(error, ValidationFailed):
        return _words_of_fields(error)
    if isinstance(error, AuthenticationFailed) and error.detail == AuthenticationFailed.__doc__:
        return "wrong api key"
    if isinstance(error, PermissionDenied) and error.detail == PermissionDenied.__doc__:
        return "access denied, wrong api key"
    return {NotFound: "not found", Throttled: "rate limit exceeded"}.get(type(error), error.detail)


def _words_of_fields(error: ValidationFailed) -> str:
    """Return the first error, as Healthchecks does."""
    first = error.errors[0]
    if first.attr is None:
        return first.detail
    field, _, place = first.attr.partition(".")
    subject = f"an item in '{field}'" if place else field
    return f"json validation error: {subject} {first.detail}"


def _on_http_error(error: HTTPException) -> Response:
    return refuse(error.code or 500, error.name.lower())


def _on_malformed_body(error: ParseException) -> Response:
    return refuse(status_of(error), "malformed request")


def _on_fault(error: Exception) -> Response:
    roll_back()
    if is_outage(error):
        return _on_error(ServiceUnavailable())
    log.error("the API of Healthchecks failed", exc_info=error)
    return refuse(500, "a server error occurred")


def _answer_unknown() -> Response | None:
    """Answer paths and methods that no route has in the shape of this API."""
    error = request.routing_exception
    if error is None:
        return None
    if isinstance(error, MethodNotAllowed) and _OWN_PATH.fullmatch(request.path):
        response = refuse(405, f"method {request.method} not allowed")
        response.headers["Allow"] = allow_header(error.valid_methods or ())
        return _open_to_browsers(response)
    if isinstance(error, NoSuchPath) and _PATH.match(request.path):
        return _open_to_browsers(refuse(404, "not found"))
    return None
