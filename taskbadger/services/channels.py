"""The channels that someone set up for an organization."""

from sqlalchemy import select

from taskbadger.errors import ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig


def check_integration(organization_id: int, integration: str, attr: str = "integration") -> None:
    """Raise ValidationFailed unless *integration* is ``email`` or names a channel."""
    if integration == "email":
        return
    kind, _, slug = integration.partition(":")
    found = db.session.scalar(
        select(ChannelConfig.id).where(
            ChannelConfig.organization_id == organization_id,
            ChannelConfig.kind == kind,
            ChannelConfig.slug == slug,
        )
    )
    if found is None:
        raise ValidationFailed.one(
            attr, f"There is no channel “{integration}” in this organization.", "does_not_exist"
        )
