"""Pages that keep themselves up to date by asking again with the version they have."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, make_response, render_template, request


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page that an open page gets again only when it looks different."""

    stamp: Callable[[], object]
    """Gives something whose ``repr`` changes whenever the region would; cheaper than the region."""
    context: Callable[[], dict[str, Any]]
    """Gives the variables that only this part of the template needs."""


def is_live_request() -> bool:
    """Tell whether an open page asks for news, rather than a person for the page."""
    return request.headers.get("X-Live") == "1" and request.method == "GET"


def live_anchor() -> str | None:
    """Return the first row that the open page shows, so that newcomers can wait above it."""
    return request.headers.get("X-Live-Anchor") if is_live_request() else None


def _make_anew(_key: str, make: Callable[[], str]) -> str:
    return make()


def render_live(
    template: str,
    version: str,
    context: Callable[[], dict[str, Any]],
    *,
    regions: Mapping[str, Region] | None = None,
    keep: Callable[[str, Callable[[], str]], str] = _make_anew,
) -> Response:
    """Answer with the page, or with 304 when it already shows this *version*.

    *version* changes whenever the page would: make it from index look-ups. *context* makes the
    template's variables and is only called when they are needed. *keep* takes a key and what makes
    the text of that key, and may give the text that it made before; it is asked for open pages
    only.

    With *regions*, a new version is looked at part by part: the answer has the changed ones only
    (``shows(name)`` tells the template which), and a change elsewhere is a 304 again. What stands
    in no region is for the whole page.

    An ETag is ``version-region.region…``, each a digest.
    """
    regions = regions or {}
    # A page that wants to see all of it sends an empty one.
    known = [etag for etag in request.if_none_match.as_set() if etag and is_live_request()]
    shallow = _digest(version)
    for etag in known:
        if etag.partition("-")[0] == shallow:
            return _not_changed(etag)

    def stamp() -> str:
        return ".".join(_digest(repr(one.stamp())) for one in regions.values())

    # Not in the ETag: a page that was just opened sends one, and shows what it did without.
    anchor = live_anchor()
    stamps = keep(f"{anchor} {shallow}", stamp) if is_live_request() else stamp()
    etag = f"{shallow}-{stamps}"
    changed = _changed(stamps, known, regions)
    if known and regions and not changed:
        return _not_changed(etag)

    def make() -> str:
        variables = context()
        for name in changed:
            variables |= regions[name].context()
        return render_template(template, live_etag=etag, shows=changed.__contains__, **variables)

    key = f"{anchor} {etag} {' '.join(changed)}"
    response = make_response(keep(key, make) if is_live_request() else make())
    if is_live_request():
        response.set_etag(etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def _changed(stamps: str, known: list[str], regions: Mapping[str, Region]) -> Collection[str]:
    """Return the regions of which the page does not show the present state."""
    now = stamps.split(".")
    seen = known[0].partition("-")[2].split(".") if known else []
    if len(seen) != len(now):
        return list(regions)
    return [name for name, old, new in zip(regions, seen, now, strict=False) if old != new]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _not_changed(etag: str) -> Response:
    response = Response(status=304)
    response.set_etag(etag)
    response.headers["Cache-Control"] = "no-store"
    return response
