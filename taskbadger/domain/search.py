"""The search language of the task list: ``status:error tag:env:prod -name:import* before:2h``.

A word matches anywhere in the name; a word that is a task's id finds that task. A qualifier takes
one value, or several separated by commas, any of which may match. ``*`` at the end of a name,
queue, external id or tag means "begins with"; ``-`` before a word or a qualifier excludes. Words
and prefixes ignore case, whole values do not. Spaces, commas, colons and stars in quotes have no
special meaning, as in ``tag:"a:b":"*"``; a quotation mark in quotes is written twice.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from taskbadger.domain import ids
from taskbadger.domain.status import ERROR, PENDING, RUNNING, STALE, STATUSES, TERMINAL

MAX_LENGTH = 1000
MAX_TERMS = 30
MAX_VALUES = 50
"""Different values of one qualifier."""
MAX_VALUES_IN_ALL = 100
GROUPS: dict[str, tuple[str, ...]] = {
    "running": tuple(status for status in STATUSES if status in RUNNING),
    "failed": (ERROR,),
    "open": tuple(status for status in STATUSES if status not in TERMINAL),
    "waiting": (PENDING, STALE),
    "done": tuple(status for status in STATUSES if status in TERMINAL),
}
"""Words for several statuses."""
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
_TAG = re.compile(r'((?:"(?:[^"]|"")*"|[^":])*+):(.*)', re.DOTALL)
_PIECE = re.compile(r'"(?:[^"]|"")*"|[^",]+|(,)')
_SPAN = re.compile(r"(\d{1,6})(s|min|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a qualifier, or a word to look for."""

    text: str
    prefix: bool = False
    """Whether *text* is a prefix of the value."""
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
    """An error in a search, and its place: the characters from *start* up to *end*."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class Search:
    """A parsed search: the terms that are valid, and the problems of the others."""

    terms: tuple[Term, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Wrong(Exception):
    pass


def parse(text: str, *, now: datetime) -> Search:
    """Parse a search; relative times count back from *now*. Never raises."""
    if len(text) > MAX_LENGTH:
        problem = f"A search can have at most {MAX_LENGTH} characters."
        return Search(problems=(Problem(MAX_LENGTH, len(text), problem),))
    terms: list[Term] = []
    problems: list[Problem] = []
    for match in _TOKEN.finditer(text):
        try:
            terms.append(_read_term(match.group(), now))
        except _Wrong as wrong:
            problems.append(Problem(match.start(), match.end(), str(wrong)))
    terms = list(dict.fromkeys(terms))
    problems += [Problem(0, len(text), problem) for problem in _excess(terms)]
    return Search(tuple(terms[:MAX_TERMS]), tuple(problems))


def _excess(terms: Sequence[Term]) -> Iterator[str]:
    """Yield what there is too much of in a search."""
    if len(terms) > MAX_TERMS:
        yield f"A search can have at most {MAX_TERMS} conditions."
    values: defaultdict[str, set[Value]] = defaultdict(set)
    for term in terms:
        values[term.field].update(term.values)
    for field, found in values.items():
        if len(found) > MAX_VALUES:
            yield f"A search can have at most {MAX_VALUES} values of “{field}:”."
    if sum(map(len, values.values())) > MAX_VALUES_IN_ALL:
        yield f"A search can have at most {MAX_VALUES_IN_ALL} values."


def _read_term(token: str, now: datetime) -> Term:
    if token.count('"') % 2:
        raise _Wrong("A closing quotation mark is missing.")
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
        raise _Wrong(f"Unknown field “{field}:”. Use {known}, or quote the text.")
    raw = body[match.end() :]
    parts = [_Part(raw)] if field in _SINGLE else list(_split(raw))
    values = [value for part in parts for value in _read_values(field, part, now)]
    if not values:
        raise _Wrong(f"“{field}:” needs a value.")
    return Term(field, tuple(values), excluded)


def _read_word(body: str, excluded: bool) -> Term:
    # A word matches anywhere in the name, so stars around it change nothing.
    word = _plain(body.strip("*"))
    if not word:
        raise _Wrong("There is nothing to search for.")
    is_id = ids.to_bytes(word) is not None
    return Term("id" if is_id else "text", (Value(word),), excluded)


@dataclass(frozen=True, slots=True)
class _Part:
    raw: str

    @property
    def text(self) -> str:
        return _plain(self.raw)

    @property
    def star(self) -> bool:
        """Whether it ends with a star, which is not in quotes."""
        return self.raw.endswith("*")


def _plain(raw: str) -> str:
    """Remove quotes, and turn two quotation marks in quotes into one."""
    return _QUOTED.sub(lambda match: match.group(1).replace('""', '"'), raw)


def _split(raw: str) -> Iterator[_Part]:
    """Split at the commas outside of quotes."""
    piece = ""
    for match in _PIECE.finditer(raw):
        if match.group(1):
            if piece:
                yield _Part(piece)
            piece = ""
        else:
            piece += match.group()
    if piece:
        yield _Part(piece)


def _read_values(field: str, part: _Part, now: datetime) -> list[Value]:
    if not part.text:
        return []
    if field == "status":
        return [Value(status) for status in _read_status(part.text)]
    if field == "tag":
        return [_read_tag(part)]
    if field in _MOMENTS:
        return [Value(part.text, moment=_read_moment(part.text, now))]
    if field in ("id", "parent"):
        if ids.to_bytes(part.text) is None:
            raise _Wrong(f"“{part.text}” is not a valid task ID.")
        return [Value(part.text)]
    if part.star:
        return [Value(part.text[:-1], prefix=True)]
    return [Value(part.text)]


def _read_tag(part: _Part) -> Value:
    """Read ``name:value``. The name ends at the first colon outside of quotes, if there is one."""
    match = _TAG.fullmatch(part.raw)
    if match:
        name, value = _plain(match.group(1)), _plain(match.group(2))
    else:
        name, _, value = part.text.partition(":")
    if not name:
        raise _Wrong("Use tag:name:value, or tag:name for any value.")
    if part.star and value:
        return Value(value[:-1], prefix=value != "*", tag=name)
    return Value(value, tag=name)


def _read_status(text: str) -> tuple[str, ...]:
    word = text.lower().replace("-", "_")
    if word in STATUSES:
        return (word,)
    if word in GROUPS:
        return GROUPS[word]
    known = ", ".join((*STATUSES, *GROUPS))
    raise _Wrong(f"Unknown status “{text}”. Use {known}.")


def _read_moment(text: str, now: datetime) -> datetime:
    span = _SPAN.fullmatch(text)
    try:
        if span:
            since = now - timedelta(seconds=int(span.group(1)) * _SECONDS[span.group(2)])
            # Whole milliseconds can be found by id alone.
            return since.replace(microsecond=since.microsecond // 1000 * 1000)
        moment = datetime.fromisoformat(text)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return aware.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _Wrong(
            f"“{text}” is not a valid time. Use 30min, 2h, 7d, 2026-11-23 or 2026-11-23T10:00."
        ) from error


def with_status(text: str, word: str) -> str:
    """Return the search *text* with *word* as its only status; an empty *word* means any."""
    kept = [token for token in _TOKEN.findall(text) if not token.lower().startswith("status:")]
    return " ".join([*kept, f"status:{word}"] if word else kept)


def with_term(text: str, *parts: str) -> str:
    """Return the search *text* with a qualifier added: ``with_term("", "tag", "env", "prod")``."""
    field, *values = parts
    term = ":".join([field, *map(quoted, values)])
    return text if term in _TOKEN.findall(text) else f"{text} {term}".strip()


def quoted(value: str) -> str:
    """Return *value* as a search takes it literally, in quotes if needed."""
    doubled = value.replace('"', '""')
    return f'"{doubled}"' if re.search(r'[\s,:*"]', value) else value
