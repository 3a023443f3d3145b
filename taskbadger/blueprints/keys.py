"""The endpoints of API keys."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, base_url, current_access, current_actor
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.domain.identity import Access
from taskbadger.domain.keys import parse_token, public_key
from taskbadger.domain.pings import ping_url
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey, Organization, Project
from taskbadger.process import current_process
from taskbadger.schemas.accounts import Key, KeyRequest, NewKey, PaginatedKeyList, show_key
from taskbadger.services.organizations import keys, projects
from taskbadger.services.pagination import Cursor, Page, read_number

blp = ApiBlueprint(
    "keys",
    __name__,
    url_prefix="/api/<organization_slug>/-/keys",
    write_scope=scopes.ADMIN,
)


def find_key(text: str) -> ApiKey:
    """Return a key that the key of this request may see; raises NotFound."""
    access = current_access()
    return keys.find_key(
        access.organization_id, read_number(text), project_id=_only_project(access)
    )


def _only_project(access: Access) -> int | None:
    """Return the only project whose keys *access* shows; None for those of the organization."""
    return None if access.project is None else access.project.id


def _page(cursor: Cursor | None, size: int) -> Page[ApiKey]:
    access = current_access()
    return keys.page_of_keys(access.organization_id, cursor, size, project_id=_only_project(access))


@blp.route("/")
class KeyList(MethodView):
    """The API keys of an organization."""

    @blp.response(200, PaginatedKeyList)
    @blp.doc(operationId="key_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Keys

        List the API keys, including revoked ones, oldest first
        """
        return answer_page(_page, _show)

    @blp.arguments(KeyRequest)
    @blp.response(201, NewKey)
    @blp.doc(operationId="key_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Key

        Create an API key; only this response contains the secret
        """
        now = utcnow()
        _check_expires(data, now)
        organization = db.session.get_one(Organization, current_access().organization_id)
        project = _project_for(data)
        key, secret = keys.create_key(
            organization,
            project,
            name=data["name"],
            scopes=",".join(data["scopes"]),
            expires=data["expires"],
            actor=current_actor(),
            now=now,
        )
        shown = {**_show(key), "key": secret, **addresses(project, secret, data["scopes"])}
        db.session.commit()
        response = answer(shown, 201)
        response.headers["Cache-Control"] = "no-store"
        return response


def addresses(
    project: Project | None, shown: str, key_scopes: Collection[str]
) -> dict[str, str | None]:
    """Return the addresses for pings of a new key, which users see as *shown*."""
    token = parse_token(shown)
    if token is None or project is None or scopes.PING not in key_scopes:
        return {"ping_url": None, "dsn": None}
    base = base_url()
    scheme, _, rest = base.partition("://")
    return {
        "ping_url": ping_url(base, token.secret),
        "dsn": f"{scheme}://{public_key(token.secret)}@{rest}/{project.id}",
    }


def _check_expires(data: dict[str, Any], now: datetime) -> None:
    if data["expires"] is not None and data["expires"] <= now:
        raise ValidationFailed.one("expires", "Give a time in the future.")


def _project_for(data: dict[str, Any]) -> Project | None:
    """Return the project of the new key, None for all projects; raises ValidationFailed.

    A project key makes keys for its own project, which it need not name.
    """
    access = current_access()
    slug = data.get("project")
    if access.project is not None:
        slug = data.get("project", access.project.slug)
        if slug != access.project.slug:
            raise _no_project(slug)
    if slug is None:
        return None
    try:
        return projects.find_project(access.organization_id, slug)
    except NotFound as error:
        raise _no_project(slug) from error


def _no_project(slug: str | None) -> ValidationFailed:
    if slug is None:
        detail = "A project key makes keys for its own project only."
        return ValidationFailed.one("project", detail, "does_not_exist")
    detail = f"There is no project “{slug}” that this key opens."
    return ValidationFailed.one("project", detail, "does_not_exist")


@blp.route("/<id>/")
class KeyDetail(MethodView):
    """One API key."""

    @blp.response(200, Key)
    @blp.doc(operationId="key_get")
    def get(self, id: str) -> Response:
        """Get Key

        Fetch an API key, without its secret
        """
        return answer(_show(find_key(id)))

    @blp.response(204)
    @blp.doc(operationId="key_revoke")
    def delete(self, id: str) -> Response:
        """Revoke Key

        Revoke an API key; revoking it again changes nothing
        """
        key = find_key(id)
        keys.revoke_key(key, actor=current_actor(), now=utcnow())
        digest = key.digest
        db.session.commit()
        current_process().keys.forget(digest)
        return Response(status=204)


def _show(key: ApiKey) -> dict[str, Any]:
    project = key.project.slug if key.project else None
    return show_key(key, organization=current_access().organization, project=project)


def register(app: Flask, api: Api) -> None:
    """Add the key endpoints."""
    api.register_blueprint(blp)
