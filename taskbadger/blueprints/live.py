"""Live pages: conditional polling with an ETag per region."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, make_response, render_template, request


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a page; an open page receives it again only when its version changed."""

    context: Callable[[], dict[str, Any]]
    """Gives the variables that this part of the template needs; the page's own must not vary."""
    version: Callable[[], object] | None = None
    """Gives something whose ``repr`` changes whenever the region would.

    By default the region's own variables, so that none can be forgotten. Only worth writing where
    making these costs much more.
    """


class _Contexts:
    """The variables of regions, each made once and only when needed."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions
        self._made: dict[str, dict[str, Any]] = {}

    def of(self, name: str) -> dict[str, Any]:
        if name not in self._made:
            self._made[name] = self._regions[name].context()
        return self._made[name]

    def versions(self) -> str:
        """Return the digests of all regions' versions, joined by dots."""
        versions = [
            region.version() if region.version else self.of(name)
            for name, region in self._regions.items()
        ]
        return ".".join(_digest(repr(version)) for version in versions)


def is_live_request() -> bool:
    """Say whether an open page is polling, as opposed to a browser loading the page."""
    return request.headers.get("X-Live") == "1" and request.method == "GET"


def live_anchor() -> str | None:
    """Return the first row that the open page shows; newer rows are only counted."""
    return request.headers.get("X-Live-Anchor") if is_live_request() else None


def _render_again(_key: str, make: Callable[[], str]) -> str:
    return make()


def render_live(
    template: str,
    version: str,
    context: Callable[[], dict[str, Any]],
    *,
    regions: Mapping[str, Region] | None = None,
    keep: Callable[[str, Callable[[], str]], str] = _render_again,
) -> Response:
    """Respond with the page, or with 304 when it already shows this *version*.

    *version* changes whenever the page would: make it from index look-ups. *context* makes the
    template's variables and is only called when they are needed. *keep* takes a key and what makes
    the text of that key, and may give the text that it made before; it is called for open pages
    only.

    With *regions*, a new version is looked at part by part: the answer has the changed ones only
    (``shows(name)`` tells the template which), and a change elsewhere is a 304 again. What stands
    in no region is for the whole page.

    An ETag is ``version-region.region…``, each a digest.
    """
    regions = regions or {}
    # A page that needs everything sends an empty ETag.
    known = [etag for etag in request.if_none_match.as_set() if etag and is_live_request()]
    shallow = _digest(version)
    for etag in known:
        if etag.partition("-")[0] == shallow:
            return _not_changed(etag)

    contexts = _Contexts(regions)
    # Not part of the ETag: a page that was just opened has no anchor yet, but shows the same.
    anchor = live_anchor()
    key = f"{anchor} {shallow}"
    versions = keep(key, contexts.versions) if is_live_request() else contexts.versions()
    etag = f"{shallow}-{versions}"
    changed = _changed(versions, known, regions)
    if known and regions and not changed:
        return _not_changed(etag)

    def make() -> str:
        variables = context()
        for name in changed:
            variables |= contexts.of(name)
        return render_template(template, live_etag=etag, shows=changed.__contains__, **variables)

    key = f"{anchor} {etag} {' '.join(changed)}"
    response = make_response(keep(key, make) if is_live_request() else make())
    if is_live_request():
        response.set_etag(etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def _changed(versions: str, known: list[str], regions: Mapping[str, Region]) -> Collection[str]:
    """Return the regions whose current state the page does not show."""
    now = versions.split(".")
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
