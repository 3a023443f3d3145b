"""The settings of channels as people change them: secrets are written, kept, and never shown."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from taskbadger import channels as kinds
from taskbadger.channels import SendContext
from taskbadger.extensions import db
from taskbadger.models import ChannelConfig
from taskbadger.services import channels, deliveries


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


def change(
    channel: ChannelConfig, changes: Mapping[str, Any], *, context: SendContext, now: datetime
) -> list[str]:
    """Change the ``name``, ``config`` and ``enabled`` that *changes* names; return which did.

    A config is the whole of it, but for the secrets that it leaves out, which stay; a null takes
    one away. Raises ValidationFailed.
    """
    # Two changes at once must not bring back each other's old secrets.
    db.session.refresh(channel, with_for_update=True)
    changed = []
    if changes.get("name", channel.name) != channel.name:
        channels.update_channel(channel, context=context, now=now, name=changes["name"])
        changed.append("name")
    if "config" in changes and _change_config(channel, changes["config"], context, now):
        changed.append("config")
    if changes.get("enabled", channel.disabled is None) != (channel.disabled is None):
        channels.set_enabled(channel, enabled=changes["enabled"], now=now)
        changed.append("enabled")
    return changed


def _change_config(
    channel: ChannelConfig, config: Mapping[str, Any], context: SendContext, now: datetime
) -> bool:
    old = json.loads(channel.config)
    new = channels.checked_config(channel.kind, _with_kept_secrets(channel, config), context)
    if new == old:
        return False
    channels.update_channel(channel, context=context, now=now, config=new)
    deliveries.redirect(channel)
    return True


def _with_kept_secrets(channel: ChannelConfig, config: Mapping[str, Any]) -> dict[str, Any]:
    old: dict[str, Any] = json.loads(channel.config)
    secret = secret_fields(channel.kind) or ()
    kept = {name: old[name] for name in secret if name in old and name not in config}
    removed = {name for name in secret if name in config and config[name] is None}
    return {**{name: config[name] for name in config if name not in removed}, **kept}
