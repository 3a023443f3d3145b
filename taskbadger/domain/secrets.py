"""Which values in a task's data are secrets, so that pages do not show them."""

import re
from typing import Any

from taskbadger.domain.numbers import Number

MASK = "••••••"
MAX_DEPTH = 100
_KEY = re.compile(
    r"passw|passphrase|pwd|secret|token|authori[sz]ation|credential|cookie|private.?key|"
    r"api.?key|access.?key|session.?id|signature|^auth$|^dsn$|^bearer$",
    re.IGNORECASE,
)
_COUNT = re.compile(r"tokens|token.?(count|limit|budget|usage|used)", re.IGNORECASE)
"""Names of numbers that count tokens and are no secrets: ``tokens_used``, ``max_tokens``."""
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+(?=@)")


def masked(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return a JSON value with secrets masked, known by their keys, and passwords in URLs."""
    if depth == 0:
        return value
    if isinstance(value, dict):
        return {key: _of_key(key, item, depth) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item, depth - 1) for item in value]
    if isinstance(value, str) and not isinstance(value, Number):
        return _URL_PASSWORD.sub(rf"\1:{MASK}", value)
    return value


def _of_key(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, int | float | Number):
        key = _COUNT.sub("", key)
    if value is not None and value != "" and not isinstance(value, bool) and _KEY.search(key):
        return MASK
    return masked(value, depth - 1)
