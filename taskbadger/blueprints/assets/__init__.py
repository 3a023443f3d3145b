"""Serves the files under static/ and gives templates their cache-proof addresses."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, request, url_for
from flask_smorest import Api

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
FOREVER = "public, max-age=31536000, immutable"

blp = Blueprint("assets", __name__, url_prefix="/assets")


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    zipped: bytes
    version: str
    """The first 8 hexadecimal digits of the content's SHA-256."""
    mimetype: str


@blp.get("/<path:filename>")
def file(filename: str) -> Response:
    """Send a static file; one asked for by its current version may be kept forever."""
    asset = find_asset(filename)
    if asset is None:
        abort(404)
    zips = request.accept_encodings.quality("gzip") > 0
    response = Response(asset.zipped if zips else asset.body, mimetype=asset.mimetype)
    if zips:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(f"{asset.version}-gz" if zips else asset.version)
    # A page of another release may ask for a version that this process does not have.
    current = request.args.get("v") == asset.version
    response.headers["Cache-Control"] = FOREVER if current else "no-cache"
    response.make_conditional(request)
    return response


def favicon() -> Response:
    """Send the icon to browsers that look for it at its old address."""
    return file("icons/badge.svg")


def asset_url(filename: str) -> str:
    """Return the address of *filename*, which changes whenever its content does."""
    asset = find_asset(filename)
    if asset is None:
        raise FileNotFoundError(filename)
    return url_for("assets.file", filename=filename, v=asset.version)


def find_asset(filename: str) -> Asset | None:
    """Return a file below the folder, read again when it was edited; None for any other name."""
    path = FOLDER / filename
    if path not in _files():
        return None
    return _read(path, path.stat().st_mtime_ns)


@lru_cache
def _files() -> frozenset[Path]:
    """The names that may be asked for, so that no name can lead out of the folder."""
    return frozenset(path for path in FOLDER.rglob("*") if path.suffix in TYPES)


@lru_cache
def _read(path: Path, _mtime: int) -> Asset:
    body = path.read_bytes()
    return Asset(
        body=body,
        zipped=gzip.compress(body, mtime=0),
        version=hashlib.sha256(body).hexdigest()[:8],
        mimetype=TYPES[path.suffix],
    )


def register(app: Flask, api: Api) -> None:
    """Serve the files, and teach templates their addresses."""
    app.register_blueprint(blp)
    app.add_url_rule("/favicon.ico", view_func=favicon)
    app.add_template_global(asset_url)
