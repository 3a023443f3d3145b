"""Why a global action in the mode ``incident`` told of a failed task, or did not, as sentences.

It has no firings: what is known is the task's failure, its incident, and the notice that says what
the global action has told of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import Table, func, select

from taskbadger.channels.text import moment
from taskbadger.domain import triggers
from taskbadger.domain.escalation import IncidentState
from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.status import ERROR, FAILED
from taskbadger.domain.time_words import duration
from taskbadger.extensions import db
from taskbadger.models import GlobalAction, Incident, RunStatCursor
from taskbadger.models.incident_rows import FAILURES, KINDS, NOTICE_COLUMNS, NOTICES, NoticeRow
from taskbadger.models.task_rows import EVENTS, TASKS
from taskbadger.services.delivery import retried, windows
from taskbadger.services.delivery.retried import Retry
from taskbadger.services.delivery.windows import Covering

NOT_FOLLOWED = "The failure is not followed yet: a background worker opens the incident."
BEFORE_INCIDENTS = "It failed before incidents of names were followed."
ADDED_LATER = "It was added, or changed, after the failure of this task."
DUE = "The message is about to be sent."

_INCIDENT = cast(Table, Incident.__table__)


class _Failure(NamedTuple):
    """A failed task, and its incident if it has one."""

    name: str
    monitor_id: UUID | None
    cause: str
    failed_at: datetime
    incident_id: int | None
    closed_at: datetime | None
    snoozed_at: datetime | None
    snoozed_until: datetime | None


@dataclass(frozen=True, slots=True)
class FailedTask:
    """What is known of a failed task."""

    failure: _Failure
    retry: Retry | None
    notices: Mapping[int, NoticeRow]
    """What was told of its incident, by the id of the global action."""
    window: Covering | None
    """The maintenance window that covers it now."""
    is_followed: bool
    now: datetime

    @property
    def points(self) -> frozenset[str]:
        """The points of triggers that its failure reaches."""
        cause = self.failure.cause
        return frozenset({cause, ERROR}) if cause == OVERDUE else frozenset({cause})

    @property
    def is_snoozed(self) -> bool:
        """Whether its incident is snoozed."""
        failure = self.failure
        state = IncidentState(None, False, failure.snoozed_at, failure.snoozed_until)
        return state.is_snoozed(self.now)

    def was_told_by(self, global_action: GlobalAction) -> bool:
        """Say whether a global action has told of its incident."""
        notice = self.notices.get(global_action.id)
        return notice is not None and notice.told_at is not None

    def reaches(self, trigger: str) -> bool:
        """Say whether its failure reaches a trigger."""
        return any(point.text in self.points for point in triggers.parse(trigger).points)


def read_failed_task(project: ProjectRef, task_id: str, *, now: datetime) -> FailedTask | None:
    """Return what is known of a task if it has failed, with a few look-ups."""
    failure = _find_failure(task_id)
    if failure is None:
        return None
    return FailedTask(
        failure=failure,
        retry=retried.find_last_attempt(task_id),
        notices=_list_notices(failure.incident_id),
        window=windows.covering(
            project.organization_id,
            project_id=project.id,
            name=failure.name,
            monitor_id=failure.monitor_id,
            now=now,
        ),
        is_followed=failure.incident_id is not None or _is_followed(task_id),
        now=now,
    )


def _find_failure(task_id: str) -> _Failure | None:
    row = db.session.execute(
        select(
            TASKS.c.name,
            TASKS.c.monitor_id,
            KINDS.c.cause,
            FAILURES.c.failed_at,
            _INCIDENT.c.id,
            _INCIDENT.c.closed_at,
            _INCIDENT.c.snoozed_at,
            _INCIDENT.c.snoozed_until,
        )
        .join_from(FAILURES, TASKS, TASKS.c.id == FAILURES.c.task_id)
        .join(KINDS, KINDS.c.id == FAILURES.c.kind_id)
        .join(_INCIDENT, _INCIDENT.c.id == FAILURES.c.incident_id, isouter=True)
        .where(FAILURES.c.task_id == task_id)
    ).first()
    return None if row is None else _Failure._make(row)


def _list_notices(incident_id: int | None) -> dict[int, NoticeRow]:
    if incident_id is None:
        return {}
    rows = db.session.execute(select(*NOTICE_COLUMNS).where(NOTICES.c.incident_id == incident_id))
    return {row.global_action_id or 0: row for row in map(NoticeRow._make, rows)}


def _is_followed(task_id: str) -> bool:
    """Say whether the history has been followed up to the task's last failure."""
    last = select(func.max(EVENTS.c.id)).where(
        EVENTS.c.task_id == task_id, EVENTS.c.status.in_(FAILED)
    )
    followed = select(RunStatCursor.event_id).scalar_subquery()
    row = db.session.execute(select(last.scalar_subquery(), followed)).one()
    return (row[0] or 0) <= (row[1] or 0)


def explain(global_action: GlobalAction, failed: FailedTask, ignored: str) -> list[str]:
    """Say what became of the failure; *ignored* is what is said of its kind if it is ignored."""
    notice = failed.notices.get(global_action.id)
    found = []
    if notice is not None and notice.told_at is not None:
        number = failed.failure.incident_id
        found.append(f"Incident {number} was reported at {moment(notice.told_at)}.")
        if failed.failure.closed_at is None and failed.is_snoozed:
            found.append(_snoozed(failed))
    if failed.retry is not None:
        found.append(f"It was tried again by {failed.retry.task_id}, which {failed.retry.outcome}.")
    if found:
        return found
    if ignored:
        return [ignored]
    if failed.failure.incident_id is None:
        return [BEFORE_INCIDENTS if failed.is_followed else NOT_FOLLOWED]
    return [ADDED_LATER if notice is None else _why_not_told(global_action, failed, notice)]


def _why_not_told(global_action: GlobalAction, failed: FailedTask, notice: NoticeRow) -> str:
    failure, now = failed.failure, failed.now
    incident = f"Incident {failure.incident_id}"
    if not _is_rate_reached(global_action, notice):
        return f"{incident}: {rate_not_reached(global_action)}"
    if failure.closed_at is not None and notice.next_at is None:
        return f"{incident} ended before anyone was told."
    if failed.is_snoozed:
        return _snoozed(failed)
    if failed.window is not None:
        name, end = failed.window.name, moment(failed.window.span.end)
        return f"{incident} is held back by the maintenance window “{name}” until {end}."
    quiet_until = global_action.quiet_until if global_action.quiet_period else None
    if quiet_until is not None and notice.next_at is not None and quiet_until >= notice.next_at:
        return f"{incident} waits for the end of a quiet period, until {moment(quiet_until)}."
    if notice.held:
        return f"{incident} was held back by a maintenance window."
    if notice.next_at is None or notice.next_at <= now:
        return DUE
    return f"{incident} waits until {moment(notice.next_at)} for a retry."


def _snoozed(failed: FailedTask) -> str:
    until = failed.failure.snoozed_until
    end = moment(until) if until else "it changes"
    return f"Incident {failed.failure.incident_id} is snoozed until {end}."


def _is_rate_reached(global_action: GlobalAction, notice: NoticeRow) -> bool:
    """Say whether the rate was reached in the incident, as far as the notice was looked at.

    One whose rate was not reached waits for the next failure, without a time to look again.
    """
    waits = notice.next_at is not None or notice.held or notice.is_over
    return global_action.at_least is None or waits


def rate_not_reached(global_action: GlobalAction) -> str:
    """Say that the rate of a global action was not reached."""
    within = duration(global_action.within or 0)
    return f"The rate of {global_action.at_least} within {within} was not reached."
