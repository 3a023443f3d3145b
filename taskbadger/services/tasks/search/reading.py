"""Turns the text of a search into filters."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo

from taskbadger.domain.search import Search, Term, Value, parse
from taskbadger.domain.search_words import DataFilter
from taskbadger.domain.status import STATUSES, TERMINAL
from taskbadger.services.tasks.filters import Filters

_MOMENTS = {"before": "created_before", "after": "created_after", "ended": "ended_after"}
_FIELDS = {"external": "external_id", "text": "words"}
"""Filters that have another name than their qualifier."""


def read_search(text: str, *, now: datetime, zone: tzinfo = UTC) -> tuple[Filters, Search]:
    """Return the filters of a search, and how it was read, with its problems."""
    search = parse(text, now=now, zone=zone)
    filters = _compile([term for term in search.terms if not term.excluded])
    without = tuple(_compile([term]) for term in search.terms if term.excluded)
    return replace(filters, without=without), search


def open_matching(filters: Filters) -> Filters | None:
    """Return *filters* narrowed to tasks that can be cancelled; None when none can."""
    wanted = filters.status or STATUSES
    still_open = tuple(status for status in wanted if status not in TERMINAL)
    return replace(filters, status=still_open) if still_open else None


def _compile(terms: Sequence[Term]) -> Filters:
    texts: defaultdict[str, list[str]] = defaultdict(list)
    tags: list[tuple[str, str]] = []
    tag_prefixes: list[tuple[str, str]] = []
    prefixes: list[tuple[str, str]] = []
    moments: dict[str, datetime] = {}
    for field, value in _values(terms):
        if value.data is not None:
            continue
        if value.until is not None and value.moment is not None:
            _narrow(moments, "after", value.moment)
            _narrow(moments, "before", value.until)
        elif value.moment is not None:
            _narrow(moments, field, value.moment)
        elif field == "tag":
            (tag_prefixes if value.prefix else tags).append((value.tag, value.text))
        elif value.prefix:
            prefixes.append((_FIELDS.get(field, field), value.text))
        else:
            texts[_FIELDS.get(field, field)].append(value.text)
    unique = {name: tuple(dict.fromkeys(found)) for name, found in texts.items()}
    return Filters(
        id=unique.get("id", ()),
        parent=unique.get("parent", ()),
        incident=tuple(map(int, unique.get("incident", ()))),
        are_last_attempts="attempts" in unique,
        status=unique.get("status", ()),
        name=unique.get("name", ()),
        queue=unique.get("queue", ()),
        external_id=unique.get("external_id", ()),
        words=unique.get("words", ()),
        tags=tuple(dict.fromkeys(tags)),
        tag_prefixes=tuple(dict.fromkeys(tag_prefixes)),
        prefixes=tuple(prefixes),
        moments=moments,
        data=tuple(dict.fromkeys(_data_filters(terms))),
    )


def _data_filters(terms: Sequence[Term]) -> Iterator[DataFilter]:
    for term in terms:
        values = dict.fromkeys(value.data for value in term.values if value.data is not None)
        if values:
            yield DataFilter(term.values[0].path, tuple(values))


def _values(terms: Sequence[Term]) -> list[tuple[str, Value]]:
    return [(term.field, value) for term in terms for value in term.values]


def _narrow(moments: dict[str, datetime], field: str, moment: datetime) -> None:
    choose = min if field == "before" else max
    name = _MOMENTS[field]
    moments[name] = choose(moments.get(name, moment), moment)
