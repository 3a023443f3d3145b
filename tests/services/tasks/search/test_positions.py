"""Positions in the list: where a page begins."""

from datetime import timedelta

import pytest
from services.tasks.searching import NOW

from taskbadger.domain import ids
from taskbadger.models.task_rows import TASKS, columns_of
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.tasks.search.pages import NewestVersion
from taskbadger.services.tasks.search.positions import (
    at_and_below,
    count_above,
    cursor_at,
    newest_at,
    start_parameters,
)

TEXT = "2026-11-23T12:00:00.000000Z"


def row(seconds: float, number: int) -> NewestVersion:
    task_id = ids.from_bytes(number.to_bytes(16, "big"))
    return NewestVersion(task_id, "pending", 1, NOW + timedelta(seconds=seconds))


def test_page_at_a_row_begins_with_it() -> None:
    here = cursor_at(row(0, 7))

    assert here == Cursor((TEXT, row(0, 7).id))
    assert at_and_below(here) == Cursor((TEXT, row(0, 8).id))


def test_rows_above_a_position_are_counted() -> None:
    rows = [row(2, 1), row(1, 9), row(1, 4), row(0, 9)]

    positions = [row(3, 1), rows[0], rows[1], row(1, 5), rows[2], rows[3], row(-1, 1)]

    assert [count_above(rows, cursor_at(at)) for at in positions] == [0, 0, 1, 2, 2, 3, 4]
    assert count_above([], cursor_at(rows[0])) == 0


def test_newest_position_is_above_all_tasks_of_the_past() -> None:
    older = cursor_at(NewestVersion(ids.new_id(NOW), "pending", 1, NOW - timedelta(seconds=1)))

    assert older.key < newest_at(NOW).key


def test_statement_starts_at_a_row_and_near_it_in_the_index_of_tags() -> None:
    at = row(0, 7)
    step = timedelta(milliseconds=2)

    assert start_parameters(None) == {}
    assert start_parameters(cursor_at(at)) == {
        "at": NOW,
        "after": at.id,
        "near": ids.first_id(NOW + step),
    }
    assert start_parameters(Cursor((TEXT, at.id), backwards=True)) == {
        "at": NOW,
        "after": at.id,
        "near": ids.first_id(NOW - step),
    }


@pytest.mark.parametrize("key", [("yesterday", "A" * 22), (TEXT, "x")])
def test_position_from_elsewhere_is_refused(key: tuple[str, str]) -> None:
    for use in (start_parameters, at_and_below, lambda cursor: count_above([], cursor)):
        with pytest.raises(InvalidCursor):
            use(Cursor(key))


def test_columns_of_a_row_are_in_the_order_of_its_fields() -> None:
    assert [column.key for column in columns_of(NewestVersion, TASKS)] == [
        "id",
        "status",
        "version",
        "created",
    ]
