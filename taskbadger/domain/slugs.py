"""Slugs made from names."""

import re
import unicodedata
from collections.abc import Container
from itertools import count

_OTHERS = re.compile(r"[^a-z0-9]+")


def from_name(name: str, max_length: int) -> str:
    """Return a slug of at most *max_length* characters; empty if none of *name* can be used."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return _OTHERS.sub("-", plain).strip("-")[:max_length].strip("-")


def first_free(slug: str, taken: Container[str], max_length: int) -> str:
    """Return *slug*, or the first of ``slug-2``, ``slug-3`` … that is not *taken*."""
    if slug not in taken:
        return slug
    numbered = (_with_number(slug, number, max_length) for number in count(2))
    return next(each for each in numbered if each not in taken)


def _with_number(slug: str, number: int, max_length: int) -> str:
    end = f"-{number}"
    return slug[: max_length - len(end)].rstrip("-_") + end
