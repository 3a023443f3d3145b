"""Triggers such as "*/30%,success": their points, and which of them a change of a task reaches.

The rules: docs/contract.md#triggers.
"""

import re
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

from taskbadger.domain.status import ERROR, STALE, STATUSES, value_percent

MAX_NUMBER = 2**63 - 1
MAX_RUNTIME_EXCEEDED = "max_runtime_exceeded"

FAILURES = frozenset({ERROR, STALE, MAX_RUNTIME_EXCEEDED})
"""The points that a failure reaches."""

Kind = Literal[
    "value", "percent", "value_multiple", "percent_multiple", "status", "max_runtime_exceeded"
]

_NUMERIC = re.compile(r"(?P<multiple>\*/)?(?P<number>[0-9]+)(?P<percent>%)?")
_WORDS: dict[str, Kind] = dict.fromkeys(STATUSES, "status")
_WORDS[MAX_RUNTIME_EXCEEDED] = "max_runtime_exceeded"
_EXPECTED = (
    "expected a value (20), a percentage (20%), a multiple (*/20 or */20%), a status "
    f"({', '.join(STATUSES)}) or {MAX_RUNTIME_EXCEEDED}"
)


class TriggerError(ValueError):
    """The text is not a valid trigger; the message names the point and what would be valid."""


@dataclass(frozen=True, slots=True)
class Point:
    """One part of a trigger."""

    text: str
    """As the user wrote it; of a status, its name."""
    kind: Kind
    number: int = 0
    """The N of a numeric point."""


@dataclass(frozen=True)
class Trigger:
    """A parsed trigger: its points, in the order as written."""

    points: tuple[Point, ...]

    @cached_property
    def numeric_points(self) -> tuple[Point, ...]:
        """The points that only a change of value or value_max can reach."""
        return tuple(point for point in self.points if point.text not in _WORDS)

    @cached_property
    def percents_above_100(self) -> tuple[Point, ...]:
        """The percentages above 100, which need a value greater than value_max."""
        return tuple(
            point for point in self.points if point.kind == "percent" and point.number > 100
        )

    @cached_property
    def statuses(self) -> frozenset[str]:
        """The statuses that a change can reach."""
        return frozenset(point.text for point in self.points if point.kind == "status")

    @cached_property
    def wants_overrun(self) -> bool:
        """Whether max_runtime_exceeded is among the points."""
        return any(point.kind == "max_runtime_exceeded" for point in self.points)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What triggers depend on, before or after a change."""

    status: str
    value: int | None = None
    value_max: int | None = 100


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a trigger fires: the last point that the change reached."""

    point: str
    """As the user wrote it."""
    kind: Kind
    reached: int | str
    """The number that was reached (90 for ``*/30%`` at 95), or the word of the point."""
    before: int | str | None
    """What the point is compared with (value, percentage or status), before the change."""
    after: int | str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the reason as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PointOutcome:
    """Whether and why one change reached one point."""

    point: str
    kind: Kind
    reached: bool
    fires: bool
    """Whether the trigger fires for this point; true for at most one."""
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as JSON."""
        return asdict(self)


@lru_cache(maxsize=4096)
def parse(text: str) -> Trigger:
    """Parse a trigger; raises TriggerError, with a message for its author."""
    return Trigger(tuple(_parse_point(part.strip(" \t")) for part in text.split(",")))


@lru_cache(maxsize=4096)
def without_failures(trigger: Trigger) -> Trigger:
    """Return *trigger* without the points that a failure reaches."""
    return Trigger(tuple(point for point in trigger.points if point.text not in FAILURES))


def _parse_point(text: str) -> Point:
    if not text:
        raise TriggerError(f"A point between the commas is empty: {_EXPECTED}.")
    if text in _WORDS:
        return Point(text, _WORDS[text])
    match = _NUMERIC.fullmatch(text)
    if match is None:
        raise TriggerError(f'"{text}" is not a trigger point: {_EXPECTED}.')

    digits = match["number"].lstrip("0") or "0"
    # Length first: int() raises an error of its own for thousands of digits.
    if len(digits) > len(str(MAX_NUMBER)) or int(digits) > MAX_NUMBER:
        raise TriggerError(f'"{text}" is out of range: numbers can be at most {MAX_NUMBER}.')
    number = int(digits)
    if not match["multiple"]:
        return Point(text, "percent" if match["percent"] else "value", number)
    if not number:
        raise TriggerError(f'"{text}" has no multiples: the number after */ must be 1 or more.')
    return Point(text, "percent_multiple" if match["percent"] else "value_multiple", number)


def evaluate(
    trigger: Trigger, before: Snapshot | None, after: Snapshot, *, overrun: bool = False
) -> Reason | None:
    """Return why the change from *before* to *after* fires *trigger*; None if it does not.

    *before* is None for a creation. *overrun* is true for the change that the server makes when a
    task exceeds its max_runtime.
    """
    status = before.status if before else None
    if overrun and trigger.wants_overrun:
        word = MAX_RUNTIME_EXCEEDED
        return Reason(word, "max_runtime_exceeded", word, status, after.status)
    if after.status != status and after.status in trigger.statuses:
        return Reason(after.status, "status", after.status, status, after.status)
    if after.value is None or not trigger.numeric_points or _same_progress(before, after):
        return None
    return _last_number(trigger.numeric_points, before, after)


def explain(
    trigger: Trigger, before: Snapshot | None, after: Snapshot, *, overrun: bool = False
) -> list[PointOutcome]:
    """Return for each point whether the change from *before* to *after* reached it, and why."""
    reason = evaluate(trigger, before, after, overrun=overrun)
    firing = _index_of(trigger, reason)
    return [
        _outcome(point, before, after, overrun=overrun, reason=reason, fires=index == firing)
        for index, point in enumerate(trigger.points)
    ]


def _same_progress(before: Snapshot | None, after: Snapshot) -> bool:
    return (
        before is not None and before.value == after.value and before.value_max == after.value_max
    )


def _last_number(
    points: tuple[Point, ...], before: Snapshot | None, after: Snapshot
) -> Reason | None:
    last: Reason | None = None
    furthest = -1
    for point in points:
        was, now = _measure(point.kind, before), _measure(point.kind, after)
        reached = _reached(point, was, now)
        if reached is None:
            continue
        place = _place(point.kind, reached, after.value_max)
        if place >= furthest:
            furthest = place
            last = Reason(point.text, point.kind, reached, was, now)
    return last


def _measure(kind: Kind, snapshot: Snapshot | None) -> int | None:
    """Return the number with which a point of *kind* is compared."""
    if snapshot is None:
        return None
    if kind in ("percent", "percent_multiple"):
        return value_percent(snapshot.value, snapshot.value_max)
    return snapshot.value


def _reached(point: Point, was: int | None, now: int | None) -> int | None:
    """Return the threshold of *point* that a change from *was* to *now* reached, or None."""
    if now is None:
        return None
    threshold = point.number
    if point.kind in ("value_multiple", "percent_multiple"):
        threshold *= now // threshold
    return threshold if now >= threshold and (was is None or was < threshold) else None


def _place(kind: Kind, reached: int, value_max: int | None) -> int:
    """Return a reached number as a value times 100, so that values and percentages compare."""
    if kind in ("percent", "percent_multiple"):
        return reached * (value_max or 0)
    return reached * 100


def _index_of(trigger: Trigger, reason: Reason | None) -> int | None:
    """Return the index of the point of *reason*: the last one with its text."""
    texts = [point.text for point in trigger.points]
    return len(texts) - 1 - texts[::-1].index(reason.point) if reason else None


def _outcome(
    point: Point,
    before: Snapshot | None,
    after: Snapshot,
    *,
    overrun: bool,
    reason: Reason | None,
    fires: bool,
) -> PointOutcome:
    if point.kind == "max_runtime_exceeded":
        reached, why = overrun, _why_overrun(overrun=overrun)
    elif point.kind == "status":
        reached, why = _why_status(point, before, after)
    else:
        reached, why = _why_number(point, before, after)
    if reached and not fires and reason:
        why += f", but {reason.point} came later in the same change"
    return PointOutcome(point.text, point.kind, reached, fires, why)


def _why_overrun(*, overrun: bool) -> str:
    if overrun:
        return "the task exceeded its max_runtime"
    return "the server has not ended the task for exceeding max_runtime"


def _why_status(point: Point, before: Snapshot | None, after: Snapshot) -> tuple[bool, str]:
    if after.status != point.text:
        return False, f"the status is {after.status}"
    if before is None:
        return True, f"the task was created as {after.status}"
    if before.status == after.status:
        return False, f"the status was {after.status} before"
    return True, f"the status changed from {before.status} to {after.status}"


def _why_number(point: Point, before: Snapshot | None, after: Snapshot) -> tuple[bool, str]:
    percent = point.kind in ("percent", "percent_multiple")
    name, unit = ("percentage", "%") if percent else ("value", "")
    was, now = _measure(point.kind, before), _measure(point.kind, after)
    if now is None:
        if after.value is None:
            return False, "the value is null"
        return False, "value_max is 0, so there is no percentage"

    start = "nothing" if was is None else f"{was}{unit}"
    way = f"the {name} went from {start} to {now}{unit}"
    reached = _reached(point, was, now)
    if reached is not None:
        return True, f"{way}, reaching {reached}{unit}"
    if was == now:
        return False, f"the {name} stayed at {now}{unit}"
    if was is not None and was > now:
        return False, f"the {name} fell from {was}{unit} to {now}{unit}"
    if point.kind in ("value_multiple", "percent_multiple"):
        return False, f"{way}, not reaching a multiple of {point.number}{unit}"
    if now < point.number:
        return False, f"the {name} is {now}{unit}, below {point.number}{unit}"
    return False, f"{way}, but had already reached {point.number}{unit}"
