"""What a person sees when a page cannot be shown."""

from flask import Response, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException

TITLES = {
    400: "That did not work",
    403: "Not allowed",
    404: "Not found",
    405: "That cannot be done here",
    413: "Too large",
    429: "Too many attempts",
    500: "Something went wrong",
    503: "Not available at the moment",
}
_DETAILS = {
    404: "There is nothing at this address, or it is not yours to see.",
    405: "This address answers other requests only.",
    413: "What you sent is larger than this server takes.",
    500: "The server made a mistake. It is in the log.",
}


def problem_page(
    status: int, detail: str, retry_after: int | None = None, title: str | None = None
) -> Response:
    """Return the page for an error, with *title* where the usual one of the status says less."""
    title = title or TITLES.get(status, "That did not work")
    # What surrounds a page is read from the database, which may be the trouble.
    g.bare = status >= 500
    response = make_response(
        render_template("dashboard/problem.html", status=status, title=title, detail=detail),
        status,
    )
    response.headers["Cache-Control"] = "no-store"
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def page_for(error: HTTPException) -> Response:
    """Return the page for an error of the framework, with the headers that belong to it."""
    status = error.code or 500
    response = problem_page(status, _DETAILS.get(status) or error.description or error.name)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response
