"""Changing the settings of channels: secrets are written and kept, but never shown."""

import json
from datetime import datetime
from typing import TypedDict

from taskbadger import channels as kinds
from taskbadger.channels import Config, Json, SendContext
from taskbadger.domain.changes import IsSecret
from taskbadger.domain.identity import Actor
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.outbound import PORTS, OutboundError, parse_url
from taskbadger.services.delivery import channels, outbox
from taskbadger.services.organizations import audit

_SERVER_FIELDS = ("url", "server")
"""The fields of a config that say where messages go."""


class ChannelChanges(TypedDict, total=False):
    """What people change of a channel."""

    name: str
    config: Config
    """The whole config, except that secrets left out are kept; null removes one."""
    enabled: bool


def split(channel: ChannelConfig) -> tuple[Json, list[str]]:
    """Return a channel's config without its secrets, and the names of those.

    If the kind is no longer known, every field counts as secret.
    """
    config: Json = json.loads(channel.config)
    secret = secret_fields(channel.kind)
    hidden = sorted(config) if secret is None else [name for name in secret if config.get(name)]
    return {name: config[name] for name in config if name not in hidden}, hidden


def secret_fields(kind: str) -> tuple[str, ...] | None:
    """Return the names of the fields that are secret; None for a kind that nobody knows."""
    known = kinds.get(kind)
    return None if known is None else known.secret_fields


def generated_secrets(channel: ChannelConfig, sent: Config, *, before: Config) -> Json:
    """Return the secrets that the server generated because *sent* had none; they are shown once.

    *before* is the previous config.
    """
    config: Json = json.loads(channel.config)
    return {
        name: config[name]
        for name in secret_fields(channel.kind) or ()
        if config.get(name) and config[name] != before.get(name) and sent.get(name) is None
    }


def fields_of(channel: ChannelConfig) -> dict[str, object]:
    """Return the fields that people set, each field of the config on its own."""
    config = json.loads(channel.config)
    return {
        "name": channel.name,
        "enabled": channel.disabled is None,
        **{f"config.{name}": value for name, value in config.items()},
    }


def is_secret_of(kind: str) -> IsSecret:
    """Return a predicate: whether a name from ``fields_of`` is secret."""
    secret = secret_fields(kind)
    names = {f"config.{name}" for name in secret or ()}
    return lambda name: name in names or (secret is None and name.startswith("config."))


def change(
    channel: ChannelConfig,
    changes: ChannelChanges,
    *,
    context: SendContext,
    actor: Actor,
    now: datetime,
) -> bool:
    """Change the fields in *changes*, and record what differs; return whether anything did.

    Secrets that a new config leaves out are kept while the channel leads to the same server.
    Raises ValidationFailed.
    """
    # Lock, so that concurrent changes do not restore each other's old secrets.
    db.session.refresh(channel, with_for_update=True)
    before = fields_of(channel)
    if changes.get("name", channel.name) != channel.name:
        channel.name, channel.updated = changes["name"], now
    if "config" in changes:
        _change_config(channel, changes["config"], context, now)
    if changes.get("enabled", before["enabled"]) != before["enabled"]:
        _set_enabled(channel, enabled=changes["enabled"], now=now)
    db.session.flush()
    return audit.record_change(
        actor,
        channel.organization_id,
        "channel.change",
        channels.integration_of(channel),
        before,
        fields_of(channel),
        is_secret=is_secret_of(channel.kind),
        now=now,
    )


def _change_config(
    channel: ChannelConfig, config: Config, context: SendContext, now: datetime
) -> None:
    old = json.loads(channel.config)
    new = channels.checked_config(channel.kind, _with_kept_secrets(channel, config), context)
    if new != old:
        channel.config, channel.failing_since, channel.updated = json.dumps(new), None, now
        db.session.flush()
        outbox.redirect(channel)


def _set_enabled(channel: ChannelConfig, *, enabled: bool, now: datetime) -> None:
    """Turn a channel on or off; once it is on again, its days of failures count from zero."""
    channel.disabled = None if enabled else channel.disabled or now
    channel.failing_since = None
    channel.updated = now


def _with_kept_secrets(channel: ChannelConfig, config: Config) -> Json:
    old: Json = json.loads(channel.config)
    secret = secret_fields(channel.kind) or ()
    kept = {}
    # People who may not read a secret must not get it sent to a server of their own.
    if _servers(channel.kind, config) == _servers(channel.kind, old):
        kept = {name: old[name] for name in secret if name in old and name not in config}
    removed = {name for name in secret if name in config and config[name] is None}
    return {**{name: config[name] for name in config if name not in removed}, **kept}


def _servers(kind: str, config: Config) -> list[str]:
    """Return the servers named in the fields of a config that are not secret."""
    known = kinds.get(kind)
    if known is None:
        return []
    schema = known.config_schema().fields
    names = [name for name in _SERVER_FIELDS if name in schema and name not in known.secret_fields]
    return [_server(config.get(name, schema[name].load_default)) for name in names]


def _server(url: object) -> str:
    try:
        parsed = parse_url(str(url))
    except OutboundError:
        return str(url)
    return f"{parsed.scheme}://{parsed.host}:{parsed.port or PORTS[parsed.scheme]}"
