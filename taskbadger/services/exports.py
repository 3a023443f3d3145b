"""Exports of a search: CSV for spreadsheets and JSON lines for programs, in small parts."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Table, func, select

from taskbadger.clock import to_wire
from taskbadger.domain import numbers, secrets
from taskbadger.domain.status import value_percent
from taskbadger.extensions import fetch_all, reading
from taskbadger.models import Task
from taskbadger.schemas.tasks import write_duration
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.pagination import Cursor
from taskbadger.services.task_list import Filters
from taskbadger.services.task_search import LIST_COLUMNS, PreparedSearch

PAGE_SIZE = 1000
DATA_SIZE = 4_000_000
"""How many characters of ``data`` are read at a time, but for one task with more."""
COLUMNS = (
    "id",
    "project",
    "name",
    "status",
    "value",
    "value_max",
    "value_percent",
    "queue",
    "external_id",
    "parent",
    "created",
    "updated",
    "start_time",
    "end_time",
    "tags",
    "time_to_start",
    "max_runtime",
    "stale_timeout",
)
"""What both kinds hold; JSON lines have ``data`` too."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BOM = "\ufeff"

_task = cast(Table, Task.__table__).c
_READ = (
    *LIST_COLUMNS,
    _task.time_to_start,
    _task.max_runtime,
    _task.stale_timeout,
    func.coalesce(func.length(_task.data), 0).label("data_size"),
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported, newest first."""

    projects: Sequence[ProjectRef]
    filters: Filters
    start: Cursor | None = None
    """Where it begins; None for the newest."""
    masked: bool = True
    """Whether secrets in ``data`` are masked, as on pages; otherwise it is exactly as kept."""


def export_csv(selection: Selection) -> Iterator[str]:
    """Give what is selected as parts of a CSV file; each part ends a read."""
    # Without the mark, spreadsheets take the text for one of their own old encodings.
    yield _BOM + _write_csv([COLUMNS])
    for rows in _pages(selection):
        records = [_record(row, selection) for row in rows]
        yield _write_csv([[_cell(value) for value in one.values()] for one in records])


def export_json_lines(selection: Selection) -> Iterator[str]:
    """Give what is selected as parts of a file with one JSON object a line."""
    for page in _pages(selection):
        for rows in _portions(page):
            query = select(_task.id, _task.data).where(_task.id.in_([row.id for row in rows]))
            data = {row.id: row.data for row in fetch_all(query, {})}
            yield "".join(
                _line(_record(row, selection), data.get(row.id), selection) for row in rows
            )


EXPORTS: dict[str, tuple[Callable[[Selection], Iterator[str]], str]] = {
    "csv": (export_csv, "text/csv"),
    "jsonl": (export_json_lines, "application/jsonl"),
}


def _pages(selection: Selection) -> Iterator[Sequence[Any]]:
    search = PreparedSearch(selection.projects, selection.filters)
    cursor = selection.start
    while True:
        # A slow reader must not hold a transaction open.
        with reading():
            found = search.find(cursor, PAGE_SIZE, _READ)
        if found.rows:
            yield found.rows
        if found.next is None:
            return
        cursor = found.next


def _portions(rows: Sequence[Any]) -> Iterator[list[Any]]:
    """Cut rows where their data becomes much to hold."""
    portion: list[Any] = []
    size = 0
    for row in rows:
        if portion and size + row.data_size > DATA_SIZE:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += row.data_size
    yield portion


def _record(row: Any, selection: Selection) -> dict[str, Any]:
    slugs = {project.id: project.slug for project in selection.projects}
    values = (
        row.id,
        slugs[row.project_id],
        row.name,
        row.status,
        row.value,
        row.value_max,
        value_percent(row.value, row.value_max),
        row.queue,
        row.external_id,
        row.parent,
        *(None if at is None else to_wire(at) for at in _times(row)),
        json.loads(row.tags),
        None if row.time_to_start is None else write_duration(row.time_to_start),
        row.max_runtime,
        row.stale_timeout,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _times(row: Any) -> tuple[Any, ...]:
    return row.created, row.updated, row.start_time, row.end_time


def _line(record: dict[str, Any], data: str | None, selection: Selection) -> str:
    text = "null" if data is None else _masked(data) if selection.masked else data
    # In JSON, the end of a line is only ever a space between values.
    one_line = text.replace("\r", " ").replace("\n", " ")
    return f'{json.dumps(record, ensure_ascii=False)[:-1]}, "data": {one_line}}}\n'


def _masked(data: str) -> str:
    return numbers.write(secrets.masked(numbers.read_exactly(data)))


def _cell(value: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    if value is None or value == {}:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _write_csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
