"""Records changes of tasks in the audit log.

Only those of people and admin keys: an ordinary key does nothing else all day, so each task's
history has its changes, and they cost no statement here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from taskbadger.domain import changes
from taskbadger.domain.identity import Actor, ProjectRef
from taskbadger.models.task_rows import TaskState
from taskbadger.services.organizations import audit

MAX_LISTED = 100
"""How many ids the entry of a bulk cancellation lists."""

_FIELDS = (
    "name",
    "status",
    "value",
    "value_max",
    "queue",
    "external_id",
    "parent",
    "tags",
    "data",
    "max_runtime",
    "stale_timeout",
)


def record(
    actor: Actor,
    project: ProjectRef,
    verb: str,
    task: TaskState,
    *,
    details: Sequence[str] = (),
    now: datetime,
) -> None:
    """Record what *actor* did to *task*, unless their changes are not audited."""
    if actor.is_audited:
        detail = "; ".join([task.id, *details])
        audit.record(actor, project.organization_id, verb, task.name, detail, now=now)


def record_change(
    actor: Actor, project: ProjectRef, before: TaskState, after: TaskState, *, now: datetime
) -> None:
    """Record which fields differ, if any does: a ping changes none. Data counts as a secret."""
    if not actor.is_audited:
        return
    lines = changes.describe(_values(before), _values(after), lambda name: name == "data")
    if lines:
        record(actor, project, "task.change", after, details=lines, now=now)


def _values(task: TaskState) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _FIELDS}


def record_cancelled(
    actor: Actor, organization_id: int, task_ids: Sequence[str], selection: str, *, now: datetime
) -> None:
    """Record the cancellation of many tasks in one entry, which lists the first MAX_LISTED.

    *selection* says how they were selected. No tasks leave no entry.
    """
    if not task_ids:
        return
    number, more = len(task_ids), len(task_ids) - MAX_LISTED
    audit.record(
        actor,
        organization_id,
        "task.cancel",
        f"{number} task{'' if number == 1 else 's'}",
        f"{selection}: {', '.join(task_ids[:MAX_LISTED])}{f' and {more} more' if more > 0 else ''}",
        now=now,
    )
