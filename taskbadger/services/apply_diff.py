"""What ``taskbadger-server apply`` changes, in lines for people, without secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskbadger.domain.changes import IsSecret, describe, words

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
        f"{name}: {'(secret)' if is_secret(name) else words(value)}"
        for name, value in after.items()
        if value not in (None, "", [])
    )
    return Change("+", subject, tuple(lines))


def changed(
    subject: str, before: Mapping[str, Any], after: Mapping[str, Any], is_secret: IsSecret
) -> Change | None:
    """Return the change of the fields that differ; None where none does."""
    lines = describe(before, after, is_secret)
    return Change("~", subject, tuple(lines)) if lines else None


def write(changes: Sequence[Change]) -> str:
    """Return *changes* as they are printed, with their number at the end."""
    lines = []
    for change in changes:
        lines.append(f"{change.sign} {change.subject}")
        lines += [f"    {line}" for line in change.fields]
    counts = {word: sum(one.sign == sign for one in changes) for sign, word in _SIGNS.items()}
    lines.append(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    return "\n".join(lines)
