"""Positions in the list: where a page begins."""

from datetime import timedelta

import pytest
from services.tasks.searching import NOW

from taskbadger.domain import ids
from taskbadger.models.task_rows import TASKS, columns_of
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.tasks.search.pages import RowVersion
from taskbadger.services.tasks.search.positions import (
    at_and_below,
    count_above,
    cursor_at,
    newest_at,
    start_parameters,
)


def row(number: int) -> RowVersion:
    return RowVersion(ids.from_bytes(number.to_bytes(16, "big")), "pending", 1)


def test_page_at_a_row_begins_with_it() -> None:
    here = cursor_at(row(7))

    assert here == Cursor((row(7).id,))
    assert at_and_below(here) == Cursor((row(8).id,))


def test_rows_above_a_position_are_counted_in_the_order_of_bytes() -> None:
    # As text, the id of 62 is less than that of 61.
    rows = [row(62 << 2), row(61 << 2), row(9), row(4)]

    positions = [row(900), rows[0], rows[1], row(10), rows[2], rows[3], row(1)]

    assert [count_above(rows, cursor_at(at)) for at in positions] == [0, 0, 1, 2, 2, 3, 4]
    assert count_above([], cursor_at(rows[0])) == 0


def test_newest_position_is_above_all_tasks_up_to_now() -> None:
    made = RowVersion(ids.new_id(NOW), "pending", 1)
    later = RowVersion(ids.new_id(NOW + timedelta(microseconds=1)), "pending", 1)

    assert count_above([later, made], newest_at(NOW)) == 1


def test_statement_starts_at_a_row() -> None:
    assert start_parameters(None) == {}
    assert start_parameters(cursor_at(row(7))) == {"at": row(7).id}


@pytest.mark.parametrize("key", ["x", "A" * 21, ""])
def test_position_from_elsewhere_is_refused(key: str) -> None:
    for use in (start_parameters, at_and_below, lambda cursor: count_above([], cursor)):
        with pytest.raises(InvalidCursor):
            use(Cursor((key,)))


def test_greatest_id_has_none_above_it() -> None:
    assert at_and_below(cursor_at(row(2**128 - 2))) == Cursor((row(2**128 - 1).id,))
    with pytest.raises(InvalidCursor):
        at_and_below(cursor_at(row(2**128 - 1)))


def test_columns_of_a_row_are_in_the_order_of_its_fields() -> None:
    assert [column.key for column in columns_of(RowVersion, TASKS)] == ["id", "status", "version"]
