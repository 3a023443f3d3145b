"""Answers to requests that reach no application, in the standard error shape."""

import json
from http import HTTPStatus

from gunicorn.http import errors as http_errors

_REFUSALS: dict[type[Exception], HTTPStatus] = {
    http_errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    http_errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    http_errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    http_errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    http_errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
    http_errors.ParseException: HTTPStatus.BAD_REQUEST,
}
"""How each error of the parser is answered: the first class that fits."""
DETAILS = {
    HTTPStatus.BAD_REQUEST: ("parse_error", "Malformed HTTP request."),
    HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "The request was not received in time."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        "payload_too_large",
        "The request body has too many chunks.",
    ),
    HTTPStatus.REQUEST_URI_TOO_LONG: ("uri_too_long", "The request line is too long."),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "headers_too_large",
        "The request's headers are too large.",
    ),
    HTTPStatus.EXPECTATION_FAILED: ("expectation_failed", "Only 100-continue can be expected."),
    HTTPStatus.NOT_IMPLEMENTED: ("not_implemented", "Only chunked transfer coding is supported."),
    HTTPStatus.INTERNAL_SERVER_ERROR: ("error", "A server error occurred."),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "service_unavailable",
        "Too many requests are being received. Try again.",
    ),
}


def refusal(status: HTTPStatus) -> bytes:
    """Return a whole HTTP answer in the standard error shape, for what reaches no application."""
    code, detail = DETAILS[status]
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "client_error"
    error = {"code": code, "detail": detail, "attr": None}
    body = json.dumps({"type": kind, "errors": [error]}).encode()
    retry = "Retry-After: 5\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body


def status_of(error: Exception) -> HTTPStatus:
    """Return how an error of gunicorn's parser is answered; 500 for any other."""
    found = (status for kind, status in _REFUSALS.items() if isinstance(error, kind))
    return next(found, HTTPStatus.INTERNAL_SERVER_ERROR)
