"""Exports of a search: CSV for spreadsheets and JSON lines for programs, in small parts."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from taskbadger.clock import to_wire
from taskbadger.domain.status import value_percent
from taskbadger.extensions import db
from taskbadger.services import task_search
from taskbadger.services.accounts import ProjectRef
from taskbadger.services.task_list import Filters

PAGE_SIZE = 1000
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
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export_csv(projects: Sequence[ProjectRef], filters: Filters) -> Iterator[str]:
    """Give what matches, newest first, as parts of a CSV file; each part ends a read."""
    yield _write_csv([COLUMNS])
    for records in _records(projects, filters):
        yield _write_csv([[_cell(value) for value in one.values()] for one in records])


def export_json_lines(projects: Sequence[ProjectRef], filters: Filters) -> Iterator[str]:
    """Give what matches, newest first, as parts of a file with one JSON object a line."""
    for records in _records(projects, filters):
        yield "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)


EXPORTS: dict[str, tuple[Callable[[Sequence[ProjectRef], Filters], Iterator[str]], str]] = {
    "csv": (export_csv, "text/csv"),
    "jsonl": (export_json_lines, "application/jsonl"),
}


def _records(projects: Sequence[ProjectRef], filters: Filters) -> Iterator[list[dict[str, Any]]]:
    slugs = {project.id: project.slug for project in projects}
    cursor = None
    while True:
        found = task_search.search_tasks(projects, filters, cursor, PAGE_SIZE)
        records = [_record(row, slugs) for row in found.rows]
        # A slow reader must not hold a transaction open.
        db.session.rollback()
        if records:
            yield records
        if found.next is None:
            return
        cursor = found.next


def _record(row: Any, slugs: dict[int, str]) -> dict[str, Any]:
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
    )
    return dict(zip(COLUMNS, values, strict=True))


def _times(row: Any) -> tuple[Any, ...]:
    return row.created, row.updated, row.start_time, row.end_time


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
