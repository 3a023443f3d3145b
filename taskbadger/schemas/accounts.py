"""The API schemas of projects, keys and members."""

from typing import Any

from marshmallow import fields

from taskbadger.clock import to_wire
from taskbadger.domain.roles import ROLES
from taskbadger.models.account import DEFAULT_SCOPES, SCOPES
from taskbadger.schemas.fields import (
    Choice,
    Flag,
    Message,
    Moment,
    RequestSchema,
    Text,
    WholeNumber,
    invalid,
)
from taskbadger.schemas.pagination import RESULTS, PageOfList

MAX_RETENTION_DAYS = 3650

SLUG = {"description": "Used in URLs and API keys. It cannot be changed."}
PUBLIC_PAGES = {"description": "Whether anyone with the link can see the public page of a task."}
PUBLIC_DATA = {"description": "Whether public pages show the data of a task."}
PUBLIC_TAGS = {"description": "Whether public pages show the tags of a task."}
RETENTION = {
    "description": "Days after which finished tasks are deleted; null to keep them forever."
}
KEY_PROJECT = {
    "description": "Slug of the project that the key is limited to; null for all projects."
}
KEY_SCOPES = {
    "description": "ingest: change tasks and actions; read: read all; admin: both, plus management."
}


def show_moment(moment: Any) -> str | None:
    """Return a time as the API shows it; None for None."""
    return None if moment is None else to_wire(moment)


class PatchedProjectRequest(RequestSchema):
    """Some settings of a project."""

    name = Text(max_length=255, min_length=1, metadata={"description": "Name of the project"})
    public_pages = Flag(metadata=PUBLIC_PAGES)
    public_data = Flag(metadata=PUBLIC_DATA)
    public_tags = Flag(metadata=PUBLIC_TAGS)
    retention_days = WholeNumber(
        min_value=1, max_value=MAX_RETENTION_DAYS, allow_none=True, metadata=RETENTION
    )


class ProjectRequest(PatchedProjectRequest):
    """A new project."""

    slug = Text(required=True, max_length=50, min_length=1, metadata=SLUG)
    name = Text(
        required=True, max_length=255, min_length=1, metadata={"description": "Name of the project"}
    )


class Project(RequestSchema):
    """A project as the API shows it."""

    organization = fields.String(
        required=True, metadata={"description": "Slug of the organization"}
    )
    slug = fields.String(required=True, metadata=SLUG)
    name = fields.String(required=True, metadata={"description": "Name of the project"})
    public_pages = Flag(required=True, metadata=PUBLIC_PAGES)
    public_data = Flag(required=True, metadata=PUBLIC_DATA)
    public_tags = Flag(required=True, metadata=PUBLIC_TAGS)
    retention_days = fields.Integer(required=True, allow_none=True, metadata=RETENTION)
    created = Moment(required=True, metadata={"description": "When the project was created."})


def show_project(project: Any, *, organization: str) -> dict[str, Any]:
    """Return what *Project* describes."""
    return {
        "organization": organization,
        "slug": project.slug,
        "name": project.name,
        "public_pages": project.public_pages,
        "public_data": project.public_data,
        "public_tags": project.public_tags,
        "retention_days": project.retention_days,
        "created": to_wire(project.created),
    }


class Scopes(fields.List[Any]):
    """What a key may do: at least one scope."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "invalid": Message("invalid", "Expected a list of scopes."),
        "null": Message("null", "This field may not be null."),
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(Choice(SCOPES), **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        loaded = super()._deserialize(value, attr, data, **kwargs)
        if not loaded:
            raise invalid("Give at least one scope.")
        return loaded


class KeyRequest(RequestSchema):
    """A new API key."""

    name = Text(
        required=True, max_length=255, min_length=1, metadata={"description": "Name of the key"}
    )
    project = Text(max_length=50, allow_none=True, metadata=KEY_PROJECT)
    scopes = Scopes(load_default=lambda: DEFAULT_SCOPES.split(","), metadata=KEY_SCOPES)
    expires = Moment(
        load_default=None,
        allow_none=True,
        metadata={"description": "When the key expires; null for never."},
    )


class Key(RequestSchema):
    """An API key as the API shows it, without its secret."""

    id = fields.Integer(required=True, metadata={"description": "ID of the key"})
    organization = fields.String(
        required=True, metadata={"description": "Slug of the organization"}
    )
    project = fields.String(required=True, allow_none=True, metadata=KEY_PROJECT)
    name = fields.String(required=True, metadata={"description": "Name of the key"})
    prefix = fields.String(
        required=True, metadata={"description": "The first characters of the secret."}
    )
    scopes = fields.List(Choice(SCOPES), required=True, metadata=KEY_SCOPES)
    created = Moment(required=True, metadata={"description": "When the key was created."})
    expires = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the key expires; null for never."},
    )
    revoked = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the key was revoked; null if it was not."},
    )
    last_used = Moment(
        required=True,
        allow_none=True,
        metadata={"description": "When the key was last used, to about a minute; null for never."},
    )


class NewKey(Key):
    """A key that was just created: the only response with its secret."""

    key = fields.String(
        required=True, metadata={"description": "The secret. It is shown only once."}
    )


def show_key(key: Any, *, organization: str, project: str | None) -> dict[str, Any]:
    """Return what *Key* describes."""
    return {
        "id": key.id,
        "organization": organization,
        "project": project,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes.split(","),
        "created": to_wire(key.created),
        "expires": show_moment(key.expires),
        "revoked": show_moment(key.revoked),
        "last_used": show_moment(key.last_used),
    }


class MemberRequest(RequestSchema):
    """A new role for a member."""

    role = Choice(ROLES, required=True, metadata={"description": "What the member may do."})


class Member(RequestSchema):
    """A member of an organization as the API shows it."""

    id = fields.Integer(required=True, metadata={"description": "ID of the membership"})
    email = fields.String(required=True, metadata={"description": "E-mail address"})
    name = fields.String(required=True, metadata={"description": "Name of the person"})
    role = Choice(ROLES, required=True, metadata={"description": "What the member may do."})
    created = Moment(required=True, metadata={"description": "When they became a member."})


def show_member(membership: Any) -> dict[str, Any]:
    """Return what *Member* describes."""
    return {
        "id": membership.id,
        "email": membership.user.email,
        "name": membership.user.name,
        "role": membership.role,
        "created": to_wire(membership.created),
    }


class PaginatedProjectList(PageOfList):
    """A page of projects, oldest first."""

    results = fields.List(fields.Nested(Project), required=True, metadata=RESULTS)


class PaginatedKeyList(PageOfList):
    """A page of keys, oldest first."""

    results = fields.List(fields.Nested(Key), required=True, metadata=RESULTS)


class PaginatedMemberList(PageOfList):
    """A page of members, oldest first."""

    results = fields.List(fields.Nested(Member), required=True, metadata=RESULTS)
