"""Which values in a task's data are secrets, so that pages and messages do not show them."""

from typing import Any

from taskbadger.domain.numbers import Number
from taskbadger.domain.secret_texts import MASK, is_secret, masked_text

__all__ = ["MASK", "masked", "masked_text"]

MAX_DEPTH = 100


def masked(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a JSON value with secrets masked, known by their keys and by the words in texts."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        return {key: _of_key(key, item, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, depth - 1) for item in value]
    if isinstance(value, str) and not isinstance(value, Number):
        return masked_text(value)
    return value


def _of_key(key: str, value: Any, depth: int) -> Any:
    number = isinstance(value, int | float | Number)
    has_value = value is not None and value != "" and not isinstance(value, bool)
    if has_value and is_secret(key, number=number):
        return MASK
    return masked(value, depth - 1)
