"""The API schemas of projects, keys and members."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from taskbadger.clock import to_wire
from taskbadger.domain.incidents import MAX_QUIET_AFTER, MIN_QUIET_AFTER
from taskbadger.domain.retention import MAX_RETENTION_DAYS
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

SLUG = {"description": "Used in URLs and API keys. It cannot be changed."}
PUBLIC_PAGES = {
    "description": "Whether anyone with the link can see the public page of a task, a name or a "
    "monitor."
}
PUBLIC_DATA = {"description": "Whether public pages show the data of a task."}
PUBLIC_TAGS = {"description": "Whether public pages show the tags of a task."}
RETENTION = {
    "description": "Days after which tasks are deleted, from their end, or from the last change of"
    " those that have not ended; null to keep them forever."
}
SUCCESS_RETENTION = {"description": "The same for successes; null for retention_days."}
FAILURE_RETENTION = {
    "description": "The same for tasks that ended in error; null for retention_days."
}
UNFINISHED_RETENTION = {
    "description": "The same for tasks that have not ended; null for retention_days."
}
QUIET = {
    "description": "Seconds after which an incident of a name closes if nothing else has failed:"
    " 300 to 2592000."
}
KEY_PROJECT = {
    "description": "Slug of the project that the key is limited to; null for all projects."
}
KEY_SCOPES = {
    "description": "ingest: change tasks and actions; read: read all; ping: ping the monitors of "
    "one project; admin: all, plus management."
}

UNKNOWN = Message("invalid", "Unknown field.")


def show_moment(moment: Any) -> str | None:
    """Return a time as the API shows it; None for None."""
    return None if moment is None else to_wire(moment)


class Days(WholeNumber):
    """For how long tasks are kept; None for ever, or as long as the others."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=MAX_RETENTION_DAYS, allow_none=True, **kwargs)


class PatchedProjectRequest(RequestSchema):
    """Some settings of a project."""

    name = Text(max_length=255, min_length=1, metadata={"description": "Name of the project"})
    public_pages = Flag(metadata=PUBLIC_PAGES)
    public_data = Flag(metadata=PUBLIC_DATA)
    public_tags = Flag(metadata=PUBLIC_TAGS)
    retention_days = Days(metadata=RETENTION)
    retention_days_success = Days(metadata=SUCCESS_RETENTION)
    retention_days_failure = Days(metadata=FAILURE_RETENTION)
    retention_days_unfinished = Days(metadata=UNFINISHED_RETENTION)
    quiet_after = WholeNumber(min_value=MIN_QUIET_AFTER, max_value=MAX_QUIET_AFTER, metadata=QUIET)

    @validates_schema(pass_original=True)
    def check_names(self, _data: Any, original: Any, **_: Any) -> None:
        """Refuse unknown kinds of retention: to ignore one would keep, or delete, too much."""
        unknown = [name for name in original if name not in self.fields]
        wrong = {name: [UNKNOWN] for name in unknown if name.startswith("retention")}
        if wrong:
            raise ValidationError(wrong)


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
    retention_days_success = fields.Integer(
        required=True, allow_none=True, metadata=SUCCESS_RETENTION
    )
    retention_days_failure = fields.Integer(
        required=True, allow_none=True, metadata=FAILURE_RETENTION
    )
    retention_days_unfinished = fields.Integer(
        required=True, allow_none=True, metadata=UNFINISHED_RETENTION
    )
    quiet_after = fields.Integer(required=True, metadata=QUIET)
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
        "retention_days_success": project.retention_days_success,
        "retention_days_failure": project.retention_days_failure,
        "retention_days_unfinished": project.retention_days_unfinished,
        "quiet_after": project.quiet_after,
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
    ping_url = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Only with the scope ping: what the addresses of pings begin with; the "
            "slug of a monitor follows."
        },
    )
    dsn = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Only with the scope ping: the DSN for clients of Sentry."},
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
