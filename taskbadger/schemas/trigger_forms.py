"""The part of a form that says when an alert rule fires: boxes and numbers, and the same as text.

Scripts keep the two in step. Without scripts, the text counts if it was changed, or else the boxes
and the numbers do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from taskbadger.domain.status import CANCELLED, ERROR, STALE, STATUSES, SUCCESS
from taskbadger.domain.triggers import MAX_RUNTIME_EXCEEDED

SHOWN = "trigger_shown"
"""The field with the text that the page showed."""
_BOX = "point "
_WORDS = {
    ERROR: "failed",
    STALE: "stale",
    MAX_RUNTIME_EXCEEDED: "ran too long",
    SUCCESS: "finished",
    CANCELLED: "cancelled",
}
_WORDS |= {status: status.replace("_", "-") for status in STATUSES if status not in _WORDS}
"""What happened, in words: first what people ask for most."""
_NUMBERS = {
    "every_percent": ("*/N%", "every N percent"),
    "at_percent": ("N%", "at N percent"),
    "every_units": ("*/N", "every N units"),
    "at_value": ("N", "at the value N"),
}
"""The fields for numbers: the form of their points, and words."""


@dataclass(frozen=True, slots=True)
class PointBox:
    """A point that may be ticked."""

    field: str
    point: str
    words: str
    ticked: bool


@dataclass(frozen=True, slots=True)
class PointNumbers:
    """A field for the numbers of points of one form."""

    field: str
    form: str
    """The points that it stands for, with ``N`` for a number."""
    words: str
    value: str


def list_boxes(trigger: str) -> list[PointBox]:
    """Return a box for each point without a number; *trigger* says which are ticked."""
    points = _split(trigger)
    return [
        PointBox(_BOX + point, point, words, point in points) for point, words in _WORDS.items()
    ]


def list_numbers(trigger: str) -> list[PointNumbers]:
    """Return a field for each form of points with a number."""
    return [
        PointNumbers(field, form, words, ", ".join(_numbers_of(trigger, form)))
        for field, (form, words) in _NUMBERS.items()
    ]


def read_trigger(data: Mapping[str, str]) -> str:
    """Return the text of the submitted trigger."""
    text, shown = data.get("trigger", ""), data.get(SHOWN)
    if shown is None or text.strip() != shown.strip():
        return text
    before, chosen = _split(text), _chosen(data)
    if set(before) == set(chosen):
        return text
    return ",".join(chosen)


def _chosen(data: Mapping[str, str]) -> list[str]:
    points = [name.removeprefix(_BOX) for name in data if name.startswith(_BOX)]
    for field, (form, _) in _NUMBERS.items():
        typed = data.get(field, "").replace("%", " ").replace(",", " ").split()
        points += [form.replace("N", number) for number in typed]
    return points


def _split(trigger: str) -> list[str]:
    return [point for part in trigger.split(",") if (point := part.strip())]


def _numbers_of(trigger: str, form: str) -> Sequence[str]:
    numeric = re.compile(re.escape(form).replace("N", "([0-9]+)"), re.ASCII)
    found = (numeric.fullmatch(point) for point in _split(trigger))
    return [match[1] for match in found if match]
