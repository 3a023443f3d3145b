"""The forms of the settings pages."""

from datetime import timedelta
from typing import Any

from marshmallow import fields, post_load, pre_load

from taskbadger.models.account import SCOPES
from taskbadger.schemas.fields import RequestSchema, Text, WholeNumber

KEY_DAYS = (0, 30, 90, 365)
"""For how many days a key may be made; 0 for good."""
MOST_KEY_DAYS = 3650
MOST_RETENTION_DAYS = 3650


class NewProjectForm(RequestSchema):
    """A new project; without a slug the name suggests one."""

    name = Text(max_length=255, required=True)
    slug = Text(max_length=50, blank=True, load_default="")


class ProjectForm(RequestSchema):
    """A project's settings. A box that is not ticked is not sent."""

    name = Text(max_length=255, required=True)
    public_pages = fields.Boolean(load_default=False)
    public_data = fields.Boolean(load_default=False)
    public_tags = fields.Boolean(load_default=False)
    retention_days = WholeNumber(
        min_value=1, max_value=MOST_RETENTION_DAYS, allow_none=True, load_default=None
    )

    @pre_load
    def empty_is_none(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Take an empty number for none."""
        return {name: value for name, value in data.items() if value or name == "name"}


class KeyForm(RequestSchema):
    """A new key: one box per scope, and the project's slug, or nothing for all projects."""

    name = Text(max_length=255, required=True)
    project = Text(max_length=50, blank=True, load_default="")
    days = WholeNumber(min_value=0, max_value=MOST_KEY_DAYS, load_default=0)
    scope_ingest = fields.Boolean(load_default=False)
    scope_read = fields.Boolean(load_default=False)
    scope_admin = fields.Boolean(load_default=False)

    @post_load
    def sum_up(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Turn the days into a span, None for a key without an end, and the boxes into scopes."""
        days = data.pop("days")
        scopes = [scope for scope in SCOPES if data.pop(f"scope_{scope}")]
        lasting = timedelta(days=days) if days else None
        return {**data, "lasting": lasting, "scopes": ",".join(scopes)}
