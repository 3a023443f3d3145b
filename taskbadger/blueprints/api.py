"""What all API endpoints share: the order of checks, reading bodies, and the OpenAPI document."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flask import Blueprint as FlaskBlueprint
from flask import Flask, Response, current_app, g, request
from flask_httpauth import HTTPTokenAuth
from flask_smorest import Api as SmorestApi
from flask_smorest import Blueprint
from marshmallow import Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.utils import get_current_url

from taskbadger.blueprints import errors, openapi
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import (
    AuthenticationFailed,
    NotAcceptable,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
    UnsupportedMediaType,
    ValidationFailed,
)
from taskbadger.extensions import db, reading, writing
from taskbadger.schemas.body import read_object
from taskbadger.schemas.errors import Error
from taskbadger.schemas.fields import field_errors
from taskbadger.schemas.tasks import Place
from taskbadger.services import accounts, throttle
from taskbadger.services.accounts import Access, Actor, KeyCache, ProjectRef

auth = HTTPTokenAuth(scheme="Bearer", realm="api")
_RATE_WINDOW_SECONDS = 60


class Api(SmorestApi):
    """flask-smorest's Api, with the error shape of the contract; pages keep werkzeug's HTML."""

    ERROR_SCHEMA = Error

    def handle_http_exception(self, error: HTTPException) -> Any:
        """Answer an HTTPException."""
        if errors.is_api_request():
            return errors.answer_http(error)
        return error

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if self._document is None:
            self._document = openapi.polish(self.spec.to_dict())
        return self._document

    _document: dict[str, Any] | None = None

    def _openapi_json(self) -> Response:
        """Serve the document; flask-smorest calls this. Only below a prefix it names a server."""
        document = self.document()
        if request.script_root:
            document = {**document, "servers": [{"url": request.script_root}]}
        return json_response(json.dumps(document, indent=2))


class BodyParser(FlaskParser):
    """Reads a JSON body strictly, and reports wrong fields with their codes."""

    DEFAULT_VALIDATION_STATUS = 400

    def parse(self, argmap: Any, req: Any = None, *, location: Any = None, **options: Any) -> Any:
        """Return the loaded arguments; raises TaskBadgerError."""
        if location != "json":
            return super().parse(argmap, req, location=location, **options)
        schema = _schema(argmap)
        try:
            g.body, wrong = read_object(request.get_data(cache=False))
            loaded = schema.load(g.body)
        except ValidationError as error:
            known = {lone.attr for lone in wrong}
            wrong += [found for found in field_errors(error.messages) if found.attr not in known]
        except ValidationFailed as error:
            wrong = list(error.errors)
        if not wrong:
            return loaded
        # A task that does not exist comes before its wrong fields: the contract's order.
        g.locate(request.view_args or {})
        raise ValidationFailed(wrong)


@lru_cache(maxsize=100)
def _instance(schema: type[Schema]) -> Schema:
    return schema()


def _schema(argmap: Any) -> Schema:
    return argmap if isinstance(argmap, Schema) else _instance(argmap)


class ApiBlueprint(Blueprint):
    """A blueprint whose endpoints ask for a key, in the contract's order of checks (section 3).

    *locate* takes the view's arguments and raises NotFound where they name nothing. *changes* is
    the scope that a key needs for all but reading, which needs ``read``; each blueprint names one,
    and one that does not asks for ``admin``. *organization_only* turns the keys of projects away.
    """

    ARGUMENTS_PARSER = BodyParser()

    def __init__(
        self,
        *args: Any,
        locate: Callable[[dict[str, Any]], None] = lambda view_args: None,
        changes: str | None = None,
        organization_only: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.locate = locate
        self.changes = changes
        self.organization_only = organization_only
        self.url_value_preprocessor(_take_slugs)
        self.before_request(self._admit)

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any
    ) -> None:
        """Add a rule, and outside the document its twin without the trailing slash.

        Not ``strict_slashes``: werkzeug then answers a wrong method on the twin with 404.
        """
        super().add_url_rule(rule, endpoint, view_func, **options)
        if rule.endswith("/"):
            self.add_hidden_rule(rule[:-1], f"{self._endpoints[-1]}_bare", view_func, **options)

    def add_hidden_rule(self, rule: str, endpoint: str, view_func: Any, **options: Any) -> None:
        """Add a rule that the OpenAPI document leaves out."""
        if isinstance(view_func, type):
            view_func = view_func.as_view(endpoint)  # type: ignore[attr-defined]
        FlaskBlueprint.add_url_rule(
            self, rule, endpoint, view_func, strict_slashes=True, **_flask_options(options)
        )

    def _admit(self) -> None:
        if request.method == "OPTIONS":
            return
        check_accept(request.headers.get("Accept"))
        g.locate = self.locate
        # No lock while the body comes in, which the client may send as slowly as it likes.
        with reading():
            g.access = authenticate()
            g.project = None
            if "project_slug" in g:
                g.project = accounts.open_project(
                    g.access, g.organization_slug, g.project_slug, key_cache()
                )
            elif "organization_slug" in g:
                accounts.open_organization(g.access, g.organization_slug)
        self._check_scope(g.access)
        _check_rate(g.access)
        check_body()

    def _check_scope(self, access: Access) -> None:
        changes = self.changes or scopes.ADMIN
        if self.organization_only and access.project is not None:
            raise PermissionDenied()
        if not scopes.allows(access.scopes, request.method, changes=changes):
            raise PermissionDenied()


def _flask_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in ("tags", "parameters")}


def _take_slugs(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    for name in ("organization_slug", "project_slug"):
        if values and name in values:
            setattr(g, name, values.pop(name))


def current_project() -> ProjectRef:
    """Return the project that this request is about."""
    project: ProjectRef = g.project
    return project


def current_access() -> Access:
    """Return what the key of this request opens."""
    access: Access = g.access
    return access


def current_actor() -> Actor:
    """Return who makes this request."""
    actor: Actor = g.access.actor
    return actor


def key_cache() -> KeyCache:
    """Return what this process knows of keys."""
    cache: KeyCache = current_app.extensions["taskbadger_keys"]
    return cache


def authenticate() -> Access:
    """Return what the request's key opens; raises NotAuthenticated and AuthenticationFailed."""
    header = auth.get_auth()
    if header is None:
        raise NotAuthenticated()
    access: Access | None = auth.authenticate(header, None)
    if access is None:  # The scheme stands alone, without a token.
        raise AuthenticationFailed()
    return access


@auth.verify_token
def _verify(token: str | None) -> Access:
    now = utcnow()
    access = accounts.authenticate(token or "", key_cache(), now=now)
    if accounts.use_is_noted(access, now=now):
        return access
    with writing():
        accounts.touch_key(access, key_cache(), now=now)
        db.session.commit()
    return access


def check_accept(accept: str | None) -> None:
    """Raise NotAcceptable unless the header takes JSON."""
    if accept is None or accept in ("*/*", "application/json"):
        return
    if accept_quality(accept) <= 0:
        raise NotAcceptable()


_ACCEPTED = {"*/*": 1, "application/*": 2, "application/json": 3}


@lru_cache(maxsize=1000)
def accept_quality(accept: str) -> float:
    """Return how much an Accept header wants JSON, 0 to 1: its most specific range decides."""
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


def _check_rate(access: Access) -> None:
    limit = current_app.config["RATE_LIMIT"]
    if not limit:
        return
    with writing():
        wait = throttle.count(
            f"key:{access.key_id}", limit=limit, seconds=_RATE_WINDOW_SECONDS, now=utcnow()
        )
        db.session.commit()
    if wait:
        raise Throttled(wait)


def check_body() -> None:
    """Raise PayloadTooLarge for a body over the limit, UnsupportedMediaType for other than JSON."""
    limit = request.max_content_length or 0
    length = request.content_length
    if length is None:
        length = _measure(limit) if "Transfer-Encoding" in request.headers else 0
    if length > limit:
        raise errors.too_large()
    if length and request.mimetype != "application/json":
        raise UnsupportedMediaType(request.headers.get("Content-Type", ""))


def _measure(limit: int) -> int:
    """Read a body that comes in chunks; return its length, or *limit* + 1 for any longer one.

    werkzeug cuts such a body off where its limit is, without a word.
    """
    request.max_content_length = limit + 1
    length = len(request.get_data(cache=True))
    request.max_content_length = limit
    return length


def base_url() -> str:
    """Return what links start with: the setting, or the address that this request came to."""
    setting: str = current_app.config["BASE_URL"].rstrip("/")
    return setting or _root_url(request.scheme, request.host, request.root_path)


@lru_cache(maxsize=1000)
def _root_url(scheme: str, host: str, root_path: str) -> str:
    return get_current_url(scheme, host, root_path).rstrip("/")


def current_place() -> Place:
    """Return what the tasks of this request's project share in an answer."""
    project = current_project()
    return _place(project.organization, project.slug, base_url())


_place = lru_cache(maxsize=1000)(Place)


def json_response(text: str, status: int = 200) -> Response:
    """Return an answer whose body is JSON *text* already."""
    return Response(text, status=status, content_type="application/json")


def init_api(app: Flask) -> Api:
    """Make the Api of *app*: OpenAPI 3.0.3, as the hosted service's own document."""
    app.config.update(
        API_TITLE="Taskbadger API",
        API_VERSION="0.1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/api",
        OPENAPI_JSON_PATH="schema.json",
    )
    app.extensions["taskbadger_keys"] = KeyCache()
    api = Api(app)
    openapi.describe_fields(api.spec, api.ma_plugin.converter)
    app.extensions["taskbadger_api"] = api
    document = app.view_functions["api-docs.openapi_json"]
    app.add_url_rule("/api/schema.json/", "openapi_bare", document, strict_slashes=True)
    return api
