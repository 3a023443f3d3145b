"""Conditions on ``data``, which is stored as text, with the same meaning on both databases.

Both take the text apart with ``json_each``, which gives keys as they are meant, whatever escapes
the client wrote. Where a key occurs twice, either value matches.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import (
    JSON,
    Double,
    Numeric,
    TableValuedAlias,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
)

from taskbadger.domain.search_words import DataFilter, DataValue
from taskbadger.extensions import db
from taskbadger.models.types import Column, Condition

MAX_LENGTH = 16_384
"""Characters of ``data``; what is longer is not searched, because it takes too long to read."""
_NUL = "\\u0000"
"""An escape that PostgreSQL cannot read. Data with it is not searched on either database."""
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]+")
"""Keys that are written as they are, unless a client escapes everything."""
_EXACT = 2**53
"""Whole numbers below this are exact as floating-point numbers."""
_NUMBER = r"^-?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,2})?$"
_INTEGER = "^-?[0-9]{1,19}$"


class _Dialect(Protocol):
    """How a database reads JSON."""

    def contains(self, data: Column, text: str) -> Condition:
        """Return whether *text* is anywhere in *data*."""

    def has_key(self, data: Column, key: str) -> Condition:
        """Return whether a plain key may be in *data*, fast."""

    def members_of_text(self, data: Column) -> TableValuedAlias:
        """Return the members of the object that the text *data* is; none of anything else."""

    def members_of(self, member: TableValuedAlias) -> TableValuedAlias:
        """Return the members of the object that the value of a member is."""

    def matches(self, member: TableValuedAlias, value: DataValue) -> Condition:
        """Return whether the value of a member is *value*."""


def has_data(data: Column, wanted: DataFilter) -> Condition:
    """Return whether one of the values is at the path in *data*."""
    dialect = _Postgresql() if db.engine.dialect.name == "postgresql" else _Sqlite()
    # In this order: the cheapest first, and most tasks do not have the key.
    readable: Column = case((~dialect.contains(data, _NUL), data))
    if _PLAIN_KEY.fullmatch(wanted.path[0]):
        may_have = or_(dialect.has_key(data, wanted.path[0]), dialect.contains(data, "\\u"))
        readable = case((may_have, readable))
    readable = case((func.length(data) <= MAX_LENGTH, readable))
    return _has(dialect, dialect.members_of_text(readable), wanted.path, wanted.values)


def _has(
    dialect: _Dialect, members: TableValuedAlias, path: Sequence[str], values: Sequence[DataValue]
) -> Condition:
    key, *rest = path
    if rest:
        found = _has(dialect, dialect.members_of(members), rest, values)
    else:
        found = or_(*(dialect.matches(members, value) for value in values))
    return select(literal(1)).select_from(members).where(members.c.key == key, found).exists()


class _Sqlite:
    def contains(self, data: Column, text: str) -> Condition:
        # Much faster than instr().
        return data.like(f"%{text}%")

    def has_key(self, data: Column, key: str) -> Condition:
        return func.json_type(data, f'$."{key}"').is_not(None)

    def members_of_text(self, data: Column) -> TableValuedAlias:
        return self._each(data)

    def members_of(self, member: TableValuedAlias) -> TableValuedAlias:
        return self._each(case((member.c.type == "object", member.c.value)))

    @staticmethod
    def _each(value: Column) -> TableValuedAlias:
        return func.json_each(value).table_valued("key", "value", "type")

    def matches(self, member: TableValuedAlias, value: DataValue) -> Condition:
        found, kind = member.c.value, member.c.type
        if value.is_any:
            return true()
        if value.is_prefix:
            return and_(kind == "text", _begins(found, value.text))
        same = [and_(kind == "text", found == value.text)]
        if value.word is not None:
            same.append(kind == value.word)
        same += [
            and_(kind.in_(("integer", "real")), cast(found, Double) == number)
            for number in _inexact(value)
        ]
        if value.integer is not None:
            same.append(and_(kind == "integer", found == value.integer))
        return or_(*same)


class _Postgresql:
    def contains(self, data: Column, text: str) -> Condition:
        return func.strpos(data, text) > 0

    def has_key(self, data: Column, key: str) -> Condition:
        return self.contains(data, f'"{key}"')

    def members_of_text(self, data: Column) -> TableValuedAlias:
        return self._each(self._object(cast(data, JSON)))

    def members_of(self, member: TableValuedAlias) -> TableValuedAlias:
        return self._each(self._object(member.c.value))

    @staticmethod
    def _object(value: Column) -> Column:
        return case((func.json_typeof(value) == "object", value))

    @staticmethod
    def _each(value: Column) -> TableValuedAlias:
        return func.json_each(value).table_valued(column("key", Text), column("value", JSON))

    def matches(self, member: TableValuedAlias, value: DataValue) -> Condition:
        kind = func.json_typeof(member.c.value)
        found = member.c.value.op("#>>", return_type=Text())(literal_column("'{}'"))
        if value.is_any:
            return true()
        if value.is_prefix:
            return and_(kind == "string", _begins(found, value.text))
        same = [and_(kind == "string", found == value.text)]
        if value.word is not None:
            same.append(and_(kind.in_(("boolean", "null")), _written(member) == value.word))
        for number in _inexact(value):
            as_number = case((found.regexp_match(_NUMBER), cast(found, Double)))
            same.append(and_(kind == "number", as_number == number))
        if value.integer is not None:
            as_integer = case((found.regexp_match(_INTEGER), cast(found, Numeric)))
            same.append(and_(kind == "number", as_integer == value.integer))
        return or_(*same)


def _written(member: TableValuedAlias) -> Column:
    """Return a value as it is written; ``#>>`` makes null of a JSON null."""
    return cast(member.c.value, Text)


def _inexact(value: DataValue) -> list[float]:
    """Return the floating-point number to compare with, unless it would match its neighbours."""
    integer = value.integer
    if value.number is None or (integer is not None and abs(integer) >= _EXACT):
        return []
    return [value.number]


def _begins(found: Column, start: str) -> Condition:
    return func.lower(func.substr(found, 1, len(start))) == func.lower(start)
