"""The blueprint of the pages that need no login, and what they have in common."""

from flask import Response, render_template

from taskbadger.blueprints.dashboard.access import Pages


def hide(response: Response) -> Response:
    """Keep a link out of search engines and of other sites' logs."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


blp = Pages("public", __name__, template_folder="templates", url_prefix="/public")
blp.after_request(hide)


def missing() -> Response:
    """Answer the same whether something does not exist or is not public."""
    response = Response(render_template("public/missing.html"), 404)
    response.headers["Cache-Control"] = "no-store"
    return response
