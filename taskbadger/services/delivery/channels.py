"""The channels that someone set up for an organization."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from marshmallow import Schema, ValidationError
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError

from taskbadger import channels
from taskbadger.channels import Channel, Config, Json, SendContext
from taskbadger.domain import slugs
from taskbadger.domain.identity import Actor
from taskbadger.errors import Conflict, NotFound, ValidationFailed
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig, Membership, Organization, User
from taskbadger.models.account import ROLES
from taskbadger.schemas.channels import MAX_SLUG
from taskbadger.schemas.fields import field_errors
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import Cursor, Page, keyset_of, read_number, walk

EMAIL = "email"
FAILING_FOR = timedelta(days=5)
"""A channel that has failed for this long is turned off."""
_BY_ID = keyset_of(ChannelConfig.id, read_number)


class ChannelExists(Conflict):
    """A channel of this kind already has this slug."""


@dataclass(frozen=True)
class Target:
    """The channel and config that an integration refers to."""

    channel: Channel
    config: Json
    disabled: bool = False


def check_integration(
    organization_id: int,
    integration: str,
    attr: str = "integration",
    config: Config | None = None,
) -> None:
    """Raise ValidationFailed unless *integration* is ``email`` or names a channel.

    *config*, when given, is the action's: a channel that asks for something must find it there.
    """
    target = find_target(organization_id, integration)
    if target is None:
        raise ValidationFailed.one(
            attr, f"There is no channel “{integration}” in this organization.", "does_not_exist"
        )
    if config is None or integration == EMAIL or target.channel.action_schema is Schema:
        return
    try:
        target.channel.load_action(config, target.config)
    except ValidationError as error:
        place = attr.removesuffix("integration") + "config"
        raise ValidationFailed.one(place, _first_message(error)) from error


def _first_message(error: ValidationError) -> str:
    return next(field_errors(error.messages)).detail


def find_target(organization_id: int, integration: str) -> Target | None:
    """Return the target of ``email`` or ``kind:slug``; None when there is no such channel."""
    kind, _, slug = integration.partition(":")
    channel = channels.get(kind)
    if channel is None:
        return None
    if integration == EMAIL:
        return Target(channel, {})
    row = db.session.execute(
        select(ChannelConfig.config, ChannelConfig.disabled).where(
            *_named(organization_id, integration)
        )
    ).first()
    if row is None or not slug:
        return None
    return Target(channel, json.loads(row.config), disabled=row.disabled is not None)


def integration_of(channel: ChannelConfig) -> str:
    """Return what actions call a channel: ``kind:slug``."""
    return f"{channel.kind}:{channel.slug}"


def list_page(organization_id: int, cursor: Cursor | None, size: int) -> Page[ChannelConfig]:
    """Return a page of the channels of an organization, oldest first."""
    query = select(ChannelConfig).where(ChannelConfig.organization_id == organization_id)
    return walk(query, _BY_ID, cursor, size)


def list_channels(organization_id: int) -> Sequence[ChannelConfig]:
    """Return the channels of an organization, by kind and slug."""
    return db.session.scalars(
        select(ChannelConfig)
        .where(ChannelConfig.organization_id == organization_id)
        .order_by(ChannelConfig.kind, ChannelConfig.slug)
    ).all()


def get_channel(organization_id: int, integration: str) -> ChannelConfig:
    """Return the channel ``kind:slug``; raises NotFound."""
    channel = db.session.scalar(select(ChannelConfig).where(*_named(organization_id, integration)))
    if channel is None:
        raise NotFound()
    return channel


def create_channel(
    organization_id: int,
    kind: str,
    slug: str,
    name: str,
    config: Config,
    *,
    context: SendContext,
    actor: Actor,
    now: datetime,
    enabled: bool = True,
) -> ChannelConfig:
    """Set up a channel, and record it in the audit log.

    Raises ValidationFailed and ChannelExists.
    """
    made = ChannelConfig(
        organization_id=organization_id,
        kind=kind,
        slug=slug,
        name=name,
        config=json.dumps(checked_config(kind, config, context)),
        created=now,
        updated=now,
        disabled=None if enabled else now,
    )
    try:
        with db.session.begin_nested():
            db.session.add(made)
    except IntegrityError as error:
        raise ChannelExists() from error
    audit.record(actor, organization_id, "channel.create", integration_of(made), name, now=now)
    return made


def free_slug(organization_id: int, kind: str, name: str) -> str:
    """Return a slug for a new channel, made from its name, or from its kind."""
    wanted = slugs.from_name(name, MAX_SLUG) or slugs.from_name(kind, MAX_SLUG)
    query = select(ChannelConfig.slug).where(
        ChannelConfig.organization_id == organization_id, ChannelConfig.kind == kind
    )
    return slugs.first_free(wanted, set(db.session.scalars(query)), MAX_SLUG)


def delete_channel(channel: ChannelConfig, *, actor: Actor, now: datetime) -> None:
    """Delete a channel, and record it in the audit log.

    Deliveries that wait for it are given up when they are due.
    """
    integration = integration_of(channel)
    audit.record(actor, channel.organization_id, "channel.delete", integration, now=now)
    db.session.delete(channel)
    db.session.flush()


def note_success(organization_id: int, integration: str) -> None:
    """Forget the failures of a channel."""
    db.session.execute(
        update(ChannelConfig)
        .where(*_named(organization_id, integration), ChannelConfig.failing_since.isnot(None))
        .values(failing_since=None)
    )


def note_failure(organization_id: int, integration: str, *, now: datetime) -> bool:
    """Record a failure; return whether it turned the channel off, after FAILING_FOR."""
    row = db.session.execute(
        select(ChannelConfig.id, ChannelConfig.failing_since)
        .where(*_named(organization_id, integration), ChannelConfig.disabled.is_(None))
        .with_for_update()
    ).first()
    if row is None:
        return False
    over = row.failing_since is not None and row.failing_since <= now - FAILING_FOR
    if row.failing_since is None or over:
        values = {"disabled": now} if over else {"failing_since": now}
        db.session.execute(update(ChannelConfig).where(ChannelConfig.id == row.id).values(**values))
    return over


def admin_addresses(organization_id: int) -> list[str]:
    """Return the addresses of the owners and admins of an organization, sorted."""
    return list(
        db.session.scalars(
            select(User.email)
            .join(Membership, Membership.user_id == User.id)
            .where(
                Membership.organization_id == organization_id,
                Membership.role.in_(ROLES[:2]),
                User.disabled.is_(None),
            )
            .order_by(User.email)
        )
    )


def organization_slug(organization_id: int) -> str:
    """Return the slug of an organization."""
    return db.session.scalars(
        select(Organization.slug).where(Organization.id == organization_id)
    ).one()


def _named(organization_id: int, integration: str) -> tuple[ColumnElement[bool], ...]:
    kind, _, slug = integration.partition(":")
    return (
        ChannelConfig.organization_id == organization_id,
        ChannelConfig.kind == kind,
        ChannelConfig.slug == slug,
    )


def checked_config(kind: str, config: Config, context: SendContext) -> Json:
    """Return *config* as it is to be saved; raises ValidationFailed."""
    channel = channels.get(kind)
    if channel is None:
        raise ValidationFailed.one("kind", f'"{kind}" is not a valid choice.', "invalid_choice")
    try:
        return channels.load_config(channel, config, context)
    except ValidationError as error:
        raise ValidationFailed(list(field_errors(error.messages, "config"))) from error
