"""Replaces what varies in an error message: ``user 5 not found`` is ``user ‹number› not found``.

Codes stay, because they tell failures apart: ``[Errno 2]``, ``status code 503``.
"""

import re

MAX_TEXT = 500
"""Characters of a text that are looked at."""

_EXTENSIONS = (
    "bak|bin|bz2|cfg|conf|csv|dat|db|docx?|gif|gz|html?|ini|jpe?g|jsonl?|lock|log|md|mp[34]|out"
    "|parquet|pdf|pem|pid|png|pptx?|sock|sql|sqlite3?|svg|tar|tgz|tiff?|tmp|toml|tsv|txt|wav"
    "|webp|xlsx?|xml|xz|ya?ml|zip|zst"
)
_QUOTES = (
    r"""'[\[{(][^\n]{0,400}?[\]})]'(?!\w)"""
    r"""|(?<!\w)[bBfFrRuU]?'(?:[^'\\\n]|\\.)*+(?:'(?!\w)|$)"""
    r"""|(?<!\w)[bBfFrRuU]?"(?:[^"\\\n]|\\.)*+(?:"(?!\w)|$)"""
    r"""|`[^`'\n]*['`]|“[^”\n]*”|‘[^’\n]*’|«[^»\n]*»"""
)
_DATE = (
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?"
    r"|\d{1,2}[/.]\d{1,2}[/.]\d{4}|\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?"
)
_UNITS = r"ns|[uµ]s|ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|weeks?"
_PATTERNS = {
    "code": r"\[(?:Errno|WinError) -?\d+\]"
    r"|(?i:HTTP|HTTP error|status|status code|exit code|exit status|signal|errno|error code)"
    r"[ :=]{1,2}-?\d{1,5}(?![\w.,]*\d)|(?<!\w)base \d{1,2}(?!\w)"
    r"|(?<!\w)curl: \(\d{1,3}\)|(?<!\w)\d{3} (?:Client|Server) Error",
    "url": r"""(?<![\w+.-])[A-Za-z][\w+.-]{1,15}://[^\s'"<>()]+""",
    "address": r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,200}(?<![.-])"
    r"|(?<![\w.:])\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d+|/\d+)?(?![\w.]*\d)"
    r"|(?<![\w.:])(?:[0-9a-fA-F]{1,4}:){1,6}(?::(?:[0-9a-fA-F]{1,4}:){0,5})?[0-9a-fA-F]{1,4}"
    r"(?![\w:])(?<=[:0-9a-fA-F]{6})(?<!\d\d:\d\d)(?<!\d\d:\d\d:\d\d)|(?<![\w:])::1(?![\w:])"
    r"|\blocalhost:\d+",
    "text": _QUOTES,
    "uuid": r"(?<!\w)[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?!\w)",
    "date": rf"(?<![\w.])(?:{_DATE})(?!\w)",
    "duration": rf"(?<![\w.])\d+(?:\.\d+)? ?(?:{_UNITS})(?!\w)",
    "hex": r"(?<!\w)0[xX][0-9a-fA-F]+"
    r"|(?<![\w-])(?=[a-fA-F]{0,64}\d)(?=\d{0,64}[a-fA-F])[0-9a-fA-F]{8,}(?![\w-])",
    "data": r"\{[^{}\n]*\}|\[[-'\"\d][^\[\]\n]*\]",
    "path": r"""(?<![\w./~-])(?:~|\.{1,2})?(?:/[^\s/'":;,()\[\]]+)+/?"""
    r"""|(?<!\w)[A-Za-z]:\\[^\s'":;,()]+"""
    rf"""|(?<![\w./-])(?:[\w.-]+/)*+[\w.-]+?\.(?:{_EXTENSIONS})(?!\w)"""
    r"""|(?<![\w./-])(?:[\w.-]+/){2,}+[\w.-]*""",
    "id": r"(?<![\w-])(?=[\w-]{0,60}[A-Za-z]\d{1,30}[A-Za-z])[\w-]{6,}",
    "number": r"(?<![A-Za-z\d])[-+]?\d+(?:[.,_]\d+)*(?:[eE][-+]?\d+)?%?",
}
_VARIABLE = re.compile("|".join(f"(?P<{name}>{part})" for name, part in _PATTERNS.items()))
_REPEATED = re.compile(r"(‹\w+›)(?:(?:, ?| )\1)++")


def generalize(text: str) -> str:
    """Return *text* on one line, with a placeholder for each part that varies."""
    line = " ".join(clean(text[:MAX_TEXT]).split())
    return _REPEATED.sub(r"\1", _VARIABLE.sub(_placeholder, line))


def _placeholder(match: re.Match[str]) -> str:
    return match.group() if match.lastgroup == "code" else f"‹{match.lastgroup}›"


def clean(text: str) -> str:
    """Return *text* as every database can store it: no lone surrogates, no control characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def shorten(text: str, length: int) -> str:
    """Return at most *length* characters of *text*."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
