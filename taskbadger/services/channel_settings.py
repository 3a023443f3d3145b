"""The settings of channels as people change them: secrets are written, kept, and never shown."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskbadger import channels as kinds
from taskbadger.channels import SendContext
from taskbadger.domain.changes import IsSecret
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.outbound import PORTS, OutboundError, parse_url
from taskbadger.services import audit, channels, deliveries
from taskbadger.services.accounts import Actor

_LEADING = ("url", "server")
"""The fields of a config that say where messages go."""


def split(channel: ChannelConfig) -> tuple[dict[str, Any], list[str]]:
    """Return a channel's config without its secrets, and the names of those.

    Of a kind that nobody knows any more, everything is a secret.
    """
    config: dict[str, Any] = json.loads(channel.config)
    secret = secret_fields(channel.kind)
    hidden = sorted(config) if secret is None else [name for name in secret if config.get(name)]
    return {name: config[name] for name in config if name not in hidden}, hidden


def secret_fields(kind: str) -> tuple[str, ...] | None:
    """Return the names of the fields that are secret; None for a kind that nobody knows."""
    known = kinds.get(kind)
    return None if known is None else known.secret_fields


def made_up(
    channel: ChannelConfig, sent: Mapping[str, Any], *, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the secrets that the server made, since *sent* named none: to be shown once.

    *before* is the config that the channel had.
    """
    config: dict[str, Any] = json.loads(channel.config)
    return {
        name: config[name]
        for name in secret_fields(channel.kind) or ()
        if config.get(name) and config[name] != before.get(name) and sent.get(name) is None
    }


def fields_of(channel: ChannelConfig) -> dict[str, Any]:
    """Return what can be changed of a channel, each field of its config by itself."""
    config = json.loads(channel.config)
    return {
        "name": channel.name,
        "enabled": channel.disabled is None,
        **{f"config.{name}": value for name, value in config.items()},
    }


def is_secret_of(kind: str) -> IsSecret:
    """Return what says which of ``fields_of`` are secrets."""
    secret = secret_fields(kind)
    names = {f"config.{name}" for name in secret or ()}
    return lambda name: name in names or (secret is None and name.startswith("config."))


def change(
    channel: ChannelConfig,
    changes: Mapping[str, Any],
    *,
    context: SendContext,
    actor: Actor,
    now: datetime,
) -> bool:
    """Change the ``name``, ``config`` and ``enabled`` that *changes* names; say whether any did.

    A config is the whole of it, but for the secrets that it leaves out, which stay as long as the
    channel leads to the same server; a null takes one away. Raises ValidationFailed.
    """
    # Two changes at once must not bring back each other's old secrets.
    db.session.refresh(channel, with_for_update=True)
    before = fields_of(channel)
    if changes.get("name", channel.name) != channel.name:
        channels.update_channel(channel, context=context, now=now, name=changes["name"])
    if "config" in changes:
        _change_config(channel, changes["config"], context, now)
    if changes.get("enabled", before["enabled"]) != before["enabled"]:
        channels.set_enabled(channel, enabled=changes["enabled"], now=now)
    return audit.record_change(
        actor,
        channel.organization_id,
        "channel.change",
        f"{channel.kind}:{channel.slug}",
        before,
        fields_of(channel),
        is_secret=is_secret_of(channel.kind),
        now=now,
    )


def _change_config(
    channel: ChannelConfig, config: Mapping[str, Any], context: SendContext, now: datetime
) -> None:
    old = json.loads(channel.config)
    new = channels.checked_config(channel.kind, _with_kept_secrets(channel, config), context)
    if new != old:
        channels.update_channel(channel, context=context, now=now, config=new)
        deliveries.redirect(channel)


def _with_kept_secrets(channel: ChannelConfig, config: Mapping[str, Any]) -> dict[str, Any]:
    old: dict[str, Any] = json.loads(channel.config)
    secret = secret_fields(channel.kind) or ()
    kept = {}
    # Whoever may not read a secret must not have it sent to a server of theirs.
    if _servers(channel.kind, config) == _servers(channel.kind, old):
        kept = {name: old[name] for name in secret if name in old and name not in config}
    removed = {name for name in secret if name in config and config[name] is None}
    return {**{name: config[name] for name in config if name not in removed}, **kept}


def _servers(kind: str, config: Mapping[str, Any]) -> list[str]:
    """Return the servers to which a config leads, as far as it has them outside of its secrets."""
    known = kinds.get(kind)
    if known is None:
        return []
    schema = known.config_schema().fields
    names = [name for name in _LEADING if name in schema and name not in known.secret_fields]
    return [_server(config.get(name, schema[name].load_default)) for name in names]


def _server(url: Any) -> str:
    try:
        parsed = parse_url(str(url))
    except OutboundError:
        return str(url)
    return f"{parsed.scheme}://{parsed.host}:{parsed.port or PORTS[parsed.scheme]}"
