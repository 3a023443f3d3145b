"""Describes a change for people: ``name: old → new``."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

IsSecret = Callable[[str], bool]


def no_secret(_name: str) -> bool:
    """Say that no field is a secret."""
    return False


def describe(
    before: Mapping[str, Any], after: Mapping[str, Any], is_secret: IsSecret = no_secret
) -> list[str]:
    """Return a line for each field that differs, without the values of secrets."""
    return [
        f"{name}: (secret) changed"
        if is_secret(name)
        else f"{name}: {words(before.get(name))} → {words(after.get(name))}"
        for name in differing(before, after)
    ]


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that differ."""
    names = dict.fromkeys([*before, *after])
    return [name for name in names if before.get(name) != after.get(name)]


def words(value: Any) -> str:
    """Return a value as text, as `describe` shows it."""
    if value in (None, "", []):
        return "none"
    if isinstance(value, list) and all(map(_is_channel, value)):
        return ", ".join(map(_show_channel, value))
    if isinstance(value, str) and value.isprintable():
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_channel(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"integration", "config"}


def _show_channel(value: Mapping[str, Any]) -> str:
    config = json.dumps(value["config"], ensure_ascii=False) if value["config"] else ""
    return f"{value['integration']} {config}".rstrip()
