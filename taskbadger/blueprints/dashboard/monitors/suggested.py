"""What the form of a new monitor is filled in with, for a name whose runs are known."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from taskbadger.blueprints.dashboard.visit import current_user
from taskbadger.domain.guesses import guess_limit, guess_schedule
from taskbadger.domain.identity import ProjectRef
from taskbadger.domain.monitors import CRON, INTERVAL
from taskbadger.domain.status import PENDING, SUCCESS
from taskbadger.models.task_rows import ListedTask
from taskbadger.schemas.durations import write_optional
from taskbadger.services.tasks.filters import Filters
from taskbadger.services.tasks.search.pages import search_tasks

RUNS = 50
"""How many runs the guess is based on, the latest ones."""


def suggest(project: ProjectRef, task_name: str) -> dict[str, str]:
    """Return values of the form; they have a schedule if the runs look like one."""
    runs = search_tasks([project], Filters(name=(task_name,)), None, RUNS).rows
    limit = guess_limit(
        run.end_time - run.start_time
        for run in runs
        if run.status == SUCCESS and run.start_time is not None and run.end_time is not None
    )
    return {
        "name": task_name,
        "task_name": task_name,
        "max_runtime": write_optional(limit),
        **_guess(runs),
    }


def _guess(runs: Sequence[ListedTask]) -> dict[str, str]:
    timezone = current_user().timezone
    starts = [run.start_time or run.created for run in runs if run.status != PENDING]
    guess = guess_schedule(starts, ZoneInfo(timezone))
    if guess.schedule is not None:
        return {"type": CRON, "schedule": guess.schedule, "timezone": timezone}
    if guess.interval is not None:
        return {"type": INTERVAL, "interval": write_optional(guess.interval)}
    return {}
