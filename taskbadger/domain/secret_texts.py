"""Masks secrets in running text, such as messages and traces, by the words before them.

Each pattern takes time linear in the length of the text: what it looks at twice is bounded.
"""

import re

MASK = "••••••"
_KEY = re.compile(
    r"passw|passphrase|pwd|secret|token|authori[sz]ation|credential|cookie|private.?key|"
    r"api.?key|access.?key|session.?id|signature|^auth$|^dsn$|^bearer$",
    re.IGNORECASE,
)
_COUNT = re.compile(r"tokens|token.?(count|limit|budget|usage|used)", re.IGNORECASE)
"""Names of numbers that count tokens and are no secrets: ``tokens_used``, ``max_tokens``."""

_PORT = r"""(?<!://:)\d{1,5}(?:[/?#"'<>),;\]}\s]|$)"""
_URL_PASSWORD = re.compile(
    rf"(?<=://)([^\s/:?#]*+):(?!{_PORT})(?:[^\s/?#]*@|(?:(?!://)\S)*@)",
)
"""Up to the last ``@`` of the authority; if there is none, a slash belongs to the password."""
_PRIVATE_KEY = re.compile(r"(-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----)[^-]++")
_NO_SECRETS = (
    "an?|any|are|at|auth|authentication|authorization|base64|basic|bearer|be|been|bool|bytes|can"
    "|cannot|can't|could|denied|dict|disabled|does|empty|enabled|ensure|error|expired|failed|failure"
    "|false|field|for|format|forbidden|has|have|header|header's|in|incorrect|input|int|invalid|is"
    "|it|list|malformed|may|mismatch|missing|must|nil|no|none|not|null|of|optional|or|realm|refused"
    "|rejected|required|revoked|scheme|should|str|string|that|the|this|to|too|true|undefined"
    "|unknown|unset|unsupported|value|verification|was|wrong|tokens?|from|on|with|and|by|used"
)
_WORD = rf"""(?:{_NO_SECRETS})(?=[,;:!.)\]}}"'\\]{{0,4}}(?:\s|$))"""
_BEARER = re.compile(
    rf"""(?<![\w-])(bearer[ \t]++|basic[ \t]++(?=[^\s]{{0,80}}[\d=]))(?!{_WORD})"""
    r"""(?![\w-]++[ \t]*+=[ \t]*+["\w])[\w.~+/-]{2,}+=*+""",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"""(?<![\w-])(?<!//)([\w-]++)\\*+["']?+[\])]?+[ \t]*+(?::=|=>|={1,3}+|:(?!:))[ \t]*+"""
)
_WORDS_AS_NAME = re.compile(
    r"(?:(?:api|access|private) key|session id"
    r"|(?:api.?key|token|password|secret|passphrase)(?= ))(?: (?:provided|given|value|used))?$",
    re.IGNORECASE,
)
_NO_NAME = re.compile(
    r"(?:error|exception|warning|expired|not_?found|invalid|missing|denied|failed|failure|required)$",
    re.IGNORECASE,
)
"""Ends of names of exceptions: ``InvalidTokenError: expired``."""
_COMPLAINT = re.compile(
    r"(?<![a-zA-Z])(?:invalid|unexpected|missing|bad|expired|wrong|incorrect|unknown|illegal"
    r"|unrecognized|unsupported|malformed|no|next|parse)[ _-]?(?:\w{1,20} )?"
    r"(?:tokens?|signature|credentials?|authori[sz]ation|cookies?)$",
    re.IGNORECASE,
)
"""What stands after it is a secret only if it looks like one: ``unexpected token: else``."""
_RANDOM = re.compile(
    r"""[\[({]?["']?(?:(?=[^\s"']{0,40}\d)[^\s"',;]{6}|[\w+/=.-]{20})""",
)
_KEPT = re.compile(
    rf"""(?:{_WORD})|$|\s|[^\w\s"'\\\[({{$]{{1,8}}(?:[\s,;)\]}}"']|$)|•|[*<][\w .*-]{{0,40}}[*>]"""
    r"""|%s|%\(\w+\)s|\$\d{1,2}(?!\w)|\$?\{\w*\}|:\w+(?:[\s,)]|$)|["']?•"""
    rf"""|[\[(]{{0,2}}(["'])(?:(?:{_WORD})(?:[^"'\n]{{0,200}}\.)?)?\1"""
    r"""|\[ErrorDetail\(|(?:\w{1,40}\.){1,4}\w{1,40}\([^()\s]{0,80}\)(?:[\s,)]|$)"""
    r"""|\w{1,40}\(\)""",
    re.IGNORECASE,
)
"""Values that are no secrets: words of a sentence, nothing, placeholders, a call in code."""
_NUMBER = re.compile(r"-?\d[\d.,]*+(?![\w-])")
_AUTHORIZATION = re.compile(r"authori[sz]ation", re.IGNORECASE)
_SCHEME = re.compile(
    r"(?:bearer|basic|token|apikey|negotiate|ntlm|(digest|oauth|hawk|aws4-hmac-sha256))[ \t]++",
    re.IGNORECASE,
)
_LINE = re.compile(r"[^\n]*+")
_COOKIES = re.compile(r"""(?=[^\s"']{0,200}=)[^"'\n]++""")
_QUOTED = re.compile(r"""([bBfFrRuU]{0,2}(["']))(?:\\.|(?!\2)[^\\\n])*+(\2?)""")
_ESCAPED = re.compile(r"""(\\++(["']))(?:(?!\2)[^\n])*+(\2?)""")
_PLAIN = re.compile(
    r"""(?:(?![&,;](?:[\w.%-]{0,40}[=:]|\s|$))(?![)\]}>.,;"']{1,5}(?:[\s"',)\]}>]|$))"""
    r"""(?!["'](?!\w))(?!\\++["'])\S)++"""
)
_BRACKETS = re.compile(r"[\[\](){}]|\n")


def is_secret(name: str, *, number: bool) -> bool:
    """Whether a value of this name is a secret; *number* says that the value is a number."""
    return _KEY.search(_COUNT.sub("", name) if number else name) is not None


def masked_text(text: str) -> str:
    """Return *text* with what looks like a secret masked."""
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    text = _PRIVATE_KEY.sub(rf"\1{MASK}", text)
    return _named(_BEARER.sub(rf"\1{MASK}", text))


def _named(text: str) -> str:
    """Mask the values after names of secrets."""
    parts, done, match = [], 0, _NAME.search(text)
    while match:
        at = end = match.end()
        if _names_secret(text, match) and not _is_kept(text, match):
            start, end, shown = _value(text, at, match[1])
            parts += [text[done:start], shown]
            done = end
        match = _NAME.search(text, end)
    return "".join([*parts, text[done:]])


def _names_secret(text: str, match: re.Match[str]) -> bool:
    name, start = match[1], match.start(1)
    if text[max(start - 1, 0) : start] in ("?", "&") and name.lower() in ("key", "sig"):
        return True
    number = _NUMBER.match(text, match.end()) is not None
    if is_secret(name, number=number):
        return _NO_NAME.search(name) is None
    return _WORDS_AS_NAME.search(text[max(start - 24, 0) : match.end(1)]) is not None


def _is_kept(text: str, match: re.Match[str]) -> bool:
    """Whether what follows the name is no secret."""
    at = match.end()
    if _scheme(text, at, match[1]):
        return "•" in text[at : at + 30]
    if _KEPT.match(text, at):
        return True
    phrase = text[max(match.start(1) - 40, 0) : match.end(1)]
    return _COMPLAINT.search(phrase) is not None and not _RANDOM.match(text, at)


def _scheme(text: str, at: int, name: str) -> re.Match[str] | None:
    """Return the ``Bearer`` of ``Authorization: Bearer …``, which stays."""
    return _SCHEME.match(text, at) if _AUTHORIZATION.search(name) else None


def _value(text: str, at: int, name: str) -> tuple[int, int, str]:
    """Return where a secret starts and ends, and what is shown for it."""
    quoted = _QUOTED.match(text, at) or _ESCAPED.match(text, at)
    if quoted:
        close = quoted[1].lstrip("bBfFrRuU") if quoted[3] else ""
        return at, quoted.end(), f"{quoted[1]}{MASK}{close}"
    if text[at] in "[({":
        return at + 1, _closing(text, at), MASK
    scheme = _scheme(text, at, name)
    start = scheme.end() if scheme else at
    return start, _plain_end(text, start, name, whole=bool(scheme and scheme[1])), MASK


def _plain_end(text: str, at: int, name: str, *, whole: bool) -> int:
    """Return the end of a secret without quotation marks."""
    if whole:
        found = _LINE.match(text, at)
    else:
        cookies = _COOKIES.match(text, at) if name.lower().endswith("cookie") else None
        found = cookies or _PLAIN.match(text, at)
    return found.end() if found else at


def _closing(text: str, at: int) -> int:
    """Return where the bracket at *at* is closed, or the end of its line."""
    depth = 0
    for match in _BRACKETS.finditer(text, at):
        depth += 1 if match[0] in "[({" else -1
        if depth == 0 or match[0] == "\n":
            return match.start()
    return len(text)
