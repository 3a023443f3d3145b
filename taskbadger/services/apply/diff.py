"""The changes of ``taskbadger-server apply`` as lines for people, without secrets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskbadger.domain.changes import IsSecret, describe, words

_SIGNS = {"+": "added", "~": "changed", "-": "removed"}


@dataclass(frozen=True, slots=True)
class Change:
    """A channel, global action, monitor or window that is added, changed or removed."""

    sign: str
    """``+``, ``~`` or ``-``."""
    subject: str
    fields: tuple[str, ...] = ()
    """One line per field that is set or changed."""


def added(subject: str, after: Mapping[str, object], is_secret: IsSecret) -> Change:
    """Return the change that adds *subject* with the fields *after*."""
    lines = (
        f"{name}: {'(secret)' if is_secret(name) else words(value)}"
        for name, value in after.items()
        if value not in (None, "", [])
    )
    return Change("+", subject, tuple(lines))


def changed(
    subject: str, before: Mapping[str, object], after: Mapping[str, object], is_secret: IsSecret
) -> Change | None:
    """Return the change of the fields that differ; None if none does."""
    lines = describe(before, after, is_secret)
    return Change("~", subject, tuple(lines)) if lines else None


def write(changes: Sequence[Change]) -> str:
    """Return *changes* as text, with their numbers in the last line."""
    lines = []
    for change in changes:
        lines.append(f"{change.sign} {change.subject}")
        lines += [f"    {line}" for line in change.fields]
    counts = {word: sum(change.sign == sign for change in changes) for sign, word in _SIGNS.items()}
    lines.append(", ".join(f"{count} {word}" for word, count in counts.items() if count))
    return "\n".join(lines)
