"""The words of the search language for times, and for values in ``data``.

``data.customer:42`` looks at a key, ``data.order.id:7`` at one below it. Keys with dots or colons
are in quotes. A value without quotes matches text, and a number, boolean or null that is written
so; in quotes it matches text only.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from taskbadger.domain.search_text import Part, plain

MAX_KEYS = 2
"""Keys of a path: the top level, and one below."""
DAYS = {"today": 0, "yesterday": 1}
"""Words for days, and how long ago they began."""

# Possessive: a text of many quotation marks is read in one way only.
_PATH = re.compile(r'data\.((?:"(?:[^"]|"")*+"|[^":])++):(.*)', re.DOTALL | re.IGNORECASE)
_KEY = re.compile(r'((?:"(?:[^"]|"")*+"|[^".])++)(?:\.|$)')
_EQUATION = re.compile(r'((?:"(?:[^"]|"")*+"|[^":=])++)=(.+)', re.DOTALL)
DATA_FORM = (
    "Use data.key:value, or data.key.key:value for one level below; keys with dots are in quotes."
)
_NUMBER = re.compile(r"-?\d{1,100}(\.\d{1,100})?([eE][+-]?\d{1,2})?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_SPAN = re.compile(r"(\d{1,6})(s|min|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MAX_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class DataValue:
    """A value to look for in ``data``."""

    text: str
    is_prefix: bool = False
    """Whether *text* is how a text begins; an empty one then means any value."""
    is_text: bool = False
    """Whether only text matches, because the value was in quotes."""

    @property
    def is_any(self) -> bool:
        """Whether the key is all that is looked for."""
        return self.is_prefix and not self.text

    @property
    def integer(self) -> int | None:
        """The whole number that *text* is; None for anything else, and beyond 64 bits."""
        if not self._may_be_literal or not _INTEGER.fullmatch(self.text):
            return None
        number = int(self.text)
        return number if abs(number) <= _MAX_INTEGER else None

    @property
    def number(self) -> float | None:
        """The number that *text* is; None for anything else."""
        if not self._may_be_literal or not _NUMBER.fullmatch(self.text):
            return None
        return float(self.text)

    @property
    def word(self) -> str | None:
        """``true``, ``false`` or ``null``, if *text* is that."""
        is_word = self._may_be_literal and self.text in ("true", "false", "null")
        return self.text if is_word else None

    @property
    def _may_be_literal(self) -> bool:
        return not self.is_text and not self.is_prefix


@dataclass(frozen=True, slots=True)
class DataFilter:
    """A path in ``data``, and the values of which any may be there."""

    path: tuple[str, ...]
    values: tuple[DataValue, ...]


def split_path(token: str) -> tuple[list[str], str] | None:
    """Split ``data.order.id:7`` into raw keys and the raw value; None for anything else."""
    match = _PATH.fullmatch(token)
    return None if match is None else (list(_keys(match.group(1))), match.group(2))


def _keys(path: str) -> Iterator[str]:
    """Yield the parts of a path; an empty one where a dot is too much."""
    at = 0
    while at < len(path):
        match = _KEY.match(path, at)
        if match is None:
            yield ""
            return
        yield match.group(1)
        at = match.end()
    if path.endswith("."):
        yield ""


def read_path(raw_keys: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of a path; raises ValueError with what is right."""
    keys = tuple(plain(key) for key in raw_keys)
    if not all(keys) or len(keys) > MAX_KEYS:
        raise ValueError(DATA_FORM)
    return keys


def data_value(part: Part) -> DataValue:
    """Return what a value looks for in ``data``."""
    if part.star:
        return DataValue(part.text[:-1], is_prefix=True)
    return DataValue(part.text, is_text='"' in part.raw)


def parse_data(text: str) -> DataFilter | None:
    """Read ``key:value`` as the API takes it: one value, without stars. None if it is wrong."""
    found = None if text.count('"') % 2 else split_path(f"data.{text}")
    if found is None or not found[1]:
        return None
    try:
        path = read_path(found[0])
    except ValueError:
        return None
    raw = found[1]
    return DataFilter(path, (DataValue(plain(raw), is_text='"' in raw),))


def split_equation(token: str) -> tuple[str, str] | None:
    """Split ``customer=42`` into raw name and raw value; None for anything else."""
    match = _EQUATION.fullmatch(token)
    return None if match is None else (match.group(1), match.group(2))


def day_of(word: str, *, now: datetime, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Return when a day begins and ends in a time zone; None if *word* is no day."""
    ago = DAYS.get(word.lower())
    if ago is None:
        return None
    date = now.astimezone(zone).date() - timedelta(days=ago)
    begin, end = (
        datetime.combine(day, time(), zone).astimezone(UTC)
        for day in (date, date + timedelta(days=1))
    )
    return begin, end


def moment_of(text: str, *, now: datetime, zone: tzinfo) -> datetime | None:
    """Read a time: a day's beginning, a span that counts back from *now*, or ISO 8601 in UTC."""
    day = day_of(text, now=now, zone=zone)
    if day is not None:
        return day[0]
    span = _SPAN.fullmatch(text)
    try:
        if span:
            since = now - timedelta(seconds=int(span.group(1)) * _SECONDS[span.group(2)])
            # Whole milliseconds can be found by id alone.
            return since.replace(microsecond=since.microsecond // 1000 * 1000)
        moment = datetime.fromisoformat(text)
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
