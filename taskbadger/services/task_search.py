"""The dashboard's list: a search over the projects of an organization, newest first.

A search is walked along the index that narrows it most: each *arm* is one range of it (one project
and state, say), newest first, and the arms are merged. What no index answers is asked of at most
WINDOW rows; where that was not enough, the page says how far it looked, and the next
page looks further. So a page costs the same at a thousand tasks and at a million.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    Select,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal,
    select,
    tuple_,
    union_all,
)

from taskbadger.clock import to_wire
from taskbadger.domain import ids
from taskbadger.domain.search import Search, Term, parse
from taskbadger.domain.status import PENDING, STATUSES, SUCCESS, TERMINAL
from taskbadger.errors import NotFound
from taskbadger.extensions import db, fetch_all
from taskbadger.models import Project, Task, TaskTag
from taskbadger.schemas.fields import parse_moment
from taskbadger.services import tasks
from taskbadger.services.accounts import Actor, ProjectRef
from taskbadger.services.pagination import Cursor, InvalidCursor
from taskbadger.services.task_list import Filters, conditions

WINDOW = 20_000
"""How many rows all arms together look at for what no index answers."""
LEAST_WINDOW = 500
COUNT_CAP = 10_000
"""Counts are exact up to this."""
MAX_ARMS = 200
MOST_TERMS = 100
"""Of a union; SQLite takes 500."""
MAX_NAMES = 2_000
"""More distinct names of a project than these are not gone through one by one."""
# Rows of the same millisecond may stand in another order in the index of tags.
_SAME_MILLISECOND = 500
_DENSE = frozenset({SUCCESS, PENDING})

_task = cast(Table, Task.__table__).c
_tag = cast(Table, TaskTag.__table__).c

LIST_COLUMNS = (
    _task.id,
    _task.project_id,
    _task.parent,
    _task.has_children,
    _task.name,
    _task.queue,
    _task.external_id,
    _task.status,
    _task.value,
    _task.value_max,
    _task.tags,
    _task.created,
    _task.updated,
    _task.start_time,
    _task.end_time,
    _task.version,
)
"""What a row of the list shows: not ``data``, which may be large."""
_VERSION = (_task.id, _task.status, _task.version)
_DATED_VERSION = (*_VERSION, _task.created)
_SEARCHED = (
    _task.id,
    _task.project_id,
    _task.parent,
    _task.monitor_id,
    _task.name,
    _task.name_folded,
    _task.queue,
    _task.external_id,
    _task.status,
    _task.created,
    _task.updated,
    _task.end_time,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the list."""

    rows: Sequence[Any]
    next: Cursor | None
    previous: Cursor | None
    looked_back_to: datetime | None = None
    """Set when only the tasks since then were looked at: *next* looks further."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tasks match, by state."""

    by_status: dict[str, int]
    capped: bool
    """Whether there may be more than counted, beside each number at COUNT_CAP."""

    def of(self, statuses: Sequence[str]) -> int:
        """Return how many are in any of these states."""
        return sum(self.by_status.get(status, 0) for status in statuses)

    def is_at_least(self, statuses: Sequence[str]) -> bool:
        """Say whether the true number may be greater than ``of(statuses)``."""
        return self.capped or any(self.by_status.get(one, 0) >= COUNT_CAP for one in statuses)


def find_projects(organization_id: int, organization: str) -> list[ProjectRef]:
    """Return the projects of an organization, by slug."""
    query = (
        select(Project.id, Project.slug, Project.name)
        .where(Project.organization_id == organization_id)
        .order_by(Project.slug)
    )
    return [
        ProjectRef(row.id, row.slug, organization_id, organization, row.name)
        for row in db.session.execute(query)
    ]


def last_change(projects: Sequence[ProjectRef]) -> str:
    """Return a text that changes whenever a task of these projects does: a look-up for each."""
    if not projects:
        return ""
    rows = fetch_all(_LAST_CHANGES, {"ids": [project.id for project in projects]})
    return "|".join("" if moment is None else to_wire(moment) for (moment,) in rows)


_newest_change = (
    select(func.max(_task.updated)).where(_task.project_id == Project.id).scalar_subquery()
)
_LAST_CHANGES = (
    select(_newest_change)
    .where(Project.id.in_(bindparam("ids", expanding=True)))
    .order_by(Project.id)
)


def read_search(text: str, *, now: datetime) -> tuple[Filters, Search]:
    """Return the filters of a search, and how it was read with its problems."""
    search = parse(text, now=now)
    filters = _compile([term for term in search.terms if not term.excluded])
    without = tuple(_compile([term]) for term in search.terms if term.excluded)
    return replace(filters, without=without), search


_MOMENTS = {"before": "created_before", "after": "created_after", "ended": "ended_after"}
_TEXT_FIELDS = {"name": "name", "queue": "queue", "external": "external_id"}


def _compile(terms: Sequence[Term]) -> Filters:
    values: dict[str, list[Any]] = {}
    prefixes: list[tuple[str, str]] = []
    moments: dict[str, datetime] = {}
    for term in terms:
        for value in term.values:
            if value.prefix and value.tag:
                values.setdefault("tag_prefixes", []).append((value.tag, value.text))
            elif value.prefix:
                prefixes.append((_TEXT_FIELDS[term.field], value.text))
            elif value.moment is not None:
                name = _MOMENTS[term.field]
                choose = min if term.field == "before" else max
                moments[name] = choose(moments.get(name, value.moment), value.moment)
            elif term.field == "tag":
                values.setdefault("tags", []).append((value.tag, value.text))
            elif term.field == "text":
                values.setdefault("words", []).append(value.text)
            else:
                field = _TEXT_FIELDS.get(term.field, term.field)
                values.setdefault(field, []).append(value.text)
    lists: dict[str, Any] = {name: tuple(dict.fromkeys(found)) for name, found in values.items()}
    return Filters(**lists, prefixes=tuple(prefixes), moments=moments)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The arms, each a list of conditions, and what is to be asked of their rows."""

    arms: list[list[Any]]
    rest: list[Any]
    """Conditions on the columns of a window, made by ``conditions``."""
    filters: Filters
    """The same as filters."""
    is_tag: bool = False
    """Whether the arms are ranges of the index of tags."""

    @property
    def depth(self) -> int:
        """How many rows of each arm are looked at, where they must be looked at."""
        return max(WINDOW // max(len(self.arms), 1), LEAST_WINDOW)


class PreparedSearch:
    """A search over some projects that can be asked again without being planned again.

    What it knows of names is as old as it is.
    """

    def __init__(self, projects: Sequence[ProjectRef], filters: Filters) -> None:
        self._plan = _make_plan(projects, filters)
        self._statements: dict[tuple[Any, ...], Select[Any]] = {}

    @property
    def is_walk(self) -> bool:
        """Whether indexes answer it, so that no row is read in vain."""
        return not self._plan.rest

    def find(
        self, cursor: Cursor | None, size: int, columns: tuple[Any, ...] = LIST_COLUMNS
    ) -> Found:
        """Return a page of the tasks that match, newest first. Raises InvalidCursor."""
        plan = self._plan
        if not plan.arms:
            return Found([], None, None)
        backwards = cursor is not None and cursor.backwards
        parameters = _read_position(cursor)
        query = self._statement(_page_of, columns, cursor is not None, backwards, size + 1)
        rows = list(db.session.execute(query, parameters))
        more = len(rows) > size
        rows = rows[:size]
        if backwards:
            rows.reverse()
            return Found(rows, _cursor(rows[-1]) if rows else None, _back(rows) if more else None)
        previous = _back(rows) if cursor is not None else None
        if more:
            return Found(rows, _cursor(rows[-1]), previous)
        end = _window_end(plan, parameters) if plan.rest else None
        if end is None:
            return Found(rows, None, previous)
        # An arm that reached further back will find these again on the next page.
        kept = [row for row in rows if (row.created, ids.to_bytes(row.id)) >= (end[0], end[1])]
        after = Cursor((to_wire(end[0]), end[2]))
        return Found(kept, after, previous, looked_back_to=end[0])

    def versions(self, cursor: Cursor | None, size: int) -> Sequence[Any]:
        """Return ids, states and versions of up to *size* rows; of the newest, ``created`` too."""
        if not self._plan.arms:
            return ()
        if cursor is None:
            return fetch_all(self._statement(_page_of, _DATED_VERSION, False, False, size), {})
        query = self._statement(_page_of, _VERSION, True, cursor.backwards, size)
        return fetch_all(query, _read_position(cursor))

    def count_newer(self, key: Cursor, most: int) -> int:
        """Return how many matching tasks are newer than the row at *key*, up to *most*."""
        if not self._plan.arms:
            return 0
        query = self._statement(_count_newer, most)
        number: int = fetch_all(query, _read_position(replace(key, backwards=True)))[0][0]
        return number

    def _statement(self, build: Callable[..., Select[Any]], *arguments: Any) -> Select[Any]:
        known = self._statements.get((build, *arguments))
        if known is None:
            known = self._statements[build, *arguments] = build(self._plan, *arguments)
        return known


def search_tasks(
    projects: Sequence[ProjectRef], filters: Filters, cursor: Cursor | None, size: int
) -> Found:
    """Return a page of the tasks that match, newest first. Raises InvalidCursor."""
    return PreparedSearch(projects, filters).find(cursor, size)


def _page_of(
    plan: _Plan, columns: tuple[Any, ...], has_key: bool, backwards: bool, limit: int
) -> Select[Any]:
    arms = [_arm(plan, arm, has_key, backwards, limit) for arm in plan.arms]
    merged = _merge(arms, backwards).limit(limit).subquery()
    query = select(*columns).select_from(merged).join(Task, _task.id == merged.c.id)
    return query.order_by(*_order(_task, backwards))


def _count_newer(plan: _Plan, most: int) -> Select[Any]:
    arms = [_arm(plan, arm, True, True, most) for arm in plan.arms]
    return select(func.count()).select_from(_merge(arms, True).limit(most).subquery())


def _back(rows: Sequence[Any]) -> Cursor | None:
    return Cursor((to_wire(rows[0].created), rows[0].id), backwards=True) if rows else None


def _cursor(row: Any) -> Cursor:
    return Cursor((to_wire(row.created), row.id))


def _read_key(cursor: Cursor) -> tuple[datetime, str]:
    created = parse_moment(cursor.key[0])
    if created is None or ids.to_bytes(cursor.key[1]) is None:
        raise InvalidCursor()
    return created, cursor.key[1]


def _read_position(cursor: Cursor | None) -> dict[str, Any]:
    """Return the parameters of a statement that begins at *cursor*; raises InvalidCursor."""
    if cursor is None:
        return {}
    created, task_id = _read_key(cursor)
    step = timedelta(milliseconds=-2 if cursor.backwards else 2)
    return {"at": created, "after": task_id, "near": ids.first_id(created + step)}


def _make_plan(projects: Sequence[ProjectRef], filters: Filters) -> _Plan:
    """Choose the index to walk: the rarer what it holds together, the better."""
    own = [_task.project_id == project.id for project in projects]
    exact = {name for name, _ in filters.prefixes}
    arms: list[list[Any]]
    if filters.external_id and "external_id" not in exact:
        arms = [[one, _task.external_id.in_(filters.external_id)] for one in own]
        return _plan(arms, replace(filters, external_id=()))
    inside = _task.project_id.in_([project.id for project in projects])
    if filters.id:
        return _plan([[_task.id.in_(filters.id), inside]], replace(filters, id=()))
    if filters.parent:
        arms = [[_task.parent == parent, inside] for parent in filters.parent]
        return _plan(arms, replace(filters, parent=()))
    for tag in filters.tags:
        if tag[1]:
            rest = tuple(other for other in filters.tags if other != tag)
            arms = [[project.id, *tag] for project in projects]
            return _plan(arms, replace(filters, tags=rest), is_tag=True)
    if filters.status and not _DENSE & set(filters.status):
        return _status_plan(own, filters)
    if filters.name or filters.words or "name" in exact:
        plan = _name_plan(projects, filters)
        if plan is not None:
            return plan
    if filters.status:
        return _status_plan(own, filters)
    return _plan([[one] for one in own], filters)


def _plan(arms: list[list[Any]], rest: Filters, *, is_tag: bool = False) -> _Plan:
    moments = {name: at for name, at in rest.moments.items() if name.startswith("created_")}
    others = {name: at for name, at in rest.moments.items() if name not in moments}
    rest = replace(rest, moments=others)
    if not is_tag:
        span = conditions(Filters(moments=moments))
        arms = [[*arm, *span] for arm in arms]
    else:
        rest = replace(rest, moments={**others, **moments})
    return _Plan(arms, conditions(rest), rest, is_tag)


def _status_plan(own: list[Any], filters: Filters) -> _Plan:
    arms = [[one, _task.status == status] for one in own for status in filters.status]
    if len(arms) > MAX_ARMS:
        return _plan([[one] for one in own], filters)
    return _plan(arms, replace(filters, status=()))


def _name_plan(projects: Sequence[ProjectRef], filters: Filters) -> _Plan | None:
    """Return a plan with an arm for each matching name; None when there are too many."""
    arms: list[list[Any]] = []
    for project in projects:
        names = _matching_names(project.id, filters)
        if names is None or len(arms) + len(names) > MAX_ARMS:
            return None
        arms += [[_task.project_id == project.id, _task.name == name] for name in names]
    prefixes = tuple(one for one in filters.prefixes if one[0] != "name")
    return _plan(arms, replace(filters, name=(), words=(), prefixes=prefixes))


def _matching_names(project_id: int, filters: Filters) -> list[str] | None:
    starts = tuple(start.casefold() for field, start in filters.prefixes if field == "name")
    if not starts and not filters.words:
        return list(filters.name)
    names = distinct_names(project_id)
    if names is None:
        return None
    words = [word.casefold() for word in filters.words]
    return [
        name
        for name in names
        if (
            not (starts or filters.name)
            or name in filters.name
            or name.casefold().startswith(starts)
        )
        and all(word in name.casefold() for word in words)
    ]


def distinct_names(project_id: int) -> list[str] | None:
    """Return the names of a project's tasks; None when there are more than MAX_NAMES.

    A step from name to name through the index, since DISTINCT would read all of it.
    """
    first = select(func.min(_task.name).label("name"), literal(1).label("number")).where(
        _task.project_id == project_id
    )
    walk = first.cte("walk", recursive=True)
    following = (
        select(func.min(_task.name))
        .where(_task.project_id == project_id, _task.name > walk.c.name)
        .scalar_subquery()
    )
    walk = walk.union_all(
        select(following, walk.c.number + 1).where(
            walk.c.name.is_not(None), walk.c.number <= MAX_NAMES
        )
    )
    names = db.session.scalars(select(walk.c.name).where(walk.c.name.is_not(None))).all()
    return None if len(names) > MAX_NAMES else list(names)


def _order(columns: Any, backwards: bool) -> tuple[Any, Any]:
    if backwards:
        return columns.created, columns.id
    return columns.created.desc(), columns.id.desc()


_AT = bindparam("at", type_=_task.created.type)
_AFTER = bindparam("after", type_=_task.id.type)
_NEAR = bindparam("near", type_=_tag.task_id.type)


def _beyond(columns: Any, has_key: bool, backwards: bool) -> list[Any]:
    if not has_key:
        return []
    row, at = tuple_(columns.created, columns.id), tuple_(_AT, _AFTER)
    return [row > at if backwards else row < at]


def _arm(plan: _Plan, arm: list[Any], has_key: bool, backwards: bool, limit: int) -> Select[Any]:
    """Return the ids of up to *limit* tasks of an arm."""
    if plan.is_tag:
        depth = plan.depth if plan.rest else limit + _SAME_MILLISECOND
        return _tag_arm(plan, arm, has_key, backwards, limit, depth)
    if not plan.rest:
        inner = select(_task.created, _task.id).where(*arm, *_beyond(_task, has_key, backwards))
        return inner.order_by(*_order(_task, backwards)).limit(limit)
    window = _window(plan, arm, has_key, backwards).subquery()
    inner = select(window.c.created, window.c.id).where(*conditions(plan.filters, window.c))
    return inner.order_by(*_order(window.c, backwards)).limit(limit)


def _window(plan: _Plan, arm: list[Any], has_key: bool, backwards: bool) -> Select[Any]:
    query = select(*_SEARCHED).where(*arm, *_beyond(_task, has_key, backwards))
    return query.order_by(*_order(_task, backwards)).limit(plan.depth)


def _tag_arm(
    plan: _Plan, arm: list[Any], has_key: bool, backwards: bool, limit: int, depth: int
) -> Select[Any]:
    carriers = _carriers(arm, has_key, backwards).limit(depth).subquery()
    query = (
        select(_task.created, _task.id)
        .select_from(carriers)
        .join(Task, _task.id == carriers.c.task_id)
        .where(*_beyond(_task, has_key, backwards), *plan.rest)
    )
    return query.order_by(*_order(_task, backwards)).limit(limit)


def _carriers(arm: list[Any], has_key: bool, backwards: bool) -> Select[Any]:
    """Return the tasks with a tag. Ids begin with the time, so they are nearly in order."""
    project_id, name, value = arm
    query = select(_tag.task_id).where(
        _tag.project_id == project_id, _tag.name == name, _tag.value == value
    )
    if has_key:
        query = query.where(_tag.task_id > _NEAR if backwards else _tag.task_id < _NEAR)
    return query.order_by(_tag.task_id if backwards else _tag.task_id.desc())


def _merge(arms: list[Select[Any]], backwards: bool) -> Select[Any]:
    if len(arms) == 1:
        return arms[0]
    # SQLite takes ORDER BY and LIMIT in the members of a union only one level deeper.
    parts = [arm.subquery() for arm in arms]
    merged = union_of([select(part.c.created, part.c.id) for part in parts])
    return select(merged.c.created, merged.c.id).order_by(*_order(merged.c, backwards))


def union_of(parts: Sequence[Select[Any]]) -> Subquery:
    """Return the rows of all *parts*, of which there may be more than SQLite takes in one union."""
    if len(parts) > MOST_TERMS:
        groups = [parts[at : at + MOST_TERMS] for at in range(0, len(parts), MOST_TERMS)]
        parts = [select(union_of(group)) for group in groups]
    return union_all(*parts).subquery()


def _window_end(plan: _Plan, position: dict[str, Any]) -> tuple[datetime, bytes, str] | None:
    """Return where the shortest-reaching window ended; None when all arms were seen whole."""
    ends = []
    for arm in plan.arms:
        if plan.is_tag:
            every = _carriers(arm, bool(position), False)
            carriers = every.offset(plan.depth - 1).limit(1).subquery()
            query = select(_task.created, _task.id).join(carriers, _task.id == carriers.c.task_id)
        else:
            query = (
                select(_task.created, _task.id)
                .where(*arm, *_beyond(_task, bool(position), False))
                .order_by(*_order(_task, False))
                .offset(plan.depth - 1)
                .limit(1)
            )
        last = db.session.execute(query, position).first()
        if last is not None:
            ends.append((last.created, ids.to_bytes(last.id) or b"", last.id))
    return max(ends) if ends else None


def count_above(rows: Sequence[Any], key: Cursor) -> int:
    """Return how many of *rows*, newest first, stand above the one at *key*.

    Raises InvalidCursor.
    """
    at = _read_key(key)
    return bisect_left(rows, True, key=lambda row: (row.created, row.id) <= at)


def key_of(row: Any) -> Cursor:
    """Return where a row stands in the list."""
    return _cursor(row)


def newest_at(moment: datetime) -> Cursor:
    """Return where the newest task stands that there can be at *moment*."""
    return Cursor((to_wire(moment), ids.first_id(moment)))


def at_and_below(key: Cursor) -> Cursor:
    """Return the cursor of the page that begins with the row at *key*."""
    created, task_id = _read_key(key)
    number = int.from_bytes(ids.to_bytes(task_id) or b"", "big") + 1
    after = ids.from_bytes(number.to_bytes(16, "big"))
    return Cursor((to_wire(created), after))


def count_by_status(projects: Sequence[ProjectRef], filters: Filters) -> Counts:
    """Count what matches, by state: exact up to COUNT_CAP each, within the windows of the search.

    The states that *filters* ask for themselves are left aside.
    """
    filters = replace(filters, status=())
    plan = _make_plan(projects, filters)
    # Only where nothing else is asked, the index of the states answers alone.
    is_plain = filters == Filters(moments=filters.moments)
    if plan.rest or not is_plain or len(plan.arms) * len(STATUSES) > MAX_ARMS:
        return _count_windows(plan)
    columns = []
    for status in STATUSES:
        for arm in plan.arms:
            few = select(_task.id).where(*arm, _task.status == status).limit(COUNT_CAP).subquery()
            columns.append(select(func.count()).select_from(few).scalar_subquery())
    if not columns:
        return Counts({}, capped=False)
    numbers = db.session.execute(select(*columns)).one()
    width = len(plan.arms)
    return Counts(
        {
            status: min(sum(numbers[at * width : (at + 1) * width]), COUNT_CAP)
            for at, status in enumerate(STATUSES)
        },
        capped=False,
    )


def _count_windows(plan: _Plan) -> Counts:
    if not plan.arms:
        return Counts({}, capped=False)
    parts = []
    for number, arm in enumerate(plan.arms):
        window = _count_window(plan, arm).subquery()
        matches = _all(conditions(plan.filters, window.c))
        parts.append(
            select(
                literal(number).label("arm"),
                window.c.status,
                func.sum(case((matches, 1), else_=0)).label("matching"),
                func.count().label("seen"),
            ).group_by(window.c.status)
        )
    found: dict[str, int] = {}
    seen: dict[int, int] = {}
    for row in db.session.execute(select(union_of(parts))):
        found[row.status] = min(found.get(row.status, 0) + row.matching, COUNT_CAP)
        seen[row.arm] = seen.get(row.arm, 0) + row.seen
    return Counts(found, capped=max(seen.values(), default=0) >= plan.depth)


def _all(found: list[Any]) -> Any:
    return and_(*found) if found else literal(1) == 1


def _count_window(plan: _Plan, arm: list[Any]) -> Select[Any]:
    if not plan.is_tag:
        return _window(plan, arm, False, False)
    carriers = _carriers(arm, False, False).limit(plan.depth).subquery()
    return select(*_SEARCHED).select_from(carriers).join(Task, _task.id == carriers.c.task_id)


def cancel_selected(
    projects: Sequence[ProjectRef], task_ids: Sequence[str], *, now: datetime, actor: Actor
) -> int:
    """Cancel these tasks, those of other projects aside; return how many were still open."""
    by_id = {project.id: project for project in projects}
    known = [task_id for task_id in dict.fromkeys(task_ids) if ids.to_bytes(task_id) is not None]
    query = select(_task.id, _task.project_id, _task.status).where(
        _task.id.in_(known), _task.project_id.in_(list(by_id))
    )
    # In the order of their ids, so that two such changes never wait for each other.
    rows = sorted(db.session.execute(query), key=lambda row: str(row.id))
    cancelled = 0
    for row in rows:
        if row.status in TERMINAL:
            continue
        try:
            done = tasks.cancel_task(by_id[row.project_id], row.id, now=now, actor=actor)
        except NotFound:
            continue
        cancelled += done is not None
    return cancelled


def open_matching(filters: Filters) -> Filters | None:
    """Return *filters* narrowed to tasks that can be cancelled; None when none can."""
    wanted = filters.status or STATUSES
    still_open = tuple(status for status in wanted if status not in TERMINAL)
    return replace(filters, status=still_open) if still_open else None
