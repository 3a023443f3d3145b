"""Backslashes in the filters of the API: docs/contract.md#list.

A comma separates values and a colon ends the name of a tag, unless a backslash is before it. A
backslash before anything else stands for itself.
"""

import re

_LIST = re.compile(r"(,)|\\[\\,:]|\\|[^\\,]+")
_PAIR = re.compile(r"((?:\\[\\,:]|[^:])*+):(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\([\\,:])")


def split_list(text: str) -> list[str]:
    """Return the values of a list, without white space around them."""
    if "\\" not in text:
        return [part.strip() for part in text.split(",")]
    parts = [""]
    for match in _LIST.finditer(text):
        if match.group(1):
            parts.append("")
        else:
            parts[-1] += match.group()
    return [_plain(part.strip()) for part in parts]


def split_pair(text: str) -> tuple[str, str] | None:
    """Return what is before and after the first colon; None without a colon."""
    match = _PAIR.fullmatch(text)
    return None if match is None else (_plain(match.group(1)), _plain(match.group(2)))


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text)
