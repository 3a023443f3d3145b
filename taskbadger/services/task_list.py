"""Lists of tasks: filters, and the keyset walk, newest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, false, func, not_, or_, select, tuple_

from taskbadger.domain import ids
from taskbadger.domain.status import STATUSES
from taskbadger.errors import FieldError, ValidationFailed
from taskbadger.extensions import fetch_all
from taskbadger.models import Task, TaskTag
from taskbadger.schemas.fields import parse_moment, printable
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.pagination import Cursor, InvalidCursor, Page, cut_page
from taskbadger.services.tasks import WIRE_COLUMNS

_task = Task.__table__.c
_MOMENTS = ("created_after", "created_before", "updated_after", "updated_before")
_TEXTS = ("name", "queue", "external_id")
_MOMENT_COLUMNS = {"created": "created", "updated": "updated", "ended": "end_time"}


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to. An empty tuple means any."""

    id: tuple[str, ...] = ()
    parent: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    external_id: tuple[str, ...] = ()
    monitor: tuple[UUID, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    moments: Mapping[str, datetime] = field(default_factory=dict)
    search: str = ""
    words: tuple[str, ...] = ()
    """All of these are in the name, without distinctions of case."""
    prefixes: tuple[tuple[str, str], ...] = ()
    """Fields (``name``, ``queue``, ``external_id``), each with how its value may also begin,
    without distinctions of case."""
    tag_prefixes: tuple[tuple[str, str], ...] = ()
    """Tags that there are, each with how its value begins, without distinctions of case."""
    without: tuple["Filters", ...] = ()
    """What the tasks are none of."""


NO_FILTERS = Filters()


def read_filters(parameters: Mapping[str, Sequence[str]]) -> Filters:
    """Read the query *parameters* of a list; raises ValidationFailed naming each wrong one."""
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
        tags=reader.each("tag", _read_tag, split=False),
        moments=reader.moments(),
        search=reader.last("search"),
    )
    if reader.errors:
        raise ValidationFailed(reader.errors)
    return filters


class _Wrong(Exception):
    """A value that the filter cannot have: its code and why."""

    def __init__(self, detail: str, code: str = "invalid") -> None:
        self.code, self.detail = code, detail


class _Reader:
    def __init__(self, parameters: Mapping[str, Sequence[str]]) -> None:
        self.parameters = parameters
        self.errors: list[FieldError] = []

    def each(self, name: str, read: Any, *, split: bool = True) -> tuple[Any, ...]:
        values: list[Any] = []
        for text in self._texts(name):
            for part in text.split(",") if split else [text]:
                try:
                    values.append(read(part.strip() if split else part))
                except _Wrong as wrong:
                    self.errors.append(FieldError(wrong.code, wrong.detail, name))
        return tuple(values)

    def moments(self) -> dict[str, datetime]:
        found = {}
        for name in _MOMENTS:
            for text in self._texts(name):
                moment = parse_moment(text)
                if moment is None:
                    detail = "Datetime has wrong format. Use ISO 8601."
                    self.errors.append(FieldError("invalid", detail, name))
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
        raise _Wrong(f"“{printable(text)}” is not a task id.")
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


def _read_tag(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (name and colon and value):
        raise _Wrong("Use name:value.")
    return name, value


def list_tasks(
    project: ProjectRef, filters: Filters, cursor: Cursor | None, size: int
) -> Page[Any]:
    """Return a page of a project's tasks, newest first. Raises InvalidCursor."""
    if filters == NO_FILTERS:
        return _walk(_PLAIN, {"project": project.id}, cursor, size)
    query = select(*WIRE_COLUMNS).where(_task.project_id == bindparam("project"))
    query = query.where(*conditions(filters))
    return _walk(_directions(query), {"project": project.id}, cursor, size)


def conditions(filters: Filters, task: Any = _task) -> list[Any]:
    """Return what *filters* ask of a task, as SQL; *task* holds the columns to ask about."""
    found: list[Any] = []
    for name in ("id", "parent", "status"):
        values = getattr(filters, name)
        if values:
            found.append(_any_of(task[name], values))
    for name in _TEXTS:
        allowed = _texts_allowed(filters, name, task)
        if allowed:
            found.append(or_(*allowed))
    if filters.monitor:
        found.append(_any_of(task.monitor_id, filters.monitor))
    found += [_has_tag(task, *tag) for tag in filters.tags]
    found += [_has_tag(task, *tag, prefix=True) for tag in filters.tag_prefixes]
    for name, moment in filters.moments.items():
        column = task[_MOMENT_COLUMNS[name.partition("_")[0]]]
        found.append(column >= moment if name.endswith("_after") else column < moment)
    for word in (filters.search, *filters.words):
        if word:
            found.append(task.name_folded.contains(word.casefold(), autoescape=True))
    # A comparison with null is null: such a task is not excluded.
    found += [not_(func.coalesce(and_(*conditions(one, task)), false())) for one in filters.without]
    return found


def _texts_allowed(filters: Filters, name: str, task: Any) -> list[Any]:
    values = getattr(filters, name)
    found = [_any_of(task[name], values)] if values else []
    starts = [start for field_name, start in filters.prefixes if field_name == name]
    if name == "name":
        return found + [_begins(task.name_folded, start.casefold()) for start in starts]
    return found + [_begins_in_any_case(task[name], start) for start in starts]


def _begins(column: Any, start: str) -> Any:
    # Not LIKE, which ignores case on SQLite only, and takes % and _ for more than they are.
    return func.substr(column, 1, len(start)) == start


def _begins_in_any_case(column: Any, start: str) -> Any:
    # Folded by the database on both sides: SQLite folds A to Z alone.
    return func.lower(func.substr(column, 1, len(start))) == func.lower(start)


def _has_tag(task: Any, name: str, value: str, *, prefix: bool = False) -> Any:
    """Ask for a tag; an empty *value* means any."""
    query = select(TaskTag.task_id).where(
        TaskTag.project_id == task.project_id, TaskTag.name == name, TaskTag.task_id == task.id
    )
    if prefix:
        return query.where(_begins_in_any_case(TaskTag.value, value)).exists()
    return (query.where(TaskTag.value == value) if value else query).exists()


def _any_of(column: Any, values: tuple[Any, ...]) -> Any:
    return column == values[0] if len(values) == 1 else column.in_(values)


def _directions(query: Select[Any]) -> tuple[Select[Any], Select[Any], Select[Any]]:
    """Return the statements for the first page, the next one and the previous one."""
    newest = (_task.created.desc(), _task.id.desc())
    oldest = (_task.created, _task.id)
    # Row values walk one index range; the bare bound on *created* lets planners see it.
    key = tuple_(_task.created, _task.id)
    at = tuple_(bindparam("at", type_=_task.created.type), bindparam("after", type_=_task.id.type))
    limit: Any = bindparam("limit")
    return (
        query.order_by(*newest).limit(limit),
        query.where(key < at).order_by(*newest).limit(limit),
        query.where(key > at).order_by(*oldest).limit(limit),
    )


_PLAIN = _directions(select(*WIRE_COLUMNS).where(_task.project_id == bindparam("project")))


def _walk(
    statements: tuple[Select[Any], Select[Any], Select[Any]],
    parameters: dict[str, Any],
    cursor: Cursor | None,
    size: int,
) -> Page[Any]:
    parameters["limit"] = size + 1
    statement = statements[0]
    if cursor is not None:
        statement = statements[2] if cursor.backwards else statements[1]
        parameters["at"], parameters["after"] = _read_key(cursor)
    rows = fetch_all(statement, parameters)
    return cut_page(rows, size, cursor, key=_key)


def _key(row: Any) -> tuple[str, str]:
    return row.created, row.id


def _read_key(cursor: Cursor) -> tuple[datetime, str]:
    created = parse_moment(cursor.key[0])
    if created is None or ids.to_bytes(cursor.key[1]) is None:
        raise InvalidCursor()
    return created, cursor.key[1]
