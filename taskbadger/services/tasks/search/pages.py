"""Pages of a search, and the versions of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar, cast

from taskbadger.domain.identity import ProjectRef
from taskbadger.extensions import db, read_outside_session
from taskbadger.models.task_rows import LIST_COLUMNS, TASKS, ListedTask, columns_of
from taskbadger.models.types import Column, Query
from taskbadger.services.pagination import Cursor, Order, cut_page
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search import statements
from taskbadger.services.tasks.search.plan import Plan, make_plan
from taskbadger.services.tasks.search.positions import (
    Placed,
    cursor_at,
    key_of,
    place_of,
    start_parameters,
)
from taskbadger.services.tasks.search.statements import FROM_NEWEST, Walk

R = TypeVar("R", bound=Placed)


class RowVersion(NamedTuple):
    """A task and the values that change whenever its row does."""

    id: str
    status: str
    version: int


@dataclass(frozen=True, slots=True)
class RowColumns(Generic[R]):
    """The columns of a type of row."""

    columns: Sequence[Column]


LISTED: RowColumns[ListedTask] = RowColumns(LIST_COLUMNS)
_VERSION = columns_of(RowVersion, TASKS)


@dataclass(frozen=True, slots=True)
class Found(Generic[R]):
    """A page of a search."""

    rows: Sequence[R]
    next: Cursor | None
    previous: Cursor | None
    looked_back_to: datetime | None = None
    """Set when only the tasks since then were checked: *next* looks further."""


class PreparedSearch:
    """A search over some projects that is planned once, and can be asked again.

    Names of tasks that appear later are not part of the plan.
    """

    def __init__(self, projects: Sequence[ProjectRef], filters: Filters) -> None:
        self._plan = make_plan(projects, filters)
        self._pages: dict[tuple[tuple[Column, ...], Walk, int], Query] = {}
        self._counts: dict[int, Query] = {}

    @property
    def is_walk(self) -> bool:
        """Whether indexes answer all of it, so that every row that is read matches."""
        return not self._plan.rest_conditions

    def find(self, cursor: Cursor | None, size: int) -> Found[ListedTask]:
        """Return a page of the tasks that match, newest first. Raises InvalidCursor."""
        return self.find_rows(LISTED, cursor, size)

    def find_rows(self, kind: RowColumns[R], cursor: Cursor | None, size: int) -> Found[R]:
        """Return a page as ``find`` does, with other columns. Raises InvalidCursor."""
        if not self._plan.branches:
            return Found([], None, None)
        walk, parameters = _walk_from(cursor), start_parameters(cursor)
        query = self._page(kind.columns, walk, size + 1)
        rows = cast(list[R], list(db.session.execute(query, parameters)))
        page = cut_page(rows, size, cursor, key_of)
        is_last = walk.order is Order.DESCENDING and page.next is None
        if is_last and not self.is_walk:
            end = _scan_end(self._plan, walk, parameters)
            if end is not None:
                return _cut_at(end, page.rows, page.previous)
        return Found(page.rows, page.next, page.previous)

    def versions(self, cursor: Cursor | None, size: int) -> Sequence[RowVersion]:
        """Return the versions of up to *size* rows from *cursor* on. Raises InvalidCursor."""
        if not self._plan.branches:
            return ()
        query = self._page(_VERSION, _walk_from(cursor), size)
        rows = read_outside_session(query, start_parameters(cursor))
        return cast(Sequence[RowVersion], rows)

    def count_newer(self, cursor: Cursor, limit: int) -> int:
        """Return how many matching tasks are newer than the row at *cursor*, up to *limit*."""
        if not self._plan.branches:
            return 0
        start = start_parameters(replace(cursor, backwards=True))
        [(number,)] = read_outside_session(self._newer_count(limit), start)
        return int(number)

    def _newer_count(self, limit: int) -> Query:
        if limit not in self._counts:
            walk = Walk(Order.ASCENDING, has_start=True)
            self._counts[limit] = statements.count(self._plan, walk, limit)
        return self._counts[limit]

    def _page(self, columns: Sequence[Column], walk: Walk, limit: int) -> Query:
        key = (tuple(columns), walk, limit)
        if key not in self._pages:
            self._pages[key] = statements.page(self._plan, columns, walk, limit)
        return self._pages[key]


def search_tasks(
    projects: Sequence[ProjectRef], filters: Filters, cursor: Cursor | None, size: int
) -> Found[ListedTask]:
    """Return a page of the tasks that match, newest first. Raises InvalidCursor."""
    return PreparedSearch(projects, filters).find(cursor, size)


def _walk_from(cursor: Cursor | None) -> Walk:
    if cursor is None:
        return FROM_NEWEST
    return Walk(Order.ASCENDING if cursor.backwards else Order.DESCENDING, has_start=True)


class _Position(NamedTuple):
    created: datetime
    id: str


def _scan_end(plan: Plan, walk: Walk, parameters: dict[str, object]) -> _Position | None:
    """Return where the scan that reaches least far ended; None when all branches were seen."""
    ends = []
    for branch in plan.branches:
        found = db.session.execute(statements.scan_end(plan, branch, walk), parameters)
        ends += [_Position(last.created, last.id) for last in found]
    return max(ends, key=place_of) if ends else None


def _cut_at(end: _Position, rows: Sequence[R], previous: Cursor | None) -> Found[R]:
    """Return the page of *rows* down to *end*.

    Branches that reached further back find their remaining rows again on the next page.
    """
    kept = [row for row in rows if place_of(row) >= place_of(end)]
    return Found(kept, cursor_at(end), previous, looked_back_to=end.created)
