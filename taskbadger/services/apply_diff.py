"""What ``taskbadger-server apply`` changes, in lines for people, without secrets."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IsSecret = Callable[[str], bool]

_SIGNS = {"+": "added", "~": "changed", "-": "removed"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is added (``+``), changed (``~``) or removed (``-``)."""

    sign: str
    subject: str
    fields: tuple[str, ...] = ()
    """A line for each field."""


def added(subject: str, after: Mapping[str, Any], is_secret: IsSecret) -> Change:
    """Return the change that brings something with these fields."""
    lines = (
        f"{name}: {'(secret)' if is_secret(name) else _show(value)}"
        for name, value in after.items()
        if value not in (None, "", [])
    )
    return Change("+", subject, tuple(lines))


def changed(
    subject: str, before: Mapping[str, Any], after: Mapping[str, Any], is_secret: IsSecret
) -> Change | None:
    """Return the change of the fields that differ; None where none does."""
    lines = [
        f"{name}: (secret) changed"
        if is_secret(name)
        else f"{name}: {_show(before.get(name))} → {_show(after.get(name))}"
        for name in differing(before, after)
    ]
    return Change("~", subject, tuple(lines)) if lines else None


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of the fields that differ."""
    names = dict.fromkeys([*before, *after])
    return [name for name in names if before.get(name) != after.get(name)]


def write(changes: Sequence[Change]) -> str:
    """Return *changes* as they are printed, with their number at the end."""
    lines = []
    for change in changes:
        lines.append(f"{change.sign} {change.subject}")
        lines += [f"    {line}" for line in change.fields]
    counts = {word: sum(one.sign == sign for one in changes) for sign, word in _SIGNS.items()}
    lines.append(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    return "\n".join(lines)


def _show(value: Any) -> str:
    if value in (None, "", []):
        return "none"
    if isinstance(value, list) and all(map(_is_channel, value)):
        return ", ".join(map(_show_channel, value))
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_channel(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"integration", "config"}


def _show_channel(value: Mapping[str, Any]) -> str:
    config = json.dumps(value["config"], ensure_ascii=False) if value["config"] else ""
    return f"{value['integration']} {config}".rstrip()
