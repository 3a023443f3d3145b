"""Erasing: the rows of what was deleted go, a few in each transaction.

It may stop at any moment, and whoever goes on begins anew: what is gone is not found again. Each
transaction holds a lock that others do not wait for, so that two never do the same.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Table,
    delete,
    select,
    tuple_,
)

from taskbadger.extensions import change_rows, db
from taskbadger.models import (
    AuditEntry,
    ChannelConfig,
    Delivery,
    FailureKind,
    GlobalAction,
    IdempotencyRecord,
    Incident,
    MaintenanceWindow,
    Monitor,
    Organization,
    Project,
    QueueStat,
    RunStat,
    SavedView,
    Slot,
    Task,
)
from taskbadger.models.types import Condition
from taskbadger.services.deletion import messages
from taskbadger.services.deletion.closing import Deletion
from taskbadger.services.stats import runs

GRACE = timedelta(seconds=6)
"""Processes may trust a key for 5 seconds. Until then, rows may still arrive."""

AT_ONCE = 500
"""Rows per transaction; fewer of those with many others that belong to them."""
TASKS_AT_ONCE = 125
INCIDENTS_AT_ONCE = 50
READ_AT_ONCE = 1_000
"""Deliveries of an organization that are looked at in one transaction."""

Clock = Callable[[], datetime]


class Part(NamedTuple):
    """Rows of one table, walked along an index that begins with what they belong to."""

    owner: ColumnElement[Any]
    """The column of the project or organization."""
    key: tuple[ColumnElement[Any], ...]
    """The rest of the index; unique for one owner."""
    size: int | None = None
    """Rows per transaction; None for AT_ONCE."""
    where: tuple[Condition, ...] = ()

    @property
    def table(self) -> Table:
        """The table."""
        return cast(Table, self.owner.table)


def _columns(model: Any) -> Any:
    return model.__table__.c


_task, _incident, _delivery = _columns(Task), _columns(Incident), _columns(Delivery)
_slot, _monitor, _kind = _columns(Slot), _columns(Monitor), _columns(FailureKind)
_run, _queue, _record = _columns(RunStat), _columns(QueueStat), _columns(IdempotencyRecord)
_audit, _window, _rule = _columns(AuditEntry), _columns(MaintenanceWindow), _columns(GlobalAction)
_channel, _view = _columns(ChannelConfig), _columns(SavedView)

OF_PROJECT = (
    Part(_kind.project_id, (_kind.name, _kind.fingerprint), INCIDENTS_AT_ONCE),
    Part(
        _incident.project_id,
        (_incident.closed_at, _incident.id),
        INCIDENTS_AT_ONCE,
        (_incident.closed_at.is_not(None),),
    ),
    Part(
        _incident.project_id, (_incident.id,), INCIDENTS_AT_ONCE, (_incident.closed_at.is_(None),)
    ),
    Part(_run.project_id, (_run.seconds, _run.name, _run.start)),
    Part(_queue.project_id, (_queue.queue, _queue.start)),
    Part(_record.project_id, (_record.key,)),
)
OF_ORGANIZATION = (
    Part(_delivery.organization_id, (_delivery.id,), TASKS_AT_ONCE),
    Part(_rule.organization_id, (_rule.id,), INCIDENTS_AT_ONCE),
    Part(_channel.organization_id, (_channel.kind, _channel.slug)),
    Part(_window.organization_id, (_window.id,)),
    Part(_view.organization_id, (_view.name,)),
    Part(_audit.organization_id, (_audit.id,)),
)


def erase(deletion: Deletion, *, clock: Clock) -> Iterator[int]:
    """Erase what is left of a deletion; yield how many rows, before each commit of the caller.

    Ends when all is gone, when another worker is at it, or when it is too early for the end.
    """
    if not _lock(deletion):
        return
    while True:
        found = 0
        for rows in _erase_once(deletion):
            found += rows
            yield rows
            if not _lock(deletion):
                return
        if not found:
            break
    if clock() < deletion.since + GRACE:
        return
    # The few rows that are left belong to these.
    db.session.execute(delete(Project).where(Project.organization_id == deletion.id))
    db.session.execute(delete(Organization).where(Organization.id == deletion.id))
    yield 1


def _lock(deletion: Deletion) -> bool:
    """Begin a transaction that nobody else begins for the same deletion; False if it is gone."""
    query = select(Organization.id).where(
        Organization.id == deletion.id, Organization.deleted_at.is_not(None)
    )
    # FOR NO KEY UPDATE: rows that refer to it may still arrive.
    locked = query.with_for_update(key_share=True, skip_locked=True)
    return db.session.scalar(locked) is not None


def _erase_once(deletion: Deletion) -> Iterator[int]:
    """Walk through everything once. Rows that somebody else holds are left out."""
    project_ids = db.session.scalars(
        select(Project.id).where(Project.organization_id == deletion.id).order_by(Project.id)
    ).all()
    if deletion.origin is not None:
        yield from _erase_deliveries(deletion.origin, deletion)
    for project_id in project_ids:
        yield from _erase_tasks(project_id)
        for part in OF_PROJECT:
            yield from _walk(part, project_id)
        yield from _erase_monitors(project_id)
    for part in OF_ORGANIZATION:
        yield from _walk(part, deletion.id)


def _walk(part: Part, owner: object) -> Iterator[int]:
    """Delete all rows of a part, a few at a time."""
    is_single, after = len(part.key) == 1, None
    key: ColumnElement[Any] = part.key[0] if is_single else tuple_(*part.key)
    while True:
        query = select(*part.key).where(part.owner == owner, *part.where)
        if after is not None:
            query = query.where(key > after)
        query = (
            query.order_by(*part.key).limit(part.size or AT_ONCE).with_for_update(skip_locked=True)
        )
        rows = db.session.execute(query).all()
        if not rows:
            return
        found = [row[0] if is_single else tuple(row) for row in rows]
        change_rows(delete(part.table).where(part.owner == owner, *part.where, key.in_(found)))
        after = found[-1]
        yield len(found)


def _erase_tasks(project_id: int) -> Iterator[int]:
    """Delete the tasks of a project, the newest first: few have children when their turn comes."""
    before = None
    while True:
        query = select(_task.id, _task.has_children).where(_task.project_id == project_id)
        if before is not None:
            query = query.where(_task.id < before)
        rows = db.session.execute(query.order_by(_task.id.desc()).limit(TASKS_AT_ONCE)).all()
        if not rows:
            return
        yield from _erase_children([task_id for task_id, has_children in rows if has_children])
        found = [row[0] for row in rows]
        _delete(_task.id, found)
        runs.note_deletions()
        before = found[-1]
        yield len(found)


def _erase_children(parents: Sequence[str]) -> Iterator[int]:
    """Delete the older children of tasks first, because each deletion of a parent changes all."""
    while parents:
        children = db.session.scalars(
            select(_task.id)
            .where(_task.parent.in_(parents))
            # The order of an index, which PostgreSQL takes without statistics, too.
            .order_by(_task.parent, _task.id)
            .limit(TASKS_AT_ONCE)
        ).all()
        if len(children) < TASKS_AT_ONCE:
            return
        _delete(_task.id, children)
        runs.note_deletions()
        yield len(children)


def _delete(number: ColumnElement[Any], ids: Sequence[str]) -> None:
    """Delete rows by their ids, locked in that order as everybody does, but those in use."""
    locked = select(number).where(number.in_(ids)).order_by(number)
    free = db.session.scalars(locked.with_for_update(skip_locked=True)).all()
    change_rows(delete(cast(Table, number.table)).where(number.in_(free)))


def _erase_monitors(project_id: int) -> Iterator[int]:
    monitor_ids = db.session.scalars(
        select(_monitor.id).where(_monitor.project_id == project_id).order_by(_monitor.id)
    ).all()
    for monitor_id in monitor_ids:
        yield from _walk(Part(_slot.monitor_id, (_slot.expected_at,)), monitor_id)
        change_rows(delete(_monitor.id.table).where(_monitor.id == monitor_id))
        yield 1


def _erase_deliveries(origin: int, deletion: Deletion) -> Iterator[int]:
    """Delete the deliveries about a project, which stay with its organization.

    They name it by its slug only, which another project may have taken meanwhile.
    """
    slug = deletion.label.rpartition("/")[2]
    successor = select(Project.created).where(
        Project.organization_id == origin, Project.slug == slug
    )
    before = None
    while True:
        end = db.session.scalar(successor)
        is_about = messages.project_of() == slug
        if end is not None:
            is_about &= _delivery.created < end
        query = select(_delivery.id, is_about).where(_delivery.organization_id == origin)
        if before is not None:
            query = query.where(_delivery.id < before)
        rows = db.session.execute(query.order_by(_delivery.id.desc()).limit(READ_AT_ONCE)).all()
        if not rows:
            return
        found = [delivery_id for delivery_id, is_one in rows if is_one]
        _delete(_delivery.id, found)
        before = rows[-1][0]
        yield len(found)
