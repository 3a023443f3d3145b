"""Pages that keep themselves up to date by asking again with the version they have."""

import hashlib
from collections.abc import Callable
from typing import Any

from flask import Response, make_response, render_template, request


def is_live_request() -> bool:
    """Tell whether an open page asks for news, rather than a person for the page."""
    return request.headers.get("X-Live") == "1" and request.method == "GET"


def live_anchor() -> str | None:
    """Return the first row that the open page shows, so that newcomers can wait above it."""
    return request.headers.get("X-Live-Anchor") if is_live_request() else None


def _make_anew(_etag: str, make: Callable[[], str]) -> str:
    return make()


def render_live(
    template: str,
    version: str,
    context: Callable[[], dict[str, Any]],
    keep: Callable[[str, Callable[[], str]], str] = _make_anew,
    detail: Callable[[], str] | None = None,
) -> Response:
    """Answer with the page, or with 304 when it already shows this *version*.

    *version* changes whenever the page would: make it from index look-ups. *context* makes the
    template's variables and is only called when they are needed. *keep* takes an ETag and what
    makes the answer, and may give the answer that it made before; it is asked for open pages only.
    *detail*, where there is one, is asked after a new version: what it gives changes only when the
    page does, so that a change elsewhere costs no new page.
    """
    anchor = live_anchor()
    shallow = _digest(f"{version}|{anchor}")
    # A page that wants to see all of it sends an empty one.
    known = {etag for etag in request.if_none_match.as_set() if etag and is_live_request()}
    if shallow in {etag.partition("-")[0] for etag in known}:
        return _not_changed(next(etag for etag in known if etag.startswith(shallow)))
    deep = _digest(f"{anchor}|{detail()}") if detail else shallow
    etag = f"{shallow}-{deep}"
    if deep in {etag.rpartition("-")[2] for etag in known}:
        return _not_changed(etag)

    def make() -> str:
        return render_template(template, live_etag=etag, **context())

    response = make_response(keep(etag, make) if is_live_request() else make())
    if is_live_request():
        response.set_etag(etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _not_changed(etag: str) -> Response:
    response = Response(status=304)
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-store"
    return response
