"""What all API endpoints share: the order of checks, parsing of bodies, the OpenAPI document."""

import json
import threading
from collections.abc import Callable
from functools import lru_cache
from inspect import getdoc
from typing import Any

from flask import Blueprint as FlaskBlueprint
from flask import Flask, Response, g, request
from flask.views import View
from flask_httpauth import HTTPTokenAuth
from flask_smorest import Api as SmorestApi
from flask_smorest import Blueprint
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.utils import get_current_url
from werkzeug.urls import iri_to_uri

from taskbadger.blueprints import errors, openapi
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.identity import Access, Actor, ProjectRef
from taskbadger.errors import (
    AuthenticationFailed,
    NotAcceptable,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
    UnsupportedMediaType,
    ValidationFailed,
)
from taskbadger.extensions import db, writing
from taskbadger.process import current_process
from taskbadger.schemas.body import Members, load, read_object
from taskbadger.schemas.errors import Error
from taskbadger.schemas.tasks import Place
from taskbadger.services import throttle
from taskbadger.services.organizations import keys

auth = HTTPTokenAuth(scheme="Bearer", realm="api")
_RATE_WINDOW_SECONDS = 60


class Api(SmorestApi):
    """flask-smorest's Api with the errors of docs/contract.md#errors; pages keep werkzeug's."""

    ERROR_SCHEMA = Error

    def __init__(self, *args: Any, **options: Any) -> None:
        self._registered: list[tuple[Blueprint, str, Any]] = []
        self._lock = threading.Lock()
        super().__init__(*args, **options)

    def register_blueprint(self, blp: Blueprint, *, parameters: Any = None, **options: Any) -> None:
        """Add a blueprint. Its operations are described when somebody asks for the document.

        Most processes never do, and it is a third of what starting an application costs.
        """
        name = options.get("name", blp.name)
        self._app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        self._app.register_blueprint(blp, **options)
        self._registered.append((blp, name, parameters))

    def handle_http_exception(self, error: HTTPException) -> Any:
        """Answer an HTTPException."""
        if errors.is_api_request():
            return errors.answer_http(error)
        return error

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        with self._lock:
            if self._document is None:
                self._document = self._describe()
            return self._document

    _document: dict[str, Any] | None = None

    def _describe(self) -> dict[str, Any]:
        for blp, name, parameters in self._registered:
            blp.register_views_in_doc(self, self._app, self.spec, name=name, parameters=parameters)
            self.spec.tag({"name": name, "description": blp.description})
        keyed = {blp.name for blp, _, _ in self._registered if isinstance(blp, ApiBlueprint)}
        schemas = self.ma_plugin.converter.refs
        docstrings = {name: getdoc(key[0]) for key, name in schemas.items()}
        return openapi.polish(self.spec.to_dict(), keyed=keyed, docstrings=docstrings)

    def _openapi_json(self) -> Response:
        """Serve the document, for flask-smorest; below a path prefix it names the server."""
        document = self.document()
        if request.script_root:
            document = {**document, "servers": [{"url": request.script_root}]}
        return json_response(json.dumps(document, indent=2))


class BodyParser(FlaskParser):
    """Parses a JSON body strictly, and reports invalid fields with their codes."""

    DEFAULT_VALIDATION_STATUS = 400

    def parse(self, argmap: Any, req: Any = None, *, location: Any = None, **options: Any) -> Any:
        """Return the loaded arguments; raises TaskBadgerError."""
        if location != "json":
            return super().parse(argmap, req, location=location, **options)
        try:
            g.body = self.read_body(request.get_data(cache=False))
            return load(argmap, g.body)
        except ValidationFailed:
            # A missing task is reported before wrong fields: docs/contract.md#order-of-checks.
            g.locate(request.view_args or {})
            raise

    @staticmethod
    def read_body(body: bytes) -> Members:
        """Read a body, of which *load* then checks the fields."""
        return read_object(body)


class ApiBlueprint(Blueprint):
    """A blueprint whose endpoints ask for a key, in the order of docs/contract.md#order-of-checks.

    *locate* takes the view's arguments and raises NotFound if they name nothing. *write_scope* is
    the scope that writing requires, by default ``admin``; reading requires ``read``.
    *organization_only* refuses the keys of projects. Bodies of up to *min_body_limit* bytes are
    accepted even where the setting for all others is less.
    """

    ARGUMENTS_PARSER = BodyParser()

    def __init__(
        self,
        *args: Any,
        locate: Callable[[dict[str, Any]], None] = lambda view_args: None,
        write_scope: str | None = None,
        organization_only: bool = False,
        min_body_limit: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.min_body_limit = min_body_limit
        self.locate = locate
        self.write_scope = write_scope
        self.organization_only = organization_only
        self.url_value_preprocessor(_take_slugs)
        self.before_request(self._admit)

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any
    ) -> None:
        """Add a rule, and a second one without the trailing slash, which the document leaves out.

        ``strict_slashes`` would not do: werkzeug then answers a wrong method on it with 404.
        """
        super().add_url_rule(rule, endpoint, view_func, **options)
        if rule.endswith("/"):
            self.add_hidden_rule(rule[:-1], f"{self._endpoints[-1]}_bare", view_func, **options)

    def add_hidden_rule(self, rule: str, endpoint: str, view_func: Any, **options: Any) -> None:
        """Add a rule that the OpenAPI document leaves out."""
        if isinstance(view_func, type) and issubclass(view_func, View):
            view_func = view_func.as_view(endpoint)
        FlaskBlueprint.add_url_rule(
            self, rule, endpoint, view_func, strict_slashes=True, **_flask_options(options)
        )

    def _admit(self) -> None:
        if request.method == "OPTIONS":
            return
        check_accept(request.headers.get("Accept"))
        g.locate = self.locate
        # Nothing here holds a lock: the body arrives afterwards, which may take arbitrarily long.
        g.access = access = authenticate()
        g.project = _open(access)
        self._check_scope(access)
        check_rate(access)
        if _has_body():
            request.max_content_length = max(request.max_content_length or 0, self.min_body_limit)
            check_body()

    def _check_scope(self, access: Access) -> None:
        write_scope = self.write_scope or scopes.ADMIN
        if self.organization_only and access.project is not None:
            raise PermissionDenied()
        if not scopes.allows(access.scopes, request.method, write_scope=write_scope):
            raise PermissionDenied()


def _flask_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("tags", "parameters")}


def _take_slugs(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    for name in ("organization_slug", "project_slug"):
        if values and name in values:
            setattr(g, name, values.pop(name))


def _open(access: Access) -> ProjectRef | None:
    """Return the project of the URL, if it names one; raises NotFound if *access* has none such."""
    if "organization_slug" not in g:
        return None
    if "project_slug" in g:
        cache = current_process().projects
        return keys.open_project(access, g.organization_slug, g.project_slug, cache)
    keys.open_organization(access, g.organization_slug)
    return None


def current_project() -> ProjectRef:
    """Return the project that this request is about."""
    project: ProjectRef = g.project
    return project


def current_access() -> Access:
    """Return what the key of this request gives access to."""
    access: Access = g.access
    return access


def current_actor() -> Actor:
    """Return who makes this request."""
    actor: Actor = g.access.actor
    return actor


def authenticate() -> Access:
    """Return what the request's key gives access to.

    Raises NotAuthenticated and AuthenticationFailed.
    """
    header = auth.get_auth()
    if header is None:
        raise NotAuthenticated()
    access: Access | None = auth.authenticate(header, None)
    if access is None:  # A scheme without a token.
        raise AuthenticationFailed()
    return access


@auth.verify_token
def _verify(token: str | None) -> Access:
    return access_of(token or "")


def access_of(token: str) -> Access:
    """Return what a key gives access to, and note its use; raises AuthenticationFailed."""
    now = utcnow()
    cache = current_process().keys
    access = keys.authenticate(token, cache, now=now)
    if keys.use_is_noted(access, now=now):
        return access
    with writing():
        keys.touch_key(access, cache, now=now)
        db.session.commit()
    return access


def check_accept(accept: str | None) -> None:
    """Raise NotAcceptable unless the header accepts JSON."""
    if accept is None or accept in ("*/*", "application/json"):
        return
    if accept_quality(accept) <= 0:
        raise NotAcceptable()


_ACCEPTED = {"*/*": 1, "application/*": 2, "application/json": 3}


@lru_cache(maxsize=1000)
def accept_quality(accept: str) -> float:
    """Return the quality, 0 to 1, of JSON in an Accept header, by its most specific range."""
    best, quality = 0, 0.0
    for item in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        rank = _ACCEPTED.get(media_range, 0)
        if rank > best:
            best, quality = rank, _quality(parameters)
    return quality


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def check_rate(access: Access) -> None:
    """Count a request of a key; raises Throttled if there were too many."""
    limit = current_process().settings.RATE_LIMIT
    if not limit:
        return
    with writing():
        wait = throttle.count(
            f"key:{access.key_id}", limit=limit, seconds=_RATE_WINDOW_SECONDS, now=utcnow()
        )
        db.session.commit()
    if wait:
        raise Throttled(wait)


def _has_body() -> bool:
    """Say whether the request may have a body, by its headers (RFC 9112)."""
    environ = request.environ
    return "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ


def check_body() -> None:
    """Raise PayloadTooLarge for a body over the limit, UnsupportedMediaType unless it is JSON."""
    length = check_size()
    if length and request.mimetype != "application/json":
        raise UnsupportedMediaType(request.headers.get("Content-Type", ""))


def check_size() -> int:
    """Return the length of the body; raises PayloadTooLarge for one over the limit."""
    limit = request.max_content_length or 0
    length = request.content_length
    if length is None:
        length = _measure(limit) if "Transfer-Encoding" in request.headers else 0
    if length > limit:
        raise errors.too_large()
    return length


def _measure(limit: int) -> int:
    """Read a chunked body; return its length, or *limit* + 1 for any longer one.

    werkzeug silently truncates such a body at its limit.
    """
    request.max_content_length = limit + 1
    length = len(request.get_data(cache=True))
    request.max_content_length = limit
    return length


def base_url() -> str:
    """Return the prefix of links: the setting, or the address of this request."""
    setting = current_process().base_url
    return setting or _root_url(request.scheme, request.host, request.root_path)


@lru_cache(maxsize=1000)
def _root_url(scheme: str, host: str, root_path: str) -> str:
    # werkzeug writes an internationalized name in Unicode; a URL is ASCII.
    return iri_to_uri(get_current_url(scheme, host, root_path)).rstrip("/")


def current_place() -> Place:
    """Return what all tasks of this request's project have in common in a response."""
    project = current_project()
    return _place(project.organization, project.slug, base_url())


_place = lru_cache(maxsize=1000)(Place)


def json_response(text: str, status: int = 200) -> Response:
    """Return a response whose body is *text*, which is JSON already."""
    return Response(text, status=status, content_type="application/json")


def init_api(app: Flask) -> Api:
    """Create the Api of *app*; OpenAPI 3.0.3, like the document of the hosted service."""
    app.config.update(
        API_TITLE="Taskbadger API",
        API_VERSION="0.1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="schema.json",
    )
    api = Api(app)
    openapi.describe_fields(api.spec, api.ma_plugin.converter)
    document = app.view_functions["api-docs.openapi_json"]
    app.add_url_rule("/api/schema.json/", "openapi_bare", document, strict_slashes=True)
    return api
