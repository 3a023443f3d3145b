"""Numbers in JSON that Python's own cannot hold: read and written digit by digit."""

import json
import math
import re
from typing import Any
from uuid import uuid4

LONGEST_INTEGER = 4000
"""Digits of an integer that is read as one; CPython refuses more than 4300."""


class Number(str):
    """A JSON number as it was written. ``json`` takes it for a string, which every parser reads."""

    __slots__ = ()


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= LONGEST_INTEGER else Number(text)


def _float(text: str) -> float | Number:
    value = float(text)
    return value if math.isfinite(value) else Number(text)


_TOLERANT = json.JSONDecoder(parse_int=_integer, parse_float=_float)
_EXACT = json.JSONDecoder(parse_int=_integer, parse_float=Number)


def read(text: str) -> Any:
    """Read JSON; a number that Python has none for, such as 1e400, comes as Number."""
    return _TOLERANT.decode(text)


def read_exactly(text: str) -> Any:
    """Read JSON; every number that is not a short integer comes as Number, with all its digits."""
    return _EXACT.decode(text)


def write(value: Any) -> str:
    """Write for people what *read_exactly* read: the numbers as they were, in indented lines."""
    mark = uuid4().hex
    numbers: list[str] = []
    text = json.dumps(_held(value, mark, numbers), indent=2, ensure_ascii=False)
    return re.sub(f'"{mark}([0-9]+)"', lambda found: numbers[int(found[1])], text)


def _held(value: Any, mark: str, numbers: list[str]) -> Any:
    """Return *value* with a string that nobody else writes for each Number."""
    if isinstance(value, Number):
        numbers.append(value)
        return f"{mark}{len(numbers) - 1}"
    if isinstance(value, dict):
        return {name: _held(part, mark, numbers) for name, part in value.items()}
    if isinstance(value, list):
        return [_held(part, mark, numbers) for part in value]
    return value
