"""Statements of the hot paths: SQLAlchemy compiles each once, and the driver runs it.

``Connection.execute`` takes about ten times as long as the driver and SQLite together need for a
row by its primary key. Here that work is done once for each set of parameters: the text, their
order, and the conversion of values both ways. SQLAlchemy stays what describes the statements,
opens the transactions and translates the errors.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, lru_cache, partial
from operator import itemgetter
from typing import Any, Generic, NoReturn, TypeVar, cast

from sqlalchemy import (
    Connection,
    Delete,
    Dialect,
    Engine,
    Insert,
    MetaData,
    Select,
    Table,
    Update,
    event,
)
from sqlalchemy.types import TypeEngine

from taskbadger.extensions.base import db
from taskbadger.extensions.transactions import (
    current_connection,
    is_read_only,
    reading_connection,
)

Row = TypeVar("Row")
Values = Mapping[str, Any]
Convert = Callable[[Any], Any]
Core = Select[Any] | Insert | Update | Delete

MAX_FORMS = 500
"""How many forms of one statement are kept: an UPDATE has one for each set of columns."""


class Statement(Generic[Row]):
    """A Core statement, each of whose rows becomes *row*; its IN lists must be of a fixed length.

    It runs in the transaction of this context. Raises SQLAlchemy's errors, and
    WriteInReadOnlyTransaction.
    """

    def __init__(self, core: Core, row: Callable[[Iterable[Any]], Row]) -> None:
        self._row = row
        self._form = lru_cache(maxsize=MAX_FORMS)(partial(_Form, core))

    def all(self, values: Values) -> list[Row]:
        """Run it; return its rows."""
        return self._rows(current_connection(), values)

    def first(self, values: Values) -> Row | None:
        """Run it; return its first row, or None."""
        rows = self.all(values)
        return rows[0] if rows else None

    def read(self, values: Values) -> list[Row]:
        """Run it like ``read_outside_session``: by itself, in one round trip, without a lock."""
        with reading_connection() as connection:
            return self._rows(connection, values)

    def _rows(self, connection: Connection, values: Values) -> list[Row]:
        form = self._form(connection.dialect, frozenset(values))
        rows = _run(connection, form, form.parameters(values), fetches=True)
        return [self._row(row) for row in form.results(rows)]

    def run(self, values: Values) -> None:
        """Run a statement that returns no rows."""
        self.run_each((values,))

    def run_each(self, rows: Sequence[Values]) -> None:
        """Run a statement that returns no rows once for each of *rows*, which share their names."""
        if not rows:
            return
        connection = current_connection()
        form = self._form(connection.dialect, frozenset(rows[0]))
        parameters = [form.parameters(row) for row in rows]
        deferred = _deferred.get()
        if deferred is not None:
            deferred.add(form, parameters)
        else:
            _run_each(connection, form, parameters)


@contextmanager
def deferring() -> Iterator[None]:
    """Collect what the block writes by ``run`` and ``run_each``, and write it together.

    It is written before any other statement runs on the connection, and at the end of the block;
    a block that raises writes nothing. Each table's rows are written in the order of the calls,
    and tables in the order of their foreign keys.
    """
    deferred = _Deferred(current_connection())
    token = _deferred.set(deferred)
    try:
        yield
        deferred.write()
    finally:
        _deferred.reset(token)


class _Deferred:
    """What is to be written to each table: forms of statements, and their parameters."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._parts: dict[Table, list[tuple[_Form, list[Any]]]] = {}

    def add(self, form: "_Form", parameters: list[Any]) -> None:
        """Write *parameters* later."""
        parts = self._parts.setdefault(form.table, [])
        if parts and parts[-1][0] is form:
            parts[-1][1].extend(parameters)
        else:
            parts.append((form, parameters))

    def write(self) -> None:
        """Write everything."""
        tables, self._parts = self._parts, {}
        for table in sorted(tables, key=_places(db.metadata).__getitem__):
            for form, parameters in tables[table]:
                _run_each(self.connection, form, parameters)


_deferred: ContextVar[_Deferred | None] = ContextVar("deferred", default=None)


@lru_cache(maxsize=1)
def _places(metadata: MetaData) -> dict[Table, int]:
    """Return where each table stands among all, with those first that others refer to."""
    return {table: place for place, table in enumerate(metadata.sorted_tables)}


def write_deferred_first(engine: Engine) -> None:
    """Write what a block of ``deferring`` has collected before any other statement runs."""

    @event.listens_for(engine, "before_cursor_execute")
    def write(connection: Connection, *_: Any) -> None:
        deferred = _deferred.get()
        if deferred is not None and deferred.connection is connection:
            deferred.write()


class _Form:
    """A statement as one driver takes it, with these names of parameters."""

    def __init__(self, core: Core, dialect: Dialect, names: frozenset[str]) -> None:
        is_change = not isinstance(core, Select)
        columns = sorted(names) if is_change else None
        self.compiled = core.compile(dialect=dialect, column_keys=columns)
        self._core = core
        self.text = self.compiled.string
        self.is_positional = self.compiled.positional
        self._read_parameters(dialect)
        self._conversions = _result_conversions(core, dialect)

    def _read_parameters(self, dialect: Dialect) -> None:
        binds = {name: bind for bind, name in self.compiled.bind_names.items()}
        self._names = list((self.compiled.positiontup if self.is_positional else None) or binds)
        converts = {name: _to_driver(bind.type, dialect) for name, bind in binds.items()}
        self._fixed = {
            name: bind.effective_value for name, bind in binds.items() if not bind.required
        }
        self._pick = _picker(self._names)
        self._converts = [
            (place, convert)
            for place, name in enumerate(self._names)
            if (convert := converts[name]) is not None
        ]

    @cached_property
    def table(self) -> Table:
        """The table that it changes."""
        return cast(Table, getattr(self._core, "table"))  # noqa: B009 - no SELECT has one

    def parameters(self, values: Values) -> Any:
        """Return *values* as the driver takes them; raises KeyError for one that is missing."""
        found = list(self._pick({**self._fixed, **values} if self._fixed else values))
        for place, convert in self._converts:
            found[place] = convert(found[place])
        return found if self.is_positional else dict(zip(self._names, found, strict=True))

    def results(self, rows: Sequence[tuple[Any, ...]]) -> Iterable[Sequence[Any]]:
        """Return the driver's rows with their values converted."""
        if not self._conversions or not rows:
            return rows
        # A column at a time costs half as much as a row at a time.
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for place, convert in self._conversions:
            columns[place] = map(convert, columns[place])
        return zip(*columns, strict=True)


def _picker(names: Sequence[str]) -> Callable[[Values], Iterable[Any]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]


def _to_driver(kind: TypeEngine[Any], dialect: Dialect) -> Convert | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _result_conversions(core: Core, dialect: Dialect) -> list[tuple[int, Convert]]:
    described = (
        core.column_descriptions if isinstance(core, Select) else core.returning_column_descriptions
    )
    converts = [
        column["type"].dialect_impl(dialect).result_processor(dialect, None) for column in described
    ]
    return [(place, convert) for place, convert in enumerate(converts) if convert is not None]


def _run_each(connection: Connection, form: _Form, parameters: list[Any]) -> None:
    if len(parameters) == 1:
        _run(connection, form, parameters[0])
    else:
        _run(connection, form, parameters, many=True)


def _run(
    connection: Connection,
    form: _Form,
    parameters: Any,
    *,
    fetches: bool = False,
    many: bool = False,
) -> list[tuple[Any, ...]]:
    if not connection.in_transaction() and not is_read_only(connection):
        connection.begin()
    cursor: Any = None
    try:
        cursor = connection.connection.cursor()
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, cursor, form.text, parameters, form, many)
        (cursor.executemany if many else cursor.execute)(form.text, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if fetches else []
        for listener in connection.dispatch.after_cursor_execute:
            listener(connection, cursor, form.text, parameters, form, many)
        cursor.close()
    except Exception as error:
        _raise_as_sqlalchemy(connection, form.text, cursor, error)
    return rows


def _raise_as_sqlalchemy(
    connection: Connection, text: str, cursor: Any, error: Exception
) -> NoReturn:
    """Raise a driver's error as SQLAlchemy's, and drop a connection that is of no more use."""
    if not isinstance(error, connection.dialect.loaded_dbapi.Error):
        raise error
    # SQLAlchemy has no public function for it.
    connection._handle_dbapi_exception(error, text, None, cursor, None)
