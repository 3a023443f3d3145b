"""Patterns of task names: RE2 expressions, which take linear time whatever they are."""

import re
from functools import lru_cache
from typing import NamedTuple, Protocol, cast

import re2

IS, STARTS_WITH, CONTAINS, MATCHES = "is", "starts-with", "contains", "matches"
KINDS = (IS, STARTS_WITH, CONTAINS, MATCHES)
"""How a text is compared with a name; MATCHES: the text is an RE2 expression."""
_WORDS = {IS: "is", STARTS_WITH: "starts with", CONTAINS: "contains"}
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_ESCAPED = r"\\\g<0>"
_LITERAL = re.compile(r"\\([\\.+*?()|\[\]{}^$])")


class Comparison(NamedTuple):
    """A pattern as people choose it."""

    kind: str
    """One of KINDS."""
    text: str


class Pattern(Protocol):
    """A compiled pattern; re2 ships no types."""

    def search(self, text: str) -> object | None:
        """Return the first match anywhere in *text*, or None."""


def matches(pattern: str, name: str) -> bool:
    """Say whether RE2 *pattern* is found anywhere in *name*; an empty one always is."""
    return not pattern or compiled(pattern).search(name) is not None


def explain_error(pattern: str) -> str | None:
    """Return what is wrong with *pattern*, as a sentence; None for a valid one."""
    try:
        compiled(pattern)
    except re2.error as error:
        reason = error.args[0]
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        return f"Not a valid RE2 regular expression: {text}."
    return None


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> Pattern:
    """Return the compiled pattern; raises re2.error for what RE2 does not know."""
    options = re2.Options()
    options.log_errors = False
    return cast(Pattern, re2.compile(pattern, options))


def exactly(name: str) -> str:
    """Return the pattern that matches *name* only, also if that is empty."""
    return write(IS, name) or "^$"


def write(kind: str, text: str) -> str:
    """Return the pattern that compares names with *text*; an empty text is every name."""
    if kind == MATCHES or not text:
        return text
    literal = _SPECIAL.sub(_ESCAPED, text)
    return {IS: f"^{literal}$", STARTS_WITH: f"^{literal}"}.get(kind, literal)


def read(pattern: str) -> Comparison:
    """Return the comparison that *pattern* stands for: MATCHES where it is no simpler one."""
    if not pattern:
        return Comparison(CONTAINS, "")
    for kind, begin, end in ((IS, "^", "$"), (STARTS_WITH, "^", ""), (CONTAINS, "", "")):
        literal = pattern.removeprefix(begin).removesuffix(end)
        text = _LITERAL.sub(r"\1", literal)
        if write(kind, text) == pattern:
            return Comparison(kind, text)
    return Comparison(MATCHES, pattern)


def in_words(pattern: str) -> str:
    """Return *pattern* for people: ``starts with “import”``, ``matches ^(a|b)``."""
    kind, text = read(pattern)
    return f"{_WORDS[kind]} “{text}”" if kind in _WORDS else f"matches {text}"
