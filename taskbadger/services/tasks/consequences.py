"""The consequences of a change of a task: actions, its monitor, failures, global actions.

The last two lock rows that many tasks share, so they come last, once in a transaction. All
transactions lock in this order: tasks, monitors, kinds of failures, global actions.
"""

from collections.abc import Sequence
from datetime import datetime

from taskbadger.domain.identity import ProjectRef
from taskbadger.services.alerts import firing
from taskbadger.services.alerts.firing import TaskChange
from taskbadger.services.failures import recording
from taskbadger.services.failures.recording import Failed
from taskbadger.services.monitors import runs


def follow(project: ProjectRef, change: TaskChange, *, now: datetime, base_url: str) -> None:
    """Fire the task's own actions, and let its monitor know of its change of status."""
    firing.fire_own(project, [change], now=now, base_url=base_url)
    follow_monitor(change, now=now, base_url=base_url)


def follow_monitor(
    change: TaskChange, *, now: datetime, base_url: str, overrun: bool = False
) -> None:
    """Let the monitor of a task know of its change of status."""
    before, after = change
    if after.monitor_id is not None and (before is None or before.status != after.status):
        runs.follow_task(before, after, now=now, base_url=base_url, overrun=overrun)


def finish(
    project: ProjectRef,
    changes: Sequence[TaskChange],
    *,
    global_actions: firing.GlobalActions,
    now: datetime,
    base_url: str,
    overrun: bool = False,
) -> None:
    """Record the failures among *changes*, then fire global actions."""
    failures = [
        Failed(after, cause)
        for before, after in changes
        if (cause := recording.cause_of(before, after, overrun=overrun))
    ]
    recorded = recording.record(project.id, failures)
    firing.fire_global(
        project,
        changes,
        global_actions=global_actions,
        now=now,
        base_url=base_url,
        overrun=overrun,
        ignored={
            firing.version_of(failed.task)
            for failed, outcome in zip(failures, recorded, strict=True)
            if outcome.is_ignored
        },
    )
