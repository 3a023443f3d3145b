"""Redirects to the pages of this server, and to no other."""

from urllib.parse import urlsplit

from flask import flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from taskbadger.blueprints.dashboard import drafts
from taskbadger.blueprints.dashboard.visit import COOKIE, find_visit, forget_cookie
from taskbadger.blueprints.live import is_live_request


def to_sign_in(path: str | None = None, *, keeps_draft: bool = False) -> AnyResponse:
    """Redirect to the sign-in page, which leads to *path* afterwards, or back to this page.

    With *keeps_draft*, the form that this request sends is filled in then.
    """
    wanted, draft = path or request.full_path.rstrip("?"), None
    if path is None and request.method not in ("GET", "HEAD"):
        wanted = _referring_path()
        draft = drafts.keep_typed(wanted) if keeps_draft else None
    response = redirect(url_for("dashboard.sign_in", next=draft or wanted or None), 303)
    if COOKIE in request.cookies and not is_live_request() and find_visit() is None:
        kept = " What you typed is kept." if draft else ""
        flash(f"Your session has ended. Sign in to continue.{kept}", "warning")
        forget_cookie(response)
    return response


def _referring_path() -> str:
    """Return the page of this server that a form was sent from, without the server's prefix."""
    parts = urlsplit(request.referrer or "")
    if parts.netloc != request.host or not parts.path.startswith(request.script_root):
        return ""
    path = parts.path.removeprefix(request.script_root)
    return safe_path(f"{path}?{parts.query}" if parts.query else path)


def safe_path(path: str | None) -> str:
    """Return *path* if it leads to a page of this server, else an empty string."""
    if not path or not path.startswith("/") or path.startswith(("//", "/\\")):
        return ""
    if not path.isprintable() or "\\" in path:
        return ""
    return path


def to_next(path: str | None) -> AnyResponse:
    """Redirect to the page *path* of this server, or to the start."""
    return redirect(request.script_root + (safe_path(path) or "/"), 303)
