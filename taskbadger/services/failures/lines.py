"""Why tasks failed, in one line each: one that fails now, and those of a list."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from taskbadger.domain.error_lines import error_line
from taskbadger.domain.fingerprints import OVERDUE
from taskbadger.domain.status import ERROR, STALE
from taskbadger.extensions import read_outside_session
from taskbadger.models.incident_rows import FAILURES
from taskbadger.models.task_rows import TaskState

_failure = FAILURES.c
_LINES = select(_failure.task_id, _failure.error).where(
    _failure.task_id.in_(bindparam("task_ids", expanding=True)), _failure.error.is_not(None)
)


def line_of(task: TaskState, *, overrun: bool = False) -> str | None:
    """Return why a task has failed; None if it has not, or does not say.

    *overrun* marks the server's own changes for max_runtime.
    """
    if task.status not in (ERROR, STALE):
        return None
    return line_of_cause(task, OVERDUE if overrun else task.status)


def line_of_cause(task: TaskState, cause: str) -> str | None:
    """Return why a task has failed with a *cause* of `domain.fingerprints`."""
    limits = {"max_runtime": task.max_runtime, "stale_timeout": task.stale_timeout}
    return error_line(task.data, cause, **limits) or None


def read_lines(task_ids: Sequence[str]) -> dict[str, str]:
    """Return why these tasks failed last, in one line each; those that do not say are left out."""
    if not task_ids:
        return {}
    rows = read_outside_session(_LINES, {"task_ids": task_ids})
    return {row.task_id: row.error for row in rows}
