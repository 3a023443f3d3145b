"""The text of a search: its tokens, and how to add to it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_PIECE = re.compile(r'"(?:[^"]|"")*"|[^",]+|(,)')
TOKEN = re.compile(r"""(?:"(?:[^"]|"")*"?|[^\s"])+""")
"""A word or a condition; spaces in quotes belong to it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A value as it is typed."""

    raw: str

    @property
    def text(self) -> str:
        """The value, without quotes."""
        return plain(self.raw)

    @property
    def star(self) -> bool:
        """Whether it ends with a star, which is not in quotes."""
        return self.raw.endswith("*")


def plain(raw: str) -> str:
    """Remove quotes, and turn two quotation marks in quotes into one."""
    return _QUOTED.sub(lambda match: match.group(1).replace('""', '"'), raw)


def split(raw: str) -> Iterator[Part]:
    """Split at the commas outside of quotes."""
    piece = ""
    for match in _PIECE.finditer(raw):
        if match.group(1):
            if piece:
                yield Part(piece)
            piece = ""
        else:
            piece += match.group()
    if piece:
        yield Part(piece)


def with_status(text: str, word: str) -> str:
    """Return the search *text* with *word* as its only status; an empty *word* means any."""
    kept = [token for token in TOKEN.findall(text) if not token.lower().startswith("status:")]
    return " ".join([*kept, f"status:{word}"] if word else kept)


def with_term(text: str, *parts: str) -> str:
    """Return the search *text* with a qualifier added: ``with_term("", "tag", "env", "prod")``."""
    field, *values = parts
    term = ":".join([field, *map(quoted, values)])
    return text if term in TOKEN.findall(text) else f"{text} {term}".strip()


def quoted(value: str) -> str:
    """Return *value* as a search takes it literally, in quotes if needed."""
    doubled = value.replace('"', '""')
    return f'"{doubled}"' if not value or re.search(r'[\s,:*"]', value) else value


def quoted_key(key: str) -> str:
    """Return a key of ``data`` as a path takes it, in quotes if needed."""
    return f'"{key}"' if "." in key and quoted(key) == key else quoted(key)
