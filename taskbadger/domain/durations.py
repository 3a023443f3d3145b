"""Durations as people write them: “15 min”, “1h30”, “2 days”."""

import re

EXAMPLES = "15 min, 1h30 or 2 days"
MAX_SECONDS = 10**11
"""Longer than any limit of ours, and short enough for every database."""

_SIZES = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
"""The units that are written, the largest first: seconds of each."""
_WORDS = {
    "w": 604_800,
    "wk": 604_800,
    "wks": 604_800,
    "week": 604_800,
    "weeks": 604_800,
    "d": 86_400,
    "day": 86_400,
    "days": 86_400,
    "h": 3600,
    "hr": 3600,
    "hrs": 3600,
    "hour": 3600,
    "hours": 3600,
    "m": 60,
    "min": 60,
    "mins": 60,
    "minute": 60,
    "minutes": 60,
    "s": 1,
    "sec": 1,
    "secs": 1,
    "second": 1,
    "seconds": 1,
}
"""The units that are read, and the seconds of each."""
_NEXT_SIZE = {604_800: 86_400, 86_400: 3600, 3600: 60, 60: 1}
"""What a number without a unit counts after each unit: “1h30” is 1 h 30 min."""
_MAX_LENGTH = 100
_PART = re.compile(r"[\s,]*(?:and\s+)?([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*([a-z]*)\.?", re.ASCII)
_BARE = re.compile(r"[0-9]{1,12}", re.ASCII)
_CLOCK = re.compile(r"([0-9]{1,6}):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)


class DurationError(ValueError):
    """The text is not a duration; the message says what would be."""


def read(text: str) -> int:
    """Return the seconds of a duration; a number without a unit counts seconds.

    Raises DurationError.
    """
    text = text.strip().lower()
    if len(text) > _MAX_LENGTH:
        raise DurationError(f"Write a duration such as {EXAMPLES}.")
    seconds = int(text) if _BARE.fullmatch(text) else _read_clock(text)
    if seconds is None:
        seconds = _read_parts(text)
    if seconds > MAX_SECONDS:
        raise DurationError("This duration is too long.")
    return seconds


def _read_clock(text: str) -> int | None:
    """Return the seconds of ``1:30:00``; None if *text* has no colons."""
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return None
    hours, minutes, seconds = clock.groups()
    if seconds is None:
        first, second = int(hours), int(minutes)
        raise DurationError(
            f"“{text}” may be hours or minutes: write {first}h{second:02} or "
            f"{first} min {second} s."
        )
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds)


def _read_parts(text: str) -> int:
    """Return the sum of numbers with units, from the largest unit to the smallest."""
    total, at, last = 0, 0, 0
    while at < len(text):
        part = _PART.match(text, at)
        size = _size_of(part[3], last) if part else None
        if part is None or size is None or (last and size >= last):
            raise DurationError(f"“{text}” is not a duration: write {EXAMPLES}.")
        total += int(part[1]) * size + _seconds_of_fraction(part[2], size)
        at, last = part.end(), size
    if not last:
        raise DurationError(f"Write a duration such as {EXAMPLES}.")
    return total


def _size_of(word: str, last: int) -> int | None:
    return _WORDS.get(word) if word else _NEXT_SIZE.get(last)


def _seconds_of_fraction(digits: str | None, size: int) -> int:
    """Return the seconds of ``.5`` of a unit; raises DurationError unless they are whole."""
    scale: int = 10 ** len(digits or "")
    seconds, rest = divmod(int(digits or 0) * size, scale)
    if rest:
        raise DurationError("Write whole seconds.")
    return seconds


def write(seconds: int) -> str:
    """Return a duration for people, without a loss: ``1 h 30 min``, ``2 days``."""
    parts = []
    for unit, size in _SIZES.items():
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {_word(unit, number)}")
    return " ".join(parts) or "0 s"


def _word(unit: str, number: int) -> str:
    if unit == "d":
        return "day" if number == 1 else "days"
    return unit
