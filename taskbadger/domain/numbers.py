"""Reads and writes JSON numbers that Python's int and float cannot represent exactly."""

import json
import math
import re
from typing import Any
from uuid import uuid4

MAX_INTEGER_DIGITS = 4000
"""The number of digits up to which an integer is read as int; CPython refuses more than 4300."""


class Number(str):
    """A JSON number as it was written. ``json.dumps`` writes it as a string."""

    __slots__ = ()


def _integer(text: str) -> int | Number:
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else Number(text)


def _exact_integer(text: str) -> int | Number:
    return Number(text) if text == "-0" else _integer(text)


def _float(text: str) -> float | Number:
    value = float(text)
    return value if math.isfinite(value) else Number(text)


_TOLERANT = json.JSONDecoder(parse_int=_integer, parse_float=_float)
_EXACT = json.JSONDecoder(parse_int=_exact_integer, parse_float=Number)


def read(text: str) -> Any:
    """Read JSON; numbers that Python cannot represent, such as 1e400, become Number."""
    return _TOLERANT.decode(text)


def read_exactly(text: str) -> Any:
    """Read JSON; all numbers except short integers become Number, with all their digits."""
    return _EXACT.decode(text)


def write(value: Any, *, indent: int | None = 2) -> str:
    """Return what *read_exactly* read as JSON, with the numbers as they were written.

    *indent* None writes it without white space.
    """
    mark = uuid4().hex
    numbers: list[str] = []
    text = json.dumps(
        _with_placeholders(value, mark, numbers),
        indent=indent,
        separators=(",", ": " if indent else ":"),
        ensure_ascii=False,
    )
    return re.sub(f'"{mark}([0-9]+)"', lambda found: numbers[int(found[1])], text)


def _with_placeholders(value: Any, mark: str, numbers: list[str]) -> Any:
    """Return *value* with each Number replaced by a unique string; append it to *numbers*."""
    if isinstance(value, Number):
        numbers.append(value)
        return f"{mark}{len(numbers) - 1}"
    if isinstance(value, dict):
        return {name: _with_placeholders(part, mark, numbers) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_placeholders(part, mark, numbers) for part in value]
    return value
