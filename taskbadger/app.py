"""The application factory."""

import os
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map

from taskbadger import logs
from taskbadger.blueprints.api import init_api
from taskbadger.errors import SettingsError
from taskbadger.extensions import init_database, set_read_only
from taskbadger.plugins import register_all
from taskbadger.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application; without *settings* they are read from the environment.

    Raises SettingsError, and whatever a plug-in raises, with a note that names it.
    """
    settings = settings or Settings.from_env()
    app = _Server("taskbadger", instance_path=os.path.abspath("instance"), static_folder=None)
    if app.debug:
        _check_debug()
    app.config.from_object(settings)
    app.config["MAX_CONTENT_LENGTH"] = settings.MAX_BODY_BYTES
    app.extensions["taskbadger_settings"] = settings
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = _Id
    app.wsgi_app = _behind_proxies(app.wsgi_app, settings)  # type: ignore[assignment, method-assign]
    logs.init_logs(app, settings)
    init_database(app)
    app.before_request(_choose_transaction)
    app.teardown_request(lambda _error: set_read_only(False))
    register_all(app, init_api(app))
    return app


def _behind_proxies(application: "WSGIApplication", settings: Settings) -> "WSGIApplication":
    """Take the visitor's address, and what our own begins with, from where proxies say it."""
    base = urlsplit(settings.BASE_URL).path.rstrip("/")
    if base:
        application = _below(base, application)
    if settings.PROXY_HOPS:
        hops = settings.PROXY_HOPS
        # Each proxy adds to the other headers; the prefix is set by the one that cuts it off.
        application = ProxyFix(application, x_for=hops, x_proto=hops, x_host=hops, x_prefix=1)
    return application


def _below(path: str, application: "WSGIApplication") -> "WSGIApplication":
    """Let our addresses begin with *path*, unless a proxy has said with what."""

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME") or path
        return application(environ, start_response)

    return serve


class _Server(Flask):
    """Flask without asking, some fifteen times a request, whether a view is asynchronous."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func


class _Id(IntegerConverter):
    """A number in a URL: one that no column of ids can hold names nothing."""

    def __init__(self, map: Map, max: int = 2**31 - 1, **options: Any) -> None:
        super().__init__(map, max=max, **options)


def _choose_transaction() -> None:
    """Let requests that only read do so without SQLite's write lock."""
    set_read_only(request.method in ("GET", "HEAD", "OPTIONS"))


def _check_debug() -> None:
    """Raise SettingsError unless only this machine can reach a server in debug mode.

    Its error pages run code for whoever sees them. Of a WSGI server we know no address.
    """
    context = click.get_current_context(silent=True)
    if context is not None and is_loopback(context.params.get("host") or "127.0.0.1"):
        return
    raise SettingsError("debug mode (FLASK_DEBUG) is for `flask run` on a loopback address only")


def is_loopback(host: str) -> bool:
    """Say whether *host* is an address that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
