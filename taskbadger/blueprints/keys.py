"""The endpoints of API keys."""

from typing import Any

from flask import Flask, Response
from flask.views import MethodView
from flask_smorest import Api
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from taskbadger.blueprints import openapi
from taskbadger.blueprints.api import ApiBlueprint, current_access, current_actor, key_cache
from taskbadger.blueprints.listing import answer, answer_page
from taskbadger.clock import utcnow
from taskbadger.domain import scopes
from taskbadger.errors import NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ApiKey, Organization, Project
from taskbadger.schemas.accounts import Key, KeyRequest, NewKey, PaginatedKeyList, show_key
from taskbadger.services import accounts, audit
from taskbadger.services.keyset import read_number, walk

blp = ApiBlueprint(
    "keys",
    __name__,
    url_prefix="/api/<organization_slug>/-/keys",
    changes=scopes.ADMIN,
)


def find_key(text: str) -> ApiKey:
    """Return a key that the key of this request may see; raises NotFound."""
    found: ApiKey | None = db.session.scalar(_visible().where(ApiKey.id == read_number(text)))
    if found is None:
        raise NotFound()
    return found


def _visible() -> Any:
    """A project key sees the keys of its project alone."""
    access = current_access()
    query = (
        select(ApiKey)
        .where(ApiKey.organization_id == access.organization_id)
        .options(joinedload(ApiKey.project))
    )
    if access.project is not None:
        query = query.where(ApiKey.project_id == access.project.id)
    return query


@blp.route("/")
class KeyList(MethodView):
    """The API keys of an organization."""

    @blp.response(200, PaginatedKeyList)
    @blp.doc(operationId="key_list", parameters=openapi.PAGING)
    def get(self) -> Response:
        """List Keys

        List the API keys, the revoked ones too, oldest first
        """
        return answer_page(lambda at, size: walk(_visible(), ApiKey.id, at, size), _show)

    @blp.arguments(KeyRequest)
    @blp.response(201, NewKey)
    @blp.doc(operationId="key_create")
    def post(self, data: dict[str, Any]) -> Response:
        """Create Key

        Create an API key; this answer alone has the secret
        """
        now = utcnow()
        _check_expires(data, now)
        organization = db.session.get_one(Organization, current_access().organization_id)
        project = _project_for(data)
        key, secret = accounts.create_key(
            organization,
            project,
            name=data["name"],
            scopes=",".join(data["scopes"]),
            expires=data["expires"],
            now=now,
        )
        detail = f"{key.prefix}, {key.scopes}, {project.slug if project else 'all projects'}"
        audit.record(current_actor(), organization.id, "key.create", key.name, detail, now=now)
        shown = {**_show(key), "key": secret}
        db.session.commit()
        response = answer(shown, 201)
        response.headers["Cache-Control"] = "no-store"
        return response


def _check_expires(data: dict[str, Any], now: Any) -> None:
    if data["expires"] is not None and data["expires"] <= now:
        raise ValidationFailed.one("expires", "Give a time in the future.")


def _project_for(data: dict[str, Any]) -> Project | None:
    """Return the project that the new key opens, None for all; raises ValidationFailed.

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
    found = db.session.scalar(
        select(Project).where(
            Project.organization_id == access.organization_id, Project.slug == slug
        )
    )
    if found is None:
        raise _no_project(slug)
    return found


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

        Revoke an API key; a second time changes nothing
        """
        now, key = utcnow(), find_key(id)
        if key.revoked is None:
            accounts.revoke_key(key.id, now=now)
            organization_id = current_access().organization_id
            audit.record(
                current_actor(), organization_id, "key.revoke", key.name, key.prefix, now=now
            )
        digest = key.digest
        db.session.commit()
        key_cache().forget(digest)
        return Response(status=204)


def _show(key: ApiKey) -> dict[str, Any]:
    project = key.project.slug if key.project else None
    return show_key(key, organization=current_access().organization, project=project)


def register(app: Flask, api: Api) -> None:
    """Add the key endpoints."""
    api.register_blueprint(blp)
