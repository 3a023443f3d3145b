"""The forms of the settings pages."""

from datetime import timedelta
from typing import Any

from marshmallow import fields, post_load, pre_load

from taskbadger.domain.incidents import MAX_QUIET_AFTER, MIN_QUIET_AFTER, QUIET_AFTER
from taskbadger.models.account import SCOPES
from taskbadger.schemas.accounts import Days
from taskbadger.schemas.durations import TypedDuration
from taskbadger.schemas.fields import RequestSchema, Text, WholeNumber

KEY_DAYS = (0, 30, 90, 365)
"""The lifetimes of keys that the form offers, in days; 0 for unlimited."""
MAX_KEY_DAYS = 3650


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
    retention_days = Days(load_default=None)
    retention_days_success = Days(load_default=None)
    retention_days_failure = Days(load_default=None)
    retention_days_unfinished = Days(load_default=None)
    quiet_after = TypedDuration(min_value=MIN_QUIET_AFTER, max_value=MAX_QUIET_AFTER)

    @pre_load
    def shape(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Remove empty values, so that an empty retention is None.

        An empty time until incidents close is the usual one.
        """
        shaped = {name: value for name, value in data.items() if value or name == "name"}
        if "quiet_after" in data:
            shaped["quiet_after"] = data["quiet_after"].strip() or str(QUIET_AFTER)
        return shaped


class KeyForm(RequestSchema):
    """A new key: a checkbox per scope, and the project's slug, empty for all projects."""

    name = Text(max_length=255, required=True)
    project = Text(max_length=50, blank=True, load_default="")
    days = WholeNumber(min_value=0, max_value=MAX_KEY_DAYS, load_default=0)
    scope_ingest = fields.Boolean(load_default=False)
    scope_read = fields.Boolean(load_default=False)
    scope_ping = fields.Boolean(load_default=False)
    scope_admin = fields.Boolean(load_default=False)

    @post_load
    def sum_up(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Convert days to a timedelta, None for unlimited, and checkboxes to scopes."""
        days = data.pop("days")
        scopes = [scope for scope in SCOPES if data.pop(f"scope_{scope}")]
        lasting = timedelta(days=days) if days else None
        return {**data, "lasting": lasting, "scopes": ",".join(scopes)}
