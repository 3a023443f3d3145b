"""Column types: how ids, times and durations are stored in both databases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Dialect,
    Integer,
    LargeBinary,
    Select,
    String,
    Uuid,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from taskbadger.clock import microseconds_to_wire, to_wire
from taskbadger.domain import ids

_MICROSECOND = timedelta(microseconds=1)

Column = ColumnElement[Any]
Columns = ReadOnlyColumnCollection[str, Any]
"""The columns of a table or a subquery, by name."""
Condition = ColumnElement[bool]
Query = Select[*tuple[Any, ...]]
"""A SELECT whose rows are cast to a type where they are fetched."""

BigId = BigInteger().with_variant(Integer(), "sqlite")
"""An ascending primary key. SQLite only generates values for columns of type INTEGER."""


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; naive ones raise ValueError.

    PostgreSQL stores a ``timestamptz``, SQLite the text of the wire, which sorts by time.
    """

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(27))

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        if dialect.name == "postgresql":
            return _aware
        return _to_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        if dialect.name == "postgresql":
            return _in_utc
        return _from_text


class WireDateTime(UTCDateTime):
    """A UTCDateTime that is read as the text of the wire, which is how SQLite stores it."""

    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return _WireTime(column, self)

    def result_processor(self, dialect: Dialect, coltype: object) -> None:  # type: ignore[override]  # None: not converted
        return None


class _Written(FunctionElement[str]):
    """A column as the database writes it; by default as it is."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], kind: TypeEngine[Any]) -> None:
        super().__init__(column)
        self.column = column
        self.type = kind


@compiles(_Written)
def _as_stored(element: _Written, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.column, **options)


class _WireTime(_Written):
    """A time, which PostgreSQL writes as ``to_wire`` does."""

    inherit_cache = True


@compiles(_WireTime, "postgresql")
def _written_time(element: _WireTime, compiler: SQLCompiler, **options: Any) -> str:
    time = compiler.process(element.column, **options)
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError(f"a datetime without a time zone: {value!r}")
    return value


def _to_text(value: datetime | None) -> str | None:
    return None if value is None else to_wire(_aware(value) or value)


def _in_utc(value: datetime | None) -> datetime | None:
    return None if value is None else value.astimezone(UTC)


def _from_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


class TaskId(TypeDecorator[str]):
    """A task's id: 16 bytes in the database (``uuid`` on PostgreSQL), 22 characters in Python."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid())
        return dialect.type_descriptor(LargeBinary(16))

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        return _to_uuid if dialect.name == "postgresql" else _to_blob

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _from_uuid if dialect.name == "postgresql" else _from_blob


class WireTaskId(TaskId):
    """A TaskId whose text PostgreSQL writes, which is faster than its driver's UUIDs."""

    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return _WireId(column, self)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:  # type: ignore[override]  # None: not converted
        return None if dialect.name == "postgresql" else _from_blob


class _WireId(_Written):
    """An id, which PostgreSQL writes as ``ids.from_bytes`` does."""

    inherit_cache = True


@compiles(_WireId, "postgresql")
def _written_id(element: _WireId, compiler: SQLCompiler, **options: Any) -> str:
    identity = compiler.process(element.column, **options)
    return f"translate(encode(uuid_send({identity}), 'base64'), '+/=', '-_')"


def _to_uuid(value: str | None) -> UUID | None:
    return None if value is None else UUID(bytes=_to_blob(value))


def _to_blob(value: str | None) -> bytes | None:
    if value is None:
        return None
    blob = ids.to_bytes(value)
    if blob is None:
        raise ValueError(f"not a task id: {value!r}")
    return blob


def _from_uuid(value: UUID | None) -> str | None:
    return None if value is None else ids.from_bytes(value.bytes)


def _from_blob(value: bytes | None) -> str | None:
    return None if value is None else ids.from_bytes(value)


class Microseconds(TypeDecorator[timedelta]):
    """A duration, stored as a whole number of microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        return None if value is None else value // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        return None if value is None else timedelta(microseconds=value)


class WireMicroseconds(Microseconds):
    """A duration in Microseconds that is read as the text of the wire."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any]:
        return _duration_text


def _duration_text(value: int | None) -> str | None:
    return None if value is None else microseconds_to_wire(value)
