"""What tells the children of a task apart."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from taskbadger.blueprints.dashboard.tasks.rows import TaskRow


@dataclass(frozen=True, slots=True)
class Child:
    """A child, and what distinguishes it from the others."""

    row: TaskRow
    tags: dict[str, str]
    """Those that not all children have."""
    external_id: str
    """Empty where name and tags are enough."""


def tell_apart(rows: Sequence[TaskRow]) -> list[Child]:
    """Return each child with what distinguishes it."""
    sets = [set(row.tags.items()) for row in rows]
    common = set.intersection(*sets) if sets else set()
    own = [
        {tag: text for tag, text in row.tags.items() if (tag, text) not in common} for row in rows
    ]
    alike = Counter(map(_looks, rows, own))
    return [
        Child(row, tags, row.external_id if alike[_looks(row, tags)] > 1 else "")
        for row, tags in zip(rows, own, strict=True)
    ]


def _looks(row: TaskRow, tags: dict[str, str]) -> tuple[object, ...]:
    return row.name, *sorted(tags.items())
