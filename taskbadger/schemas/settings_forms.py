"""The forms of the settings pages."""

from datetime import timedelta
from typing import Any

from marshmallow import fields, post_load, pre_load

from taskbadger.models.account import SCOPES
from taskbadger.schemas.fields import RequestSchema, Text, WholeNumber

KEY_DAYS = (0, 30, 90, 365)
"""The lifetimes of keys that the form offers, in days; 0 for unlimited."""
MAX_KEY_DAYS = 3650
MAX_RETENTION_DAYS = 3650


class NewProjectForm(RequestSchema):
    """A new project. Without a slug, one is derived from the name."""

    name = Text(max_length=255, required=True)
    slug = Text(max_length=50, blank=True, load_default="")


class ProjectForm(RequestSchema):
    """A project's settings. Browsers do not send cleared checkboxes."""

    name = Text(max_length=255, required=True)
    public_pages = fields.Boolean(load_default=False)
    public_data = fields.Boolean(load_default=False)
    public_tags = fields.Boolean(load_default=False)
    retention_days = WholeNumber(
        min_value=1, max_value=MAX_RETENTION_DAYS, allow_none=True, load_default=None
    )

    @pre_load
    def empty_is_none(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Remove empty values, so that an empty number is None."""
        return {name: value for name, value in data.items() if value or name == "name"}


class KeyForm(RequestSchema):
    """A new key: a checkbox per scope, and the project's slug, empty for all projects."""

    name = Text(max_length=255, required=True)
    project = Text(max_length=50, blank=True, load_default="")
    days = WholeNumber(min_value=0, max_value=MAX_KEY_DAYS, load_default=0)
    scope_ingest = fields.Boolean(load_default=False)
    scope_read = fields.Boolean(load_default=False)
    scope_admin = fields.Boolean(load_default=False)

    @post_load
    def sum_up(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Convert days to a timedelta, None for unlimited, and checkboxes to scopes."""
        days = data.pop("days")
        scopes = [scope for scope in SCOPES if data.pop(f"scope_{scope}")]
        lasting = timedelta(days=days) if days else None
        return {**data, "lasting": lasting, "scopes": ",".join(scopes)}
