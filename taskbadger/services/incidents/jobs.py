"""Jobs: a monitor and the name of its runs are one, so two open incidents may be about one job.

The name is the one that the monitor is bound to; otherwise, that of its newest run.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select, tuple_
from sqlalchemy.orm import aliased

from taskbadger.extensions import db
from taskbadger.models import Incident, Monitor
from taskbadger.models.task_rows import TASKS

_task = TASKS.c
_of_monitor = aliased(Incident)
_NEWEST_NAME = (
    select(_task.name)
    .where(_task.monitor_id == Monitor.id)
    .order_by(_task.id.desc())
    .limit(1)
    .correlate(Monitor)
    .scalar_subquery()
)
_NAME = func.coalesce(Monitor.task_name, _NEWEST_NAME, "")


def is_only_one(organization_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Say of an open incident that it is no name's whose monitor has an open one, too."""
    failing = (
        select(Monitor.project_id, _NAME)
        .join(_of_monitor, _of_monitor.monitor_id == Monitor.id)
        .where(_of_monitor.organization_id == organization_id, _of_monitor.closed_at.is_(None))
    )
    is_monitor = Incident.monitor_id.is_not(None)
    return or_(is_monitor, tuple_(Incident.project_id, Incident.name).not_in(failing))


def acknowledged_names(monitor_ids: Collection[UUID]) -> dict[UUID | None, str]:
    """Return who is on the open incidents of the names of these monitors, by monitor."""
    if not monitor_ids:
        return {}
    is_same = and_(Incident.project_id == Monitor.project_id, Incident.name == _NAME)
    rows = db.session.execute(
        select(Monitor.id, Incident.acknowledged_by)
        .join(Incident, and_(is_same, Incident.closed_at.is_(None)))
        .where(Monitor.id.in_(monitor_ids), Incident.acknowledged_by.is_not(None))
    )
    return {row.id: row.acknowledged_by for row in rows}
