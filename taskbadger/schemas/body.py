"""Reading request bodies: strict JSON, in front of the schemas.

``json.loads`` alone takes NaN, lone surrogates and nesting without end, and forgets how numbers
were written. This walks the top level itself, so that the text of a value can be kept.
"""

import hashlib
import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # C, not in typeshed
from typing import Any, NoReturn

from taskbadger.errors import FieldError, ParseError, ValidationFailed
from taskbadger.schemas.fields import RawJSON, printable

MAX_DEPTH = 100
VERBATIM = frozenset({"data"})
"""The fields whose values are kept as the text that they came as."""

_LONGEST_INTEGER = 4000  # digits; CPython refuses to read more than 4300.
_SPACE = re.compile(r"[ \t\n\r]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; the value of a field in VERBATIM comes as RawJSON, unless it is null.

    Raises ParseError when *body* is not JSON that the contract allows, and ValidationFailed when it
    is not an object or a string in it has a lone surrogate. An empty body is an empty object.
    """
    if not body or body.isspace():
        return {}
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"not UTF-8 at byte {error.start}") from error
    _check_depth(text)
    try:
        return _read(text, _decoder)
    except _TooManyDigits:
        return _read(text, _patient_decoder)


def digest(body: dict[str, Any]) -> str:
    """Return a hash that is the same for two bodies that are equal as JSON."""
    plain = {
        name: value.value if isinstance(value, RawJSON) else value for name, value in body.items()
    }
    text = json.dumps(_canonical(plain), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """Replace floats that are whole by integers: 1.0 and 1 are the same JSON number."""
    if isinstance(value, dict):
        return {name: _canonical(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


class _TooManyDigits(Exception):
    """An integer is longer than int() reads."""


def _refuse_constant(name: str) -> NoReturn:
    raise ParseError(f"{name} is not JSON")


def _patient_int(text: str) -> int:
    """Read an integer of any length.

    A very long one becomes a large number derived from its text: out of every bound, and
    different for different texts. Where the number itself matters, the text is kept.
    """
    if len(text) <= _LONGEST_INTEGER:
        return int(text)
    magnitude = 2**600 + int(hashlib.sha512(text.encode()).hexdigest(), 16)
    return -magnitude if text.startswith("-") else magnitude


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_patient_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_patient_int)


def _read(text: str, decoder: json.JSONDecoder) -> dict[str, Any]:
    try:
        start = _skip(text, 0)
        if text[start : start + 1] == "{":
            body, end = _read_members(text, start + 1, decoder)
        else:
            body, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise ParseError(str(error)) from error
    except ValueError as error:
        raise _TooManyDigits from error
    end = _skip(text, end)
    if end != len(text):
        raise ParseError(f"Extra data at character {end}")
    if not isinstance(body, dict):
        kind = _KINDS.get(type(body), "number")
        raise ValidationFailed.one(None, f"Invalid data. Expected an object, but got {kind}.")
    return body


_KINDS = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}


def _read_members(text: str, at: int, decoder: json.JSONDecoder) -> tuple[dict[str, Any], int]:
    body: dict[str, Any] = {}
    wrong: list[FieldError] = []
    suspicious = _SURROGATE_ESCAPE.search(text) is not None
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return body, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("Expecting a name in double quotes", text, at)
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("Expecting ':'", text, at)
        start = _skip(text, at + 1)
        value, at = decoder.raw_decode(text, start)
        if suspicious and _has_lone_surrogate(name, value):
            wrong.append(FieldError("invalid", "Lone surrogates are not allowed.", printable(name)))
        if name in VERBATIM and value is not None:
            value = RawJSON(text[start:at], value)
        body[name] = value
        at = _skip(text, at)
        mark = text[at : at + 1]
        if mark == "}":
            break
        if mark != ",":
            raise json.JSONDecodeError("Expecting ',' or '}'", text, at)
        at = _skip(text, at + 1)
    if wrong:
        raise ValidationFailed(wrong)
    return body, at + 1


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] > " ":
        return at
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _has_lone_surrogate(name: str, value: Any) -> bool:
    try:
        json.dumps([name, value], ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


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
