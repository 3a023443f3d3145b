"""Messages about incidents: what they show of the incident, its failures and a task."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, select

from taskbadger.channels import Json, Message
from taskbadger.channels.text import incident_title
from taskbadger.domain import numbers
from taskbadger.domain.escalation import Tell
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.notification_targets import NotificationTarget
from taskbadger.extensions import db
from taskbadger.models.incident_rows import FAILURES, KINDS, ToldIncidentRow
from taskbadger.models.task_rows import STATE_COLUMNS, TASKS, TaskState
from taskbadger.schemas.incidents import incident_url, show_incident
from taskbadger.schemas.tasks import Place, write_task
from taskbadger.services.delivery.windows import WindowRow
from taskbadger.services.incidents.tellers import ShownMonitor, Teller

_KINDS = {
    Tell.FAILING: "task.failing",
    Tell.NEW_FAILURE: "task.new_failure",
    Tell.REMINDER: "task.reminder",
    Tell.ESCALATION: "task.reminder",
    Tell.RECOVERED: "task.recovered",
}
_failure = FAILURES.c
_TASK = select(*STATE_COLUMNS).where(TASKS.c.id == bindparam("task"))
_FAILURE_OF_TASK = (
    select(KINDS.c.id, KINDS.c.title, _failure.error)
    .join_from(FAILURES, KINDS, KINDS.c.id == _failure.kind_id)
    .where(_failure.task_id == bindparam("task"))
)
_KINDS_OF_INCIDENT = (
    select(_failure.kind_id)
    .where(_failure.incident_id == bindparam("incident"))
    .distinct()
    .order_by(_failure.kind_id)
)


class Context(NamedTuple):
    """What all messages of one sweep need."""

    projects: Mapping[int, ProjectRef]
    now: datetime
    followed_until: datetime
    """Until when the history has been followed."""
    base_url: str
    windows: Sequence[WindowRow] = ()
    """The active maintenance windows of the organizations of these projects."""
    unsnoozable: Collection[int] = ()
    """The incidents, locked, whose snooze ends when something changes."""


def message(
    tell: Tell,
    incident: ToldIncidentRow,
    teller: Teller,
    context: Context,
    *,
    task_id: str | None,
    unacknowledged_for: int | None = None,
) -> Message:
    """Return the message that tells this about an incident; its delivery gives it an id.

    *task_id* is the failed task that it shows, if it still exists. *unacknowledged_for* are the
    seconds of a step of the escalation.
    """
    project = context.projects[incident.project_id]
    shown = _shown_incident(incident, project)
    failure, error = (None, None) if task_id is None else _failure_of(task_id)
    return Message(
        id="",
        kind=_KINDS[tell],
        created=context.now,
        organization=project.organization,
        project=project.slug,
        title=incident_title(
            _KINDS[tell],
            incident.name or teller.name,
            shown,
            now=context.now,
            failure=error or ("" if failure is None else failure["title"]),
            quiet_for=_quiet_for(incident),
            unacknowledged_for=unacknowledged_for,
        ),
        task=None if task_id is None else _shown_task(task_id, project, context.base_url),
        url=incident_url(context.base_url, project.organization, incident.id),
        incident=shown,
        failure=failure,
        error=error,
        monitor=None if teller.monitor is None else shown_monitor(teller.monitor),
    )


def _quiet_for(incident: ToldIncidentRow) -> float | None:
    """Return the seconds, in whole minutes, without a failure after which an incident closed."""
    closed_at, last_failed_at = incident.closed_at, incident.last_failed_at
    if closed_at is None or last_failed_at is None or closed_at != incident.quiet_at:
        return None
    return (closed_at - last_failed_at).total_seconds() // 60 * 60


def with_target(message: Message, teller: Teller, target: NotificationTarget) -> Message:
    """Return the message for one channel, which shows the global action that it comes from."""
    if teller.global_action_id is None:
        return message
    action = {
        "global_action": teller.global_action_id,
        "name": teller.name,
        "trigger": teller.trigger,
        **target,
    }
    return replace(message, action=action, trigger=teller.trigger)


def shown_monitor(monitor: ShownMonitor) -> Json:
    """Return what messages show of a monitor."""
    known = {
        "id": str(monitor.id),
        "name": monitor.name,
        "schedule": monitor.schedule,
        "timezone": monitor.timezone if monitor.schedule else None,
        "interval": monitor.interval,
    }
    return {name: value for name, value in known.items() if value is not None}


def _shown_incident(incident: ToldIncidentRow, project: ProjectRef) -> Json:
    kinds = db.session.scalars(_KINDS_OF_INCIDENT, {"incident": incident.id})
    return show_incident(incident, project=project.slug, failures=kinds.all())


def _failure_of(task_id: str) -> tuple[Json | None, str | None]:
    """Return the kind of a task's failure, and why it failed."""
    row = db.session.execute(_FAILURE_OF_TASK, {"task": task_id}).first()
    return (None, None) if row is None else ({"id": row.id, "title": row.title}, row.error)


def _shown_task(task_id: str, project: ProjectRef, base_url: str) -> Json | None:
    row = db.session.execute(_TASK, {"task": task_id}).first()
    if row is None:
        return None
    place = Place(project.organization, project.slug, base_url)
    shown: Json = numbers.read(write_task(TaskState._make(row), place))
    return shown
