"""Decides which Host a request may name, before any link starts with it."""

from functools import lru_cache
from typing import TYPE_CHECKING

from flask import request
from werkzeug.wsgi import get_host

from taskbadger.errors import InvalidHost

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_NAME = 253
"""The most characters of a name (RFC 1035)."""
_MAX_HOST = MAX_NAME + len(":65535")


def read_host(environ: "WSGIEnvironment") -> str:
    """Return the host that a request names, with its port unless it is the scheme's own.

    Empty unless it is valid. werkzeug decides on its characters, except that ``_`` is valid too:
    containers have such names.
    """
    header = environ.get("HTTP_HOST")
    if header is not None and len(header) > _MAX_HOST:
        return ""
    server = environ["SERVER_NAME"], environ["SERVER_PORT"]
    return _read(environ["wsgi.url_scheme"], header, *server)


@lru_cache(maxsize=1000)
def _read(scheme: str, header: str | None, name: str, port: str) -> str:
    environ = {"wsgi.url_scheme": scheme, "SERVER_NAME": name, "SERVER_PORT": port}
    if header is None:
        host = get_host(environ)
    else:
        plain = get_host({**environ, "HTTP_HOST": header.replace("_", "-")})
        host = header[: len(plain)]
    return host if _has_valid_labels(host) else ""


def _has_valid_labels(host: str) -> bool:
    """Say whether werkzeug can write and read the name in URLs; its own functions raise."""
    name = host.partition(":")[0]
    try:
        name.encode("idna").decode("idna")
    except UnicodeError:
        return False
    return len(name) <= MAX_NAME


def check_host() -> None:
    """Raise InvalidHost unless the request names a valid host."""
    if not request.host:
        raise InvalidHost()
