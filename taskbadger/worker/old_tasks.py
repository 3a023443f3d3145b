"""Old tasks: deletes those that their projects keep no longer, in small transactions.

A walk of an index for each project looks at each task once. All projects that have old tasks are
walked in one *round*, which may take many runs of the step; the next round begins at the start.
"""

import random
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from taskbadger.domain.retention import Retention
from taskbadger.extensions import db, reading
from taskbadger.process import current_process
from taskbadger.services.organizations import projects
from taskbadger.services.organizations.retention import list_retentions
from taskbadger.services.stats import runs
from taskbadger.services.tasks import retention
from taskbadger.services.tasks.retention import Place
from taskbadger.worker import steps
from taskbadger.worker.groups import TimeLimit, split

FOUND_AT_ONCE = 1000
"""Tasks that a walk looks at together, before the next project has its turn."""

DELETED_AT_ONCE = {"sqlite": 50, "postgresql": 250}
"""Tasks per transaction, with all that belongs to them; few, where only one can write at once."""

PAUSE_SHARE = {"sqlite": 0.4, "postgresql": 1.0}
"""How long others have the disk after a transaction, compared with how long it took."""
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.0015, 0.05
"""Other steps must not wait long, such as `tick`."""

waiting: list[int] = []
"""The projects that are still to be walked in this round."""
positions: dict[int, Place] = {}
"""How far the walks of this round have come, by project."""


def delete_old_tasks() -> bool:
    """Walk on for about a second; say whether this round has more to do.

    Projects take turns.
    """
    # Runs that are not counted yet stay until they are.
    now = steps.database_now()
    with reading():
        now = min(now, runs.counted_until() or now)
        retentions = {each.project_id: each for each in list_retentions()}
    if not waiting:
        positions.clear()
        waiting.extend(retentions)
        random.shuffle(waiting)  # No project is always the last one.
    limit = TimeLimit()
    while waiting:
        project_id = waiting.pop(0)
        kept = retentions.get(project_id)
        if kept is not None and _walk(kept, now, limit):
            waiting.append(project_id)
        if waiting and not limit.pause():
            return True
    return False


def _walk(kept: Retention, now: datetime, limit: TimeLimit) -> bool:
    """Walk on in one project; say whether there may be more."""
    with reading():
        after = positions.get(kept.project_id)
        found = retention.list_candidates(kept, after, now=now, limit=FOUND_AT_ONCE)
    for status, places in groupby(found, key=lambda place: place.status):
        for group in split(list(places), DELETED_AT_ONCE[db.engine.dialect.name]):
            began = time.monotonic()
            _delete(kept, status, [place.id for place in group if place.is_old], now)
            positions[kept.project_id] = group[-1]
            if not limit.pause(_pause_after(time.monotonic() - began)):
                return True
    return len(found) == FOUND_AT_ONCE


def _pause_after(seconds: float) -> float:
    """Return how long others have the disk after a transaction that took so long."""
    share = PAUSE_SHARE[db.engine.dialect.name]
    return min(max(seconds * share, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)


def _delete(kept: Retention, status: str, task_ids: Sequence[str], now: datetime) -> None:
    if not task_ids:
        return
    deleted = retention.delete_old_tasks(kept, status, task_ids, now=now)
    runs.note_deletions()
    if deleted < len(task_ids):
        base_url = current_process().base_url
        for project in projects.list_refs([kept.project_id]).values():
            retention.cancel_old_runs(project, kept, status, task_ids, now=now, base_url=base_url)
    db.session.commit()
