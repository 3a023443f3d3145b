"""Exports of a search in small parts: CSV for spreadsheets, JSON lines for programs."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select

from taskbadger.clock import duration_to_wire, to_wire
from taskbadger.domain import numbers, secrets
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.status import value_percent
from taskbadger.extensions import read_outside_session, reading
from taskbadger.models.task_rows import TASKS, columns_of
from taskbadger.services.pagination import Cursor
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import PreparedSearch, RowColumns

PAGE_SIZE = 1000
DATA_SIZE = 4_000_000
"""Characters of ``data`` that are read at a time; a task with more is read alone."""
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
"""What both formats have; JSON lines have ``data`` too."""
_FORMULA = re.compile(r"[\s\u200b-\u200f\u2060\ufeff\x00-\x1f]*[=+\-@＝＋－＠﹢﹣﹦﹫−]|[\t\r]")
"""What a spreadsheet may read as the start of a formula, also in full width, and after signs that
it does not show."""
_BOM = "\ufeff"

_task = TASKS.c


class ExportedTask(NamedTuple):
    """What is read of a task for an export."""

    id: str
    project_id: int
    parent: str | None
    name: str
    queue: str
    external_id: str
    status: str
    value: int | None
    value_max: int
    tags: str
    created: datetime
    updated: datetime
    start_time: datetime | None
    end_time: datetime | None
    time_to_start: timedelta | None
    max_runtime: int | None
    stale_timeout: int | None
    data_size: int
    """Characters of its ``data``, which is read later."""


_EXPORTED: RowColumns[ExportedTask] = RowColumns(
    columns_of(ExportedTask, TASKS, data_size=func.coalesce(func.length(_task.data), 0))
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is exported, newest first."""

    projects: Sequence[ProjectRef]
    filters: Filters
    start: Cursor | None = None
    """The position to begin at; None for the newest."""
    masked: bool = True
    """Whether secrets in ``data`` are masked, as on pages; otherwise it is exactly as stored."""


def export_csv(selection: Selection) -> Iterator[str]:
    """Yield the parts of a CSV file; no transaction is open between them."""
    # Without a byte order mark, spreadsheets assume an encoding from before Unicode.
    yield _BOM + _write_csv([COLUMNS])
    for rows in _pages(selection):
        records = [_record(row, selection) for row in rows]
        yield _write_csv([[_cell(value) for value in record.values()] for record in records])


def export_json_lines(selection: Selection) -> Iterator[str]:
    """Yield the parts of a file with one JSON object per line, as ``export_csv`` does."""
    for page in _pages(selection):
        for rows in _portions(page):
            query = select(_task.id, _task.data).where(_task.id.in_([row.id for row in rows]))
            data = {row.id: row.data for row in read_outside_session(query, {})}
            yield "".join(
                _line(_record(row, selection), data.get(row.id), selection) for row in rows
            )


EXPORTS: dict[str, tuple[Callable[[Selection], Iterator[str]], str]] = {
    "csv": (export_csv, "text/csv"),
    "jsonl": (export_json_lines, "application/jsonl"),
}


def _pages(selection: Selection) -> Iterator[Sequence[ExportedTask]]:
    search = PreparedSearch(selection.projects, selection.filters)
    cursor = selection.start
    while True:
        # A slow reader must not hold a transaction open.
        with reading():
            found = search.find_rows(_EXPORTED, cursor, PAGE_SIZE)
        if found.rows:
            yield found.rows
        if found.next is None:
            return
        cursor = found.next


def _portions(rows: Sequence[ExportedTask]) -> Iterator[list[ExportedTask]]:
    """Split rows so that the data of each part is up to DATA_SIZE, if it is not of one task."""
    portion: list[ExportedTask] = []
    size = 0
    for row in rows:
        if portion and size + row.data_size > DATA_SIZE:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += row.data_size
    yield portion


def _record(row: ExportedTask, selection: Selection) -> dict[str, object]:
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
        None if row.time_to_start is None else duration_to_wire(row.time_to_start),
        row.max_runtime,
        row.stale_timeout,
    )
    return dict(zip(COLUMNS, values, strict=True))


def _times(row: ExportedTask) -> tuple[datetime | None, ...]:
    return row.created, row.updated, row.start_time, row.end_time


def _line(record: dict[str, object], data: str | None, selection: Selection) -> str:
    text = "null" if data is None else _masked(data) if selection.masked else data
    # In JSON, an unescaped line break is always white space between values.
    one_line = text.replace("\r", " ").replace("\n", " ")
    return f'{json.dumps(record, ensure_ascii=False)[:-1]}, "data": {one_line}}}\n'


def _masked(data: str) -> str:
    return numbers.write(secrets.masked(numbers.read_exactly(data)))


def _cell(value: object) -> str:
    """Return the text of a cell, quoted if a spreadsheet would read it as a formula."""
    if value is None or value == {}:
        return ""
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _write_csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
