"""The search language of the task list: ``status:error tag:env:prod -name:import* before:2h``.

A word matches anywhere in the name; a word that is a task's id finds that task. A qualifier takes
one value, or several separated by commas, any of which may match. ``*`` at the end of a name,
queue, external id or tag means "begins with"; ``-`` before a word or a qualifier excludes. Words
and prefixes ignore case, whole values do not. Spaces, commas, colons and stars in quotes have no
special meaning, as in ``tag:"a:b":"*"``; a quotation mark in quotes is written twice.
``queue:""`` finds tasks without a queue; ``today`` and ``yesterday`` what was created then, and
``domain/search_words.py`` has the language of ``data.customer:42``. ``env=prod`` is read as
``tag:env:prod``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from taskbadger.domain import ids
from taskbadger.domain.search_text import TOKEN, Part, plain, quoted, quoted_key, split
from taskbadger.domain.search_words import (
    DATA_FORM,
    DAYS,
    DataValue,
    data_value,
    day_of,
    moment_of,
    read_path,
    split_equation,
    split_path,
)
from taskbadger.domain.status import ERROR, PENDING, RUNNING, STALE, STATUSES, TERMINAL

MAX_LENGTH = 1000
MAX_TERMS = 30
MAX_VALUES = 50
"""Different values of one qualifier."""
MAX_VALUES_IN_ALL = 100
MAX_DATA_VALUES = 3
"""Values that are looked for in ``data``: each takes the data of all tasks apart."""
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
    "incident",
    "attempts",
    "before",
    "after",
    "ended",
)
LAST = "last"
"""The last attempts of runs: tasks that no later one with their name and external id supersedes."""
_MOMENTS = ("before", "after", "ended")
_SINGLE = ("tag", *_MOMENTS)
_DATA = "data"
_DAY = "day"

_QUALIFIER = re.compile(r"([A-Za-z_]+):")
_TAG = re.compile(r'((?:"(?:[^"]|"")*"|[^":])*+):(.*)', re.DOTALL)
_NUMBER = re.compile(r"[1-9]\d{0,17}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a qualifier, or a word to look for."""

    text: str
    prefix: bool = False
    """Whether *text* is a prefix of the value."""
    tag: str = ""
    """The name of the tag, for the qualifier ``tag``; an empty *text* then means any value."""
    moment: datetime | None = None
    """For ``before``, ``after`` and ``ended``, and when a day begins."""
    until: datetime | None = None
    """When a day ends."""
    path: tuple[str, ...] = ()
    """The keys in ``data``."""
    data: DataValue | None = None
    """What is looked for there."""


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. *field* is a qualifier, ``text`` for a word, ``day`` or ``data``."""

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
    """A parsed search: the terms that are valid, the problems of the others, and hints."""

    terms: tuple[Term, ...] = ()
    problems: tuple[Problem, ...] = ()
    hints: tuple[str, ...] = ()
    """How words were read that may have been meant in another way."""


class _Wrong(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Clock:
    """What times are relative to."""

    now: datetime
    zone: tzinfo


def parse(text: str, *, now: datetime, zone: tzinfo = UTC) -> Search:
    """Parse a search; times are relative to *now*, days are those of *zone*. Never raises."""
    if len(text) > MAX_LENGTH:
        problem = f"A search can have at most {MAX_LENGTH} characters."
        return Search(problems=(Problem(MAX_LENGTH, len(text), problem),))
    terms: list[Term] = []
    problems: list[Problem] = []
    clock = _Clock(now, zone)
    for match in TOKEN.finditer(text):
        try:
            terms.append(_read_term(match.group(), clock))
        except _Wrong as wrong:
            problems.append(Problem(match.start(), match.end(), str(wrong)))
    terms = list(dict.fromkeys(terms))
    problems += [Problem(0, len(text), problem) for problem in _excess(terms)]
    return Search(tuple(terms[:MAX_TERMS]), tuple(problems), tuple(_hints(text, terms, zone)))


def _hints(text: str, terms: Sequence[Term], zone: tzinfo) -> Iterator[str]:
    """Yield how words were read that may have been meant in another way."""
    for term in terms:
        [value, *_] = term.values
        if term.field == _DAY and value.moment is not None:
            date = value.moment.astimezone(zone).date().isoformat()
            yield (
                f"“{value.text}” is {date} ({zone}), by the time of creation. In quotes, it is a "
                "part of the name."
            )
    for token in TOKEN.findall(text):
        body = token.removeprefix("-")
        equation = None if _QUALIFIER.match(body) else split_equation(body)
        if equation:
            name, worth = plain(equation[0]), equation[1]
            yield (
                f"“{token}” is read as tag:{quoted(name)}:{worth}. In data, it is found by "
                f"{_DATA}.{quoted_key(name)}:{worth}, as a part of the name in quotes."
            )


def _excess(terms: Sequence[Term]) -> Iterator[str]:
    """Yield what there is too much of in a search."""
    if len(terms) > MAX_TERMS:
        yield f"A search can have at most {MAX_TERMS} conditions."
    in_data = [len(set(term.values)) for term in terms if term.field == _DATA]
    if sum(in_data) > MAX_DATA_VALUES:
        yield f"A search can look for at most {MAX_DATA_VALUES} values in data."
    values: defaultdict[str, set[Value]] = defaultdict(set)
    for term in terms:
        values[term.field].update(term.values)
    for field, found in values.items():
        if len(found) > MAX_VALUES and field != _DATA:
            yield f"A search can have at most {MAX_VALUES} values of “{field}:”."
    if sum(map(len, values.values())) > MAX_VALUES_IN_ALL:
        yield f"A search can have at most {MAX_VALUES_IN_ALL} values."


def _read_term(token: str, clock: _Clock) -> Term:
    if token.count('"') % 2:
        raise _Wrong("A closing quotation mark is missing.")
    if "\x00" in token:
        raise _Wrong("Null characters are not allowed.")
    excluded = token.startswith("-")
    body = token[1:] if excluded else token
    if (found := split_path(body)) is not None:
        return _read_data(*found, excluded)
    match = _QUALIFIER.match(body)
    if match is None:
        return _read_bare(body, excluded, clock)
    field = match.group(1).lower()
    if field not in QUALIFIERS:
        if field == _DATA:
            raise _Wrong(DATA_FORM)
        known = ", ".join(f"{name}:" for name in (*QUALIFIERS, f"{_DATA}.key"))
        raise _Wrong(f"Unknown field “{field}:”. Use {known}, or quote the text.")
    raw = body[match.end() :]
    parts = [Part(raw)] if field in _SINGLE else list(split(raw))
    values = [value for part in parts for value in _read_values(field, part, clock)]
    if not values:
        raise _Wrong(f"“{field}:” needs a value.")
    return Term(field, tuple(values), excluded)


def _read_data(raw_keys: Sequence[str], raw_value: str, excluded: bool) -> Term:
    try:
        path = read_path(raw_keys)
    except ValueError as error:
        raise _Wrong(str(error)) from error
    parts = list(split(raw_value))
    if not parts:
        raise _Wrong(f"“data.{'.'.join(raw_keys)}:” needs a value; * stands for any.")
    values = [Value(part.text, path=path, data=data_value(part)) for part in parts]
    return Term(_DATA, tuple(values), excluded)


def _read_bare(body: str, excluded: bool, clock: _Clock) -> Term:
    """Read what has no qualifier: a day, ``name=value`` for a tag, or a word."""
    day = day_of(body, now=clock.now, zone=clock.zone)
    if day is not None:
        return Term(_DAY, (Value(body, moment=day[0], until=day[1]),), excluded)
    equation = split_equation(body)
    if equation is not None:
        name, part = plain(equation[0]), Part(equation[1])
        return Term("tag", (_tag_value(name, part.text, part),), excluded)
    return _read_word(body, excluded)


def _read_word(body: str, excluded: bool) -> Term:
    # A word matches anywhere in the name, so stars around it change nothing.
    word = plain(body.strip("*"))
    if not word:
        raise _Wrong("There is nothing to search for.")
    is_id = ids.to_bytes(word) is not None
    return Term("id" if is_id else "text", (Value(word),), excluded)


def _read_values(field: str, part: Part, clock: _Clock) -> list[Value]:
    if not part.text:
        return [Value("")] if field == "queue" and part.raw else []
    if field == "status":
        return [Value(status) for status in _read_status(part.text)]
    if field == "tag":
        return [_read_tag(part)]
    if field in _MOMENTS:
        return [Value(part.text, moment=_read_moment(part.text, clock))]
    if field in ("id", "parent"):
        if ids.to_bytes(part.text) is None:
            raise _Wrong(f"“{part.text}” is not a valid task ID.")
        return [Value(part.text)]
    if field == "incident":
        if not _NUMBER.fullmatch(part.text):
            raise _Wrong(f"“{part.text}” is not a valid incident ID.")
        return [Value(part.text)]
    if field == "attempts":
        if part.text != LAST:
            raise _Wrong(f"“{part.text}” is not “{LAST}”, the only value of “attempts:”.")
        return [Value(LAST)]
    if part.star:
        return [Value(part.text[:-1], prefix=True)]
    return [Value(part.text)]


def _read_tag(part: Part) -> Value:
    """Read ``name:value``. The name ends at the first colon outside of quotes, if there is one."""
    match = _TAG.fullmatch(part.raw)
    if match:
        name, value = plain(match.group(1)), plain(match.group(2))
    else:
        name, _, value = part.text.partition(":")
    if not name:
        raise _Wrong("Use tag:name:value, or tag:name for any value.")
    return _tag_value(name, value, part)


def _tag_value(name: str, value: str, part: Part) -> Value:
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


def _read_moment(text: str, clock: _Clock) -> datetime:
    moment = moment_of(text, now=clock.now, zone=clock.zone)
    if moment is None:
        examples = ", ".join(("30min", "2h", "7d", *DAYS, "2026-11-23"))
        raise _Wrong(f"“{text}” is not a valid time. Use {examples} or 2026-11-23T10:00.")
    return moment
