"""What a project takes in the database, and what a retention would delete: bounded or estimated.

A page must not wait until millions of rows are counted. So no more than LIMIT rows of a kind are,
and bytes are estimated from the newest rows.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, Table, case, func, literal, select, union_all

from taskbadger.domain.retention import OUTCOMES, Retention
from taskbadger.extensions import db
from taskbadger.models import Delivery, FailureKind, Incident, Monitor, Project
from taskbadger.models.monitor_rows import SLOTS
from taskbadger.models.task import TaskTag
from taskbadger.models.task_rows import EVENTS, TASKS
from taskbadger.models.types import Query
from taskbadger.services.tasks.retention import changed_at, created_long_ago

LIMIT = 50_000
"""Rows of one kind, or tasks of one status, that are counted; of more, only that is known."""
SAMPLE = 200
"""The newest tasks, or deliveries, from which sizes are estimated."""

_task = TASKS.c
_event = EVENTS.c
_TAGS = cast(Table, TaskTag.__table__)
_tag = _TAGS.c


class Number(NamedTuple):
    """A number of rows, of which no more than LIMIT, or some times as many, were counted."""

    rows: int
    is_more: bool = False
    """Whether there are more."""

    def plus(self, other: "Number") -> "Number":
        """Return the sum of both."""
        return Number(self.rows + other.rows, self.is_more or other.is_more)


class Size(NamedTuple):
    """What the rows of one kind take."""

    kind: str
    """One of OUTCOMES, or ``events``, ``tags``, ``slots``, ``incidents``, ``kinds`` and
    ``deliveries``, which are those of the whole organization."""
    number: Number
    bytes: int
    """Estimated."""


class _RowBytes(NamedTuple):
    """What a row usually takes, with its entries in indexes; of the first three, without text."""

    task: int
    tag: int
    delivery: int
    event: int
    slot: int
    incident: int
    kind: int


_ROW_BYTES = {
    "sqlite": _RowBytes(500, 90, 500, 95, 160, 400, 500),
    "postgresql": _RowBytes(700, 130, 700, 160, 250, 600, 700),
}
"""As measured with ``bench/retention.py``."""


class _Sample(NamedTuple):
    """The newest tasks of a project: how many, their text, and what belongs to them."""

    tasks: int
    text: int
    events: int
    tags: int
    tag_text: int
    deliveries: int
    delivery_text: int


def read_sizes(project: Project) -> list[Size]:
    """Return what a project takes in the database, with two statements of bounded cost."""
    counts = db.session.execute(_counts(project)).one()._mapping
    numbers = {name: Number(min(count, LIMIT), count > LIMIT) for name, count in counts.items()}
    sample = _Sample._make(value or 0 for value in db.session.execute(_sample(project)).one())
    row = _ROW_BYTES[db.engine.dialect.name]
    found = [
        Size(outcome, number, int(number.rows * _mean(sample.text, sample.tasks, row.task)))
        for outcome, number in _by_outcome(numbers).items()
    ]
    tasks = sum((size.number.rows for size in found), 0)
    is_more = any(size.number.is_more for size in found)
    for kind, rows, size in (
        ("events", sample.events, row.event),
        ("tags", sample.tags, _mean(sample.tag_text, sample.tags, row.tag)),
    ):
        number = Number(round(tasks * _mean(rows, sample.tasks)), is_more)
        found.append(Size(kind, number, int(number.rows * size)))
    for kind, size in (
        ("slots", row.slot),
        ("incidents", row.incident),
        ("kinds", row.kind),
        ("deliveries", _mean(sample.delivery_text, sample.deliveries, row.delivery)),
    ):
        found.append(Size(kind, numbers[kind], int(numbers[kind].rows * size)))
    return found


def count_deleted(
    retention: Retention, before: Retention, *, now: datetime
) -> Mapping[str, Number]:
    """Return how many tasks of each outcome are deleted if *retention* follows *before*.

    Outcomes whose tasks are kept as long as before, or longer, are left out.
    """
    outcomes = retention.shortened(before)
    statuses = [status for outcome in outcomes for status in OUTCOMES[outcome]]
    if not statuses:
        return {}
    rows = db.session.execute(
        union_all(*(_count_old(retention, status, now) for status in statuses))
    )
    numbers = {
        status: Number(min(old or 0, LIMIT), looked_at > LIMIT) for status, looked_at, old in rows
    }
    return {
        outcome: number for outcome, number in _by_outcome(numbers).items() if outcome in outcomes
    }


def _count_old(retention: Retention, status: str, now: datetime) -> Query:
    """Return a statement: the status, of how many tasks it looks at the times, how many are old."""
    cutoff = retention.cutoff(status, now) or now
    candidates = (
        select((changed_at(status) < cutoff).label("is_old"))
        .where(*created_long_ago(retention, status, cutoff))
        .order_by(_task.id)
        .limit(LIMIT + 1)
        .subquery()
    )
    old = func.sum(case((candidates.c.is_old, 1), else_=0))
    return select(literal(status), func.count(), old).select_from(candidates)


def _by_outcome(numbers: Mapping[str, Number]) -> dict[str, Number]:
    found = {}
    for outcome, statuses in OUTCOMES.items():
        found[outcome] = Number(0)
        for status in statuses:
            found[outcome] = found[outcome].plus(numbers.get(status, Number(0)))
    return found


def _mean(total: int, count: int, more: int = 0) -> float:
    return total / count + more if count else more


def _counts(project: Project) -> Query:
    """Return a statement whose columns count rows, each at most one more than LIMIT."""
    of_project = Monitor.project_id == project.id
    rows: dict[str, Select[Any]] = {
        status: select(_task.id).where(_task.project_id == project.id, _task.status == status)
        for statuses in OUTCOMES.values()
        for status in statuses
    }
    rows["slots"] = select(SLOTS.c.id).join(Monitor, Monitor.id == SLOTS.c.monitor_id)
    rows["slots"] = rows["slots"].where(of_project)
    rows["incidents"] = select(Incident.id).where(Incident.project_id == project.id)
    rows["kinds"] = select(FailureKind.id).where(FailureKind.project_id == project.id)
    rows["deliveries"] = select(Delivery.id).where(
        Delivery.organization_id == project.organization_id
    )
    return select(*(_bounded(query).label(name) for name, query in rows.items()))


def _bounded(rows: Select[Any]) -> ColumnElement[int]:
    return select(func.count()).select_from(rows.limit(LIMIT + 1).subquery()).scalar_subquery()


def _sample(project: Project) -> Query:
    """Return a statement whose columns are those of `_Sample`."""
    text = (
        func.length(_task.name) * 3
        + func.length(_task.external_id) * 2
        + func.length(_task.queue)
        + func.length(_task.tags)
        + func.coalesce(func.length(_task.data), 0)
    )
    tasks = (
        select(_task.id, text.label("text"))
        .where(_task.project_id == project.id)
        .order_by(_task.id.desc())
        .limit(SAMPLE)
        .cte("tasks")
    )
    deliveries = (
        select(func.length(Delivery.message).label("text"))
        .where(Delivery.organization_id == project.organization_id)
        .order_by(Delivery.id.desc())
        .limit(SAMPLE)
        .cte("deliveries")
    )
    ids = select(tasks.c.id)
    tags = select(func.sum(func.length(_tag.name) * 2 + func.length(_tag.value)))
    columns = (
        select(func.count()).select_from(tasks),
        select(func.sum(tasks.c.text)),
        select(func.count()).select_from(EVENTS).where(_event.task_id.in_(ids)),
        select(func.count()).select_from(_TAGS).where(_tag.task_id.in_(ids)),
        tags.where(_tag.task_id.in_(ids)),
        select(func.count()).select_from(deliveries),
        select(func.sum(deliveries.c.text)),
    )
    return select(*(column.scalar_subquery() for column in columns))
