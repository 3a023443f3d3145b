"""The search language of the task list: ``status:error tag:env:prod -name:import* before:2h``.

Words are looked for in the name; one that is the id of a task stands for that task. A qualifier
takes one value, or several with commas for "any of"; ``*`` at the end of a name, queue, external id
or tag means "begins with"; ``-`` before a word or a qualifier excludes. Words and beginnings ignore
case, whole values do not. Quotes keep spaces, commas, colons and stars as they are; a quotation
mark within them is written twice.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskbadger.domain import ids
from taskbadger.domain.status import ERROR, PENDING, RUNNING, STALE, STATUSES, TERMINAL

MAX_LENGTH = 1000
MAX_TERMS = 30
GROUPS: dict[str, tuple[str, ...]] = {
    "running": tuple(status for status in STATUSES if status in RUNNING),
    "failed": (ERROR,),
    "open": tuple(status for status in STATUSES if status not in TERMINAL),
    "waiting": (PENDING, STALE),
    "done": tuple(status for status in STATUSES if status in TERMINAL),
}
"""Words that stand for several states."""
QUALIFIERS = (
    "status",
    "name",
    "queue",
    "tag",
    "external",
    "id",
    "parent",
    "before",
    "after",
    "ended",
)
_MOMENTS = ("before", "after", "ended")
_SINGLE = ("tag", *_MOMENTS)

_TOKEN = re.compile(r"""(?:"(?:[^"]|"")*"?|[^\s"])+""")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_QUALIFIER = re.compile(r"([A-Za-z_]+):")
_PIECE = re.compile(r'"(?:[^"]|"")*"|[^",]+|(,)')
_SPAN = re.compile(r"(\d{1,6})(s|min|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a qualifier, or a word to look for."""

    text: str
    prefix: bool = False
    """Whether *text* is only how the value begins."""
    tag: str = ""
    """The name of the tag, for the qualifier ``tag``; an empty *text* then means any value."""
    moment: datetime | None = None
    """For ``before``, ``after`` and ``ended``."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. *field* is a qualifier, or ``text`` for a word."""

    field: str
    values: tuple[Value, ...]
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a search, and where: the characters from *start* up to *end*."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Search:
    """A search as read: where there are problems, the terms are those without."""

    terms: tuple[Term, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Wrong(Exception):
    pass


def parse(text: str, *, now: datetime) -> Search:
    """Read a search; relative times count back from *now*. Never raises."""
    if len(text) > MAX_LENGTH:
        problem = f"A search has at most {MAX_LENGTH} characters."
        return Search(problems=(Problem(MAX_LENGTH, len(text), problem),))
    terms: list[Term] = []
    problems: list[Problem] = []
    for match in _TOKEN.finditer(text):
        try:
            terms.append(_read_term(match.group(), now))
        except _Wrong as wrong:
            problems.append(Problem(match.start(), match.end(), str(wrong)))
    if len(terms) > MAX_TERMS:
        problem = f"A search has at most {MAX_TERMS} conditions."
        problems.append(Problem(0, len(text), problem))
    return Search(tuple(terms[:MAX_TERMS]), tuple(problems))


def _read_term(token: str, now: datetime) -> Term:
    if token.count('"') % 2:
        raise _Wrong("A quotation mark is not closed.")
    if "\x00" in token:
        raise _Wrong("Null characters are not allowed.")
    excluded = token.startswith("-")
    body = token[1:] if excluded else token
    match = _QUALIFIER.match(body)
    if match is None:
        return _read_word(body, excluded)
    field = match.group(1).lower()
    if field not in QUALIFIERS:
        known = ", ".join(f"{name}:" for name in QUALIFIERS)
        raise _Wrong(f"There is no “{field}:”. Use {known}, or quotes to look for the text.")
    raw = body[match.end() :]
    parts = [_unquoted(raw)] if field in _SINGLE else list(_split(raw))
    values = [value for part in parts for value in _read_values(field, part, now)]
    if not values:
        raise _Wrong(f"“{field}:” needs a value.")
    return Term(field, tuple(values), excluded)


def _read_word(body: str, excluded: bool) -> Term:
    # A word is found anywhere in the name, so that its stars say nothing more.
    word = _plain(body.strip("*"))
    if not word:
        raise _Wrong("There is nothing to look for.")
    is_id = ids.to_bytes(word) is not None
    return Term("id" if is_id else "text", (Value(word),), excluded)


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    star: bool


def _unquoted(raw: str) -> _Part:
    return _Part(_plain(raw), raw.endswith("*"))


def _plain(raw: str) -> str:
    """Take off the quotes, and one of two within them."""
    return _QUOTED.sub(lambda match: match.group(1).replace('""', '"'), raw)


def _split(raw: str) -> Iterator[_Part]:
    """Cut at the commas that stand outside of quotes."""
    piece = ""
    for match in _PIECE.finditer(raw):
        if match.group(1):
            if piece:
                yield _unquoted(piece)
            piece = ""
        else:
            piece += match.group()
    if piece:
        yield _unquoted(piece)


def _read_values(field: str, part: _Part, now: datetime) -> list[Value]:
    if not part.text:
        return []
    if field == "status":
        return [Value(status) for status in _read_status(part.text)]
    if field == "tag":
        name, _, value = part.text.partition(":")
        if not name:
            raise _Wrong("Write tag:name:value, or tag:name for any value.")
        if part.star and value not in ("", "*"):
            return [Value(value[:-1], prefix=True, tag=name)]
        return [Value("" if value == "*" else value, tag=name)]
    if field in _MOMENTS:
        return [Value(part.text, moment=_read_moment(part.text, now))]
    if field in ("id", "parent"):
        if ids.to_bytes(part.text) is None:
            raise _Wrong(f"“{part.text}” is not a task id.")
        return [Value(part.text)]
    if part.star:
        return [Value(part.text[:-1], prefix=True)]
    return [Value(part.text)]


def _read_status(text: str) -> tuple[str, ...]:
    word = text.lower().replace("-", "_")
    if word in STATUSES:
        return (word,)
    if word in GROUPS:
        return GROUPS[word]
    known = ", ".join((*STATUSES, *GROUPS))
    raise _Wrong(f"There is no status “{text}”. Use {known}.")


def _read_moment(text: str, now: datetime) -> datetime:
    span = _SPAN.fullmatch(text)
    try:
        if span:
            return now - timedelta(seconds=int(span.group(1)) * _SECONDS[span.group(2)])
        moment = datetime.fromisoformat(text)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Wrong(
            f"“{text}” is not a time. Use 30min, 2h, 7d, 2026-11-23 or 2026-11-23T10:00."
        ) from error


def with_status(text: str, word: str) -> str:
    """Return the search *text* with its states replaced by *word*; an empty one means any."""
    kept = [token for token in _TOKEN.findall(text) if not token.lower().startswith("status:")]
    return " ".join([*kept, f"status:{word}"] if word else kept)


def with_term(text: str, *parts: str) -> str:
    """Return the search *text* with a qualifier added: ``with_term("", "tag", "env", "prod")``."""
    field, *values = parts
    term = ":".join([field, *map(quoted, values)])
    return text if term in _TOKEN.findall(text) else f"{text} {term}".strip()


def quoted(value: str) -> str:
    """Return *value* so that it is read as it is."""
    doubled = value.replace('"', '""')
    return f'"{doubled}"' if re.search(r'[\s,:*"]', value) else value
