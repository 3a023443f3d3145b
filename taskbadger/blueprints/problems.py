"""Error pages."""

from collections.abc import Iterable

from flask import Response, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from taskbadger.logs import request_id

TITLES = {
    400: "Invalid request",
    403: "You don’t have access to this page",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    429: "Too many attempts",
    500: "Something went wrong",
    503: "Temporarily unavailable",
}
_DETAILS = {
    404: "This page does not exist, or you don’t have access to it.",
    405: "This page does not accept this kind of request.",
    413: "The request is larger than this server accepts.",
    500: "An unexpected error occurred. The server log has the details.",
}


def problem_page(
    status: int, detail: str, retry_after: int | None = None, title: str | None = None
) -> Response:
    """Return the page for an error; *title* replaces the usual one of the status."""
    title = title or TITLES.get(status, "Invalid request")
    # The frame of a page needs the database, which may be the cause of the error.
    g.bare = status >= 500
    response = make_response(
        render_template(
            "dashboard/problem.html",
            status=status,
            title=title,
            detail=detail,
            request_id=request_id() if status >= 500 else None,
        ),
        status,
    )
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def page_for(error: HTTPException) -> Response:
    """Return the page for an error of the framework, with its headers."""
    status = error.code or 500
    response = problem_page(status, _DETAILS.get(status) or error.description or error.name)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = allow_header(error.valid_methods or ())
    for name, value in error.get_headers(request.environ):
        if name == "Retry-After":
            response.headers[name] = value
    return response


def allow_header(methods: Iterable[str]) -> str:
    """Return the value of the header ``Allow``, always in the same order."""
    return ", ".join(sorted(methods))
