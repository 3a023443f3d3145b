"""Failure kinds as people see them: lists, one, its tasks, and its state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict, cast

from sqlalchemy import bindparam, literal, or_, select, union_all, update
from sqlalchemy.orm import InstrumentedAttribute

from taskbadger.clock import to_wire
from taskbadger.domain.identity import Actor
from taskbadger.errors import FieldError, NotFound, ValidationFailed
from taskbadger.extensions import change_rows, db
from taskbadger.models import Failure, FailureKind
from taskbadger.models.failure import IGNORED, OPEN, RESOLVED, STATES
from taskbadger.models.incident_rows import KINDS
from taskbadger.models.task_rows import LIST_COLUMNS, TASKS, ListedTask
from taskbadger.models.types import Condition, Query
from taskbadger.schemas.fields import parse_moment, printable
from taskbadger.services.failures.counting import OTHER
from taskbadger.services.organizations import audit
from taskbadger.services.pagination import (
    Cursor,
    Keyset,
    Order,
    Page,
    cut_page,
    read_big_number,
    read_task_id,
    walk,
    walk_rows,
)

MAX_WALKS = 50
"""Projects whose kinds are listed by a walk of the index each; those of more are sorted."""
MAX_RECORDED = 100
"""How many kinds an entry of the audit log lists."""
State = Literal["open", "resolved", "ignored"]


class KindChanges(TypedDict, total=False):
    """What people set of a kind."""

    state: State
    ignored_until: datetime | None


@dataclass(frozen=True, slots=True)
class KindFilters:
    """What a list of kinds is narrowed to; empty or None for all."""

    state: str = ""
    name: str = ""
    """The name of the tasks."""
    search: str = ""
    """What the title or the name contains, in any case."""
    task: str | None = None


def read_filters(parameters: Mapping[str, str]) -> KindFilters:
    """Read the query *parameters* of a list; raises ValidationFailed naming each wrong one."""
    state, task = parameters.get("state", ""), parameters.get("task")
    errors = [
        FieldError("invalid", "Null characters are not allowed.", name)
        for name in ("name", "search")
        if "\x00" in parameters.get(name, "")
    ]
    if state and state not in STATES:
        detail = f'"{printable(state)}" is not a valid choice.'
        errors.append(FieldError("invalid_choice", detail, "state"))
    if task and read_task_id(task) is None:
        errors.append(FieldError("invalid", f"“{printable(task)}” is not a valid task ID.", "task"))
    if errors:
        raise ValidationFailed(errors)
    name, search = parameters.get("name", ""), parameters.get("search", "")
    return KindFilters(state, name, search, task or None)


def _read_key(key: tuple[str, ...]) -> tuple[object, ...] | None:
    at, number = parse_moment(key[0]), read_big_number(key[1])
    return None if at is None or number is None else (at, number)


_LATEST_FIRST: Keyset[FailureKind] = Keyset(
    (FailureKind.last_seen.expression, FailureKind.id.expression),
    Order.DESCENDING,
    _read_key,
    lambda kind: (to_wire(kind.last_seen), str(kind.id)),
)


def list_kinds(
    project_ids: Sequence[int], filters: KindFilters, cursor: Cursor | None, size: int
) -> Page[FailureKind]:
    """Return a page of the kinds of these projects, the one seen last first."""
    found = _conditions(filters)
    if len(project_ids) > MAX_WALKS or not project_ids:
        query = select(FailureKind).where(FailureKind.project_id.in_(project_ids), *found)
        return walk(query, _LATEST_FIRST, cursor, size)
    backwards = cursor is not None and cursor.backwards
    at = None
    if cursor is not None:
        pairs = zip(_LATEST_FIRST.values_at(cursor), _LATEST_FIRST.columns, strict=True)
        at = [literal(value, column.type) for value, column in pairs]
    walks = [
        _LATEST_FIRST.narrow(
            select(FailureKind.id).where(FailureKind.project_id == project_id, *found),
            at,
            backwards=backwards,
        ).limit(size + 1)
        for project_id in project_ids
    ]
    ids = union_all(*(select(each.subquery().c.id) for each in walks))
    latest = select(FailureKind).where(FailureKind.id.in_(ids))
    rows = db.session.scalars(
        _LATEST_FIRST.narrow(latest, None, backwards=backwards).limit(size + 1)
    ).all()
    return cut_page(rows, size, cursor, _LATEST_FIRST.write)


def _conditions(filters: KindFilters) -> list[Condition]:
    found: list[Condition] = []
    if filters.state:
        found.append(FailureKind.state == filters.state)
    if filters.name:
        found.append(FailureKind.name == filters.name)
    if filters.search:
        columns: tuple[InstrumentedAttribute[str], ...] = (FailureKind.title, FailureKind.name)
        found.append(
            or_(*(column.icontains(filters.search, autoescape=True) for column in columns))
        )
    if filters.task is not None:
        of_task = select(Failure.kind_id).where(Failure.task_id == filters.task)
        found.append(FailureKind.id == of_task.scalar_subquery())
    return found


def get_kinds(project_ids: Sequence[int], kind_ids: Sequence[int]) -> Sequence[FailureKind]:
    """Return the kinds with these ids that the projects have, the oldest first."""
    query = select(FailureKind).where(
        FailureKind.id.in_(kind_ids), FailureKind.project_id.in_(project_ids)
    )
    return db.session.scalars(query.order_by(FailureKind.id)).all()


def get_kind(project_ids: Sequence[int], text: str) -> FailureKind:
    """Return the kind with the id *text* of one of these projects; raises NotFound."""
    number = read_big_number(text)
    kind = None if number is None else db.session.get(FailureKind, number)
    if kind is None or kind.project_id not in project_ids:
        raise NotFound()
    return kind


def kind_of_task(task_id: str) -> FailureKind | None:
    """Return the kind of a task's last failure; None if it has none."""
    query = select(FailureKind).join(Failure, Failure.kind_id == FailureKind.id)
    return db.session.scalar(query.where(Failure.task_id == task_id))


def state_of(kind: FailureKind, *, now: datetime) -> str:
    """Return the state of a kind; the end of an ignored one is noticed at once."""
    until = kind.ignored_until
    return OPEN if kind.state == IGNORED and until is not None and until <= now else kind.state


def _read_task(key: tuple[str, ...]) -> tuple[object, ...] | None:
    task_id = read_task_id(key[0])
    return None if task_id is None else (task_id,)


_BY_TASK: Keyset[ListedTask] = Keyset(
    (Failure.task_id.expression,), Order.DESCENDING, _read_task, lambda task: (task.id,)
)


def list_tasks(kind_id: int, cursor: Cursor | None, size: int) -> Page[ListedTask]:
    """Return a page of the tasks whose last failure was of a kind, the newest first."""
    query = (
        select(*LIST_COLUMNS)
        .join(Failure, Failure.task_id == TASKS.c.id)
        .where(Failure.kind_id == kind_id)
    )
    return walk_rows(query, _BY_TASK, cursor, size, _fetch)


def _fetch(query: Query) -> Sequence[ListedTask]:
    return cast(Sequence[ListedTask], db.session.execute(query).all())


_CHANGE = (
    update(KINDS)
    .where(KINDS.c.id == bindparam("kind"))
    .values({name: bindparam(f"new_{name}") for name in ("state", "ignored_until", "back_since")})
)


def change_kinds(
    organization_id: int,
    kinds: Sequence[FailureKind],
    changes: KindChanges,
    *,
    actor: Actor,
    now: datetime,
) -> None:
    """Change the state of kinds, and record what differs. Raises ValidationFailed.

    ``ignored`` without ``ignored_until`` is forever.
    """
    _check(kinds, changes, now)
    changed, values = [], []
    for kind in sorted(kinds, key=_lock_order):
        state = changes.get("state") or state_of(kind, now=now)
        until = changes.get("ignored_until") if state == IGNORED else None
        if (state, until) == (kind.state, kind.ignored_until):
            continue
        back = None if state == RESOLVED else kind.back_since
        new = {"new_state": state, "new_ignored_until": until, "new_back_since": back}
        values.append({"kind": kind.id, **new})
        changed.append((kind, _describe(state, until)))
    if values:
        _record(actor, organization_id, changed, now)
        db.session.connection().execute(_CHANGE, values)
    for kind in kinds:
        db.session.expire(kind)


def _record(
    actor: Actor, organization_id: int, changed: Sequence[tuple[FailureKind, str]], now: datetime
) -> None:
    """Record changes of kinds in one entry, which lists the first MAX_RECORDED."""
    number = len(changed)
    if number == 1:
        [(kind, state)] = changed
        was = _describe(kind.state, kind.ignored_until)
        subject, lines = f"{kind.name}: {kind.title}", [f"{was} → {state}"]
    else:
        subject = f"{number} failures"
        titles = sorted(f"{kind.name}: {kind.title}" for kind, _ in changed)
        lines = [f"→ {changed[0][1]}", *titles[:MAX_RECORDED]]
        if number > MAX_RECORDED:
            lines.append(f"and {number - MAX_RECORDED} more")
    audit.record(actor, organization_id, "failure.change", subject, "; ".join(lines), now=now)


def _describe(state: str, until: datetime | None) -> str:
    return f"{state} until {to_wire(until)}" if until else state


def _lock_order(kind: FailureKind) -> tuple[object, ...]:
    """Return what kinds are locked by, as ``recording`` does."""
    return kind.project_id, kind.fingerprint in OTHER, kind.name, kind.fingerprint


def _check(kinds: Sequence[FailureKind], changes: KindChanges, now: datetime) -> None:
    until = changes.get("ignored_until")
    if until is None:
        return
    states = {changes.get("state") or state_of(kind, now=now) for kind in kinds}
    if states - {IGNORED}:
        raise ValidationFailed.one("ignored_until", "Only an ignored kind has an end.")
    if until <= now:
        raise ValidationFailed.one("ignored_until", "Choose a time in the future.")


def end_ignoring(*, now: datetime, limit: int) -> int:
    """Open kinds that are no longer ignored; return how many.

    It waits for nobody: kinds that other transactions have locked have their turn later.
    """
    over = select(FailureKind.id).where(
        FailureKind.state == IGNORED, FailureKind.ignored_until <= now
    )
    ids = db.session.scalars(over.limit(limit).with_for_update(skip_locked=True)).all()
    if not ids:
        return 0
    return change_rows(
        update(FailureKind)
        .where(FailureKind.id.in_(ids))
        .values(state=OPEN, ignored_until=None)
        .execution_options(synchronize_session=False)
    )


def is_ignoring_over(*, now: datetime) -> bool:
    """Say whether ``end_ignoring`` has something to do; only reads."""
    query = select(FailureKind.id).where(
        FailureKind.state == IGNORED, FailureKind.ignored_until <= now
    )
    return db.session.scalar(query.limit(1)) is not None
