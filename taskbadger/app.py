"""The application factory."""

import os
import re
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import click
from flask import Flask, Request, Response, request
from flask.globals import request_ctx
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map, MapAdapter, RequestRedirect

from taskbadger import error_reports, http_figures, logs, time_limit, tracing
from taskbadger.blueprints.api import init_api
from taskbadger.blueprints.hosts import check_host, read_host
from taskbadger.blueprints.problems import allow_header
from taskbadger.errors import SettingsError
from taskbadger.extensions import db, end_session, init_database, set_transactions
from taskbadger.plugins import register_all
from taskbadger.process import init_process
from taskbadger.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application; settings default to those of the environment.

    Raises SettingsError, and any exception of a plug-in with a note that names the plug-in.
    """
    settings = settings or Settings.from_env()
    app = _Server("taskbadger", instance_path=os.path.abspath("instance"), static_folder=None)
    if app.debug:
        _check_debug()
    app.config.from_object(settings)
    app.config["SECRET_KEY_FALLBACKS"] = list(settings.SECRET_KEY_OLD)
    app.config["MAX_CONTENT_LENGTH"] = settings.MAX_BODY_BYTES
    init_process(app, settings)
    app.url_map.merge_slashes = False
    app.url_map.converters["int"] = _Id
    wrapped = _behind_proxies(app.wsgi_app, settings)
    app.wsgi_app = wrapped  # type: ignore[assignment, method-assign]  # Flask's documented way
    logs.init_logs(app, settings)
    error_reports.init_error_reports(settings)
    http_figures.init_http_figures(app)
    # After the session's own, which may still have to wait for the database.
    app.teardown_appcontext(lambda _error: time_limit.end())
    init_database(app)
    with app.app_context():
        tracing.init_tracing(app, settings, db.engine)
    # Before Flask-SQLAlchemy's own, whose error would replace an answer that is whole.
    app.teardown_appcontext(lambda _error: end_session())
    app.before_request(check_host)
    app.before_request(time_limit.begin_unless_begun)
    app.before_request(_choose_transactions)
    app.teardown_request(lambda _error: set_transactions(read_only=False))
    register_all(app, init_api(app))
    return app


def _behind_proxies(application: "WSGIApplication", settings: Settings) -> "WSGIApplication":
    """Trust the proxies' headers for the client's address and for our own path prefix."""
    base = urlsplit(settings.BASE_URL).path.rstrip("/")
    if base:
        application = _below(base, application)
    if settings.PROXY_HOPS:
        hops = settings.PROXY_HOPS
        # Each proxy appends to the other headers; only the one that strips the prefix sets it.
        application = ProxyFix(application, x_for=hops, x_proto=hops, x_host=hops, x_prefix=1)
    return application


def _below(path: str, application: "WSGIApplication") -> "WSGIApplication":
    """Prefix our URLs with *path*, unless a proxy sent a prefix."""

    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME") or path
        return application(environ, start_response)

    return serve


class _Request(Request):
    """A request whose query is ASCII: werkzeug fails on bytes that are not UTF-8."""

    def __init__(self, environ: "WSGIEnvironment", *args: Any, **options: Any) -> None:
        query = environ.get("QUERY_STRING", "")
        if not query.isascii():
            environ["QUERY_STRING"] = _ABOVE_ASCII.sub(lambda match: f"%{ord(match[0]):02X}", query)
        super().__init__(environ, *args, **options)


_ABOVE_ASCII = re.compile(r"[\x80-\xff]")


class _Server(Flask):
    """Flask with our own rules for hosts and methods, and without asynchronous views."""

    request_class = _Request

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return *func*: Flask asks about fifteen times per request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Bind the routes to the valid host of a request, or to none.

        Flask would have no adapter at all then, and the error page could not build its links.
        """
        if request is None:
            return super().create_url_adapter(None)
        host = read_host(request.environ)
        if not host:
            request.environ["HTTP_HOST"] = ""
        adapter = super().create_url_adapter(request)
        request.host = host
        if adapter is not None:
            adapter.server_name = host
        return adapter

    def raise_routing_exception(self, request: Request) -> NoReturn:
        """Raise a 405 for a path with methods of its own, not a redirect to that with a slash."""
        routes = request_ctx.url_adapter
        if routes and isinstance(request.routing_exception, RequestRedirect):
            methods = routes.allowed_methods()
            if methods:
                raise MethodNotAllowed(methods)
        super().raise_routing_exception(request)

    def make_default_options_response(self) -> Response:
        """Answer OPTIONS with the methods of the path, in order."""
        response = super().make_default_options_response()
        response.headers["Allow"] = allow_header(response.allow)
        return response


class _Id(IntegerConverter):
    """A number in a URL; one too large for a column of ids matches no route."""

    def __init__(self, map: Map, max: int = 2**31 - 1, **options: Any) -> None:
        super().__init__(map, max=max, **options)


def _choose_transactions() -> None:
    """Run requests that only read in autocommit, without SQLite's write lock."""
    set_transactions(read_only=request.method in ("GET", "HEAD", "OPTIONS"))


def _check_debug() -> None:
    """Raise SettingsError unless a server in debug mode is reachable from this machine only.

    Its error pages run code for anyone who sees them. The address of a WSGI server is unknown.
    """
    context = click.get_current_context(silent=True)
    if context is not None and is_loopback(context.params.get("host") or "127.0.0.1"):
        return
    raise SettingsError(
        "debug mode (FLASK_DEBUG) is only allowed for `flask run` on a loopback address"
    )


def is_loopback(host: str) -> bool:
    """Say whether *host* is a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
