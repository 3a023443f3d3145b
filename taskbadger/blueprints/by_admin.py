"""The audit log of what admin keys do to tasks and their actions.

Other keys do nothing else all day: their changes are in the history of each task, and cost nothing
more here.
"""

from collections.abc import Sequence
from typing import Any

from taskbadger.blueprints.api import current_access, current_actor, current_project
from taskbadger.clock import utcnow
from taskbadger.domain import changes, scopes
from taskbadger.services import audit, tasks

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


def is_admin() -> bool:
    """Say whether an admin key makes this request."""
    return scopes.ADMIN in current_access().scopes


def record(verb: str, task: Any, details: Sequence[str] = ()) -> None:
    """Note what an admin key did to *task*, a row; other keys leave no entry."""
    if is_admin():
        audit.record(
            current_actor(),
            current_project().organization_id,
            verb,
            task.name,
            "; ".join([task.id, *details]),
            now=utcnow(),
        )


def lock_task(task_id: str) -> Any | None:
    """Return the row of a task that an admin key is about to change; None for other keys."""
    return tasks.lock_task(current_project(), task_id) if is_admin() else None


def record_change(before: Any | None, task: Any) -> None:
    """Note what differs from *before*, which ``lock_task`` gave; a ping changes nothing."""
    if before is None:
        return
    lines = changes.describe(_values(before), _values(task), lambda name: name == "data")
    if lines:
        record("task.change", task, lines)


def _values(task: Any) -> dict[str, Any]:
    return {name: getattr(task, name) for name in _FIELDS}
