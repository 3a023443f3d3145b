"""Words about retention: what a project stores, and what a change would delete."""

from collections.abc import Mapping
from dataclasses import dataclass

from taskbadger.domain.retention import OUTCOMES, Retention
from taskbadger.domain.status import CANCELLED, SUCCESS
from taskbadger.services.delivery import outbox
from taskbadger.services.tasks.sizes import Number, Size

_LIKE_ALL = "Leave empty for the same as all."
FIELDS = (
    ("retention_days", "All tasks", "Leave empty to keep them forever."),
    ("retention_days_success", "Successful ones", _LIKE_ALL),
    ("retention_days_failure", "Failed ones", _LIKE_ALL),
    ("retention_days_unfinished", "Unfinished ones", f"Pending, running and stale. {_LIKE_ALL}"),
)
"""The fields of the form: name, label and help."""
WORDS = {
    SUCCESS: "successful",
    "failure": "failed",
    CANCELLED: "cancelled",
    "unfinished": "unfinished",
}
"""What tasks are called, by their outcome."""
KINDS = {
    **{outcome: f"{words.capitalize()} tasks" for outcome, words in WORDS.items()},
    "events": "History of these tasks",
    "tags": "Tags of these tasks",
    "slots": "Expected runs of monitors",
    "incidents": "Incidents",
    "kinds": "Kinds of failures",
    "deliveries": "Deliveries of the whole organization",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A kind of rows, in words."""

    kind: str
    number: str
    size: str
    kept: str


def rows(sizes: list[Size], retention: Retention) -> list[Row]:
    """Return what a project takes in the database."""
    return [
        Row(
            KINDS[size.kind],
            number_words(size.number, is_estimated=size.kind in ("events", "tags")),
            ("more than " if size.number.is_more else "") + size_words(size.bytes),
            _kept(size.kind, retention),
        )
        for size in sizes
    ]


def _kept(kind: str, retention: Retention) -> str:
    if kind in OUTCOMES:
        return days_words(retention.days_of(kind))
    if kind == "deliveries":
        return f"{outbox.KEPT.days} days after their end"
    if kind in ("events", "tags"):
        return "as long as their tasks"
    if kind == "slots":
        return days_words(retention.days_of_slots)
    return days_words(retention.days_of_history)


def days_words(days: int | None) -> str:
    """Return for how long something is kept."""
    if days is None:
        return "forever"
    return f"{days:,} day{'' if days == 1 else 's'}"


def list_words(retention: Retention) -> str:
    """Return for how long a project keeps tasks, in a few words."""
    own = [
        f"{WORDS[outcome]} {days_words(retention.days_of(outcome))}"
        for outcome in OUTCOMES
        if retention.days_of(outcome) != retention.days
    ]
    return "; ".join([days_words(retention.days), *own])


def number_words(number: Number, *, is_estimated: bool = False) -> str:
    """Return a number of rows, as far as it is known."""
    begin = "more than " if number.is_more else "about " if is_estimated and number.rows else ""
    return f"{begin}{number.rows:,}"


def size_words(size: int) -> str:
    """Return an estimated number of bytes."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (1000, "kB")):
        if size >= unit:
            return f"{float(f'{size / unit:.2g}'):,g} {name}"
    return "1 kB" if size else "0"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a change of the retention deletes, in words."""

    confirmation: str
    """What the button sends: it confirms exactly this retention."""
    tasks: str
    parts: str
    """The tasks by their outcome; empty if there are none."""


def deletion(retention: Retention, deleted: Mapping[str, Number]) -> Deletion:
    """Return what a change to *retention* deletes."""
    total = Number(0)
    for number in deleted.values():
        total = total.plus(number)
    parts = [
        f"{number_words(number)} {WORDS[outcome]}"
        for outcome, number in deleted.items()
        if number.rows
    ]
    one = total.rows == 1 and not total.is_more
    tasks = f"{number_words(total)} task{'' if one else 's'}" if total.rows else "no tasks"
    return Deletion(confirmation(retention), tasks, ", ".join(parts))


def confirmation(retention: Retention) -> str:
    """Return the text that confirms a retention."""
    return "/".join(str(days or "") for days in retention[1:])
