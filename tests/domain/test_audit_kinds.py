"""Folding the audit log: nothing is lost or shown twice, page by page."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from taskbadger.domain.audit_kinds import Fold, Folded, fold

NOW = datetime(2026, 11, 28, tzinfo=UTC)


class Row(NamedTuple):
    """An entry."""

    id: int
    created: datetime
    actor_name: str
    is_change: bool


def read(log: list[Row], before: int | None, size: int, limit: int) -> Folded[Row]:
    """Read a page as the service does."""
    left = [row for row in log if before is None or row.id < before]
    others = [row for row in left if not row.is_change][: size + 1]
    floor = others[size - 1].id if len(others) > size else 0
    changes = [row for row in left if row.is_change and row.id > floor][: limit + 1]
    return fold([(row.id, row) for row in others], changes, size=size, limit=limit)


@given(
    st.lists(st.booleans(), max_size=40),
    st.integers(min_value=1, max_value=5),
    st.integers(min_value=1, max_value=6),
)
def test_pages_show_every_other_entry_once_and_every_change_in_one_fold(
    kinds: list[bool], size: int, limit: int
) -> None:
    log = [
        Row(number, NOW + timedelta(seconds=number), f"key {number % 3}", is_change)
        for number, is_change in enumerate(kinds, start=1)
    ][::-1]
    rows: list[Row | Fold] = []
    before: int | None = None
    while True:
        page = read(log, before, size, limit)
        assert len(page.rows) <= 2 * size + 1
        rows += page.rows
        if page.before is None:
            break
        assert before is None or page.before < before
        before = page.before

    others = [row for row in log if not row.is_change]
    assert [row for row in rows if isinstance(row, Row)] == others
    folds = [row for row in rows if isinstance(row, Fold)]
    starts = [
        row.id
        for place, row in enumerate(log)
        if row.is_change and (place == 0 or not log[place - 1].is_change)
    ]
    assert [each.newest_id for each in folds] == starts
    if not any(each.is_more for each in folds):
        assert sum(each.count for each in folds) == sum(kinds)
    assert all(each.count <= limit for each in folds)
