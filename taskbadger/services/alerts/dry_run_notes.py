"""What a dry run says beside its firings: what is left out, and what would have come later."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy import select

from taskbadger.channels.text import counted
from taskbadger.domain.dry_run import Draft, Outcome, Reached
from taskbadger.domain.time_words import duration
from taskbadger.extensions import db
from taskbadger.models.task_rows import TASKS
from taskbadger.services.delivery import windows
from taskbadger.services.delivery.windows import WindowRow

_MAX_COMPARED = 500
"""How many firings are compared with the maintenance windows, the latest or the first."""
_MAX_SECONDS = 0.5
"""How long that may take, after the time for the history."""
_MAX_NAMES = 3


class _TaskRow(NamedTuple):
    id: str
    project_id: int
    monitor_id: UUID | None


def write(
    organization_id: int, draft: Draft, outcome: Outcome, *, clock: Callable[[], float]
) -> list[str]:
    """Return sentences about an outcome. *clock* is in seconds."""
    return [
        *_about_mode(draft, outcome),
        *_about_retries(draft, outcome),
        *_about_rate(draft, outcome),
        *_about_windows(organization_id, draft, outcome.told, clock),
    ]


def _about_mode(draft: Draft, outcome: Outcome) -> Iterator[str]:
    if draft.tells_incidents and outcome.reached:
        reached = counted(outcome.reached, "change")
        yield f"{reached} reached the trigger. An incident is told once, however many runs fail."
        yield "A snooze delays what follows, such as reminders, and none of these messages."


def _about_retries(draft: Draft, outcome: Outcome) -> Iterator[str]:
    if outcome.retried:
        failures = counted(outcome.retried, "failure")
        their = "its run was" if outcome.retried == 1 else "their runs were"
        wait = f" within {_seconds(draft.wait_for_retry)}" if draft.wait_for_retry else ""
        yield f"No message would have been sent for {failures}: {their} retried{wait}."


def _about_rate(draft: Draft, outcome: Outcome) -> Iterator[str]:
    if outcome.below_rate:
        noun, ending = "firing", " or had been reported already"
        if draft.tells_incidents:
            noun, ending = "incident", ""
        rate = f"the rate of {draft.at_least} within {_seconds(draft.within)}"
        silent = counted(outcome.below_rate, noun)
        yield f"No message would have been sent for {silent}: {rate} was not reached{ending}."


def _about_windows(
    organization_id: int, draft: Draft, told: Sequence[Reached], clock: Callable[[], float]
) -> Iterator[str]:
    found = windows.list_all(organization_id)
    if not found or not told:
        return
    compared = list(_covering_names(found, told[:_MAX_COMPARED], clock))
    names = [name for name in compared if name is not None]
    if names:
        which = ", ".join(f"“{name}”" for name in sorted(set(names))[:_MAX_NAMES])
        yield f"{len(names):,} of these would have waited for the end of a window ({which})."
        yield (
            "Anything that recovers by then is not reported."
            if draft.tells_incidents
            else "What one window holds back becomes one message."
        )
    if len(compared) < len(told):
        were = "was" if len(compared) == 1 else "were"
        yield f"Only {len(compared):,} of these {were} compared with the maintenance windows."


def _covering_names(
    found: Sequence[WindowRow], told: Sequence[Reached], clock: Callable[[], float]
) -> Iterator[str | None]:
    """Yield for each firing the name of the window that covered it, while there is time."""
    until = clock() + _MAX_SECONDS
    tasks = _list_tasks([each.task_id for each in told])
    for each in told:
        if clock() >= until:
            return
        task = tasks.get(each.task_id)
        covering = task and windows.first_covering(
            found,
            project_id=task.project_id,
            name=each.name[1],
            monitor_id=task.monitor_id,
            now=each.at,
        )
        yield covering.name if covering else None


def _list_tasks(task_ids: Sequence[str]) -> dict[str, _TaskRow]:
    rows = db.session.execute(
        select(TASKS.c.id, TASKS.c.project_id, TASKS.c.monitor_id).where(TASKS.c.id.in_(task_ids))
    ).all()
    return {row.id: row for row in cast(Sequence[_TaskRow], rows)}


def _seconds(span: timedelta) -> str:
    return duration(span.total_seconds())
