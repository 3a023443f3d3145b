"""The one shape of an error below ``/api/``: ``{"type", "errors": [{"code", "detail", "attr"}]}``.

``/metrics`` has it, too. docs/contract.md#errors has the table. No view formats an error itself.
"""

import json
import logging
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, request
from gunicorn.http.errors import ParseException
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import (
    HTTPException,
    MethodNotAllowed,
    RequestEntityTooLarge,
)

from taskbadger.blueprints.problems import allow_header, problem_page
from taskbadger.errors import (
    FieldError,
    MalformedRequest,
    NotFound,
    PayloadTooLarge,
    ServiceUnavailable,
    TaskBadgerError,
    ValidationFailed,
)
from taskbadger.extensions import describe, is_outage, lacks_reference, roll_back
from taskbadger.process import current_process
from taskbadger.refusals import DETAILS, status_of

log = logging.getLogger(__name__)

# What RFC 9110 allows a bare HTTP error from the framework to be called here.
_CODES = {404: ("not_found", "Not found."), 400: ("parse_error", "Malformed request.")}


def is_api_request() -> bool:
    """Say whether this request is answered with the standard error JSON."""
    return request.path.startswith("/api/") or request.path in ("/api", "/metrics")


def error_response(
    status: int, kind: str, errors: Iterable[FieldError], headers: dict[str, str] | None = None
) -> Response:
    """Build the answer for one or more errors."""
    return _respond(status, _write(kind, errors), headers or {})


def _respond(status: int, body: str, headers: dict[str, str]) -> Response:
    response = Response(body, status=status, mimetype="application/json")
    response.headers.update(headers)
    return response


def _write(kind: str, errors: Iterable[FieldError]) -> str:
    found = [{"code": error.code, "detail": error.detail, "attr": error.attr} for error in errors]
    return json.dumps({"type": kind, "errors": found}, ensure_ascii=True)


def error_body(error: TaskBadgerError) -> str:
    """Return the body of the answer for what a service raised."""
    if isinstance(error, ValidationFailed):
        return _write("validation_error", error.errors)
    kind = "server_error" if error.status >= 500 else "client_error"
    return _write(kind, [FieldError(error.code, error.detail, None)])


def answer(error: TaskBadgerError) -> Response:
    """Turn what a service raised into the answer."""
    headers = error.retry_headers
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    return _respond(error.status, error_body(error), headers)


def too_large() -> PayloadTooLarge:
    """Return the error for a body over the limit, which it names."""
    return PayloadTooLarge(request.max_content_length or 0)


def answer_http(error: HTTPException) -> Response:
    """Turn an error of the framework into the answer."""
    if isinstance(error, MethodNotAllowed):
        detail = f"Method “{request.method.lower()}” not allowed."
        allow = allow_header(error.valid_methods or ())
        return _client_error(405, "method_not_allowed", detail, {"Allow": allow})
    if isinstance(error, RequestEntityTooLarge):
        return answer(too_large())
    status = error.code or 500
    if status >= 500:
        return _server_error()
    code, detail = _CODES.get(status, (error.name.lower().replace(" ", "_"), error.name + "."))
    return _client_error(status, code, detail)


def _client_error(
    status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> Response:
    return error_response(status, "client_error", [FieldError(code, detail, None)], headers)


def _server_error() -> Response:
    return error_response(
        500, "server_error", [FieldError("error", "A server error occurred.", None)]
    )


def register(app: Flask, api: Any) -> None:
    """Register the handlers of errors that are not HTTPException; ``Api`` handles those."""
    app.register_error_handler(TaskBadgerError, _on_error)
    app.register_error_handler(ParseException, _on_malformed_body)
    app.register_error_handler(DBAPIError, _on_database_error)
    app.register_error_handler(PoolTimeout, _on_database_error)


def _on_error(error: TaskBadgerError) -> Response:
    if is_api_request():
        return answer(error)
    return problem_page(error.status, error.detail, error.retry_after)


def _on_malformed_body(error: ParseException) -> Response:
    """Answer malformed chunks, which gunicorn's own workers find while a view reads the body."""
    status = status_of(error)
    code, detail = DETAILS[status]
    return _on_error(MalformedRequest(status, code, detail))


def _on_database_error(error: Exception) -> Any:
    """Answer 503 when the database is away, locked or full, and 404 for what was just deleted.

    Anything else is a fault of ours.
    """
    # The error page queries the database for the user.
    roll_back()
    if lacks_reference(error):
        log.warning("something was deleted meanwhile", extra={"error": describe(error)})
        return _on_error(NotFound())
    if not is_outage(error):
        raise error
    reason, logged = describe(error), current_process().logged_outages
    if logged.get(reason) is None:
        logged.put(reason, value=True)
        log.error("database not available", extra={"error": reason})
    return _on_error(ServiceUnavailable())
