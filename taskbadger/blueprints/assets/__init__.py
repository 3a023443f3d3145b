"""Serves the files below static/, and gives templates URLs that change with their content.

A style sheet is sent joined with what it imports. Scripts import each other by URLs of this kind.
"""

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, current_app, request, url_for
from flask_smorest import Api

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
_IMPORT = re.compile(rb'^(import [^"]*")\./([^"]+)";$', re.MULTILINE)
_PART = re.compile(rb'^@import "\./(styles/[^"]+)";$', re.MULTILINE)
FOREVER = "public, max-age=31536000, immutable"

blp = Blueprint("assets", __name__, url_prefix="/assets")


@dataclass(frozen=True)
class Asset:
    """A static file, ready to send."""

    body: bytes
    zipped: bytes
    version: str
    """The first 8 hexadecimal digits of the content's SHA-256."""
    mimetype: str


@blp.get("/<path:filename>")
def file(filename: str) -> Response:
    """Send a static file; a URL with the current version may be cached forever."""
    asset = find_asset(filename)
    if asset is None:
        abort(404)
    zips = request.accept_encodings.quality("gzip") > 0
    response = Response(asset.zipped if zips else asset.body, mimetype=asset.mimetype)
    if zips:
        response.content_encoding = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(f"{asset.version}-gz" if zips else asset.version)
    # A page of another release may request a version that this process does not have.
    current = request.args.get("v") == asset.version
    response.headers["Cache-Control"] = FOREVER if current else "no-cache"
    response.make_conditional(request)
    return response


def favicon() -> Response:
    """Send the icon to browsers that request the traditional URL."""
    return file("icons/badge.svg")


def asset_url(filename: str) -> str:
    """Return the URL of *filename*, which changes with its content; raises FileNotFoundError."""
    asset = find_asset(filename)
    if asset is None:
        raise FileNotFoundError(filename)
    return url_for("assets.file", filename=filename, v=asset.version)


def find_asset(filename: str) -> Asset | None:
    """Return a static file, in debug mode read again after it was edited; None for other names."""
    path = FOLDER / filename
    if path not in _files():
        return None
    return _read(path, _edited(path) if current_app.debug else 0)


@lru_cache
def _files() -> frozenset[Path]:
    """Return the paths that are served; a name cannot lead out of the folder."""
    return frozenset(path for path in FOLDER.rglob("*") if path.suffix in TYPES)


@lru_cache
def _modules() -> tuple[Path, ...]:
    """The scripts that may import each other."""
    return tuple(FOLDER.glob("*.js"))


@lru_cache
def _parts() -> tuple[Path, ...]:
    """The style sheets that others may import."""
    return tuple(FOLDER.glob("styles/*.css"))


def _edited(path: Path) -> int:
    """Return when *path*, or any file that its content may depend on, was edited."""
    paths = _modules() if path in _modules() else (path,)
    if path.suffix == ".css":
        paths += _parts()
    return max(each.stat().st_mtime_ns for each in paths)


@lru_cache
def _read(path: Path, edited: int) -> Asset:
    body = path.read_bytes()
    if path in _modules():
        # Imported modules get cache-proof addresses, too; the importer's version covers theirs.
        body = _IMPORT.sub(lambda match: _versioned(match, edited), body)
    elif path.suffix == ".css":
        body = _PART.sub(lambda match: (FOLDER / match[1].decode()).read_bytes(), body)
    return Asset(
        body=body,
        zipped=gzip.compress(body, mtime=0),
        version=hashlib.sha256(body).hexdigest()[:8],
        mimetype=TYPES[path.suffix],
    )


def _versioned(match: re.Match[bytes], edited: int) -> bytes:
    name = match[2].decode()
    version = _read(FOLDER / name, edited).version
    return match[1] + f'./{name}?v={version}";'.encode()


def register(app: Flask, api: Api) -> None:
    """Serve the files, and give templates their URLs."""
    app.register_blueprint(blp)
    app.add_url_rule("/favicon.ico", view_func=favicon)
    app.add_template_global(asset_url)
