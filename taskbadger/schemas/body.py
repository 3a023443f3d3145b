"""Reads request bodies as strict JSON, before the schemas validate them.

``json.loads`` accepts NaN, lone surrogates and unlimited nesting, and does not keep how numbers
were written. This module parses the top level itself, so that it can keep the text of a value.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]  # C, not in typeshed
from typing import Any, NoReturn

from marshmallow import Schema, ValidationError, missing
from marshmallow.fields import Field

from taskbadger.domain.numbers import MAX_INTEGER_DIGITS
from taskbadger.errors import FieldError, ParseError, ValidationFailed
from taskbadger.schemas.fields import RawJSON, field_errors, printable

MAX_DEPTH = 100
MAX_OPERATIONS = 1000
"""Maximum operations of a batch."""
MAX_WRONG = 100
"""How many strings with lone surrogates are reported of one field."""
_MAX_PATH = 300
VERBATIM = frozenset({"data", "data_merge"})
"""The fields whose values are kept as the text that was sent."""

_SPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_ESCAPE = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)|\\.",
)
"""An escape in a string: a pair of surrogates, a lone one (group 1), or another."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A string, closed or not: trying again at each quote of an unclosed one takes quadratic time."""


class Members(dict[str, Any]):
    """A JSON object; values of fields in VERBATIM are RawJSON, except null."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[FieldError] = []
        """An error for each string with a lone surrogate."""


def read_object(body: bytes) -> Members:
    """Read a JSON object.

    Raises ParseError if *body* is not JSON as docs/contract.md#errors allows it, and
    ValidationFailed if it is not an object. An empty body is an empty object.
    """
    return _read_body(body, _PLAIN)


def read_batch(body: bytes) -> Members:
    """Read a JSON object like ``read_object``, and so each object in its list ``operations``.

    Errors in an operation's ``task`` are among the operation's, relative to the task.
    """
    return _read_body(body, _BATCH)


def _read_body(body: bytes, inner: "Inner") -> Members:
    if not body or body.isspace():
        return Members()
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        return _read(text, _decoder, inner)
    except _TooManyDigits:
        return _read(text, _unlimited_decoder, inner)


def load(schema: type[Schema], body: Members) -> Any:
    """Return *body* as loaded by *schema*; raises ValidationFailed."""
    try:
        loaded = schema_for(schema, body).load(body)
    except ValidationError as error:
        known = {error.attr for error in body.wrong}
        more = [found for found in field_errors(error.messages) if found.attr not in known]
        raise ValidationFailed([*body.wrong, *more]) from error
    if body.wrong:
        raise ValidationFailed(body.wrong)
    return loaded


def schema_for(schema: type[Schema], body: dict[str, Any]) -> Schema:
    """Return a schema with only those fields of *schema* that loading *body* needs."""
    names = _names_of(schema)
    return _narrowed(schema, frozenset([names[key] for key in names.keys() & body.keys()]))


@lru_cache(maxsize=500)
def _narrowed(schema: type[Schema], sent: frozenset[str]) -> Schema:
    names = [
        name
        for name, field in _fields_of(schema).items()
        if name in sent or field.required or field.load_default is not missing
    ]
    return schema(only=names)


@lru_cache(maxsize=100)
def _names_of(schema: type[Schema]) -> dict[str, str]:
    """Return the names of the fields by their names in a body."""
    return {field.data_key or name: name for name, field in _fields_of(schema).items()}


@lru_cache(maxsize=100)
def _fields_of(schema: type[Schema]) -> dict[str, Field[Any]]:
    return schema().load_fields


def digest(body: dict[str, Any]) -> str:
    """Return a hash that is the same for all bodies that are equal as JSON."""
    return hashlib.sha256(repr(_canonical(body)).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Sort names, and make equal numbers identical: 1.0 and 1 are the same JSON number."""
    if isinstance(value, RawJSON):
        return _canonical(json.loads(value.text, parse_int=_number, parse_float=_number))
    if isinstance(value, dict):
        return {name: _canonical(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _number(text: str) -> tuple[Any, ...]:
    """Return a number as sign, significant digits and exponent, without rounding."""
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except InvalidOperation:
        return (text,)  # An exponent of more than 18 digits.
    significant = "".join(map(str, digits)).rstrip("0")
    if not significant or not isinstance(exponent, int):
        return (0,)
    return sign, significant, exponent + len(digits) - len(significant)


class _TooManyDigits(Exception):
    """An integer has more digits than int() accepts."""


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON")


def _unlimited_int(text: str) -> int:
    """Read an integer of any length.

    A very long one becomes a number derived from a hash of its text: beyond every limit, and
    different for different texts. Where its value matters, the text is kept.
    """
    if len(text) <= MAX_INTEGER_DIGITS:
        return int(text)
    magnitude = 2**1024 + int(hashlib.sha512(text.encode()).hexdigest(), 16)
    return -magnitude if text.startswith("-") else magnitude


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_unlimited_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_unlimited_int)


def _read(text: str, decoder: json.JSONDecoder, inner: "Inner") -> Members:
    reader = _Reader(text, decoder)
    try:
        start = _skip(text, 0)
        if text[start : start + 1] == "{":
            body, end = reader.members(start, inner)
        else:
            body, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ParseError(str(error)) from error
    except ValueError as error:
        raise _TooManyDigits from error
    end = _skip(text, end)
    if end != len(text):
        raise ParseError(f"Extra data at character {end}")
    if not isinstance(body, Members):
        raise not_an_object(body)
    return body


def not_an_object(value: object) -> ValidationFailed:
    """Return the error for a value that should be an object."""
    kind = _KINDS.get(type(value), "number")
    return ValidationFailed.one(None, f"Invalid data. Expected an object, but got {kind}.")


_KINDS = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


class _Reader:
    """Reads objects whose members it must see one by one; the decoder reads everything else.

    Its methods read what begins at a position, and return it with the position after it.
    """

    def __init__(self, text: str, decoder: json.JSONDecoder) -> None:
        self._text = text
        self._decode = decoder.raw_decode
        self._is_suspicious = _SURROGATE_ESCAPE.search(text) is not None

    def members(self, at: int, inner: "Inner") -> tuple[Members, int]:
        """Read an object; *inner* reads the members that it names."""
        text, found = self._text, Members()
        at = _skip(text, at + 1)
        if text[at : at + 1] == "}":
            return found, at + 1
        while True:
            if text[at : at + 1] != '"':
                raise json.JSONDecodeError("Expecting a name in double quotes", text, at)
            name, at = scanstring(text, at + 1, True)
            at = _skip(text, at)
            if text[at : at + 1] != ":":
                raise json.JSONDecodeError("Expecting ':'", text, at)
            at = self._member(found, name, _skip(text, at + 1), inner)
            at, has_more = self._next(at, "}")
            if not has_more:
                return found, at

    def _member(self, found: Members, name: str, start: int, inner: "Inner") -> int:
        if name in inner:
            value, at = inner[name](self, start)
            found[name] = value
            found.wrong += getattr(value, "wrong", ())
            return at
        value, at = self._decode(self._text, start)
        if self._is_suspicious:
            kept = self._text[start:at] if name in VERBATIM else None
            wrong = islice(_lone_surrogates(name, value, kept), MAX_WRONG)
            found.wrong += map(_surrogate_error, wrong)
        if name in VERBATIM and value is not None:
            value = RawJSON(self._text[start:at], value)
        found[name] = value
        return at

    def operations(self, at: int) -> tuple[Any, int]:
        """Read a list of objects with a ``task``, or anything else."""
        if self._text[at : at + 1] != "[":
            return self._decode(self._text, at)
        found: list[Any] = []
        at = _skip(self._text, at + 1)
        if self._text[at : at + 1] == "]":
            return found, at + 1
        while True:
            if len(found) <= MAX_OPERATIONS:
                value, at = self._object(at, _OPERATION)
                found.append(value)
            else:  # One too many is enough to refuse them all.
                _, at = self._decode(self._text, at)
            at, has_more = self._next(at, "]")
            if not has_more:
                return found, at

    def task(self, at: int) -> tuple[Any, int]:
        """Read a task, or anything else."""
        return self._object(at, _PLAIN)

    def _object(self, at: int, inner: "Inner") -> tuple[Any, int]:
        if self._text[at : at + 1] == "{":
            return self.members(at, inner)
        return self._decode(self._text, at)

    def _next(self, at: int, end: str) -> tuple[int, bool]:
        """Skip a comma, or *end*; return the position after it, and whether more comes."""
        at = _skip(self._text, at)
        mark = self._text[at : at + 1]
        if mark == end:
            return at + 1, False
        if mark != ",":
            raise json.JSONDecodeError(f"Expecting ',' or '{end}'", self._text, at)
        return _skip(self._text, at + 1), True


Inner = Mapping[str, Callable[[_Reader, int], tuple[Any, int]]]
_PLAIN: Inner = {}
_OPERATION: Inner = {"task": _Reader.task}
_BATCH: Inner = {"operations": _Reader.operations}


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] > " ":
        return at
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _surrogate_error(path: str) -> FieldError:
    return FieldError("invalid", "Lone surrogates are not allowed.", printable(path))


def _lone_surrogates(path: str, value: Any, kept: str | None = None) -> Iterator[str]:
    """Yield the dotted path of each string with a lone surrogate; for *kept* text, only *path*.

    Long paths are cut: they would take the square of the body's size.
    """
    own, path = path, path[:_MAX_PATH]
    if kept is not None:
        if any(escape.group(1) for escape in _ESCAPE.finditer(kept)):
            yield path
    elif not _is_unicode(own) or (isinstance(value, str) and not _is_unicode(value)):
        yield path
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _lone_surrogates(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _lone_surrogates(f"{path}.{index}", inner)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for mark in _STRING.sub("", text):
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ParseError(f"nested deeper than {MAX_DEPTH} levels")
        elif mark in "]}":
            depth -= 1
