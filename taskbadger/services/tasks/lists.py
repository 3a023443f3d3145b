"""The task list of the API: its query parameters, and its pages, newest first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, cast
from uuid import UUID

from sqlalchemy import Integer, bindparam, select

from taskbadger.domain import escapes, ids
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.search import MAX_DATA_VALUES
from taskbadger.domain.search_words import DataFilter, parse_data
from taskbadger.domain.status import STATUSES
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import Statement, read_outside_session
from taskbadger.models import Failure, Task
from taskbadger.models.task_rows import TASKS, WIRE_COLUMNS, WireTask
from taskbadger.models.types import Query
from taskbadger.schemas.fields import explain_moment, parse_moment, printable
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    cut_page,
    keyset_of,
    read_big_number,
    read_task_id,
)
from taskbadger.services.tasks.filters import NO_FILTERS, Filters, conditions
from taskbadger.services.tasks.search.pages import PreparedSearch, RowColumns

_task = TASKS.c
T = TypeVar("T")
_MOMENTS = ("created_after", "created_before", "updated_after", "updated_before")
MAX_VALUES = 50
"""Different values of one filter, except ``data``. No task has more tags."""
MAX_VALUES_IN_ALL = 100


def read_filters(parameters: Mapping[str, Sequence[str]]) -> Filters:
    """Read the query *parameters* of a list; ValidationFailed lists every wrong value."""
    if not parameters:
        return NO_FILTERS
    reader = _Reader(parameters)
    filters = Filters(
        parent=reader.each("parent", _read_id),
        status=reader.each("status", _read_status),
        name=reader.each("name", str),
        queue=reader.each("queue", str),
        external_id=reader.each("external_id", str),
        monitor=reader.each("monitor", _read_monitor),
        incident=reader.each("incident", _read_incident),
        failure=reader.each("failure", _read_failure),
        tags=reader.each("tag", _read_tag, split=lambda text: [text]),
        moments=reader.moments(),
        search=reader.last("search"),
        data=reader.each("data", _read_data, split=lambda text: [text], at_most=MAX_DATA_VALUES),
    )
    if reader.errors:
        raise ValidationFailed(reader.errors)
    return filters


class _Wrong(Exception):
    """A value that a filter does not accept: the code of the error and its text."""

    def __init__(self, detail: str, code: str = "invalid") -> None:
        self.code, self.detail = code, detail


class _Reader:
    def __init__(self, parameters: Mapping[str, Sequence[str]]) -> None:
        self.parameters = parameters
        self.errors: list[FieldError] = []
        self._values = 0

    def each(
        self,
        name: str,
        read: Callable[[str], T],
        *,
        split: Callable[[str], list[str]] = escapes.split_list,
        at_most: int = MAX_VALUES,
    ) -> tuple[T, ...]:
        parts = dict.fromkeys(part for text in self._texts(name) for part in split(text))
        if not self._is_within_limits(name, len(parts), at_most):
            return ()
        values: list[T] = []
        for part in parts:
            try:
                values.append(read(part))
            except _Wrong as wrong:
                self.errors.append(FieldError(wrong.code, wrong.detail, name))
        return tuple(dict.fromkeys(values))

    def _is_within_limits(self, name: str, number: int, at_most: int) -> bool:
        self._values += number
        if number > at_most:
            detail = f"Ensure this filter has no more than {at_most} different values."
        elif number and self._values > MAX_VALUES_IN_ALL:
            detail = (
                f"Ensure that all filters together have no more than {MAX_VALUES_IN_ALL} values."
            )
        else:
            return True
        self.errors.append(FieldError("max_length", detail, name))
        return False

    def moments(self) -> dict[str, datetime]:
        found = {}
        for name in _MOMENTS:
            for text in self._texts(name):
                moment = parse_moment(text)
                if moment is None:
                    self.errors.append(FieldError("invalid", explain_moment(text), name))
                else:
                    found[name] = moment
        return found

    def last(self, name: str) -> str:
        texts = self._texts(name)
        return texts[-1] if texts else ""

    def _texts(self, name: str) -> Sequence[str]:
        texts = self.parameters.get(name, ())
        if any("\x00" in text for text in texts):
            self.errors.append(FieldError("invalid", "Null characters are not allowed.", name))
            return ()
        return texts


def _read_id(text: str) -> str:
    if ids.to_bytes(text) is None:
        raise _Wrong(f"“{printable(text)}” is not a valid task ID.")
    return text


def _read_status(text: str) -> str:
    if text not in STATUSES:
        raise _Wrong(f'"{printable(text)}" is not a valid choice.', "invalid_choice")
    return text


def _read_monitor(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise _Wrong(f"“{printable(text)}” is not a valid UUID.") from error


def _read_incident(text: str) -> int:
    return _read_number_of(text, "an incident")


def _read_failure(text: str) -> int:
    return _read_number_of(text, "a failure")


def _read_number_of(text: str, of_what: str) -> int:
    number = read_big_number(text)
    if number is None:
        raise _Wrong(f"“{printable(text)}” is not the ID of {of_what}.")
    return number


def _read_tag(text: str) -> tuple[str, str]:
    pair = escapes.split_pair(text)
    if pair is None or not all(pair):
        raise _Wrong("Use name:value.")
    return pair


def _read_data(text: str) -> DataFilter:
    found = parse_data(text)
    if found is None:
        raise _Wrong("Use key:value, or key.key:value for one level below.")
    return found


NEWEST_FIRST: Keyset[WireTask] = keyset_of(Task.id, read_task_id, Order.DESCENDING)
_OF_A_KIND: Keyset[WireTask] = replace(NEWEST_FIRST, columns=(Failure.task_id.expression,))
"""The same order, of an index of failures."""
_AT = (bindparam("at", type_=_task.id.type),)


_Read = Callable[[Mapping[str, object]], Sequence[WireTask]]


def _compiled(query: Query) -> _Read:
    return Statement(query, WireTask._make).read


def _once(query: Query) -> _Read:
    return lambda parameters: cast(Sequence[WireTask], read_outside_session(query, parameters))


class _Statements:
    """The statements of a list for the first, next and previous page, each built once.

    *prepare* turns a statement into a function that reads its rows.
    """

    def __init__(
        self,
        query: Query,
        prepare: Callable[[Query], _Read],
        keyset: Keyset[WireTask] = NEWEST_FIRST,
    ) -> None:
        self._keyset = keyset
        self._query = query.limit(bindparam("limit", type_=Integer))
        self._prepare = prepare
        self._built: dict[bool | None, _Read] = {}

    def page(self, project: ProjectRef, cursor: Cursor | None, size: int) -> Page[WireTask]:
        parameters: dict[str, object] = {"project": project.id, "limit": size + 1}
        if cursor is not None:
            [parameters["at"]] = NEWEST_FIRST.values_at(cursor)
        rows = self._reader(cursor)(parameters)
        return cut_page(rows, size, cursor, NEWEST_FIRST.write)

    def _reader(self, cursor: Cursor | None) -> _Read:
        direction = None if cursor is None else cursor.backwards
        if direction not in self._built:
            at = None if cursor is None else _AT
            query = self._keyset.narrow(self._query, at, backwards=bool(direction))
            self._built[direction] = self._prepare(query)
        return self._built[direction]


_SELECT = select(*WIRE_COLUMNS).where(_task.project_id == bindparam("project"))
_ALL = _Statements(_SELECT, _compiled)
_WIRE: RowColumns[WireTask] = RowColumns(WIRE_COLUMNS)


def list_tasks(
    project: ProjectRef, filters: Filters, cursor: Cursor | None, size: int
) -> Page[WireTask]:
    """Return a page of a project's tasks, newest first. Raises InvalidCursor."""
    if filters == NO_FILTERS:
        return _ALL.page(project, cursor, size)
    if filters.data:
        # It is slow to check: like the search of the pages, a page stops after so many tasks.
        found = PreparedSearch([project], filters).find_rows(_WIRE, cursor, size)
        return Page(found.rows, found.next, found.previous)
    if len(filters.failure) == 1:
        return _list_of_a_kind(project, filters, cursor, size)
    return _Statements(_SELECT.where(*conditions(filters)), _once).page(project, cursor, size)


def _list_of_a_kind(
    project: ProjectRef, filters: Filters, cursor: Cursor | None, size: int
) -> Page[WireTask]:
    """Walk the failures of a kind, which may be few among many tasks, or many."""
    others = conditions(replace(filters, failure=()))
    query = _SELECT.join(Failure, Failure.task_id == _task.id).where(
        Failure.kind_id == filters.failure[0], *others
    )
    return _Statements(query, _once, _OF_A_KIND).page(project, cursor, size)
